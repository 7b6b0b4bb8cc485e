"""Orientation from an inertial sensor: a Kalman filter whose noise a network tells."""
