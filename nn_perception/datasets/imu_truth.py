"""Truth from messages, brought to the stamps of an inertial sensor's samples."""

from __future__ import annotations

import math
import struct
from array import array
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nn_perception.cdr import HEADER, ORDERS, UINT32
from nn_perception.datasets import truth_gaps
from nn_perception.datasets.imu import Float64Array, interpolate

MAX_TRUTH_GAP_S = truth_gaps.IMU_S
"""Between poses that are further apart than this the truth is unknown."""

UNIT_TOLERANCE = 0.01
"""A quaternion whose norm is further from 1 is none."""
WITHOUT_QUATERNION = "without a unit quaternion"
REPEATED, OUT_OF_ORDER = "repeated", "out of order"
"""Why rows are left out."""

_POSE = {order: struct.Struct(f"{order}7d") for order in "<>"}
_HEADER_BYTES = 16


class StampedRows:
    """Rows of numbers with increasing stamps; what does not fit is counted.

    Attributes:
        stamps: nanoseconds.
        dropped: rows left out, by reason.
    """

    def __init__(self) -> None:
        self.stamps = array("q")
        self.dropped: Counter[str] = Counter()
        self._values = array("d")

    def add(self, stamp: int, row: Sequence[float]) -> None:
        """Append a row; one whose stamp does not come after the last is left out and counted."""
        if self.stamps and stamp <= self.stamps[-1]:
            self.dropped[REPEATED if stamp == self.stamps[-1] else OUT_OF_ORDER] += 1
            return
        self.stamps.append(stamp)
        self._values.extend(row)

    def add_many(self, stamps: NDArray[np.int64], rows: Float64Array) -> None:
        """Append rows (N, K) with stamps (N,), each as `add` does."""
        after = self.stamps[-1] if self.stamps else None
        kept, dropped = increasing(stamps, after)
        self.dropped.update(dropped)
        self.stamps.frombytes(np.ascontiguousarray(stamps[kept], np.int64).tobytes())
        self._values.frombytes(np.ascontiguousarray(rows[kept], np.float64).tobytes())

    @property
    def rows(self) -> Float64Array:
        """(N, K), one row for each stamp."""
        return np.array(self._values, np.float64).reshape(len(self.stamps) or 1, -1)

    def times_s(self, start_ns: int) -> Float64Array:
        """Return the stamps in seconds since ``start_ns``."""
        # Differences of whole numbers: stamps of today do not fit into a float64.
        return (np.array(self.stamps, np.int64) - start_ns).astype(np.float64) * 1e-9


def increasing(
    stamps: NDArray[np.int64], after: int | None
) -> tuple[NDArray[np.bool_], dict[str, int]]:
    """Tell which stamps come after all before them, and count the others by reason.

    Args:
        stamps: (N,).
        after: the last stamp before them; None: there is none.
    """
    if not len(stamps):
        return np.zeros(0, bool), {}
    first = stamps[0] - 1 if after is None else after
    last = np.maximum(np.maximum.accumulate(np.concatenate([[first], stamps[:-1]])), first)
    kept = stamps > last
    repeated = int((stamps == last).sum())
    counts = {REPEATED: repeated, OUT_OF_ORDER: len(stamps) - int(kept.sum()) - repeated}
    return kept, {reason: count for reason, count in counts.items() if count}


def pose_from_cdr(data: bytes, *, child: bool = False) -> tuple[int, tuple[float, ...]] | None:
    """Return stamp in ns and x, y, z, qx, qy, qz, qw of a serialised geometry_msgs/PoseStamped.

    With ``child`` of a nav_msgs/Odometry or geometry_msgs/TransformStamped, which have a child
    frame between header and pose.

    The quaternion comes with norm 1. None where the numbers are not finite or the quaternion is
    far from unit, which is how motion capture says that it lost the body, and for damaged bytes.
    For the layout see `nn_perception.cdr`; decoded as a message a pose costs ten times as
    much as the sample that it stands beside.
    """
    order = ORDERS.get(bytes(data[:2]))
    if order is None or len(data) < _HEADER_BYTES:
        return None
    seconds, nanoseconds, length = HEADER[order].unpack_from(data, 4)
    end = 12 + length
    if child:
        at = 4 + ((end + 3) & ~3)
        if len(data) < at + 4:
            return None
        end = at + UINT32[order].unpack_from(data, at)[0]
    body = 4 + ((end + 7) & ~7)
    if len(data) < body + 56:
        return None
    px, py, pz, x, y, z, w = _POSE[order].unpack_from(data, body)
    norm = math.hypot(x, y, z, w)
    if not (abs(norm - 1.0) <= UNIT_TOLERANCE and math.isfinite(px + py + pz)):
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
        rows, at_s = poses.rows, poses.times_s(start_ns)
        truth["orientation_xyzw"] = interpolate(time_s, at_s, rows[:, 3:], max_gap_s, turn=True)
        truth["position_m"] = interpolate(time_s, at_s, rows[:, :3], max_gap_s, turn=False)
    if moving.stamps:
        last = np.searchsorted(moving.times_s(start_ns), time_s, side="right") - 1
        states = moving.rows[:, 0] > 0.0
        truth["movement"] = states[np.maximum(last, 0)] & (last >= 0)
    return truth
