"""Starts the corrector of UWB ranges, which configures and activates itself.

Each of its parameters is an argument. Defaults stand in ``config/uwb_corrector.yaml`` and
nowhere else: an argument that is left empty does not override the parameter file.

With several tags each name stands before its topics, as in NAME/uwb/range; ``range_topic`` then
has no use.
"""

from launch import LaunchDescription

from nn_perception.nodes.launching import node_description


def generate_launch_description() -> LaunchDescription:
    return node_description("uwb_corrector")
