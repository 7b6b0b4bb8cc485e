"""Checks of constructor arguments that come from a user's configuration."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from nn_perception.errors import ConfigError


def whole_number(name: str, value: Any, minimum: int = 1) -> int:
    """Return ``value`` when it is an int of at least ``minimum``, else raise ConfigError."""
    if isinstance(value, bool) or not isinstance(value, int) or value < minimum:
        raise ConfigError(f"{name}: got {value!r}, expected a whole number of at least {minimum}")
    return value


def whole_numbers(
    name: str, value: Any, *, count: int | None = None, minimum: int = 1
) -> tuple[int, ...]:
    """Return ``value`` as a tuple of ints (exactly ``count`` when given), else ConfigError."""
    wanted = "a list of whole numbers" if count is None else f"a list of {count} whole numbers"
    if not isinstance(value, Sequence) or isinstance(value, str):
        raise ConfigError(f"{name}: got {value!r}, expected {wanted}")
    if count is not None and len(value) != count:
        raise ConfigError(f"{name}: got {list(value)!r} of length {len(value)}, expected {wanted}")
    return tuple(whole_number(f"{name}[{i}]", item, minimum) for i, item in enumerate(value))


def fraction(name: str, value: Any) -> float:
    """Return ``value`` as a float when 0 <= value < 1, else raise ConfigError."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1:
        raise ConfigError(f"{name}: got {value!r}, expected a number from 0 up to below 1")
    return float(value)
