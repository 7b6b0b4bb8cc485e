"""A bag's inertial samples with the truth at their stamps, as rows on disk."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nn_perception.datasets.bags import BagReader
from nn_perception.datasets.build_align import TILTED, Alignment, align_imu
from nn_perception.datasets.build_offset import no_true_pose
from nn_perception.datasets.build_settings import BuildSettings
from nn_perception.datasets.build_spool import Spool
from nn_perception.datasets.build_truth import (
    TRUTH_TYPES,
    PoseStream,
    PoseWindow,
    Stream,
    choose,
)
from nn_perception.datasets.bulk_cdr import imu_rows
from nn_perception.datasets.imu_bags import BOOL, DELAY_TOPIC, FLOAT, IMU, MOVING_TOPIC
from nn_perception.datasets.imu_truth import StampedRows
from nn_perception.errors import DatasetError
from nn_perception.rotations import quat_conjugate, quat_multiply
from nn_perception.tasks.pipeline import InputSpec

ROWS, SEGMENTS = "rows.bin", "segments.npy"
COLUMNS: Mapping[str, tuple[str, str]] = {
    "stamp_ns": ("int64", "ns"),
    **{f"gyro_{axis}": ("float64", "rad/s") for axis in "xyz"},
    **{f"accel_{axis}": ("float64", "m/s2") for axis in "xyz"},
    **{f"orientation_{part}": ("float64", "") for part in "xyzw"},
    **{f"position_{axis}": ("float64", "m") for axis in "xyz"},
    "moving": ("int8", "1: in motion, 0: not, -1: not told"),
    "piece": ("int32", ""),
}
"""Of the shards. Orientation and position are NaN where the truth is not known."""
ROW = np.dtype(
    [
        ("stamp", "<i8"),
        ("gyro", "<f8", (3,)),
        ("accel", "<f8", (3,)),
        ("quat", "<f8", (4,)),
        ("position", "<f8", (3,)),
        ("moving", "i1"),
    ]
)
SAMPLE = np.dtype([("stamp", "<i8"), ("gyro", "<f8", (3,)), ("accel", "<f8", (3,))])
_PAUSE_S = 2.0
"""Where the truth is missing for longer, a piece ends: nothing can be learned there."""
LEAST_PIECE = 100
"""Samples of the shortest piece that is kept."""
_INPUT = InputSpec("imu", (IMU,), "every")
_TRUTH = InputSpec("pose", TRUTH_TYPES, "every")


def stage_imu(
    bag: Path,
    folder: Path,
    task: str,
    settings: BuildSettings,
    on_bytes: Callable[[int], object],
) -> dict[str, Any]:
    """Write samples and truth into ``folder``; see `build_images.stage_images` for the rest."""
    with BagReader(bag) as reader:
        topics = choose(bag, reader.topics, (_INPUT, _TRUTH), settings.topics)
        samples = Stream(folder / "samples.bin", SAMPLE)
        poses = PoseStream(folder / "poses.bin", reader.topics[topics["pose"]].type)
        for batch in reader.batches(list(topics.values())):
            if batch.topic == topics["imu"]:
                rows = imu_rows(batch)
                samples.dropped.update(rows.dropped)
                samples.add(rows.stamp_ns, gyro=rows.values[:, :3], accel=rows.values[:, 3:])
            else:
                poses.add(batch)
            on_bytes(int(batch.size.sum()))
        moving, told_s = _told(reader)
    if len(samples.spool) < LEAST_PIECE or len(poses.spool) < 2:
        raise DatasetError(
            f"{bag}: {len(samples.spool)} usable samples on {topics['imu']}, {len(poses.spool)} "
            f"poses on {topics['pose']}, expected {LEAST_PIECE} and 2 or more; record it again"
        )
    alignment = align_imu(str(bag), samples.spool, poses.spool, settings, told_s)
    if task == "attitude" and alignment.note.startswith(TILTED):
        raise DatasetError(
            f"{bag}: {alignment.note}, expected an earth frame with z up (REP-103), since an "
            "attitude is told against it; turn the frame in the motion capture's software"
        )
    rows_file = _write_rows(folder, samples.spool, poses.spool, moving, alignment, settings)
    kept = _cut(bag, folder, rows_file, settings.gap_s("imu"), poses.spool)
    dropped = Counter[str]()
    for what, stream in (("samples", samples), ("poses", poses)):
        dropped.update({f"{what} {reason}": count for reason, count in stream.dropped.items()})
    dropped.update(kept["dropped"])
    return {
        "topics": topics,
        "rows": kept["rows"],
        "first_ns": kept["first_ns"],
        "last_ns": kept["last_ns"],
        "start_ns": int(samples.spool.read(0, 1)["stamp"][0]),
        "alignment": alignment.to_dict(),
        "sensor_delay_s": told_s,
        "rates_hz": {"imu": samples.rate_hz(), "pose": poses.rate_hz()},
        "dropped": dict(dropped),
        "classes": ["samples"],
    }


def _told(reader: BagReader) -> tuple[StampedRows, float]:
    """Return phases of movement and the sensor's delay, where the bag tells them."""
    moving, delay_s, state = StampedRows(), 0.0, False
    known = {MOVING_TOPIC: BOOL, DELAY_TOPIC: FLOAT}
    wanted = [
        name
        for name, topic in reader.topics.items()
        if topic.count and known.get(f"/{name.lstrip('/')}") == topic.type
    ]
    if not wanted:
        return moving, delay_s
    for name, time_ns, message in reader.messages(wanted):
        if reader.topics[name].type == BOOL:
            if not moving.stamps or message.data != state:
                moving.add(time_ns, (float(message.data),))
                state = message.data
        else:
            delay_s = float(message.data)
    return moving, delay_s


