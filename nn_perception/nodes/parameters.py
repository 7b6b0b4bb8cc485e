"""The parameters of every node, in one table.

From this table they are declared and validated, and `parameter_text` makes the ``--help``, the
table in the README and the files in ``config/`` from it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any

from nn_perception.errors import ConfigError, nearest
from nn_perception.nodes.image_parameters import IMAGE
from nn_perception.nodes.parameter import Parameter
from nn_perception.nodes.trainer_parameters import TRAINER
from nn_perception.nodes.uwb_parameters import UWB

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
        "require_signature",
        "bool",
        False,
        "Load only bundles that one of trusted_keys has signed ('nn-perception sign'); see "
        "docs/security.md.",
        read_only=True,
    ),
    Parameter(
        "trusted_keys",
        "string",
        "",
        "File of an Ed25519 public key in PEM, or directory of such files (*.pub); needed by "
        "require_signature and without effect while that is false.",
        read_only=True,
    ),
    Parameter(
        "allow_model_changes",
        "bool",
        True,
        "false: refuse to set, while the node runs, any parameter that loads or rebuilds the "
        "model.",
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


def _task(default: str) -> Parameter:
    return Parameter(
        "task",
        "string",
        default,
        "What the model must have been trained for; see 'nn-perception tasks'.",
        read_only=True,
    )


IMAGE_CLASSIFIER = (_task("digits"), *IMAGE)

IMU = (
    Parameter(
        "imus",
        "string",
        "",
        "Several IMUs in one process: names separated by commas, such as 'left, arm/right'. Each "
        "NAME stands before its topics, as in NAME/imu/data_raw. Empty: one IMU without a name.",
        read_only=True,
    ),
    Parameter(
        "queue_size",
        "int",
        400,
        "Samples of each IMU that may wait for the network. They are answered in order and none "
        "is left out; the oldest is dropped when the queue is full, which is counted.",
        minimum=2,
        maximum=10000,
        read_only=True,
    ),
)

# A network is fast enough for one sensor, but a busy machine may stop for a tenth of a second.
_DEPTHS = {"qos_depth": 400, "output_depth": 400}
STREAM_COMMON = tuple(
    replace(row, default=_DEPTHS[row.name]) if row.name in _DEPTHS else row for row in COMMON
)

ATTITUDE_ESTIMATOR = (
    _task("attitude"),
    Parameter(
        "sensor_delay_s",
        "double",
        0.0,
        "Seconds by which the measurements lag behind the motion; the orientation is predicted "
        "ahead by them.",
        minimum=0.0,
        maximum=0.05,
        read_only=True,
    ),
    *IMU,
)

GYRO_CORRECTOR = (_task("gyro"), *IMU)

UWB_CORRECTOR = (_task("uwb"), *UWB)

# Of the rows that all nodes have, those that mean something where nothing is subscribed.
_OF_TRAINER = ("autostart", "diagnostics_period_s")
TRAINER_COMMON = (
    *(row for row in COMMON if row.name in _OF_TRAINER),
    *(
        replace(row, description="false: refuse ~/train: nothing is trained or deployed.")
        for row in COMMON
        if row.name == "allow_model_changes"
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
    {
        "image_classifier": IMAGE_CLASSIFIER + COMMON,
        "attitude_estimator": ATTITUDE_ESTIMATOR + STREAM_COMMON,
        "gyro_corrector": GYRO_CORRECTOR + STREAM_COMMON,
        "uwb_corrector": UWB_CORRECTOR + STREAM_COMMON,
        "trainer": TRAINER + TRAINER_COMMON,
    }
)
"""The table of each executable."""


def own_rows(executable: str) -> tuple[Parameter, ...]:
    """Return the rows in which an executable differs from what all have in common."""
    return tuple(row for row in TABLES[executable] if row not in COMMON)


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
