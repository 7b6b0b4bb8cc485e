"""Starts the image classifier, which configures and activates itself.

Each of its parameters is an argument. Defaults stand in ``config/image_classifier.yaml`` and
nowhere else: an argument that is left empty does not override the parameter file.

With several cameras (``cameras:=left,right``) each name stands before its topics: left/image_raw,
right/image_raw; ``image_topic`` then has no use.
"""

from launch import LaunchDescription

from nn_perception.nodes.launching import node_description


def generate_launch_description() -> LaunchDescription:
    return node_description("image_classifier")
