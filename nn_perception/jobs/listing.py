"""A node's history as rows of a table."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nn_perception.jobs import history as events
from nn_perception.jobs.files import JobError
from nn_perception.jobs.history import History

HEADER = ("time", "what", "model", "id", "why")


def find_history(node: str, places: list[Path]) -> History:
    """Return the history that knows a node.

    Args:
        node: fully qualified name.
        places: directories that bundles lie in, the likeliest first; folders in them count, too.

    Raises:
        JobError: none knows it.
    """
    for place in places:
        for path in [place / "history.jsonl", *sorted(place.glob("*/history.jsonl"))]:
            history = History(path)
            if path.is_file() and history.of_node(node):
                return history
    looked = ", ".join(str(place) for place in dict.fromkeys(places))
    raise JobError(
        f"no history of {node} in {looked}: nothing was deployed there by a trainer; name a model "
        "with --to, or the file with --history"
    )


def rows_of_node(history: History, node: str) -> list[tuple[str, str, str, str, str]]:
    """Return what happened to a node's model, the oldest first; see `HEADER`."""
    rows: list[tuple[str, str, str, str, str]] = []
    for event in history.events():
        if event["event"] == events.WITHDRAWN and rows and rows[-1][2] == event.get("bundle"):
            rows[-1] = (*rows[-1][:1], "withdrawn", *rows[-1][2:4], str(event.get("reason", "")))
        elif node in event.get("previous", {}) or event.get("node") == node:
            rows.append(_row(event))
    return rows


def _row(event: Mapping[str, Any]) -> tuple[str, str, str, str, str]:
    time = str(event.get("time", ""))
    if event["event"] == events.ROLLBACK:
        to = event.get("to", {})
        return (time, "rolled back", str(to.get("model", "")), str(to.get("id", "")), "")
    what = {events.DEPLOYING: "deployed", events.CHOSEN: "chosen"}.get(event["event"], "")
    model, identity = str(event.get("bundle", "")), str(event.get("id", ""))
    return (time, what, model, identity, str(event.get("reason", "")))