def _write_rows(
    folder: Path,
    samples: Spool,
    poses: Spool,
    moving: StampedRows,
    alignment: Alignment,
    settings: BuildSettings,
) -> Spool:
    """Bring the truth to the stamps of the samples, by slerp and lines."""
    out = Spool(folder / ROWS, ROW)
    window = PoseWindow(poses, round(alignment.applied_s * 1e9), settings.gap_s("imu"))
    start_ns = int(samples.read(0, 1)["stamp"][0])
    back = quat_conjugate(np.array(alignment.mounting_xyzw))
    mounted = alignment.mounting_xyzw[3] != 1.0
    for chunk in samples.chunks():
        rows = np.zeros(len(chunk), ROW)
        for name in ("stamp", "gyro", "accel"):
            rows[name] = chunk[name]
        position, quat = window.at(chunk["stamp"], start_ns)
        rows["position"] = position
        rows["quat"] = quat_multiply(quat, back) if mounted else quat
        rows["moving"] = _movement(chunk["stamp"], start_ns, moving)
        out.append(rows)
    return out


def _movement(
    stamps: NDArray[np.int64], start_ns: int, moving: StampedRows
) -> NDArray[np.int8] | int:
    if not moving.stamps:
        return -1
    time_s = (stamps - start_ns).astype(np.float64) * 1e-9
    last = np.searchsorted(moving.times_s(start_ns), time_s, side="right") - 1
    states = moving.rows[:, 0] > 0.0
    now: NDArray[np.int8] = (states[np.maximum(last, 0)] & (last >= 0)).astype(np.int8)
    return now


