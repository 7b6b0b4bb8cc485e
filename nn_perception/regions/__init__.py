"""Regions of a camera frame that a classifier looks at, and how they are cut."""
