"""A parameter table as text: for the README, for ``config/*.yaml`` and for ``--help``."""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Iterable
from typing import Any

from nn_perception.nodes.parameter import Parameter
from nn_perception.nodes.parameters import TABLES


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
    lines = [
        f"# Parameters of {executable}, with their defaults. Made from",
        "# nn_perception/nodes/parameters.py; a test keeps both in step.",
        "/**:",
        "  ros__parameters:",
    ]
    for row in table:
        lines += [f"    # {part}" for part in _wrapped(_comment(row))]
        lines.append(f"    {row.name}: {_yaml_value(row.default)}")
    return "\n".join(lines) + "\n"


def help_text(table: Iterable[Parameter]) -> str:
    """Return the parameters as plain text for ``--help``."""
    lines = []
    for row in table:
        lines.append(f"  {row.name} ({row.type}, default {_yaml_value(row.default)})")
        lines += [f"      {part}" for part in _wrapped(_comment(row))]
    return "\n".join(lines)


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


def main(executable: str) -> None:
    """Print the parameter file of an executable."""
    print(yaml_text(executable, TABLES[executable]), end="")


if __name__ == "__main__":
    main(sys.argv[1])
