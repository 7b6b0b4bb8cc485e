"""Starts all perception nodes, each in a process of its own or all in one (``single_process``).

A node is left out with its name: ``uwb_corrector:=false``. Defaults stand in
``config/perception.yaml`` and nowhere else: an argument that is left empty does not override it.
"""

from launch import LaunchDescription

from nn_perception.nodes.launching import perception_description


def generate_launch_description() -> LaunchDescription:
    return perception_description()
