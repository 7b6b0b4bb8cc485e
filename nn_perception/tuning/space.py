"""Search spaces: which keys of a configuration are varied, and within what.

A space file is YAML. Its keys are configuration keys with dots (or groups of them), each with a
list of choices or a range; ``fixed`` sets keys for all trials, ``recipe`` names what the others are
taken from::

    recipe: mlp
    fixed: {epochs: 8}
    learning_rate: {low: 1.0e-3, high: 0.1, log: true}
    batch_size: [32, 64, 128]
    network_arguments.hidden: [[64], [128]]
"""

from __future__ import annotations

import contextlib
import itertools
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nn_perception.config import read_yaml, unflatten
from nn_perception.errors import ConfigError, nearest

FIXED, RECIPE = "fixed", "recipe"
_RANGE_KEYS = ("low", "high", "log", "step")
_SPEC_KEYS = ("choices", *_RANGE_KEYS)
_MOST_POINTS = 100_000


@dataclass(frozen=True)
class Choices:
    """Some values; of any kind that YAML holds."""

    values: tuple[Any, ...]

    def ends(self) -> tuple[Any, ...]:
        """Return what has to be valid for all to be."""
        return self.values

    def points(self) -> tuple[Any, ...]:
        """Return all values."""
        return self.values

    def with_ends(self, ends: Sequence[Any]) -> Choices:
        """Return it with the ends as the configuration reads them."""
        return Choices(tuple(ends))

    def __str__(self) -> str:
        return ", ".join(value_text(value) for value in self.values)


@dataclass(frozen=True)
class Range:
    """Numbers from ``low`` to ``high``, both included; whole ones where both are.

    Attributes:
        low: lowest value.
        high: highest value.
        log: equal ratios are equally likely, not equal differences.
        step: only ``low`` and what is whole steps above it; None: all between.
    """

    low: float
    high: float
    log: bool = False
    step: float | None = None

    @property
    def is_whole(self) -> bool:
        """Whether its values are whole numbers."""
        return isinstance(self.low, int) and isinstance(self.high, int)

    def ends(self) -> tuple[Any, ...]:
        """Return what has to be valid for all to be."""
        return (self.low, self.high)

    def points(self) -> tuple[Any, ...]:
        """Return all values; empty where they cannot be counted."""
        step = 1 if self.step is None and self.is_whole and not self.log else self.step
        if step is None:
            return ()
        count = math.floor((self.high - self.low) / step + 1e-9) + 1
        if self.is_whole:
            return tuple(int(self.low + i * step) for i in range(count))
        return tuple(round(self.low + i * step, 12) for i in range(count))

    def with_ends(self, ends: Sequence[Any]) -> Range:
        """Return it with the ends as the configuration reads them."""
        return Range(ends[0], ends[1], self.log, self.step)

    def __str__(self) -> str:
        more = ", logarithmic" if self.log else f", step {self.step:g}" if self.step else ""
        return f"{self.low:g} to {self.high:g}{more}"


Values = Choices | Range


@dataclass(frozen=True)
class Space:
    """What a space file says.

    Attributes:
        parameters: configuration key with dots -> its values.
        fixed: nested keys for all trials.
        recipe: name of the recipe that the other keys are taken from; empty: the task's.
    """

    parameters: Mapping[str, Values]
    fixed: Mapping[str, Any] = field(default_factory=dict)
    recipe: str = ""

    def grid(self) -> list[dict[str, Any]]:
        """Return all combinations.

        Raises:
            ConfigError: a range has no steps, or there are too many.
        """
        for key, values in self.parameters.items():
            if not values.points():
                raise ConfigError(
                    f"'{key}' is a range without steps, and a grid needs points: give choices "
                    f"({key}: [...]), a step, or another --sampler"
                )
        total = math.prod(len(values.points()) for values in self.parameters.values())
        if total > _MOST_POINTS:
            raise ConfigError(
                f"the grid has {total:,} points, expected {_MOST_POINTS:,} at most: give fewer "
                "choices, or another --sampler"
            )
        combinations = itertools.product(*(v.points() for v in self.parameters.values()))
        return [dict(zip(self.parameters, point, strict=True)) for point in combinations]

    def describe(self) -> dict[str, Any]:
        """Return it as plain values, by which two spaces are compared."""
        return {
            key: {"choices": list(values.values)}
            if isinstance(values, Choices)
            else {name: getattr(values, name) for name in _RANGE_KEYS}
            for key, values in self.parameters.items()
        }


def read_space(path: Path) -> Space:
    """Read a space file; whether its keys are of a configuration, `check.resolve_space` tells.

    Raises:
        ConfigError: the file cannot be read, or a key has neither choices nor a range.
    """
    try:
        return parse_space(read_yaml(path))
    except ConfigError as error:
        if str(path) in str(error):
            raise
        raise ConfigError(f"{path}: {error}") from None


