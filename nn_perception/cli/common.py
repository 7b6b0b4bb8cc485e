"""What several commands share: arguments, JSON output, tables, progress."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TextIO

from nn_perception.errors import ConfigError, NnPerceptionError

TEXT_SETTINGS = ("anchors", "tags", "outliers", "regions", "cameras")
SWITCHES = {"true": True, "false": False}


def add_engine_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare ``--device`` and ``--threads``."""
    parser.add_argument("--device", default="auto", metavar="D", help="auto, cpu, cuda or cuda:N")
    parser.add_argument(
        "--threads", type=int, default=1, metavar="N", help="CPU threads of the engine (default 1)"
    )


def add_json_argument(parser: argparse.ArgumentParser) -> None:
    """Declare ``--json FILE``."""
    parser.add_argument(
        "--json", metavar="FILE", help="write the figures as JSON; '-' prints only them"
    )


def text_stream(json_target: str | None) -> TextIO:
    """Return where text for people goes: standard error when JSON has standard output."""
    return sys.stderr if json_target == "-" else sys.stdout


def write_json(values: Any, target: str | None) -> None:
    """Write JSON to a file, to standard output for ``-``, or nowhere for None.

    Raises:
        NnPerceptionError: the file cannot be written.
    """
    if target is None:
        return
    text = json.dumps(values, indent=2, allow_nan=False) + "\n"
    if target == "-":
        sys.stdout.write(text)
        return
    try:
        Path(target).parent.mkdir(parents=True, exist_ok=True)
        Path(target).write_text(text, encoding="utf-8")
    except OSError as error:
        raise NnPerceptionError(f"cannot write {target}: {error.strerror or error}") from None


def parse_topics(items: Sequence[str]) -> dict[str, str]:
    """Return input -> topic of ``--topic INPUT=TOPIC``.

    Raises:
        ConfigError: one is of another form.
    """
    wanted = dict(item.partition("=")[::2] for item in items)
    if not all(wanted.values()):
        raise ConfigError("--topic is of the form INPUT=TOPIC, such as image_raw=/front/image_raw")
    return wanted


def parse_settings(items: Sequence[str]) -> dict[str, float | bool | str]:
    """Return name -> value of ``--set NAME=VALUE``.

    Raises:
        ConfigError: a value is neither a number nor a switch, and the name not one of a text.
    """
    found: dict[str, float | bool | str] = {}
    for item in items:
        name, _, value = item.partition("=")
        if name in TEXT_SETTINGS or value in SWITCHES:
            found[name] = value if name in TEXT_SETTINGS else SWITCHES[value]
            continue
        try:
            found[name] = float(value)
        except ValueError:
            raise ConfigError(
                f"--set {item}: expected NAME=NUMBER, such as sensor_delay_s=0.004, NAME=true or "
                f"NAME=false, or a text for one of {', '.join(TEXT_SETTINGS)}"
            ) from None
    return found


def format_table(rows: Sequence[Sequence[object]], header: Sequence[str] | None = None) -> str:
    """Return rows as aligned columns; numbers to the right."""
    texts = [[format_cell(value) for value in row] for row in rows]
    lines = [list(header), *texts] if header else texts
    widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
    right = [all(_is_number(row[i]) for row in rows) for i in range(len(widths))]
    formatted = [
        "  ".join(
            text.rjust(width) if to_right else text.ljust(width)
            for text, width, to_right in zip(line, widths, right, strict=True)
        ).rstrip()
        for line in lines
    ]
    if header:
        formatted.insert(1, "  ".join("-" * width for width in widths))
    return "\n".join(formatted)


def _is_number(value: object) -> bool:
    return value is None or isinstance(value, (int, float))


def format_cell(value: object) -> str:
    """Return what a table shows of a value."""
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:.4g}"
    return str(value)
