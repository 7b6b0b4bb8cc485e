"""A report as one HTML file: pictures inside, no script, nothing from the network."""

from __future__ import annotations

import base64
import html
import json
import math
import re
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

import nn_perception
from nn_perception.errors import ConfigError

_NOTHING = "\N{EN DASH}"

_CSS = """
:root { color-scheme: light dark; --page: #f6f7f9; --card: #ffffff; --ink: #1f2430;
  --muted: #6b7280; --line: #e5e7eb; --accent: #0072b2; }
@media (prefers-color-scheme: dark) { :root { --page: #14171c; --card: #1d2128; --ink: #e6e8ec;
  --muted: #9aa3af; --line: #323842; --accent: #56b4e9; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--page); color: var(--ink);
  font: 16px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "DejaVu Sans", sans-serif; }
main { max-width: 880px; margin: 0 auto; padding: 40px 20px; }
h1 { font-size: 1.75rem; line-height: 1.2; margin: 0; overflow-wrap: anywhere; }
h2 { font-size: 1.05rem; margin: 0 0 12px; }
p { margin: 0 0 8px; }
.subtitle, figcaption, footer { color: var(--muted); overflow-wrap: anywhere; }
figcaption, footer { font-size: .875rem; }
section { background: var(--card); border: 1px solid var(--line); border-radius: 10px;
  padding: 20px; margin: 20px 0; }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(150px, 1fr)); gap: 12px;
  margin: 24px 0 20px; }
.tile { background: var(--card); border: 1px solid var(--line); border-radius: 10px;
  padding: 14px 16px; }
.tile b { display: block; font-size: 1.6rem; line-height: 1.25; color: var(--accent);
  font-variant-numeric: tabular-nums; }
.tile span { color: var(--muted); font-size: .875rem; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums;
  font-size: .9375rem; }
th { text-align: left; font-weight: 600; color: var(--muted); font-size: .8125rem; }
th, td { padding: 6px 12px 6px 0; border-bottom: 1px solid var(--line); vertical-align: top; }
tr:last-child td { border-bottom: 0; }
.number { text-align: right; padding: 6px 0 6px 12px; white-space: nowrap; }
.facts td:first-child { color: var(--muted); width: 32%; }
td { overflow-wrap: anywhere; }
figure { margin: 0; }
figure img { display: block; max-width: 100%; height: auto; margin: 0 auto; background: #fff;
  border-radius: 6px; }
figcaption { margin-top: 12px; }
@media print { body { background: #fff; font-size: 11pt; } main { padding: 0; max-width: none; }
  section, .tile { break-inside: avoid; border-color: #ccc; margin: 12px 0; }
  .tiles { grid-template-columns: repeat(4, 1fr); } }
"""


