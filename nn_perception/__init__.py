"""Neural networks for robot perception in ROS 2: train, bundle, run live, replay."""

__version__ = "0.1.0"
