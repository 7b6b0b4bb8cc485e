"""The command line: one file per command; parsing only, the work is done elsewhere."""
