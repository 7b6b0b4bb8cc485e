"""The bounded hand-over from the subscription's thread to the worker's."""

from __future__ import annotations

import threading
from collections import deque
from typing import Generic, TypeVar

Item = TypeVar("Item")


class Intake(Generic[Item]):
    """A queue of at most ``depth`` items that never makes the putting side wait.

    When it is full, the oldest item is dropped and counted. With depth 1 it is a slot that keeps
    the newest item only. Any thread may put and close; one thread takes.
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
        self._lock = threading.Lock()
        # A bare lock that the taker waits for and the putter releases: a Condition, which makes a
        # new lock for each wait, cost a fifth of the time that a node spent on an IMU sample.
        self._wake = threading.Lock()
        self._wake.acquire()
        self._waiting = False  # the taker waits, and nobody has released `_wake` for it yet
        self._closed = False
        self._dropped = 0

    def put(self, item: Item) -> bool:
        """Add an item; return False when an older one was dropped for it, or it is closed."""
        with self._lock:
            if self._closed:
                return False
            full = len(self._items) >= self.depth
            if full:
                self._items.popleft()
                self._dropped += 1
            self._items.append(item)
            self._wake_up()
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
        with self._lock:
            self._waiting = not self._items and not self._closed
            wait = self._waiting
        if wait:
            self._wake.acquire(timeout=-1 if timeout_s is None else timeout_s)
        with self._lock:
            if wait and self._waiting:  # the time is over
                self._waiting = False
            elif wait:  # it may have been released after the time was over, too
                self._wake.acquire(blocking=False)
            return self._take(limit)

    def close(self) -> None:
        """Wake a waiting `get` and accept nothing more. Closing twice is no error."""
        with self._lock:
            self._closed = True
            self._items.clear()
            self._wake_up()

    @property
    def closed(self) -> bool:
        """Whether `close` was called."""
        return self._closed

    @property
    def taker_waits(self) -> bool:
        """Whether nothing is in work: the taker waits, and the queue is empty.

        True for the one thread that puts means: so it stays until that thread puts something.
        """
        return self._waiting

    @property
    def dropped(self) -> int:
        """How many items were dropped because newer ones came."""
        with self._lock:
            return self._dropped

    def __len__(self) -> int:
        with self._lock:
            return len(self._items)

    def _take(self, limit: int) -> list[Item]:
        """Take the oldest items; to be called with the lock held."""
        items = self._items
        if len(items) <= limit:
            taken = list(items)
            items.clear()
            return taken
        return [items.popleft() for _ in range(limit)]

    def _wake_up(self) -> None:
        """Release the taker once; to be called with the lock held."""
        if self._waiting:
            self._waiting = False
            self._wake.release()
