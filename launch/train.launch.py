"""Starts the trainer, which trains on request (service ``~/train``) and deploys what is better.

Each of its parameters is an argument. Defaults stand in ``config/trainer.yaml`` and nowhere else:
an argument that is left empty does not override the parameter file.
"""

from launch import LaunchDescription

from nn_perception.nodes.launching import node_description


def generate_launch_description() -> LaunchDescription:
    return node_description("trainer")
