"""The live side: lifecycle nodes around the pipelines. Only here is rclpy imported.

`parameter`, `parameters`, `registry`, `intake`, `statistics` and `model` import without rclpy, as
does what starts nodes (`process`, `starting`, `supervisor`, `parameter_files`, `launch_arguments`,
`bag_commands`); the rest needs it. `launching` alone imports ROS launch.
"""
