"""Lines of JSON by which a child tells how far it is."""

from __future__ import annotations

import contextlib
import json
import time
from pathlib import Path
from typing import Any, TextIO

from nn_perception.jobs.files import JobError, json_objects, write_json

PERIOD_S = 0.2
"""Shortest time between two lines about the same thing."""

STAGE, ERROR = "stage", "error"
"""Keys of a line: what is being done, and why it cannot go on."""


class ProgressWriter:
    """Writes lines to a pipe; the last one goes to a file, too, for who starts later."""

    def __init__(self, pipe: TextIO, last: Path) -> None:
        self._pipe, self._last = pipe, last
        self._written_s = -PERIOD_S
        self._stage = ""

    def tell(self, stage: str, *, now: bool = False, **values: Any) -> None:
        """Write a line, unless one about the same stage was written just now.

        Args:
            stage: ``preparing``, ``training`` or ``evaluating``.
            now: whether it must not be left out.
            values: what is to be told, plain values.
        """
        time_s = time.monotonic()
        if not now and stage == self._stage and time_s - self._written_s < PERIOD_S:
            return
        self._stage, self._written_s = stage, time_s
        line = {STAGE: stage, **values}
        # First the file: after a kill it must not know less than who was told. It is worth less
        # than the training, which will meet a full disk itself.
        with contextlib.suppress(JobError):
            write_json(self._last, line)
        self._write(line)

    def fail(self, reason: str) -> None:
        """Write why it cannot go on."""
        self._write({ERROR: reason})

    def _write(self, values: dict[str, Any]) -> None:
        self._pipe.write(json.dumps(values) + "\n")
        self._pipe.flush()


class ProgressReader:
    """Takes lines out of what comes in pieces; what is no JSON object is passed over."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> list[dict[str, Any]]:
        """Return the objects that are complete now."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        return list(json_objects(lines))