def _cut(bag: Path, folder: Path, rows: Spool, gap_s: float, poses: Spool) -> dict[str, Any]:
    """Decide which rows are kept, and to which uninterrupted segment each belongs."""
    first = rows.read(0, 20_000)["stamp"]
    period_s = float(np.median(np.diff(first))) * 1e-9
    limit_ns = round(max(2.5 * period_s, gap_s) * 1e9)
    runs = _Runs()
    last = int(first[0])
    for chunk in rows.chunks():
        known = np.isfinite(chunk["quat"][:, 3])
        runs.add(known, np.diff(chunk["stamp"], prepend=last) > limit_ns)
        last = int(chunk["stamp"][-1])
    if not runs.known:
        raise no_true_pose(str(bag), poses, gap_s)
    found = cut_segments(runs.finish(), round(_PAUSE_S / period_s))
    segments = found[found[:, 1] - found[:, 0] >= LEAST_PIECE]
    np.save(folder / SEGMENTS, segments)
    if not len(segments):
        raise DatasetError(
            f"{bag}: no {LEAST_PIECE} samples in a row have a true pose; record it again, or give "
            "a larger --max-gap-s"
        )
    kept, whole = (int((part[:, 1] - part[:, 0]).sum()) for part in (segments, found))
    ends = [int(rows.read(i, i + 1)["stamp"][0]) for i in (segments[0, 0], segments[-1, 1] - 1)]
    counts = {
        "samples far from any true pose": len(rows) - whole,
        f"samples of segments below {LEAST_PIECE}": whole - kept,
        "gaps in the samples": runs.gaps,
    }
    dropped = {reason: count for reason, count in counts.items() if count}
    return {"rows": kept, "first_ns": ends[0], "last_ns": ends[1], "dropped": dropped}


class _Runs:
    """Rows in a row that are alike: (start, stop, whether the truth is known, stretch)."""

    def __init__(self) -> None:
        self.known = False
        self.gaps = 0
        self._runs: list[tuple[int, int, bool, int]] = []
        self._at = 0

    def add(self, known: NDArray[np.bool_], broken: NDArray[np.bool_]) -> None:
        """Take rows; ``broken`` where samples are missing before one."""
        self.known |= bool(known.any())
        cuts = np.flatnonzero((known[1:] != known[:-1]) | broken[1:]) + 1
        for start, stop in itertools.pairwise([0, *cuts.tolist(), len(known)]):
            self.gaps += int(broken[start])
            run = (self._at + start, self._at + stop, bool(known[start]), self.gaps)
            before = self._runs[-1] if self._runs else None
            if before is not None and before[2:] == run[2:]:
                self._runs[-1] = (before[0], *run[1:])
            else:
                self._runs.append(run)
        self._at += len(known)

    def finish(self) -> list[tuple[int, int, bool, int]]:
        """Return all runs in order."""
        return self._runs


def cut_segments(runs: list[tuple[int, int, bool, int]], most: int) -> NDArray[np.int64]:
    """Return segments (S, 2), start and stop, that begin and end with the truth.

    Args:
        runs: (start, stop, whether the truth is known, number of the unbroken stretch).
        most: rows without truth in a row, of which more end a segment.
    """
    found: list[list[int]] = []
    stretch = -1
    for start, stop, known, number in runs:
        if not known:
            continue
        if found and number == stretch and start - found[-1][1] <= most:
            found[-1][1] = stop
        else:
            found.append([start, stop])
        stretch = number
    return np.array(found, np.int64).reshape(-1, 2)


def imu_chunks(
    folder: Path,
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64], dict[str, Any]]]:
    """Iterate over (stamps, class index, segment, columns of the shards without ``piece``)."""
    segments = np.load(folder / SEGMENTS, allow_pickle=False)
    at = 0
    for chunk in Spool(folder / ROWS, ROW).chunks():
        index = at + np.arange(len(chunk))
        at += len(chunk)
        segment = np.searchsorted(segments[:, 0], index, side="right") - 1
        kept = (segment >= 0) & (index < segments[np.maximum(segment, 0), 1])
        if not kept.any():
            continue
        chunk = chunk[kept]
        columns = {"stamp_ns": chunk["stamp"], "moving": chunk["moving"]}
        for name, parts, field in (
            ("gyro", "xyz", "gyro"),
            ("accel", "xyz", "accel"),
            ("orientation", "xyzw", "quat"),
            ("position", "xyz", "position"),
        ):
            columns |= {f"{name}_{part}": chunk[field][:, i] for i, part in enumerate(parts)}
        yield chunk["stamp"], np.zeros(len(chunk), np.int64), segment[kept], columns
