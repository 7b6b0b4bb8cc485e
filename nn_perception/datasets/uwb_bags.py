"""Recordings of UWB ranges in bags, with the pose that a robot would estimate beside them.

| topic | type | meaning |
|---|---|---|
| `uwb/range`, `TAG/uwb/range` of several tags | sensor_msgs/Range | as measured; frame: anchor |
| `odom` | nav_msgs/Odometry | pose of the body, disturbed as an estimator's |
| `truth/pose` | geometry_msgs/PoseStamped | without the disturbance; at the ranges' stamps too |
| `uwb/anchors`, `uwb/tags` | std_msgs/String | once, in the grammar of `uwb_text` |

Stamps and bag times are equal. Received power and which ranges are outliers are not kept.
"""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from nn_perception.datasets import truth_gaps
from nn_perception.datasets.bags import BagReader
from nn_perception.datasets.bulk_cdr import Rows, pose_rows, range_rows
from nn_perception.datasets.imu_resampling import interpolate
from nn_perception.datasets.imu_truth import StampedRows
from nn_perception.datasets.uwb import Float64Array, Int64Array, UwbSequence
from nn_perception.datasets.uwb_text import Anchor, Vector3, parse_anchors, parse_tags
from nn_perception.errors import BagError, ConfigError, DatasetError

RANGE, ODOM, POSE, STRING = (
    "sensor_msgs/msg/Range",
    "nav_msgs/msg/Odometry",
    "geometry_msgs/msg/PoseStamped",
    "std_msgs/msg/String",
)
RANGE_TOPIC = "/uwb/range"
ODOM_TOPIC, POSE_TOPIC = "/odom", "/truth/pose"
ANCHORS_TOPIC, TAGS_TOPIC = "/uwb/anchors", "/uwb/tags"
WORLD_FRAME, BODY_FRAME = "map", "base_link"
MAX_TRUTH_GAP_S = truth_gaps.UWB_S
"""Between poses that are further apart than this the truth is unknown."""
PAUSE_S = 2.0
"""Without a range or a pose for longer than this, a new segment begins."""


Described = TypeVar("Described")


def range_topics(tags: Iterable[str]) -> dict[str, str]:
    """Return the topic of each tag: `uwb/range` of a single one, otherwise `TAG/uwb/range`."""
    names = list(tags)
    return {name: RANGE_TOPIC if len(names) == 1 else f"/{name}{RANGE_TOPIC}" for name in names}


def read_uwb_bag(path: Path) -> UwbSequence:
    """Read a recording from a bag; the truth is brought to the stamps of the ranges.

    Tags and anchors come from `uwb/tags` and `uwb/anchors`; without the former a single tag is
    taken to be at the origin of the body. Ranges of frames that are no anchors are left out, and
    so are poses without a unit quaternion or with a stamp that does not increase; a warning counts
    them. Ranges are sorted by stamp. A segment ends where for more than `PAUSE_S` there is neither
    a range nor a pose.

    Args:
        path: a rosbag2 directory, or a bare MCAP or SQLite file.

    Returns:
        The recording; ``time_s`` begins at 0, ``start_ns`` is the first stamp, ``source`` is
        ``bag``. Poses are NaN where `truth/pose` has none within `MAX_TRUTH_GAP_S`.

    Raises:
        BagError: the bag cannot be read, or has no ranges or no anchors.
        DatasetError: no range is of an anchor.
    """
    path = Path(path)
    with BagReader(path) as bag:
        anchors, tags, topics = site_of(bag)
        pose = next((name for name in bag.find(POSE) if name in (POSE_TOPIC, POSE_TOPIC[1:])), "")
        poses, frames, ranges = StampedRows(), list(anchors), _Ranges()
        for batch in bag.batches([topic for topic in (*topics, pose) if topic]):
            if batch.topic != pose:
                ranges.add(range_rows(batch), topics.index(batch.topic), frames)
            else:
                rows = pose_rows(batch)
                poses.add_many(rows.stamp_ns, rows.values)
                poses.dropped.update(rows.dropped)
    for what, count, dropped in (
        ("ranges", len(ranges), ranges.dropped),
        (pose, len(poses.stamps), poses.dropped),
    ):
        if dropped:
            counts = ", ".join(f"{number} {kind}" for kind, number in dropped.items())
            total = count + sum(dropped.values())
            warnings.warn(f"{path}: {what}: of {total} left out: {counts}", stacklevel=2)
    if not len(ranges):
        raise DatasetError(
            f"{path}: no range of an anchor, expected frame_id one of {frames}; complete "
            f"{ANCHORS_TOPIC}, or correct the driver's frames"
        )
    return _sequence(path, ranges, poses, anchors=anchors, tags=tags)


@dataclass
class _Ranges:
    """Bag time, stamp, tag, anchor and range; and what was left out, by reason."""

    parts: list[tuple[Any, ...]] = field(default_factory=list)
    dropped: Counter[str] = field(default_factory=Counter)

    def __len__(self) -> int:
        return sum(len(part[0]) for part in self.parts)

    def add(self, rows: Rows, tag: int, frames: list[str]) -> None:
        self.dropped.update(rows.dropped)
        anchor = anchors_of(rows, frames, self.dropped)
        kept = anchor >= 0
        tags = np.full(int(kept.sum()), tag)
        columns = (rows.time_ns, rows.stamp_ns, rows.values[:, 0], anchor)
        time_ns, stamps, ranges, anchors = (column[kept] for column in columns)
        self.parts.append((time_ns, stamps, tags, anchors, ranges))


