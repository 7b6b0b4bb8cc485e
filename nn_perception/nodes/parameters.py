"""The parameters of every node, in one table.

From this table they are declared and validated, and `parameter_text` makes the ``--help``, the
table in the README and the files in ``config/`` from it.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from nn_perception.errors import ConfigError, nearest

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


COMMON = (
    Parameter(
        "model",
        "string",
        "",
        "Name of the bundle below model_root; empty: the one that ships with the package. Setting "
        "it while the node runs loads and checks the bundle and swaps it in between two messages; "
        "a refused one changes nothing.",
    ),
    Parameter(
        "model_root",
        "string",
        "",
        "Directory below which models are looked for, and outside of which none is loaded; empty: "
        "the package's models.",
        read_only=True,
    ),
    Parameter(
        "device",
        "string",
        "auto",
        "Where the network runs: auto (a GPU when there is one), cpu, cuda or cuda:N. A device "
        "named here that is not there is an error.",
        pattern=r"auto|cpu|cuda|cuda:[0-9]{1,3}",
    ),
    Parameter(
        "backend",
        "string",
        "auto",
        "What runs the network: auto takes onnxruntime on a CPU and torch on a GPU.",
        choices=("auto", "onnxruntime", "torch"),
    ),
    Parameter(
        "threads", "int", 1, "CPU threads of one call of the network.", minimum=1, maximum=64
    ),
    Parameter(
        "autostart",
        "bool",
        True,
        "Configure and activate at start; false: wait for lifecycle transitions.",
        read_only=True,
    ),
    Parameter(
        "diagnostics_period_s",
        "double",
        1.0,
        "Seconds between two messages on /diagnostics.",
        minimum=0.05,
        maximum=60.0,
        read_only=True,
    ),
    Parameter(
        "warn_after_s",
        "double",
        2.0,
        "Diagnostics warn when an active node got no input for this many seconds.",
        minimum=0.05,
        maximum=3600.0,
    ),
    Parameter(
        "log_period_s",
        "double",
        10.0,
        "Shortest time in seconds between two log lines about the same kind of bad input.",
        minimum=0.0,
        maximum=3600.0,
    ),
    Parameter(
        "qos_depth",
        "int",
        10,
        "History depth of the input subscription; reliability and the rest: "
        "qos_overrides.<topic>.subscription.*",
        minimum=1,
        maximum=10000,
        read_only=True,
    ),
    Parameter(
        "output_depth",
        "int",
        10,
        "History depth of the result publisher (reliable).",
        minimum=1,
        maximum=10000,
        read_only=True,
    ),
    Parameter(
        "intake_executor",
        "string",
        "auto",
        "Executor of the input subscriptions: auto takes the events executor where rclpy has it.",
        choices=("auto", "events", "single_threaded"),
        read_only=True,
    ),
)

IMAGE_CLASSIFIER = (
    Parameter(
        "task",
        "string",
        "digits",
        "What the model must have been trained for; see 'nn-perception tasks'.",
        read_only=True,
    ),
    Parameter(
        "image_transport",
        "string",
        "raw",
        "raw: sensor_msgs/Image on image_raw; compressed: sensor_msgs/CompressedImage on "
        "image_raw/compressed.",
        choices=("raw", "compressed"),
        read_only=True,
    ),
    Parameter(
        "queue_size",
        "int",
        1,
        "Messages that may wait for the network. 1: only the newest, an unprocessed one is "
        "replaced. More: in order, the oldest is dropped when full. Both are counted.",
        minimum=1,
        maximum=10000,
        read_only=True,
    ),
)


def index(table: Iterable[Parameter]) -> Mapping[str, Parameter]:
    """Index parameters by name.

    Raises:
        ConfigError: two rows share a name.
    """
    by_name: dict[str, Parameter] = {}
    for parameter in table:
        if parameter.name in by_name:
            raise ConfigError(f"parameter '{parameter.name}' stands in the table twice")
        by_name[parameter.name] = parameter
    return MappingProxyType(by_name)


def lookup(table: Mapping[str, Parameter], name: str) -> Parameter:
    """Return the parameter of a name.

    Raises:
        ConfigError: there is none; the message names the nearest.
    """
    if name not in table:
        raise ConfigError(
            f"unknown parameter '{name}'{nearest(name, table)} (there are: {', '.join(table)})"
        )
    return table[name]


TABLES: Mapping[str, tuple[Parameter, ...]] = MappingProxyType(
    {"image_classifier": IMAGE_CLASSIFIER + COMMON}
)
"""The table of each executable."""


def check_changes(table: Mapping[str, Parameter], changes: Mapping[str, Any]) -> None:
    """Check that all changes may be made to a running node.

    Raises:
        ConfigError: one is unknown, read-only, of another type or out of range.
    """
    for name, value in changes.items():
        parameter = lookup(table, name)
        if parameter.read_only:
            raise ConfigError(
                f"parameter '{name}' is read-only: it is set when the node starts "
                f"(--ros-args -p {name}:=VALUE)"
            )
        parameter.check(value)


def _number(value: float) -> str:
    return f"{value:g}"
