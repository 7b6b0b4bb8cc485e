"""Data that a process keeps: many trainings on the same data read and prepare it once."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

Value = TypeVar("Value")

_KEPT: list[dict[Hashable, Any]] = []


@contextmanager
def keep_data() -> Iterator[None]:
    """Let `kept` remember all that it makes meanwhile.

    Only for a process whose data do not change: files, ``$NN_PERCEPTION_DATA``. For one thread.
    """
    _KEPT.append({})
    try:
        yield
    finally:
        _KEPT.pop()


def kept(key: Hashable, make: Callable[[], Value]) -> Value:
    """Return what was made for a key, and make it the first time; without `keep_data` always.

    Args:
        key: all that the value depends on, and what it is.
        make: returns a value that nobody changes.
    """
    if not _KEPT:
        return make()
    values = _KEPT[-1]
    if key not in values:
        values[key] = make()
    found: Value = values[key]
    return found
