"""Poses: the true one of a moment, trajectories, and headings that are brought together."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections import deque
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from nn_perception.rotations import quat_conjugate, quat_multiply, quat_slerp

Vector = NDArray[np.float64]

KEPT = 4096
"""Poses that are remembered, since answers of a group come behind the poses of its time."""
SAME_NS = 5_000_000
"""An estimate and a true orientation this near to each other are of the same moment."""
LINE_POINTS = 4000
"""Points of a line at most; of a longer trajectory every second is left out, and so on."""


class Pose(NamedTuple):
    """Position (3,), metres, and orientation (4,) at a stamp in nanoseconds."""

    stamp_ns: int
    position_m: Vector
    quat_xyzw: Vector


class PoseTrack:
    """The latest poses of one body, in order of their stamps."""

    def __init__(self, max_gap_s: float) -> None:
        """Start empty; between poses that are further apart nothing is known."""
        self._max_gap_ns = round(max_gap_s * 1e9)
        self._poses: deque[Pose] = deque(maxlen=KEPT)

    def add(self, pose: Pose) -> None:
        """Append a pose; one that does not come after the last is left out."""
        if not self._poses or pose.stamp_ns > self._poses[-1].stamp_ns:
            self._poses.append(pose)

    def is_beyond(self, stamp_ns: int) -> bool:
        """Tell whether the pose of a stamp may still come."""
        return not self._poses or stamp_ns > self._poses[-1].stamp_ns

    def at(self, stamp_ns: int) -> Pose | None:
        """Return the pose of a stamp, interpolated; None where it is not known."""
        after = bisect_left(self._poses, stamp_ns, key=lambda pose: pose.stamp_ns)
        if after == len(self._poses):
            return None
        b = self._poses[after]
        if b.stamp_ns == stamp_ns:
            return b
        a = self._poses[after - 1] if after else b
        if after == 0 or b.stamp_ns - a.stamp_ns > self._max_gap_ns:
            return None
        share = (stamp_ns - a.stamp_ns) / (b.stamp_ns - a.stamp_ns)
        position = a.position_m + share * (b.position_m - a.position_m)
        return Pose(stamp_ns, position, quat_slerp(a.quat_xyzw, b.quat_xyzw, share))

    def nearest(self, stamp_ns: int) -> Pose | None:
        """Return the pose of the same moment, see `SAME_NS`; None where there is none."""
        after = bisect_left(self._poses, stamp_ns, key=lambda pose: pose.stamp_ns)
        near = [self._poses[i] for i in (after - 1, after) if 0 <= i < len(self._poses)]
        best = min(near, key=lambda pose: abs(pose.stamp_ns - stamp_ns), default=None)
        if best is None or abs(best.stamp_ns - stamp_ns) > SAME_NS:
            return None
        return best


class Trajectory:
    """The line of a body's positions, of bounded size."""

    def __init__(self) -> None:
        self._points: list[Vector] = []
        self._stride, self._seen = 1, 0

    def add(self, position_m: Vector) -> None:
        """Append a position (3,), metres."""
        if self._seen % self._stride == 0:
            self._points.append(position_m)
            if len(self._points) >= LINE_POINTS:
                del self._points[1::2]
                self._stride *= 2
        self._seen += 1

    @property
    def points_m(self) -> Vector:
        """The line (N, 3)."""
        return np.array(self._points, np.float64).reshape(-1, 3)

    @property
    def length_m(self) -> float:
        """Of the line."""
        return float(np.linalg.norm(np.diff(self.points_m, axis=0), axis=1).sum())


def heading_between(quat_xyzw: Vector, true_xyzw: Vector) -> tuple[float, float, float, float]:
    """Return the turn about the vertical that brings an orientation nearest to the true one.

    It is the twist about z of the rotation between both.
    """
    _, _, z, w = quat_multiply(true_xyzw, quat_conjugate(quat_xyzw)).tolist()
    norm = math.hypot(z, w)
    return (0.0, 0.0, z / norm, w / norm) if norm > 1e-9 else (0.0, 0.0, 0.0, 1.0)
