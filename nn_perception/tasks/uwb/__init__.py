"""Task ``uwb``: the error of a UWB range, from where tag and anchor are and how they are turned."""
