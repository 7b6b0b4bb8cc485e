"""Truth from messages, brought to the stamps of an inertial sensor's samples."""

from __future__ import annotations

import math
import struct
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from nn_perception.cdr import HEADER, ORDERS
from nn_perception.datasets.imu import Float64Array, interpolate

MAX_TRUTH_GAP_S = 0.03
"""Between poses that are further apart than this the truth is unknown."""

_UNIT_TOLERANCE = 0.01
_POSE = {order: struct.Struct(f"{order}7d") for order in "<>"}
_HEADER_BYTES = 16


@dataclass
class StampedRows:
    """Rows of numbers with increasing stamps; what does not fit is counted.

    Attributes:
        stamps: nanoseconds.
        rows: one for each stamp.
        dropped: rows left out, by reason.
    """

    stamps: list[int] = field(default_factory=list)
    rows: list[tuple[float, ...]] = field(default_factory=list)
    dropped: Counter[str] = field(default_factory=Counter)

    def add(self, stamp: int, row: tuple[float, ...]) -> None:
        """Append a row; one whose stamp does not come after the last is left out and counted."""
        if self.stamps and stamp <= self.stamps[-1]:
            self.dropped["repeated" if stamp == self.stamps[-1] else "out of order"] += 1
            return
        self.stamps.append(stamp)
        self.rows.append(row)

    def times_s(self, start_ns: int) -> Float64Array:
        """Return the stamps in seconds since ``start_ns``."""
        # Differences of whole numbers: stamps of today do not fit into a float64.
        return np.array([stamp - start_ns for stamp in self.stamps], np.float64) * 1e-9


def pose_from_cdr(data: bytes) -> tuple[int, tuple[float, ...]] | None:
    """Return stamp in ns and x, y, z, qx, qy, qz, qw of a serialised geometry_msgs/PoseStamped.

    The quaternion comes with norm 1. None where the numbers are not finite or the quaternion is
    far from unit, which is how motion capture says that it lost the body, and for damaged bytes.
    For the layout see `nn_perception.cdr`; decoded as a message a pose costs ten times as
    much as the sample that it stands beside.
    """
    order = ORDERS.get(bytes(data[:2]))
    if order is None or len(data) < _HEADER_BYTES:
        return None
    seconds, nanoseconds, length = HEADER[order].unpack_from(data, 4)
    body = 4 + ((12 + length + 7) & ~7)
    if len(data) < body + 56:
        return None
    px, py, pz, x, y, z, w = _POSE[order].unpack_from(data, body)
    norm = math.hypot(x, y, z, w)
    if not (abs(norm - 1.0) <= _UNIT_TOLERANCE and math.isfinite(px + py + pz)):
        return None
    row = (px, py, pz, x / norm, y / norm, z / norm, w / norm)
    return seconds * 1_000_000_000 + nanoseconds, row


def truth_at(
    time_s: Float64Array,
    start_ns: int,
    poses: StampedRows,
    moving: StampedRows,
    max_gap_s: float = MAX_TRUTH_GAP_S,
) -> dict[str, Any]:
    """Return the fields of `ImuSequence` that poses and states of movement give.

    Args:
        time_s: stamps of the samples (N,), seconds since ``start_ns``.
        start_ns: nanoseconds.
        poses: rows from `pose_from_cdr`.
        moving: rows of one number, above 0 where it moves, each valid from its stamp on.
        max_gap_s: no interpolation between poses that are further apart.

    Returns:
        ``orientation_xyzw`` by slerp and ``position_m`` by lines where there are poses, NaN across
        gaps; ``movement`` where there are states, False before the first.
    """
    truth: dict[str, Any] = {}
    if len(poses.stamps) > 1:
        rows, at_s = np.array(poses.rows), poses.times_s(start_ns)
        truth["orientation_xyzw"] = interpolate(time_s, at_s, rows[:, 3:], max_gap_s, turn=True)
        truth["position_m"] = interpolate(time_s, at_s, rows[:, :3], max_gap_s, turn=False)
    if moving.stamps:
        last = np.searchsorted(moving.times_s(start_ns), time_s, side="right") - 1
        states = np.array([row[0] > 0.0 for row in moving.rows])
        truth["movement"] = states[np.maximum(last, 0)] & (last >= 0)
    return truth
