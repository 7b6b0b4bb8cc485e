"""What the subscriptions' thread leaves out of camera frames, before anything is decoded."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from typing import Any

from nn_perception.cdr import read_header
from nn_perception.errors import MessageError
from nn_perception.tasks.image_pipeline import BOXES, IMAGE

REMEMBERED = 64
"""Frames of a camera that were left out, whose boxes may still come."""


class RateLimit:
    """Lets messages through at a rate at most.

    A camera's frames come with jitter: one that comes up to half a period early passes, and the
    next one has to come later by as much, so that the rate holds on average.
    """

    def __init__(self) -> None:
        """Start with the next message allowed."""
        self._due_s = 0.0

    def allows(self, now_s: float, rate_hz: float) -> bool:
        """Tell whether a message that comes now passes; a rate of 0 lets all through."""
        if rate_hz <= 0.0:
            return True
        period_s = 1.0 / rate_hz
        # A rate that was lowered and raised again must not have to wait for the old due time.
        due_s = min(self._due_s, now_s + period_s)
        if now_s < due_s - period_s / 2:
            return False
        self._due_s = max(due_s, now_s) + period_s
        return True


class FrameGate:
    """Limits the rate of each camera, and leaves out the boxes of a frame that was left out.

    Without the latter a detector's boxes would wait for a frame that never comes, and be counted
    as an error. The thread of the subscriptions uses it; the worker's asks `wants` again.
    """

    def __init__(self, max_rate_hz: Callable[[], float]) -> None:
        """Take what gives the rate; it is asked for each frame, since it may change."""
        self._max_rate_hz = max_rate_hz
        self._limits: dict[str, RateLimit] = {}
        self._left_out: dict[str, deque[int]] = {}
        self._lock = threading.Lock()

    def admits(self, name: str, message: Any, now_s: float) -> bool:
        """Tell whether a message is to be answered.

        Args:
            name: of the input.
            message: serialised.
            now_s: of a steady clock.
        """
        if name.endswith(BOXES):
            return self.wants(name, message)
        if name not in self._limits:
            self._limits[name] = RateLimit()
        if self._limits[name].allows(now_s, self._max_rate_hz()):
            self._welcome(name, message)
            return True
        self.replaced(name, message)
        return False

    def wants(self, name: str, message: Any) -> bool:
        """Tell whether the frame of some boxes is still to be answered; True for a frame itself.

        A frame may be replaced by a newer one while its boxes wait behind it.
        """
        if not name.endswith(BOXES):
            return True
        left_out = self._left_out.get(name.removesuffix(BOXES))
        if not left_out:
            return True
        stamp = _stamp_ns(message)
        with self._lock:
            return stamp is None or stamp not in left_out

    def replaced(self, name: str, message: Any) -> None:
        """Take note of a message that will not be answered."""
        if name.endswith(IMAGE):
            camera = name.removesuffix(IMAGE)
            stamp = _stamp_ns(message)
            if stamp is None:
                return
            with self._lock:
                self._left_out.setdefault(camera, deque(maxlen=REMEMBERED)).append(stamp)

    def _welcome(self, name: str, message: Any) -> None:
        """Forget that a frame of this stamp was left out: a bag that loops sends it again."""
        left_out = self._left_out.get(name.removesuffix(IMAGE))
        if not left_out:
            return
        stamp = _stamp_ns(message)
        with self._lock:
            while stamp is not None and stamp in left_out:
                left_out.remove(stamp)


def _stamp_ns(message: Any) -> int | None:
    """Return the stamp of a serialised message; None: it is damaged, which is counted later."""
    try:
        return read_header(message, "message")[1]
    except MessageError:
        return None
