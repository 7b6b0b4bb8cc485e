"""The bounded hand-over from the subscription's thread to the worker's."""

from __future__ import annotations

import threading
from collections import deque
from typing import Generic, TypeVar

Item = TypeVar("Item")


class Intake(Generic[Item]):
    """A queue of at most ``depth`` items that never makes the putting side wait.

    When it is full, the oldest item is dropped and counted. With depth 1 it is a slot that keeps
    the newest item only.
    """

    def __init__(self, depth: int = 1) -> None:
        """Make an open, empty intake.

        Raises:
            ValueError: the depth is below 1.
        """
        if depth < 1:
            raise ValueError(f"an intake holds at least 1 item, got depth {depth}")
        self.depth = depth
        self._items: deque[Item] = deque()
        self._changed = threading.Condition()
        self._closed = False
        self._dropped = 0

    def put(self, item: Item) -> bool:
        """Add an item; return False when an older one was dropped for it, or it is closed."""
        with self._changed:
            if self._closed:
                return False
            full = len(self._items) >= self.depth
            if full:
                self._items.popleft()
                self._dropped += 1
            self._items.append(item)
            self._changed.notify()
            return not full

    def get(self, timeout_s: float | None = None) -> Item | None:
        """Wait for the oldest item and take it; None after the time, or when closed.

        A closed intake gives nothing, even when items are left: closing means stop now.
        """
        items = self.get_many(1, timeout_s)
        return items[0] if items else None

    def get_many(self, limit: int, timeout_s: float | None = None) -> list[Item]:
        """Wait for an item and take what is there, oldest first, but ``limit`` at most.

        Returns:
            Empty after the time, or when closed, as `get`.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._items or self._closed, timeout_s)
            if self._closed:
                return []
            take = self._items.popleft
            return [take() for _ in range(min(limit, len(self._items)))]

    def close(self) -> None:
        """Wake every waiting `get` and accept nothing more. Closing twice is no error."""
        with self._changed:
            self._closed = True
            self._items.clear()
            self._changed.notify_all()

    @property
    def closed(self) -> bool:
        """Whether `close` was called."""
        return self._closed

    @property
    def dropped(self) -> int:
        """How many items were dropped because newer ones came."""
        with self._changed:
            return self._dropped

    def __len__(self) -> int:
        with self._changed:
            return len(self._items)
