"""Parameter files: read before a node starts, and written for what a command line overrides.

One file may serve many nodes. ROS takes its sections in their order and lets a later one win; a
section that stands there again changes its first place. So overrides stand in a section of their
own, under the node's full name, in a file that comes last.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from nn_perception.errors import ConfigError, nearest
from nn_perception.nodes.parameter import TYPES, Parameter
from nn_perception.nodes.parameters import TABLES

USE_SIM_TIME = Parameter("use_sim_time", "bool", False, "Take the time from /clock.")
"""A parameter of every ROS node, which no table has."""

_MARK = "ros__parameters"
_FOREIGN = re.compile(r"use_sim_time|start_type_description_service|qos_overrides\..*")


def full_name(namespace: str, name: str) -> str:
    """Return the absolute name of a node or topic, as ``/r1/objects``."""
    return "/" + "/".join(part for part in (*namespace.split("/"), *name.split("/")) if part)


def parse_value(row: Parameter, text: str) -> Any:
    """Return the value that a text stands for, of the type of a row of the table.

    Raises:
        ConfigError: it is of another type or out of range.
    """
    if row.type == "bool":
        return row.check({"true": True, "false": False}.get(text.lower(), text))
    try:
        return row.check(TYPES[row.type](text))
    except ValueError:
        return row.check(text)


def check_parameter_file(path: Path, nodes: Mapping[str, str]) -> tuple[str, ...]:
    """Check that a file can be read, and names no parameter that a node does not have.

    Only sections that name a node are compared with its table: one for all, such as ``/**``,
    may hold parameters of other packages. Values are for the node to check.

    Args:
        path: the file.
        nodes: full name -> executable.

    Returns:
        The nodes that no section of the file is for.

    Raises:
        ConfigError: the file cannot be read, is no parameter file, or names an unknown parameter.
    """
    sections = tuple(_sections(path, _read(path), ""))
    for pattern, values in sections:
        for name, executable in nodes.items():
            if pattern.rpartition("/")[2] == name.rpartition("/")[2] and _matches(pattern, name):
                _check_names(path, pattern, executable, values)
    return tuple(name for name in nodes if not any(_matches(key, name) for key, _ in sections))


def overrides_text(values: Mapping[str, Mapping[str, Any]]) -> str:
    """Return a parameter file, full node name -> parameter -> value; empty when there is none.

    Strings are quoted always: unquoted, ``1e3`` is a number for ROS.
    """
    lines = []
    for node, parameters in values.items():
        if parameters:
            lines += [f"{json.dumps(node)}:", f"  {_MARK}:"]
            lines += [
                f"    {json.dumps(name)}: {json.dumps(value, ensure_ascii=False)}"
                for name, value in parameters.items()
            ]
    return "\n".join(lines) + "\n" if lines else ""


def _read(path: Path) -> Any:
    try:
        return yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(
            f"cannot read the parameter file {path}: {error.strerror or error}"
        ) from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        text = " ".join(str(error).split())
        raise ConfigError(f"the parameter file {path} is no YAML: {text}") from None


def _sections(path: Path, values: Any, above: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield (pattern of node names, parameters); sections may stand within those of a namespace."""
    if not isinstance(values, dict) or not values:
        raise ConfigError(
            f"the parameter file {path} has no '{_MARK}' below '{above or 'its top'}': expected "
            f"sections such as '/**/image_classifier:' with '{_MARK}:' and the parameters below"
        )
    for key, below in values.items():
        if key != _MARK:
            yield from _sections(path, below, f"{above}/{str(key).strip('/')}")
        elif isinstance(below, dict):
            yield above, below
        else:
            raise ConfigError(
                f"the parameter file {path} has no parameters in '{above}': expected NAME: VALUE "
                f"below '{_MARK}:'"
            )


def _matches(pattern: str, name: str) -> bool:
    words = {"**": r"(/\w+)*", "*": r"/\w+"}
    tokens = (words.get(token, "/" + re.escape(token)) for token in pattern.split("/")[1:])
    return re.fullmatch("".join(tokens), name) is not None


def _check_names(path: Path, section: str, executable: str, values: Mapping[str, Any]) -> None:
    known = [row.name for row in TABLES[executable]]
    for name in _flat(values):
        if name not in known and not _FOREIGN.fullmatch(name):
            raise ConfigError(
                f"the parameter file {path} has an unknown parameter '{name}' in '{section}'"
                f"{nearest(name, known)} ({executable} has: {', '.join(known)})"
            )


def _flat(values: Mapping[str, Any], above: str = "") -> Iterator[str]:
    for key, value in values.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{above}{key}.")
        else:
            yield f"{above}{key}"
