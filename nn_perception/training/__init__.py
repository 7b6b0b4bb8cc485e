"""Offline training: one lean loop, data on the device, exact resume, deterministic by seed."""
