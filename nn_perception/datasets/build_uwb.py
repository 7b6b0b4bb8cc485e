"""A bag's UWB ranges with the true pose at their stamps, as rows on disk."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nn_perception.datasets.bags import BagReader
from nn_perception.datasets.build_align import Alignment
from nn_perception.datasets.build_align_uwb import align_uwb
from nn_perception.datasets.build_settings import BuildSettings
from nn_perception.datasets.build_spool import Spool
from nn_perception.datasets.build_truth import (
    ODOMETRY,
    TRUTH_TYPES,
    PoseStream,
    PoseWindow,
    choose,
)
from nn_perception.datasets.bulk_cdr import Rows, range_rows
from nn_perception.datasets.uwb_bags import PAUSE_S, anchors_of, site_of
from nn_perception.datasets.uwb_text import format_anchors, format_tags
from nn_perception.errors import BagError, DatasetError
from nn_perception.tasks.pipeline import InputSpec

ROWS = "rows.bin"
COLUMNS: Mapping[str, tuple[str, str]] = {
    "stamp_ns": ("int64", "ns"),
    "tag": ("int32", ""),
    "anchor": ("int32", ""),
    "range_m": ("float64", "m"),
    **{f"position_{axis}": ("float64", "m") for axis in "xyz"},
    **{f"orientation_{part}": ("float64", "") for part in "xyzw"},
    "segment": ("int32", ""),
    "piece": ("int32", ""),
}
"""Of the shards; positions are those of the body's frame."""
_RANGE = np.dtype([("stamp", "<i8"), ("tag", "<i4"), ("anchor", "<i4"), ("range", "<f8")])
ROW = np.dtype(
    [*_RANGE.descr, ("position", "<f8", (3,)), ("quat", "<f8", (4,)), ("segment", "<i4")]
)
_HORIZON_NS = 5_000_000_000
"""Ranges of several tags come out of order by less than this, or are left out."""


def stage_uwb(
    bag: Path,
    folder: Path,
    task: str,
    settings: BuildSettings,
    on_bytes: Callable[[int], object],
) -> dict[str, Any]:
    """Write ranges and truth into ``folder``; see `build_images.stage_images` for the rest."""
    wanted = dict(settings.topics)
    with BagReader(bag) as reader:
        range_topic = wanted.pop("range", "")
        anchors, tags, topics = site_of(
            reader, anchors=settings.anchors, tags=settings.tags, topic=range_topic
        )
        pose = _pose_topic(bag, reader, wanted)
        ranges = _Ordered(Spool(folder / "ranges.bin", _RANGE))
        poses = PoseStream(folder / "poses.bin", reader.topics[pose].type)
        frames = list(anchors)
        for batch in reader.batches([*(topic for topic in topics if topic), pose]):
            if batch.topic == pose:
                poses.add(batch)
            else:
                ranges.add(range_rows(batch), topics.index(batch.topic), frames)
            on_bytes(int(batch.size.sum()))
        ranges.flush()
    if not len(ranges.spool) or len(poses.spool) < 2:
        reasons = ", ".join(f"{n} {why}" for why, n in ranges.dropped.items())
        raise DatasetError(
            f"{bag}: {len(ranges.spool)} ranges of an anchor ({reasons or 'none left out'}), "
            f"{len(poses.spool)} true poses on {pose}, expected some of both; complete the anchors "
            f"({', '.join(frames)}), or correct the driver's frames"
        )
    places = (
        np.array([anchor.position_m for anchor in anchors.values()], np.float64),
        np.array(list(tags.values()), np.float64),
    )
    alignment = align_uwb(str(bag), ranges.spool, poses.spool, places, settings)
    written = _write_rows(bag, folder, ranges.spool, poses.spool, alignment, settings)
    dropped = Counter({f"ranges {why}": n for why, n in ranges.dropped.items()})
    dropped.update({f"poses {why}": n for why, n in poses.dropped.items()})
    dropped.update(written.pop("dropped"))
    span_s = (written["last_ns"] - written["first_ns"]) * 1e-9
    used = {tag: topic for tag, topic in zip(tags, topics, strict=True) if topic}
    return {
        **written,
        "topics": {"pose": pose, **{f"range {tag}": topic for tag, topic in used.items()}},
        "anchors": format_anchors(anchors),
        "tags": format_tags(tags),
        "alignment": alignment.to_dict(),
        "rates_hz": {
            "range": len(ranges.spool) / span_s if span_s > 0.0 else 0.0,
            "pose": poses.rate_hz(),
        },
        "dropped": {reason: count for reason, count in dropped.items() if count},
        "classes": ["ranges"],
    }


def _pose_topic(bag: Path, reader: BagReader, wanted: Mapping[str, str]) -> str:
    # What a robot estimates comes as odometry, too: taken for the truth only when it is named.
    types = TRUTH_TYPES if "pose" in wanted else tuple(t for t in TRUTH_TYPES if t != ODOMETRY)
    try:
        spec = InputSpec("pose", types, "every")
        return choose(bag, reader.topics, (spec,), wanted)["pose"]
    except BagError as error:
        if reader.find(ODOMETRY) and "pose" not in wanted:
            raise BagError(
                f"{error}; {', '.join(reader.find(ODOMETRY))} may be the robot's own estimate: "
                "where it is the truth, say so with --topic pose=TOPIC"
            ) from error
        raise


