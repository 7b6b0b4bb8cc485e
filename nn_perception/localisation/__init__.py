"""Position from ranges to known anchors, with NumPy alone; needs neither ROS nor torch."""
