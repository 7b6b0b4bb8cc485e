"""UWB recordings as bags; what is in them, see `nn_perception.datasets.uwb_bags`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from nn_perception.datasets.bag_types import message_class
from nn_perception.datasets.bag_writer import START_NS, BagWriter, Storage, header
from nn_perception.datasets.uwb import Float64Array, UwbSequence
from nn_perception.datasets.uwb_bags import (
    ANCHORS_TOPIC,
    BODY_FRAME,
    ODOM,
    ODOM_TOPIC,
    POSE,
    POSE_TOPIC,
    RANGE,
    STRING,
    TAGS_TOPIC,
    WORLD_FRAME,
    range_topics,
)
from nn_perception.datasets.uwb_odom import OdomNoise, pose_times, poses_at

MAX_RANGE_M = 100.0

Event = tuple[int, str, Callable[[int], Any]]


def write_uwb_bag(
    sequence: UwbSequence,
    path: Path,
    *,
    storage: Storage = "mcap",
    odom_noise: OdomNoise | None = None,
) -> int:
    """Write a recording as a rosbag2 directory.

    Poses come at 20 Hz from the first row of each segment to its last, by slerp and lines, where
    the truth is known; true ones come at every range too, so that its truth is kept. A range is
    float32; a pose comes before a range of the same stamp.

    Args:
        sequence: stamps are ``start_ns`` (the fixed `bag_writer.START_NS` where it is unknown)
            plus ``time_s``.
        path: the directory to make.
        storage: ``"mcap"`` or ``"sqlite3"``.
        odom_noise: ``OdomNoise()`` by default.

    Returns:
        The number of ranges.

    Raises:
        BagError: the bag cannot be made.
    """
    noise = OdomNoise() if odom_noise is None else odom_noise
    start_ns = START_NS if sequence.start_ns is None else sequence.start_ns
    topics = range_topics(sequence.tags)
    first = start_ns + int(np.rint(sequence.time_s[0] * 1e9))
    with BagWriter(path, storage) as bag:
        for topic in topics.values():
            bag.add_topic(topic, RANGE)
        for topic, kind in ((ODOM_TOPIC, ODOM), (POSE_TOPIC, POSE)):
            bag.add_topic(topic, kind)
        texts = ((ANCHORS_TOPIC, sequence.anchors_text), (TAGS_TOPIC, sequence.tags_text))
        for topic, text in texts:
            bag.add_topic(topic, STRING)
            bag.write(topic, first, message_class(STRING)(data=text))
        poses = list(_poses(sequence, noise))
        ranges = _ranges(sequence, list(topics.values()))
        # Stable: poses stand before the ranges of their stamp.
        for time_ns, topic, make in sorted([*poses, *ranges], key=lambda event: event[0]):
            bag.write(topic, start_ns + time_ns, make(start_ns + time_ns))
    return len(sequence)


def _ranges(sequence: UwbSequence, topics: list[str]) -> Iterator[Event]:
    """Time in ns, topic, and what makes the message of a stamp."""
    frames = list(sequence.anchors)
    times = np.rint(sequence.time_s * 1e9).astype(np.int64).tolist()
    rows = zip(times, sequence.tag, sequence.anchor, sequence.range_m.tolist(), strict=True)
    for time_ns, tag, anchor, range_m in rows:
        yield time_ns, topics[tag], partial(range_message, range_m, frames[anchor])


def range_message(range_m: float, frame_id: str, stamp: int) -> Any:
    """Make a sensor_msgs/Range of an anchor; its variance is 0: unknown."""
    return message_class(RANGE)(
        header=header(stamp, frame_id),
        radiation_type=0,
        field_of_view=0.0,
        min_range=0.0,
        max_range=MAX_RANGE_M,
        range=range_m,
        variance=0.0,
    )


def _poses(sequence: UwbSequence, noise: OdomNoise) -> Iterator[Event]:
    """As `_ranges`: the disturbed poses, then the true ones."""
    ticks_s = pose_times(sequence)
    estimated = noise.disturbed(ticks_s, poses_at(sequence, ticks_s))
    make = partial(_odom_message, noise.covariance)
    # Lines between poses at 20 Hz would move the truth of a fast range by centimetres.
    truth_s = np.union1d(ticks_s, sequence.time_s)
    for topic, time_s, poses, message in (
        (ODOM_TOPIC, ticks_s, estimated, make),
        (POSE_TOPIC, truth_s, poses_at(sequence, truth_s), _pose_message),
    ):
        times, rows = np.unique(np.rint(time_s * 1e9).astype(np.int64), return_index=True)
        known = np.isfinite(poses[rows]).all(axis=1)
        for time_ns, row in zip(times[known].tolist(), rows[known], strict=True):
            yield time_ns, topic, partial(message, poses[row])


def _pose(pose: Float64Array) -> Any:
    point = message_class("geometry_msgs/msg/Point")(*map(float, pose[:3]))
    quaternion = message_class("geometry_msgs/msg/Quaternion")(*map(float, pose[3:]))
    return message_class("geometry_msgs/msg/Pose")(position=point, orientation=quaternion)


def _pose_message(pose: Float64Array, stamp: int) -> Any:
    return message_class(POSE)(header=header(stamp, WORLD_FRAME), pose=_pose(pose))


def _odom_message(covariance: Float64Array, pose: Float64Array, stamp: int) -> Any:
    vector = message_class("geometry_msgs/msg/Vector3")
    still = message_class("geometry_msgs/msg/Twist")(vector(0.0, 0.0, 0.0), vector(0.0, 0.0, 0.0))
    uncertain = message_class("geometry_msgs/msg/PoseWithCovariance")
    return message_class(ODOM)(
        header=header(stamp, WORLD_FRAME),
        child_frame_id=BODY_FRAME,
        pose=uncertain(pose=_pose(pose), covariance=covariance),
        twist=message_class("geometry_msgs/msg/TwistWithCovariance")(still, np.zeros(36)),
    )
