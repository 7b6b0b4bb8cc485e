"""Search of configurations by cross-validation on training data; Optuna only here, on use."""
