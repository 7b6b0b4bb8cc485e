"""Plays a recorded bag into the live perception nodes, in the bag's time (``use_sim_time``).

    ros2 launch nn_perception replay.launch.py bag:=DIR uwb_corrector:=false record:=OUT

The bag starts when all nodes are active. What the nodes publish themselves is left out of it. The
arguments are those of ``perception.launch.py``, and some of ``ros2 bag play``.
"""

from launch import LaunchDescription

from nn_perception.nodes.launching import replay_description


def generate_launch_description() -> LaunchDescription:
    return replay_description()
