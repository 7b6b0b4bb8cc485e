"""Streams of a bag on disk, and true poses at any stamps, a piece at a time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nn_perception.datasets.bag_batches import Batch
from nn_perception.datasets.build_spool import Spool
from nn_perception.datasets.bulk_cdr import pose_rows
from nn_perception.datasets.imu_resampling import Float64Array, interpolate
from nn_perception.datasets.imu_truth import increasing
from nn_perception.errors import BagError
from nn_perception.evaluation.topics import choose_topics
from nn_perception.tasks.pipeline import InputSpec

POSE = "geometry_msgs/msg/PoseStamped"
ODOMETRY, TRANSFORM = "nav_msgs/msg/Odometry", "geometry_msgs/msg/TransformStamped"
TRUTH_TYPES = (POSE, TRANSFORM, ODOMETRY)
POSE_ROW = np.dtype([("stamp", "<i8"), ("pose", "<f8", (7,))])
_MARGIN = 4096


def choose(
    bag: Path,
    topics: Mapping[str, Any],
    inputs: tuple[InputSpec, ...],
    wanted: Mapping[str, str],
) -> dict[str, str]:
    """Return the topic of each input, all of which are needed.

    Raises:
        BagError: one is missing, ambiguous, of another type, or has no messages.
    """
    try:
        chosen = choose_topics(topics, inputs, (), wanted)
    except BagError as error:
        raise BagError(f"{bag}: {error}") from error
    for topic in chosen.values():
        if not topics[topic].count:
            raise BagError(f"{bag}: {topic} has no messages; record it, or choose another --topic")
    return chosen


class Stream:
    """Rows with increasing stamps on their way to the disk; what does not fit is counted.

    Attributes:
        spool: where they are.
        dropped: rows left out, by reason.
    """

    def __init__(self, path: Path, dtype: np.dtype[Any]) -> None:
        self.spool = Spool(path, dtype)
        self.dropped: Counter[str] = Counter()
        self._last: int | None = None
        self._first: int | None = None

    def add(self, stamps: NDArray[np.int64], **fields: Any) -> None:
        """Append rows; one whose stamp does not come after the last is left out and counted."""
        kept, dropped = increasing(stamps, self._last)
        self.dropped.update(dropped)
        if not kept.any():
            return
        rows = np.zeros(int(kept.sum()), self.spool.dtype)
        rows["stamp"] = stamps[kept]
        for name, values in fields.items():
            rows[name] = values[kept]
        self.spool.append(rows)
        self._last = int(rows["stamp"][-1])
        self._first = int(rows["stamp"][0]) if self._first is None else self._first

    def rate_hz(self) -> float:
        """Return the mean rate of the stamps."""
        span_s = ((self._last or 0) - (self._first or 0)) * 1e-9
        return (len(self.spool) - 1) / span_s if span_s > 0.0 else 0.0


class PoseStream(Stream):
    """True poses of any of `TRUTH_TYPES`."""

    def __init__(self, path: Path, msgtype: str) -> None:
        super().__init__(path, POSE_ROW)
        self._child = msgtype != POSE

    def add(self, batch: Batch) -> None:  # type: ignore[override]
        """Append the poses of a batch."""
        rows = pose_rows(batch, child=self._child)
        self.dropped.update(rows.dropped)
        super().add(rows.stamp_ns, pose=rows.values)


class PoseWindow:
    """Poses at stamps that come in order, by slerp and lines, none across a gap."""

    def __init__(self, poses: Spool, offset_ns: int, max_gap_s: float) -> None:
        """Begin; ``offset_ns`` is added to the stamps of the poses."""
        self._poses, self._offset_ns, self._max_gap_s = poses, offset_ns, max_gap_s

    def at(self, stamps: NDArray[np.int64], start_ns: int) -> tuple[Float64Array, Float64Array]:
        """Return positions (N, 3) and quaternions (N, 4) at stamps (N,), NaN where unknown.

        Times are counted from ``start_ns``, as for a whole recording, to give the same numbers.
        """
        position, quat = np.full((len(stamps), 3), np.nan), np.full((len(stamps), 4), np.nan)
        if not len(stamps):
            return position, quat
        low = max(0, self._poses.first_at(int(stamps.min()) - self._offset_ns) - 1)
        high = self._poses.first_at(int(stamps.max()) - self._offset_ns) + 1
        # A long span of poses, such as a rest of the other sensor, is taken in pieces as well.
        for first in range(low, max(high - 1, low + 1), _MARGIN * 16):
            rows = self._poses.read(first, min(high, first + _MARGIN * 16 + 1))
            if len(rows) < 2:
                continue
            at_ns = rows["stamp"] + self._offset_ns
            inside = (stamps >= at_ns[0]) & (stamps <= at_ns[-1])
            new_s = (stamps[inside] - start_ns).astype(np.float64) * 1e-9
            old_s = (at_ns - start_ns).astype(np.float64) * 1e-9
            pose = rows["pose"]
            gap_s = self._max_gap_s
            position[inside] = interpolate(new_s, old_s, pose[:, :3], gap_s, turn=False)
            quat[inside] = interpolate(new_s, old_s, pose[:, 3:], gap_s, turn=True)
        return position, quat
