"""The file of results, and the table in README that is made from it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from nn_perception.bench import Measurement, environment, markdown
from nn_perception.errors import ConfigError

BEGIN, END = "<!-- bench -->", "<!-- /bench -->"


def merge(target: str | None, new: Mapping[str, Sequence[Measurement]]) -> dict[str, Any]:
    """Return the results in the file ``target``, if any, with new ones put in, and write them.

    Raises:
        ConfigError: the file is there and holds something else.
    """
    path = Path(target) if target and target != "-" else None
    results: dict[str, Any] = {"environment": {}, "benchmarks": {}}
    if path is not None and path.is_file():
        try:
            results = json.loads(path.read_text(encoding="utf-8"))
            results["benchmarks"].items()
        except (ValueError, KeyError, TypeError, AttributeError):
            raise ConfigError(f"{path} holds no benchmark results; choose another file") from None
    for name, measurements in new.items():
        results["benchmarks"][name] = {"measurements": [row.to_dict() for row in measurements]}
    if new:
        results["environment"] = environment()
    if path is not None and new:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")
    return results


def update_readme(path: Path, results: Mapping[str, Any]) -> None:
    """Replace what stands between the marks.

    Raises:
        ConfigError: the file or a mark is missing.
    """
    try:
        text = path.read_text(encoding="utf-8")
        before, rest = text.split(BEGIN, 1)
        _, after = rest.split(END, 1)
    except (OSError, ValueError):
        raise ConfigError(f"{path} has no marks {BEGIN} and {END}") from None
    path.write_text(f"{before}{BEGIN}\n{markdown(dict(results))}\n{END}{after}", encoding="utf-8")
