"""Evaluation without ROS: replay of bags through the live pipeline, metrics, reports."""
