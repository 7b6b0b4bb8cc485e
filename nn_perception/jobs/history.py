"""What was decided, deployed and taken back: a JSON line each, beside the bundles.

A deployment is written before it happens. It holds unless the next line of the same bundle says
that it was withdrawn, so that a kill in between loses no way back.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from nn_perception.jobs.files import JobError, json_objects, sweep_half_files, write_text

TRAINED, KEPT = "trained", "kept"
DEPLOYING, DEPLOYED, WITHDRAWN = "deploying", "deployed", "withdrawn"
ROLLBACK, CHOSEN = "rollback", "chosen"


@dataclass(frozen=True)
class Ran:
    """What a node ran.

    Attributes:
        model: the value of its parameter ``model``; empty: the shipped model.
        id: the bundle's identity; empty where nothing was loaded.
    """

    model: str
    id: str

    def __str__(self) -> str:
        return f"'{self.model}' ({self.id})" if self.id else f"'{self.model}'"


def now_text() -> str:
    """Return the time of now, UTC, to the second."""
    return datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


class History:
    """The file of that name; several processes may add to it."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def events(self) -> list[dict[str, Any]]:
        """Return all lines, the oldest first; those that cannot be read are passed over."""
        try:
            lines = self.path.read_text(encoding="utf-8", errors="replace").splitlines()
        except FileNotFoundError:
            return []
        except OSError as error:
            raise JobError(f"cannot read {self.path}: {error.strerror or error}") from None
        return [values for values in json_objects(lines) if "event" in values]

    def add(self, event: str, **values: Any) -> None:
        """Add a line; the file is replaced as a whole.

        Raises:
            JobError: it cannot be written.
        """
        line = json.dumps({"time": now_text(), "event": event, **values}, allow_nan=False)
        with self._locked():
            sweep_half_files(self.path.parent, self.path.name)
            before = "".join(json.dumps(found) + "\n" for found in self.events())
            write_text(self.path, f"{before}{line}\n")

    def way_back(self, node: str) -> list[Ran]:
        """Return what a node ran before each deployment that still holds, the oldest first."""
        stack: list[Ran] = []
        pushed: dict[str, int] = {}
        for event in self.events():
            kind = event["event"]
            if kind in (DEPLOYING, CHOSEN) and node in event.get("previous", {}):
                pushed[str(event.get("bundle"))] = len(stack)
                stack.append(_ran(event["previous"][node]))
            elif kind == WITHDRAWN and pushed.pop(str(event.get("bundle")), -1) == len(stack) - 1:
                del stack[-1:]  # only where nobody rolled back in between
            elif kind == ROLLBACK and event.get("node") == node and stack:
                stack.pop()
        return stack

    def of_node(self, node: str) -> list[dict[str, Any]]:
        """Return the lines that are about a node."""
        return [e for e in self.events() if node in e.get("previous", {}) or e.get("node") == node]

    def unfinished(self) -> dict[str, Any] | None:
        """Return a deployment that nobody concluded, since the trainer was killed."""
        found: dict[str, Any] | None = None
        for event in self.events():
            if event["event"] == DEPLOYING:
                found = event
            elif event["event"] in (DEPLOYED, WITHDRAWN):
                found = None
        return found

    def bundles(self) -> dict[str, str]:
        """Return the identities of the bundles that were trained here by name, the oldest first."""
        trained = (event for event in self.events() if event["event"] == TRAINED)
        return {str(event.get("bundle")): str(event.get("id")) for event in trained}

    def ids_to_keep(self) -> set[str]:
        """Return the identities of what nodes ran last and what they would go back to."""
        kept: set[str] = set()
        for node in {node for event in self.events() for node in event.get("previous", {})}:
            stack, last = self.way_back(node), self.of_node(node)[-1]
            kept |= {ran.id for ran in stack[-1:]}
            kept |= {str(last.get("id", "")), str(last.get("to", {}).get("id", ""))}
            if node in last.get("previous", {}):  # withdrawn, perhaps
                kept.add(_ran(last["previous"][node]).id)
        return kept - {""}

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Keep other writers out; the lock is a file of its own, since the history is replaced."""
        path = self.path.with_name(f".{self.path.name}.lock")
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except OSError as error:
            raise JobError(f"cannot write {path}: {error.strerror or error}") from None
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield
        finally:
            os.close(handle)


def previous_of(ran: Mapping[str, Ran]) -> dict[str, dict[str, str]]:
    """Return what nodes run, as a line holds it."""
    return {node: {"model": each.model, "id": each.id} for node, each in ran.items()}


def _ran(values: Mapping[str, Any]) -> Ran:
    return Ran(str(values.get("model", "")), str(values.get("id", "")))