class _Ordered:
    """Brings ranges into the order of their stamps, with a few seconds in memory."""

    def __init__(self, spool: Spool) -> None:
        self.spool = spool
        self.dropped: Counter[str] = Counter()
        self._waiting: list[tuple[NDArray[Any], NDArray[np.int64]]] = []
        self._newest = self._written = -(2**62)

    def add(self, rows: Rows, tag: int, frames: list[str]) -> None:
        """Take the ranges of one topic."""
        self.dropped.update(rows.dropped)
        anchor = anchors_of(rows, frames, self.dropped)
        good = (anchor >= 0) & (rows.stamp_ns >= self._written)
        late = int(((anchor >= 0) & ~good).sum())
        if late:
            self.dropped["out of order"] += late
        new = np.zeros(int(good.sum()), _RANGE)
        new["stamp"], new["tag"], new["anchor"] = rows.stamp_ns[good], tag, anchor[good]
        new["range"] = rows.values[good, 0]
        self._waiting.append((new, rows.time_ns[good]))
        if len(new):
            self._newest = max(self._newest, int(new["stamp"].max()))
        if len(self._waiting) >= 64:
            self._write(self._newest - _HORIZON_NS)

    def flush(self) -> None:
        """Write what waits."""
        self._write(self._newest + 1)

    def _write(self, until: int) -> None:
        if not self._waiting:
            return
        rows, times = (np.concatenate(part) for part in zip(*self._waiting, strict=True))
        order = np.lexsort((times, rows["stamp"]))
        rows, times = rows[order], times[order]
        due = int(np.searchsorted(rows["stamp"], until))
        self.spool.append(rows[:due])
        self._waiting = [(rows[due:], times[due:])]
        self._written = max(self._written, until)


def _write_rows(
    bag: Path,
    folder: Path,
    ranges: Spool,
    poses: Spool,
    alignment: Alignment,
    settings: BuildSettings,
) -> dict[str, Any]:
    out = Spool(folder / ROWS, ROW)
    gap_s = settings.gap_s("uwb")
    window = PoseWindow(poses, round(alignment.applied_s * 1e9), gap_s)
    start_ns = last_ns = int(ranges.read(0, 1)["stamp"][0])
    segment, without = 0, 0
    for chunk in ranges.chunks():
        rows = np.zeros(len(chunk), ROW)
        for name in _RANGE.names or ():
            rows[name] = chunk[name]
        rows["position"], rows["quat"] = window.at(chunk["stamp"], start_ns)
        steps = np.diff(chunk["stamp"], prepend=last_ns)
        breaks = np.zeros(len(chunk), np.int64)
        for row in np.flatnonzero(steps > round(PAUSE_S * 1e9)).tolist():
            stamp = int(chunk["stamp"][row])
            breaks[row] = _silences(poses, stamp - int(steps[row]), stamp)
        rows["segment"] = segment + np.cumsum(breaks)
        segment, last_ns = int(rows["segment"][-1]), int(chunk["stamp"][-1])
        known = np.isfinite(rows["quat"][:, 3])
        without += int(len(rows) - known.sum())
        out.append(rows[known])
    if not len(out):
        raise DatasetError(
            f"{bag}: no range has a true pose: between poses further apart than {gap_s:g} s none "
            "is made up; give a larger --max-gap-s where poses are smooth enough, or look whether "
            "ranges and poses overlap in time"
        )
    first, last = (int(out.read(i, i + 1)["stamp"][0]) for i in (0, len(out) - 1))
    return {
        "rows": len(out),
        "first_ns": first,
        "last_ns": last,
        "start_ns": start_ns,
        "dropped": {"ranges without a true pose": without},
    }


def _silences(poses: Spool, begin_ns: int, end_ns: int) -> int:
    """Count pauses in which neither a range nor a pose came."""
    between = poses.read(poses.first_at(begin_ns), poses.first_at(end_ns))["stamp"]
    heard = np.concatenate([[begin_ns], between, [end_ns]])
    return int((np.diff(heard) > round(PAUSE_S * 1e9)).sum())


def uwb_chunks(
    folder: Path,
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int32], dict[str, Any]]]:
    """Iterate over (stamps, class index, segment, columns of the shards without ``piece``)."""
    for rows in Spool(folder / ROWS, ROW).chunks():
        columns = {
            "stamp_ns": rows["stamp"],
            "tag": rows["tag"],
            "anchor": rows["anchor"],
            "range_m": rows["range"],
            "segment": rows["segment"],
        }
        columns |= {f"position_{axis}": rows["position"][:, i] for i, axis in enumerate("xyz")}
        columns |= {f"orientation_{part}": rows["quat"][:, i] for i, part in enumerate("xyzw")}
        yield rows["stamp"], np.zeros(len(rows), np.int64), rows["segment"], columns