def anchors_of(rows: Rows, frames: list[str], dropped: Counter[str]) -> Int64Array:
    """Return which of the anchors ``frames`` each range is of; -1: none, counted in ``dropped``."""
    known = [frames.index(name) if name in frames else -1 for name in rows.names]
    anchor: Int64Array = np.array(known, np.int64)[rows.name] if known else rows.name
    counts = np.bincount(rows.name, minlength=len(known))
    for name, index, count in zip(rows.names, known, counts.tolist(), strict=True):
        if index < 0 and count:
            dropped[f"of the frame {name!r}" if name else "without a frame"] += count
    return anchor


def _sequence(path: Path, ranges: _Ranges, poses: StampedRows, **described: Any) -> UwbSequence:
    columns = (np.concatenate(part) for part in zip(*ranges.parts, strict=True))
    time_ns, stamps, tag, anchor, range_m = columns
    order = np.lexsort((time_ns, stamps))  # of one stamp as they came
    start_ns = int(stamps[order[0]])
    # Differences of whole numbers: stamps of today do not fit into a float64.
    time_s = (stamps[order] - start_ns).astype(np.float64) * 1e-9
    return UwbSequence(
        name=path.stem if path.suffix in (".mcap", ".db3") else path.name,
        time_s=time_s,
        tag=tag[order],
        anchor=anchor[order],
        range_m=range_m[order],
        source="bag",
        start_ns=start_ns,
        **truth_and_segments(time_s, start_ns, poses),
        **described,
    )


def truth_and_segments(time_s: Float64Array, start_ns: int, poses: StampedRows) -> dict[str, Any]:
    """Return the fields of `UwbSequence` that true poses tell about ranges.

    Args:
        time_s: (N,) stamps of the ranges in order, seconds since ``start_ns``.
        start_ns: nanoseconds.
        poses: rows from `pose_from_cdr`.

    Returns:
        ``position_m`` and ``orientation_xyzw``, NaN where poses are more than `MAX_TRUTH_GAP_S`
        apart; ``segment``, which ends where for more than `PAUSE_S` there is neither a range nor a
        pose.
    """
    rows, pose_s = np.full((len(time_s), 7), np.nan), poses.times_s(start_ns)
    if len(pose_s) > 1:
        given = poses.rows
        rows[:, :3] = interpolate(time_s, pose_s, given[:, :3], MAX_TRUTH_GAP_S, turn=False)
        rows[:, 3:] = interpolate(time_s, pose_s, given[:, 3:], MAX_TRUTH_GAP_S, turn=True)
    heard_s = np.union1d(time_s, pose_s)
    ends_s = heard_s[:-1][np.diff(heard_s) > PAUSE_S]
    return {
        "position_m": rows[:, :3],
        "orientation_xyzw": rows[:, 3:],
        "segment": np.searchsorted(ends_s, time_s),
    }


def site_of(
    bag: BagReader, *, anchors: str = "", tags: str = "", topic: str = ""
) -> tuple[dict[str, Anchor], dict[str, Vector3], list[str]]:
    """Return anchors, lever arms of the tags, and the topic of each tag's ranges.

    Args:
        bag: open.
        anchors: in the grammar of `uwb_text`; empty: what the bag says.
        tags: likewise.
        topic: of the ranges of the only tag; empty: by name.

    Raises:
        BagError: the bag does not tell, or has no ranges.
        ConfigError: a given text is not in the grammar.
    """
    places = parse_anchors(anchors) if anchors else _described(bag, ANCHORS_TOPIC, parse_anchors)
    levers, topics = _tags(bag, tags, topic)
    return places, levers, topics


def _tags(bag: BagReader, text: str, topic: str) -> tuple[dict[str, Vector3], list[str]]:
    """Lever arms, and the topic of each."""
    if topic:
        found = [bag.require(topic, RANGE).name]
    else:
        found = [name for name in bag.find(RANGE) if f"/{name}".endswith(RANGE_TOPIC)]
    if not found:
        there = ", ".join(f"{topic.name} ({topic.type})" for topic in bag.topics.values())
        raise BagError(
            f"{bag.path}: no ranges, expected {RANGE} on {RANGE_TOPIC[1:]} or TAG{RANGE_TOPIC}; "
            f"it holds {there}; record the ranges"
        )
    if len(found) == 1 and not text and not {TAGS_TOPIC, TAGS_TOPIC[1:]}.intersection(bag.topics):
        warnings.warn(
            f"{bag.path}: no {TAGS_TOPIC}: the tag is taken as {BODY_FRAME}", stacklevel=4
        )
        return {"tag0": (0.0, 0.0, 0.0)}, found
    tags = parse_tags(text) if text else _described(bag, TAGS_TOPIC, parse_tags)
    if len(found) == len(tags) == 1:
        return tags, found
    by_tag = {name.removesuffix(RANGE_TOPIC).rpartition("/")[2]: name for name in found}
    unknown = [name for tag, name in by_tag.items() if tag not in tags]
    if unknown or len(by_tag) < len(found):
        raise BagError(
            f"{bag.path}: ranges on {', '.join(found)}, expected TAG{RANGE_TOPIC} with TAG one of "
            f"{', '.join(tags) or 'none'}; complete {TAGS_TOPIC}, or remap the topics"
        )
    return tags, [by_tag.get(tag, "") for tag in tags]


def _described(bag: BagReader, name: str, parse: Callable[[str], Described]) -> Described:
    """What the one text of a topic says."""
    topic = bag.require(name[1:] if name[1:] in bag.topics else name, STRING).name
    texts = {message.data for _, _, message in bag.messages([topic])}
    if len(texts) > 1:
        raise BagError(
            f"{bag.path}: {topic} has {len(texts)} different texts, expected one; cut the bag "
            "where they change"
        )
    try:
        return parse(texts.pop())
    except ConfigError as error:
        raise BagError(f"{bag.path}: {topic}: {error}") from error
