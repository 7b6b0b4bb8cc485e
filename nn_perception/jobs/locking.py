"""One trainer at a time for a directory."""

from __future__ import annotations

import fcntl
import os
import time
from pathlib import Path

from nn_perception.jobs.files import JobError, Workplace

ORPHAN_S = 3.0
"""The child of a trainer that was killed ends by itself, and holds the lock until then."""
_POLL_S = 0.05


class Lock:
    """Held until `release`, or until this process and all that inherited it have ended.

    Attributes:
        descriptor: to be inherited by a child that writes to the same place.
    """

    def __init__(self, workplace: Workplace, wait_s: float | None = None) -> None:
        """Take it.

        Args:
            workplace: what is locked.
            wait_s: how long to wait for it; None: `ORPHAN_S`.

        Raises:
            JobError: somebody else holds it, or the directory cannot be written.
        """
        workplace.prepare()
        self._path = workplace.lock
        try:
            self.descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except OSError as error:
            raise JobError(f"cannot write {self._path}: {error.strerror or error}") from None
        deadline = time.monotonic() + (ORPHAN_S if wait_s is None else wait_s)
        while not _try(self.descriptor):
            if time.monotonic() > deadline:
                os.close(self.descriptor)
                raise JobError(
                    f"another trainer{_owner(self._path)} writes into {workplace.out}: give this "
                    "one another 'out', or end that one"
                )
            time.sleep(_POLL_S)  # between two questions, not instead of one
        os.ftruncate(self.descriptor, 0)
        os.pwrite(self.descriptor, f"{os.getpid()}\n".encode(), 0)

    def release(self) -> None:
        """Let others in; may be called twice."""
        if self.descriptor >= 0:
            os.close(self.descriptor)
            self.descriptor = -1


def _try(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _owner(path: Path) -> str:
    try:
        return f" (process {int(path.read_text())})"
    except (OSError, ValueError):
        return ""
