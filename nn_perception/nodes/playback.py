"""What a live playback gives: each frame with its answer, and the parameter changes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True)
class Frame:
    """One published frame and the answer to it. Times are of ``time.monotonic()``.

    Attributes:
        index: position in the bag's topic, from 0.
        stamp_ns: header stamp.
        published_s: just before it was published.
        received_s: when the (first) answer arrived; None when none did.
        labels: class names of the answer, best first.
        scores: their probabilities.
        answers: how many answers carried this stamp.
    """

    index: int
    stamp_ns: int
    published_s: float
    received_s: float | None = None
    labels: tuple[str, ...] = ()
    scores: tuple[float, ...] = ()
    answers: int = 0

    @property
    def latency_s(self) -> float | None:
        """Seconds from publishing the frame to receiving its answer."""
        return None if self.received_s is None else self.received_s - self.published_s


@dataclass(frozen=True)
class ParameterChange:
    """One parameter set while frames flowed. Times are of ``time.monotonic()``.

    Attributes:
        frame_index: the frame before which the request went out.
        name: the parameter.
        value: what it was set to.
        successful: whether the node took it.
        reason: why not.
        requested_s: when the request went out.
        answered_s: when the node's answer was here.
    """

    frame_index: int
    name: str
    value: Any
    successful: bool
    reason: str
    requested_s: float
    answered_s: float


@dataclass(frozen=True)
class Playback:
    """A whole playback.

    Attributes:
        frames: in the order of publishing.
        changes: in the order of their requests.
        stray_answers: answers with a stamp that no frame had.
        duration_s: from the first frame to the last answer.
        diagnostics: key -> value of the node's last diagnostics, and its ``level`` and ``message``.
    """

    frames: tuple[Frame, ...]
    changes: tuple[ParameterChange, ...]
    stray_answers: int
    duration_s: float
    diagnostics: Mapping[str, str]

    @property
    def sent(self) -> int:
        """Frames published."""
        return len(self.frames)

    @property
    def answered(self) -> int:
        """Frames with at least one answer."""
        return sum(frame.answers > 0 for frame in self.frames)

    @property
    def lost(self) -> int:
        """Frames without an answer."""
        return self.sent - self.answered

    @property
    def answered_twice(self) -> int:
        """Frames with more than one answer."""
        return sum(frame.answers > 1 for frame in self.frames)

    @property
    def latency_s(self) -> npt.NDArray[np.float64]:
        """Latency of each answered frame."""
        latencies = [frame.latency_s for frame in self.frames]
        return np.array([latency for latency in latencies if latency is not None])

    def largest_gap_s(self, start_s: float = -np.inf, end_s: float = np.inf) -> float:
        """Return the longest time between two successive answers that touches [start, end].

        0.0 when fewer than two answers came.
        """
        times = np.sort([f.received_s for f in self.frames if f.received_s is not None])
        if len(times) < 2:
            return 0.0
        touches = (times[1:] >= start_s) & (times[:-1] <= end_s)
        return float(np.diff(times)[touches].max(initial=0.0))

    def swap_gap_s(self, margin_s: float = 0.1) -> float:
        """Return the longest gap between answers around the parameter changes; 0.0 without any."""
        return max(
            (
                self.largest_gap_s(change.requested_s, change.answered_s + margin_s)
                for change in self.changes
            ),
            default=0.0,
        )
