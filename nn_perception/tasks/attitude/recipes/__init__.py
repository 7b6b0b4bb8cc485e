"""One training configuration per network."""
