"""Training on the robot: a child process that trains, a decision, models that are deployed.

Needs neither rclpy nor torch: the trainer node runs this in its own process, and torch is imported
in the child alone.
"""
