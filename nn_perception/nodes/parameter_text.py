"""A parameter table as text: for the README, for ``config/*.yaml`` and for ``--help``."""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Iterable
from typing import Any

from nn_perception.nodes.parameter import Parameter
from nn_perception.nodes.parameters import TABLES
from nn_perception.nodes.registry import PERCEPTION_NODES


def markdown_table(table: Iterable[Parameter]) -> str:
    """Return the table in Markdown, for the README."""
    lines = [
        "| parameter | type | default | allowed | when | meaning |",
        "|---|---|---|---|---|---|",
    ]
    for row in table:
        allowed = row.limits.replace("|", "\\|") or "any"
        when = "start" if row.read_only else "any time"
        default = _yaml_value(row.default)
        lines.append(
            f"| `{row.name}` | {row.type} | `{default}` | {allowed} | {when} | {row.description} |"
        )
    return "\n".join(lines) + "\n"


def yaml_text(executable: str, table: Iterable[Parameter]) -> str:
    """Return the parameter file of an executable, each row with its meaning as a comment."""
    return _head(executable) + _section("/**", table, set())


def perception_yaml_text() -> str:
    """Return the parameter file of all perception nodes, a section for each.

    A row that several nodes share is explained where it stands first.
    """
    explained: set[Parameter] = set()
    sections = [_section(f"/**/{name}", TABLES[name], explained) for name in PERCEPTION_NODES]
    return _head("all perception nodes") + "".join(sections)


def help_text(table: Iterable[Parameter]) -> str:
    """Return the parameters as plain text for ``--help``."""
    lines = []
    for row in table:
        lines.append(f"  {row.name} ({row.type}, default {_yaml_value(row.default)})")
        lines += [f"      {part}" for part in _wrapped(_comment(row))]
    return "\n".join(lines)


def _head(whose: str) -> str:
    return (
        f"# Parameters of {whose}, with their defaults. Made from\n"
        "# nn_perception/nodes/parameters.py; a test keeps both in step.\n"
    )


def _section(pattern: str, table: Iterable[Parameter], explained: set[Parameter]) -> str:
    lines = [f"{pattern}:", "  ros__parameters:"]
    for row in table:
        if row not in explained:
            lines += [f"    # {part}" for part in _wrapped(_comment(row))]
        explained.add(row)
        lines.append(f"    {row.name}: {_yaml_value(row.default)}")
    return "\n".join(lines) + "\n"


def _comment(row: Parameter) -> str:
    allowed = f" Allowed: {row.limits}." if row.limits else ""
    return f"{row.description}{allowed}{' Read-only.' if row.read_only else ''}"


def _wrapped(text: str, width: int = 90) -> list[str]:
    return textwrap.wrap(text, width, break_long_words=False, break_on_hyphens=False)


def _yaml_value(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return f'"{value}"'
    return repr(value)


def main(name: str) -> None:
    """Print the parameter file of an executable, or of all perception nodes."""
    together = name == "perception"
    print(perception_yaml_text() if together else yaml_text(name, TABLES[name]), end="")


if __name__ == "__main__":
    main(sys.argv[1])
