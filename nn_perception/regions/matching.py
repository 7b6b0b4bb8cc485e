"""Pairs of a frame and its boxes, which come as two messages with the same stamp."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

Side = Literal["image", "boxes"]

MAX_WAITING = 64
"""Messages of a side that wait at most, whatever their stamps: frames are large."""
JUMP_S = 5.0
"""A stamp that lies further back than this means that time began anew, as when a bag loops."""


class Overdue(NamedTuple):
    """A message that is no longer waited for."""

    side: Side
    stamp_ns: int
    waited_s: float


class StampMatcher:
    """Keeps messages until their partner comes, or the other ones have gone on for too long.

    Time is that of the stamps, so that a replay gives the same pairs as the robot had.
    """

    def __init__(self, timeout_s: float) -> None:
        """Start empty; a message waits until a stamp comes that is later by ``timeout_s``."""
        self._timeout_ns = round(timeout_s * 1e9)
        self._waiting: dict[Side, dict[int, Any]] = {"image": {}, "boxes": {}}
        self._newest_ns: int | None = None
        self._overdue: list[Overdue] = []

    def reset(self) -> None:
        """Forget what waits."""
        for waiting in self._waiting.values():
            waiting.clear()
        self._newest_ns = None

    def add(self, side: Side, stamp_ns: int, item: Any) -> tuple[Any, Any] | None:
        """Take a message; return (image, boxes) when its partner was there, else None.

        A second message of the same side and stamp replaces the first.
        """
        newest = self._newest_ns
        if newest is not None and stamp_ns < newest - max(JUMP_S * 1e9, self._timeout_ns):
            self._drop_before(None)
            newest = None
        self._newest_ns = stamp_ns if newest is None else max(newest, stamp_ns)
        other: Side = "boxes" if side == "image" else "image"
        partner = self._waiting[other].pop(stamp_ns, None)
        pair = None
        if partner is not None:
            pair = (item, partner) if side == "image" else (partner, item)
        else:
            self._put(side, stamp_ns, item)
        self._drop_before(self._newest_ns - self._timeout_ns)
        return pair

    def take_overdue(self) -> list[Overdue]:
        """Return the messages that were given up since the last call."""
        overdue, self._overdue = self._overdue, []
        return overdue

    def _put(self, side: Side, stamp_ns: int, item: Any) -> None:
        waiting = self._waiting[side]
        if stamp_ns in waiting:
            self._give_up(side, stamp_ns)
        waiting[stamp_ns] = item
        if len(waiting) > MAX_WAITING:
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
