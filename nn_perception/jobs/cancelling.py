"""The wish to cancel, and what must be done in spite of it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from nn_perception.errors import NnPerceptionError


class CancelledError(NnPerceptionError):
    """Somebody asked to cancel."""


class Cancellation:
    """Asked for in one thread, noticed in another."""

    def __init__(self) -> None:
        self._asked = threading.Event()
        self._shielded = False

    def ask(self) -> None:
        """Ask to cancel."""
        self._asked.set()

    def is_asked(self) -> bool:
        """Whether somebody asked."""
        return self._asked.is_set()

    def check(self, when: str = "") -> None:
        """Stop here when somebody asked.

        Raises:
            CancelledError: somebody did.
        """
        if self._asked.is_set() and not self._shielded:
            raise CancelledError(f"cancelled {when}".rstrip())

    @contextmanager
    def shielded(self) -> Iterator[None]:
        """Let nothing be cancelled: for what puts things back in order. For one thread."""
        self._shielded = True
        try:
            yield
        finally:
            self._shielded = False
