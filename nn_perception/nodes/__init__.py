"""The live side: lifecycle nodes around the pipelines. Only here is rclpy imported.

`parameter`, `parameters`, `registry`, `intake`, `statistics` and `model` import without rclpy; the
rest needs it.
"""
