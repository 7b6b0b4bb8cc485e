"""Values that a process makes once and shares as long as somebody uses them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar
from weakref import WeakValueDictionary

Value = TypeVar("Value")


class WeakCache(Generic[Value]):
    """Values by key, each built once and kept as long as somebody else holds it.

    Any thread may ask. Of several that ask for the same key at the same moment the first one
    builds, and the others wait for it; builds of different keys do not wait for each other. A
    build that raises leaves nothing behind, and the next one who asks tries again.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._values: WeakValueDictionary[Hashable, Value] = WeakValueDictionary()
        self._turns: WeakValueDictionary[Hashable, _Turn] = WeakValueDictionary()

    def get(self, key: Hashable, build: Callable[[], Value]) -> Value:
        """Return the value of a key, and build it when nobody holds it.

        Args:
            key: compared by equality; held as long as the value is.
            build: returns a new value, of a class that takes weak references.
        """
        with self._lock:
            turn = self._turns.get(key)
            if turn is None:
                turn = self._turns[key] = _Turn()
        with turn.lock:
            with self._lock:
                value = self._values.get(key)
            if value is None:
                value = build()
                with self._lock:
                    self._values[key] = value
            return value

    def __len__(self) -> int:
        """Return how many values somebody holds."""
        with self._lock:
            return len(self._values)


class _Turn:
    """A lock that goes when nobody waits for it any more."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
