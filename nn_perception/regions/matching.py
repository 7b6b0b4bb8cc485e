"""Pairs of a frame and its boxes, which come as two messages with the same stamp."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, Literal, NamedTuple

Side = Literal["image", "boxes"]

MAX_WAITING = 64
"""Messages of a side that wait at most, whatever their stamps,"""
MAX_WAITING_BYTES = 512 * 2**20
"""and how large they may be together: 20 raw frames of 3840x2160, two thirds of a second."""
JUMP_S = 5.0
"""A stamp that lies further back than this means that time began anew, as when a bag loops."""


class Overdue(NamedTuple):
    """A message that is no longer waited for."""

    side: Side
    stamp_ns: int
    waited_s: float


class _Waiting(NamedTuple):
    item: Any
    size_bytes: int


def _too_many(waiting: Collection[_Waiting]) -> bool:
    large = sum(each.size_bytes for each in waiting) > MAX_WAITING_BYTES
    return large or len(waiting) > MAX_WAITING


class StampMatcher:
    """Keeps messages until their partner comes, or the other ones have gone on for too long.

    Time is that of the stamps, so that a replay gives the same pairs as the robot had.
    """

    def __init__(self, timeout_s: float) -> None:
        """Start empty; a message waits until a stamp comes that is later by ``timeout_s``."""
        self._timeout_ns = round(timeout_s * 1e9)
        self._waiting: dict[Side, dict[int, _Waiting]] = {"image": {}, "boxes": {}}
        self._newest_ns: int | None = None
        self._overdue: list[Overdue] = []

    def reset(self) -> None:
        """Forget what waits."""
        for waiting in self._waiting.values():
            waiting.clear()
        self._newest_ns = None

    def add(
        self, side: Side, stamp_ns: int, item: Any, size_bytes: int = 0
    ) -> tuple[Any, Any] | None:
        """Take a message; return (image, boxes) when its partner was there, else None.

        A second message of the same side and stamp replaces the first.

        Args:
            side: what the message is.
            stamp_ns: its stamp, nanoseconds.
            item: what is returned of it.
            size_bytes: how much memory it holds while it waits.
        """
        newest = self._newest_ns
        if newest is not None and stamp_ns < newest - max(JUMP_S * 1e9, self._timeout_ns):
            self._drop_before(None)
            newest = None
        self._newest_ns = stamp_ns if newest is None else max(newest, stamp_ns)
        other: Side = "boxes" if side == "image" else "image"
        waits = self._waiting[other].pop(stamp_ns, None)
        pair = None
        if waits is not None:
            pair = (item, waits.item) if side == "image" else (waits.item, item)
        else:
            self._put(side, stamp_ns, _Waiting(item, size_bytes))
        self._drop_before(self._newest_ns - self._timeout_ns)
        return pair

    def take_overdue(self) -> list[Overdue]:
        """Return the messages that were given up since the last call."""
        overdue, self._overdue = self._overdue, []
        return overdue

    def _put(self, side: Side, stamp_ns: int, item: _Waiting) -> None:
        waiting = self._waiting[side]
        if stamp_ns in waiting:
            self._give_up(side, stamp_ns)
        waiting[stamp_ns] = item
        while len(waiting) > 1 and _too_many(waiting.values()):
            self._give_up(side, min(waiting))

    def _drop_before(self, stamp_ns: int | None) -> None:
        """Give up what is older than a stamp; everything for None."""
        for side, waiting in self._waiting.items():
            for stamp in [s for s in waiting if stamp_ns is None or s < stamp_ns]:
                self._give_up(side, stamp)

    def _give_up(self, side: Side, stamp_ns: int) -> None:
        del self._waiting[side][stamp_ns]
        waited_ns = 0 if self._newest_ns is None else self._newest_ns - stamp_ns
        self._overdue.append(Overdue(side, stamp_ns, max(0, waited_ns) * 1e-9))