class Report:
    """Collects the parts of a page in order; `write` puts them into a directory.

    Every text is escaped: labels and file names may hold anything.
    """

    def __init__(self, title: str, subtitle: str = "") -> None:
        self.title = title
        self.subtitle = subtitle
        self.metrics: dict[str, Any] = {}
        """What `metrics.json` will hold; not-finite numbers become null."""
        self._parts: list[str] = []
        self._pictures: dict[str, bytes] = {}

    def tiles(self, figures: Mapping[str, object]) -> None:
        """Add a row of large figures: name -> value."""
        cells = (
            f'<div class="tile"><b>{_text(value)}</b><span>{_text(name)}</span></div>'
            for name, value in figures.items()
        )
        self._parts.append(f'<div class="tiles">{"".join(cells)}</div>')

    def text(self, title: str, *paragraphs: str) -> None:
        """Add paragraphs of text."""
        self._section(title, "".join(f"<p>{_text(paragraph)}</p>" for paragraph in paragraphs))

    def keyvalues(self, title: str, values: Mapping[str, object]) -> None:
        """Add a table of two columns: name and value."""
        rows = (
            f"<tr><td>{_text(name)}</td><td>{_text(value)}</td></tr>"
            for name, value in values.items()
        )
        self._section(title, f'<table class="facts">{"".join(rows)}</table>')

    def table(
        self,
        title: str,
        rows: Iterable[Sequence[object]],
        columns: Sequence[str],
        caption: str = "",
    ) -> None:
        """Add a table; columns after the first whose cells all start with a digit are set right.

        Raises:
            ConfigError: a row has another length than `columns`.
        """
        cells = [[_cell(value) for value in row] for row in rows]
        for row in cells:
            if len(row) != len(columns):
                raise ConfigError(f"table row {row} does not fit the columns {list(columns)}")
        numeric = [
            bool(cells) and all(re.match(rf"-?\d|{_NOTHING}$", row[i]) for row in cells)
            for i in range(len(columns))
        ]
        if numeric:
            numeric[0] = False  # the first column names the row, even when the name is a digit
        mark = [' class="number"' if is_number else "" for is_number in numeric]
        head = "".join(f"<th{m}>{_text(name)}</th>" for m, name in zip(mark, columns, strict=True))
        body = "".join(
            "<tr>"
            + "".join(f"<td{m}>{_text(cell)}</td>" for m, cell in zip(mark, row, strict=True))
            + "</tr>"
            for row in cells
        )
        note = f"<figcaption>{_text(caption)}</figcaption>" if caption else ""
        self._section(
            title,
            f'<div class="scroll"><table><thead><tr>{head}</tr></thead>'
            f"<tbody>{body}</tbody></table></div>{note}",
        )

    def figure(self, title: str, png: bytes, caption: str = "") -> None:
        """Add a PNG; it is embedded, and written beside the page under a name from its title."""
        stem = re.sub(r"[^a-z0-9]+", "_", title.lower()).strip("_") or "picture"
        name, number = f"{stem}.png", 2
        while name in self._pictures:
            name, number = f"{stem}_{number}.png", number + 1
        self._pictures[name] = png
        # Drawn at twice its size on the page, for sharp screens and print.
        width = int.from_bytes(png[16:20], "big") // 2
        data = base64.b64encode(png).decode()
        note = f"<figcaption>{_text(caption)}</figcaption>" if caption else ""
        self._section(
            title,
            f'<figure><img width="{width}" alt="{_text(title)}" '
            f'src="data:image/png;base64,{data}">{note}</figure>',
        )

    def html(self) -> str:
        """Return the page."""
        made = time.strftime("%Y-%m-%d %H:%M")
        subtitle = f'<p class="subtitle">{_text(self.subtitle)}</p>' if self.subtitle else ""
        return (
            '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
            '<meta name="viewport" content="width=device-width, initial-scale=1">'
            f"<title>{_text(self.title)}</title><style>{_CSS}</style></head><body><main>"
            f"<header><h1>{_text(self.title)}</h1>{subtitle}</header>\n"
            + "\n".join(self._parts)
            + f"\n<footer>nn_perception {_text(nn_perception.__version__)}, {made}</footer>"
            "</main></body></html>\n"
        )

    def write(self, directory: Path, stem: str = "index") -> Path:
        """Write the page, the pictures beside it and `metrics.json`; return the page's path."""
        directory.mkdir(parents=True, exist_ok=True)
        for name, data in self._pictures.items():
            (directory / name).write_bytes(data)
        if self.metrics or stem == "index":
            figures = json.dumps(plain(self.metrics), indent=1, allow_nan=False)
            (directory / "metrics.json").write_text(figures + "\n", encoding="utf-8")
        page = directory / f"{stem}.html"
        page.write_text(self.html(), encoding="utf-8")
        return page

    def _section(self, title: str, body: str) -> None:
        heading = f"<h2>{_text(title)}</h2>" if title else ""
        self._parts.append(f"<section>{heading}{body}</section>")


def plain(value: object) -> Any:
    """Return a value that JSON can hold: arrays as lists, not-finite numbers as None."""
    if isinstance(value, np.ndarray | np.generic):
        value = value.tolist()
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(item) for item in value]
    return value if value is None or isinstance(value, bool | int | str) else str(value)


def _cell(value: object) -> str:
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return _NOTHING
    if isinstance(value, float):
        return f"{value:.4g}"
    return f"{value:,}" if isinstance(value, int) else str(value)


def _text(value: object) -> str:
    return html.escape(_cell(value))
