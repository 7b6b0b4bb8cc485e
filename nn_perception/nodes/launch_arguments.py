"""What the launch files take as arguments: from the parameter tables, without importing `launch`.

An argument that overrides a parameter is empty when not given, and then overrides nothing:
defaults stand in ``config/*.yaml`` alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from nn_perception.nodes.parameter import Parameter
from nn_perception.nodes.parameter_files import USE_SIM_TIME, parse_value
from nn_perception.nodes.parameters import COMMON, TABLES, index
from nn_perception.nodes.registry import PERCEPTION_NODES

TRUE, FALSE = "true", "false"
# As in XML and YAML launch files, and as in Python ones.
BOOLEANS = (TRUE, FALSE, "True", "False")
LOG_LEVELS = ("debug", "info", "warn", "error", "fatal")

TOPIC_ARGUMENTS: Mapping[str, Mapping[str, tuple[str, str]]] = MappingProxyType(
    {
        "image_classifier": {
            "image_topic": ("image_raw", "where the images come from, of one camera"),
            "boxes_topic": ("boxes", "where the boxes come from (regions: detections)"),
        },
        "attitude_estimator": {
            "imu_topic": ("imu/data_raw", "where the samples come from, of one IMU"),
        },
        "gyro_corrector": {
            "imu_topic": ("imu/data_raw", "where the samples come from, of one IMU"),
        },
        "uwb_corrector": {
            "range_topic": ("uwb/range", "where the ranges come from, of one tag"),
            "odom_topic": ("odom", "where the pose comes from"),
        },
    }
)
"""Executable -> argument -> topic that it remaps, and what it is."""

# What every node of `perception.launch.py` gets when it is given.
SHARED = ("device", "autostart")


@dataclass(frozen=True)
class Argument:
    """An argument of a launch file.

    Attributes:
        name: its name.
        description: what it does.
        default: its value when not given; None: it must be given.
        choices: allowed values; None: any.
    """

    name: str
    description: str
    default: str | None = ""
    choices: tuple[str, ...] | None = None


def is_true(text: str) -> bool:
    """Return whether an argument of `BOOLEANS` says yes."""
    return text.lower() == TRUE


def switch(name: str, description: str, default: bool) -> Argument:
    """Return an argument that is true or false."""
    return Argument(name, description, TRUE if default else FALSE, BOOLEANS)


def of_parameter(row: Parameter, name: str = "") -> Argument:
    """Return the argument that overrides a parameter; its own name unless one is given."""
    choices: tuple[str, ...] | None = None
    if row.type == "bool":
        choices = ("", *BOOLEANS)
    elif row.choices is not None:
        choices = ("", *row.choices)
    allowed = f" Allowed: {row.limits}." if row.limits and choices is None else ""
    text = f"{row.description}{allowed} Empty: as in params_file."
    return Argument(name or row.name, text, "", choices)


def of_topics(executables: Iterable[str]) -> list[Argument]:
    """Return the arguments that remap the inputs of some nodes."""
    topics = {
        name: Argument(name, text, topic)
        for executable in executables
        for name, (topic, text) in TOPIC_ARGUMENTS.get(executable, {}).items()
    }
    return list(topics.values())


def general(params_file: str) -> list[Argument]:
    """Return the arguments that every launch file has; `params_file` is the one of the package."""
    return [
        Argument("params_file", f"Parameter file. Empty: config/{params_file} of the package."),
        Argument("namespace", "Namespace of the nodes and their topics."),
        of_parameter(USE_SIM_TIME),
        Argument("log_level", "Least severe messages that are logged.", LOG_LEVELS[1], LOG_LEVELS),
        switch("respawn", "Start a node that died again.", False),
        Argument(
            "record",
            "Directory, not there yet, for a bag (MCAP) of inputs and outputs. Empty: none.",
        ),
    ]


def of_node(executable: str) -> list[Argument]:
    """Return the arguments of the launch file of one node: each of its parameters is one."""
    return [
        *general(f"{executable}.yaml"),
        *of_topics([executable]),
        *(of_parameter(row) for row in TABLES[executable]),
    ]


def of_perception() -> list[Argument]:
    """Return the arguments of the launch file of all perception nodes."""
    common = index(COMMON)
    return [
        *(switch(name, f"Start {name}.", True) for name in PERCEPTION_NODES),
        switch("single_process", "All nodes in one process, which loads a model once.", False),
        *general("perception.yaml"),
        *of_topics(PERCEPTION_NODES),
        *(of_parameter(common["model"], f"model_{name}") for name in PERCEPTION_NODES),
        *(of_parameter(common[name]) for name in SHARED),
    ]


def of_replay() -> list[Argument]:
    """Return the arguments of the launch file that plays a bag into the perception nodes."""
    rest = [each for each in of_perception() if each.name != USE_SIM_TIME.name]
    return [
        Argument("bag", "Recorded bag to play.", None),
        Argument("rate", "Speed of playing; 1.0: as it was recorded.", "1.0"),
        Argument("play_arguments", "Further arguments of 'ros2 bag play'."),
        switch("shutdown_at_end", "Stop everything when the bag ends.", True),
        *rest,
    ]


def overrides(executable: str, given: Mapping[str, str]) -> dict[str, Any]:
    """Return the parameters of a node that arguments override, with values of their types.

    Args:
        executable: whose table counts.
        given: text of each argument; ``model_<executable>`` counts as ``model``.

    Raises:
        ConfigError: a value is of another type or out of range.
    """
    rows = [*TABLES[executable], USE_SIM_TIME]
    texts = {row.name: given.get(row.name, "") for row in rows}
    texts["model"] = given.get(f"model_{executable}", "") or texts.get("model", "")
    return {row.name: parse_value(row, texts[row.name]) for row in rows if texts[row.name]}


def remappings(executable: str, given: Mapping[str, str]) -> dict[str, str]:
    """Return topic -> topic for the inputs of a node that arguments remap."""
    return {
        topic: given[name]
        for name, (topic, _) in TOPIC_ARGUMENTS.get(executable, {}).items()
        if given.get(name, "") not in ("", topic)
    }
