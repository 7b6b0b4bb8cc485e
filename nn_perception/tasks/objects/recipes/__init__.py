"""Default training configurations of the task, one per network."""