def parse_space(values: Mapping[str, Any]) -> Space:
    """Return the space of a file's content; see `read_space`."""
    rest = {str(key): value for key, value in values.items()}
    fixed, recipe = rest.pop(FIXED, None) or {}, rest.pop(RECIPE, None) or ""
    if not isinstance(fixed, Mapping) or not isinstance(recipe, str):
        raise ConfigError(
            f"'{FIXED}' is {fixed!r} and '{RECIPE}' {recipe!r}; expected keys with values, and a "
            "name"
        )
    parameters: dict[str, Values] = {}
    _collect(rest, "", parameters)
    if not parameters:
        raise ConfigError(
            "names no key to vary; expected for example 'batch_size: [32, 64]' or 'learning_rate: "
            "{low: 1.0e-3, high: 0.1, log: true}'"
        )
    return Space(parameters, unflatten(fixed), recipe)


def value_text(value: Any) -> str:
    """Return a value for people: 0.001, [128], relu."""
    if isinstance(value, bool | str) or value is None:
        return json.dumps(value) if not isinstance(value, str) else value
    if isinstance(value, int | float):
        return f"{value:.4g}" if isinstance(value, float) else str(value)
    return json.dumps(value)


def _collect(values: Mapping[str, Any], prefix: str, found: dict[str, Values]) -> None:
    for key, value in values.items():
        name = f"{prefix}{key}"
        if isinstance(value, Mapping) and not set(map(str, value)) & set(_SPEC_KEYS):
            near = [word for word in map(str, value) if nearest(word, _SPEC_KEYS)]
            if near and not any(isinstance(item, list | Mapping) for item in value.values()):
                raise ConfigError(
                    f"'{name}' has the unknown word '{near[0]}'{nearest(near[0], _SPEC_KEYS)} "
                    f"(expected: {', '.join(_SPEC_KEYS)})"
                )
            _collect(value, f"{name}.", found)
            continue
        if name in found:
            raise ConfigError(f"'{name}' is there twice; take one away")
        found[name] = _values(name, value)


def _values(name: str, value: Any) -> Values:
    if isinstance(value, list):
        return _choices(name, value)
    if not isinstance(value, Mapping):
        raise ConfigError(
            f"'{name}' is {value!r}; expected a list of choices or {{low: ..., high: ...}}; a key "
            f"that is not to vary belongs into '{FIXED}'"
        )
    for word in map(str, value):
        if word not in _SPEC_KEYS:
            raise ConfigError(
                f"'{name}' has the unknown word '{word}'{nearest(word, _SPEC_KEYS)} "
                f"(expected: {', '.join(_SPEC_KEYS)})"
            )
    if "choices" in value:
        if len(value) > 1:
            raise ConfigError(f"'{name}' has choices and a range; expected one of both")
        return _choices(name, value["choices"])
    return _range(name, value)


def _choices(name: str, values: Any) -> Choices:
    if not isinstance(values, list) or not values:
        raise ConfigError(f"the choices of '{name}' are {values!r}; expected a list of values")
    texts = [json.dumps(value, sort_keys=True, default=str) for value in values]
    twice = [text for text in texts if texts.count(text) > 1]
    if twice:
        raise ConfigError(f"'{name}' has the choice {twice[0]} twice; take one away")
    return Choices(tuple(values))


def _range(name: str, value: Mapping[str, Any]) -> Range:
    if "low" not in value or "high" not in value:
        raise ConfigError(f"'{name}' is {dict(value)!r}; a range needs low and high")
    low, high = (_number(name, end, value[end]) for end in ("low", "high"))
    log = value.get("log", False)
    step = None if value.get("step") is None else _number(name, "step", value["step"])
    if not isinstance(log, bool):
        raise ConfigError(f"'log' of '{name}' is {log!r}; expected true or false")
    if low >= high:
        raise ConfigError(f"'{name}' goes from {low:g} to {high:g}; expected low below high")
    if log and low <= 0:
        raise ConfigError(f"'{name}' begins at {low:g}; a logarithmic range begins above 0")
    if step is not None and (log or not 0 < step <= high - low):
        raise ConfigError(
            f"'{name}' has the step {step:g}; expected one above 0, not longer than the range, and "
            "none in a logarithmic range"
        )
    return Range(low, high, log, step)


def _number(name: str, word: str, value: Any) -> float:
    if isinstance(value, str):  # YAML 1.1 reads 1e-3 as text
        with contextlib.suppress(ValueError):
            value = float(value)
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ConfigError(f"'{word}' of '{name}' is {value!r}; expected a number")
    return value
