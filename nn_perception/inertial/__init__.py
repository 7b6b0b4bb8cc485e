"""Inertial measurements as pipelines take them in; needs neither ROS nor torch."""
