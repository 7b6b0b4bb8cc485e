"""A space against the configuration that it varies: every mistake before the first trial."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from nn_perception.config import from_mapping, to_mapping, unflatten
from nn_perception.errors import ConfigError, NnPerceptionError, nearest
from nn_perception.networks import build_network, resolve_arguments
from nn_perception.tasks import get_task
from nn_perception.training.config import TrainingConfig
from nn_perception.training.run import resolve_config
from nn_perception.tuning.space import FIXED, RECIPE, Range, Space, Values

_NOT_SEARCHED = {
    "folds": "--folds sets it",
    "fold": "every trial is trained on all of them",
    "seed": "a better seed is luck, not a better configuration; --seed sets it",
    "validation_fraction": "folds take its place",
    "device": "it changes no result",
    "deterministic": "it changes no result",
}


def resolve_space(
    task: str, space: Space, overrides: Mapping[str, Any], recipe: str | None
) -> tuple[TrainingConfig, Space]:
    """Return the configuration of all trials, and the space with its values as that reads them.

    Args:
        task: name of the task.
        space: as its file says.
        overrides: nested keys of the command line, which win over the file's.
        recipe: of the command line, which wins over the file's.

    Raises:
        TaskError: unknown task.
        ConfigError: a key that no configuration has (the nearest is named), a value that it
            refuses, or a key that is set and varied.
    """
    base = resolve_config(task, space.fixed, overrides, recipe or space.recipe or None)
    for key in space.parameters:
        _check_key(key, space, overrides)
    checker = _Checker(task, base)
    parameters: dict[str, Values] = {}
    for key, values in space.parameters.items():
        ends = [checker.read(key, value) for value in values.ends()]
        if isinstance(values, Range) and not all(_is_number(end) for end in ends):
            raise ConfigError(f"'{key}' takes no numbers; expected a list of choices")
        parameters[key] = values.with_ends(ends)
    return base, dataclasses.replace(space, parameters=parameters)


def trial_config(base: TrainingConfig, values: Mapping[str, Any]) -> TrainingConfig:
    """Return a configuration with some keys, with dots, changed."""
    return from_mapping(TrainingConfig, unflatten(values), base=base)


def _check_key(key: str, space: Space, overrides: Mapping[str, Any]) -> None:
    known = [field.name for field in dataclasses.fields(TrainingConfig)]
    top, _, below = key.partition(".")
    if top not in known:
        raise ConfigError(
            f"the space varies '{key}', which is no key of a configuration"
            f"{nearest(top, [*known, FIXED, RECIPE])} (known keys: {', '.join(known)})"
        )
    if top in _NOT_SEARCHED:
        raise ConfigError(f"'{key}' cannot be searched: {_NOT_SEARCHED[top]}; take it away")
    groups = ("network_arguments", "task_arguments", "augment")
    if (top in groups) != bool(below) or "." in below:
        raise ConfigError(
            f"the space varies '{key}'; expected a key, or one below {', '.join(groups)}, such as "
            "network_arguments.hidden"
        )
    for name, given in ((f"'{FIXED}'", space.fixed), ("the command line", overrides)):
        group = given.get(top, {})
        if top in given and (not below or (isinstance(group, Mapping) and below in group)):
            raise ConfigError(
                f"'{key}' is varied by the space and set by {name}; take one of them away"
            )


class _Checker:
    """Reads single values as a configuration, its network and its task would."""

    def __init__(self, task: str, base: TrainingConfig) -> None:
        self._base = base
        self._learning = get_task(task).load_learning()

    def read(self, key: str, value: Any) -> Any:
        """Return a value as the configuration holds it.

        Raises:
            ConfigError: it refuses key or value.
        """
        top, _, below = key.partition(".")
        try:
            if top == "network_arguments":
                return self._network_argument(below, value)
            if top == "task_arguments":
                return self._task_argument(below, value)
            config = trial_config(self._base, {key: value})
        except NnPerceptionError as error:
            raise ConfigError(f"the space varies '{key}' to {value!r}: {error}") from None
        if key == "network":
            resolve_arguments(value, config.network_arguments)
        found: Any = to_mapping(config)[top]
        return found[below] if below else found

    def _network_argument(self, name: str, value: Any) -> Any:
        network, given = self._base.network, self._base.network_arguments
        default = resolve_arguments(network, {name: value})[name]
        usual = resolve_arguments(network)[name]
        if isinstance(usual, float) and isinstance(default, int) and not isinstance(value, bool):
            value = float(value)
        build_network(network, {**given, name: value})
        return value

    def _task_argument(self, name: str, value: Any) -> Any:
        kind = getattr(self._learning, "arguments_type", None)
        if kind is None:  # a task of another package: its first training tells
            return value
        arguments = from_mapping(kind, {**self._base.task_arguments, name: value})
        return to_mapping(arguments)[name]


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
