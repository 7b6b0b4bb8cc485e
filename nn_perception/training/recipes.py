"""Recipes: configurations with which a task's networks are trained, one YAML file each.

A network's usual recipe bears its name; others, such as ``digit_best``, have names of their own.
"""

from __future__ import annotations

from importlib import resources

import yaml

from nn_perception.config import from_mapping
from nn_perception.errors import ConfigError, nearest
from nn_perception.training.config import TrainingConfig


def load_recipe(task: str, network: str) -> TrainingConfig:
    """Read ``tasks/TASK/recipes/NETWORK.yaml``.

    Raises:
        ConfigError: the task has no recipe for the network.
    """
    return read_recipe(f"nn_perception.tasks.{task}.recipes", task, network)


def read_recipe(package: str, task: str, network: str) -> TrainingConfig:
    """Read ``NETWORK.yaml`` of a package; see `load_recipe`."""
    folder = resources.files(package)
    known = sorted(entry.name[:-5] for entry in folder.iterdir() if entry.name.endswith(".yaml"))
    if network not in known:
        raise ConfigError(
            f"task '{task}' has no recipe '{network}'{nearest(network, known)} "
            f"(there are: {', '.join(known)}); give a whole configuration by --config"
        )
    values = yaml.safe_load(folder.joinpath(f"{network}.yaml").read_text(encoding="utf-8"))
    return from_mapping(TrainingConfig, values)
