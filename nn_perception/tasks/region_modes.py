"""What of a frame an image classifier can look at."""

from __future__ import annotations

REGION_MODES = ("auto", "full", "center", "detections", "digits")
"""As the bundle says, all of it, its centre, boxes that are given, digits that are found."""
OF_REGIONS = ("detections", "digits")
"""Those whose answer is a box for each region, and not one for the frame."""
