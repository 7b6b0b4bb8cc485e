"""Starts the attitude estimator, which configures and activates itself.

Each of its parameters is an argument. Defaults stand in ``config/attitude_estimator.yaml`` and
nowhere else: an argument that is left empty does not override the parameter file.

With several IMUs (``imus:=left,right``) each name stands before its topics: left/imu/data_raw,
right/imu/data_raw; ``imu_topic`` then has no use.
"""

from launch import LaunchDescription

from nn_perception.nodes.launching import node_description


def generate_launch_description() -> LaunchDescription:
    return node_description("attitude_estimator")
