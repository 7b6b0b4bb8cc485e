"""The perception nodes by executable, and which of them somebody asks for by words.

Imports no rclpy: command line and launch files read it where no node runs.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

from nn_perception.errors import ConfigError, nearest

PERCEPTION_NODES: Mapping[str, str] = MappingProxyType(
    {
        "image_classifier": "nn_perception.nodes.image_classifier:ImageClassifier",
        "attitude_estimator": "nn_perception.nodes.attitude_estimator:AttitudeEstimator",
        "gyro_corrector": "nn_perception.nodes.gyro_corrector:GyroCorrector",
        "uwb_corrector": "nn_perception.nodes.uwb_corrector:UwbCorrector",
    }
)
"""Executable -> ``"module:Class"`` of its node, imported on use."""

_NODE_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
# rmw allows 255; a node's hidden companion is called _NAME_io.
_LONGEST_NAME = 251


def parse_instances(words: Sequence[str]) -> dict[str, str]:
    """Return which nodes to run, name -> executable, in the order given.

    Args:
        words: each ``EXECUTABLE``, which then is the name, too, or ``NAME=EXECUTABLE``; without
            words one of each executable.

    Raises:
        ConfigError: an executable is unknown, or a name is no name for a node or not the only one.
    """
    instances: dict[str, str] = {}
    for word in words or tuple(PERCEPTION_NODES):
        name, given, executable = word.partition("=")
        executable = executable if given else name
        if executable not in PERCEPTION_NODES:
            raise ConfigError(
                f"unknown node '{executable}' in '{word}'{nearest(executable, PERCEPTION_NODES)} "
                f"(there are: {', '.join(PERCEPTION_NODES)})"
            )
        check_node_name(name)
        if name in instances:
            raise ConfigError(
                f"two nodes are named '{name}': give each a name of its own, as in "
                f"{name}_2={executable}"
            )
        instances[name] = executable
    return instances


def check_node_name(name: str) -> None:
    """Check that ROS takes a name for a node.

    Raises:
        ConfigError: it does not.
    """
    if not _NODE_NAME.fullmatch(name) or len(name) > _LONGEST_NAME:
        raise ConfigError(
            f"'{name}' is no name for a node: expected letters, digits and _, not a digit first, "
            f"{_LONGEST_NAME} characters at most"
        )


def node_module(executable: str) -> Any:
    """Import the module of a perception node and return it; this imports rclpy."""
    return importlib.import_module(_target(executable)[0])


def node_class(executable: str) -> Any:
    """Import and return the class of a perception node; this imports rclpy."""
    return getattr(node_module(executable), _target(executable)[1])


def _target(executable: str) -> tuple[str, str]:
    module, _, name = PERCEPTION_NODES[executable].partition(":")
    return module, name
