"""One parameter of a node: its type, its limits, and what it says to a value that does not fit."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from nn_perception.errors import ConfigError

TYPES: Mapping[str, type] = MappingProxyType(
    {"bool": bool, "int": int, "double": float, "string": str}
)


@dataclass(frozen=True)
class Parameter:
    """One parameter of a node.

    Attributes:
        name: ROS name; a suffix names the unit.
        type: ``"bool"``, ``"int"``, ``"double"`` or ``"string"``.
        default: value when nothing else is given.
        description: what it does, one sentence.
        minimum: smallest value, for numbers.
        maximum: largest value, for numbers.
        choices: allowed values, for strings.
        pattern: regular expression that a string must match entirely.
        read_only: whether it is fixed once the node has started.
    """

    name: str
    type: str
    default: Any
    description: str
    minimum: float | None = None
    maximum: float | None = None
    choices: tuple[str, ...] | None = None
    pattern: str | None = None
    read_only: bool = False

    def __post_init__(self) -> None:
        """Refuse a row that contradicts itself."""
        if self.type not in TYPES:
            raise ConfigError(f"parameter '{self.name}': unknown type '{self.type}'")
        self.check(self.default)

    def check(self, value: Any) -> Any:
        """Return the value when it is of the type and within the limits.

        Raises:
            ConfigError: it is not; the message says what was got, what is expected, what to do.
        """
        if not self._type_fits(value):
            raise ConfigError(
                f"parameter '{self.name}' got {value!r} ({type(value).__name__}), expected type "
                f"{self.type}{self._hint(value)}"
            )
        if not self._value_fits(value):
            raise ConfigError(
                f"parameter '{self.name}' got {value!r}, expected {self.limits}: choose a value "
                "from there"
            )
        return value

    @property
    def limits(self) -> str:
        """The allowed values in words; empty when any value of the type is."""
        if self.choices is not None:
            return "one of " + ", ".join(f"'{choice}'" for choice in self.choices)
        if self.pattern is not None:
            return f"a string that matches {self.pattern}"
        if self.minimum is not None and self.maximum is not None:
            return f"{_number(self.minimum)} to {_number(self.maximum)}"
        if self.minimum is not None:
            return f"{_number(self.minimum)} or more"
        if self.maximum is not None:
            return f"{_number(self.maximum)} or less"
        return "a finite number" if self.type == "double" else ""

    def _type_fits(self, value: Any) -> bool:
        if self.type == "int":  # True is an int for Python, not for ROS
            return isinstance(value, int) and not isinstance(value, bool)
        return isinstance(value, TYPES[self.type])

    def _value_fits(self, value: Any) -> bool:
        if self.type == "double" and not math.isfinite(value):
            return False
        if self.minimum is not None and value < self.minimum:
            return False
        if self.maximum is not None and value > self.maximum:
            return False
        if self.choices is not None and value not in self.choices:
            return False
        return self.pattern is None or re.fullmatch(self.pattern, value) is not None

    def _hint(self, value: Any) -> str:
        if self.type == "double" and isinstance(value, int) and not isinstance(value, bool):
            return f": write {value}.0"
        return ""


def _number(value: float) -> str:
    return f"{value:g}"
