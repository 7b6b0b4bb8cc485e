"""Recordings of inertial sensors in bags, and one loader for all that holds such recordings.

| topic | type | meaning |
|---|---|---|
| `imu/data_raw` | sensor_msgs/Imu | rate and specific force; no orientation (REP-145) |
| `truth/pose` | geometry_msgs/PoseStamped | sensor in the earth frame, only where it is known |
| `truth/moving` | std_msgs/Bool | phase of movement, at its changes; valid from its bag time on |
| `truth/sensor_delay` | std_msgs/Float64 | `ImuSequence.sensor_delay_s`, where it is not 0 |

Stamps and bag times are equal. Magnetic field, velocity and biases are not kept.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from nn_perception.datasets.bag_types import message_class
from nn_perception.datasets.bag_writer import START_NS, BagWriter, Storage, header
from nn_perception.datasets.bags import BagReader
from nn_perception.datasets.bulk_cdr import imu_rows, pose_rows
from nn_perception.datasets.imu import Float64Array, ImuSequence
from nn_perception.datasets.imu_truth import MAX_TRUTH_GAP_S, StampedRows, truth_at
from nn_perception.errors import BagError, DatasetError

IMU, POSE, BOOL, FLOAT = (
    "sensor_msgs/msg/Imu",
    "geometry_msgs/msg/PoseStamped",
    "std_msgs/msg/Bool",
    "std_msgs/msg/Float64",
)
IMU_TOPIC = "/imu/data_raw"
POSE_TOPIC = "/truth/pose"
MOVING_TOPIC = "/truth/moving"
DELAY_TOPIC = "/truth/sensor_delay"
SENSOR_FRAME, EARTH_FRAME = "imu_link", "map"
_UNKNOWN = np.zeros(9)


def write_imu_bag(
    sequence: ImuSequence, path: Path, *, storage: Storage = "mcap", frame_id: str = SENSOR_FRAME
) -> int:
    """Write a recording, with its truth where it has one, as a rosbag2 directory.

    Args:
        sequence: stamps are ``start_ns`` (the fixed `bag_writer.START_NS` where it is unknown)
            plus ``time_s``.
        path: the directory to make.
        storage: ``"mcap"`` or ``"sqlite3"``.
        frame_id: of the sensor.

    Returns:
        The number of samples.

    Raises:
        BagError: the bag cannot be made.
    """
    start_ns = START_NS if sequence.start_ns is None else sequence.start_ns
    stamps = [start_ns + int(time) for time in np.rint(sequence.time_s * 1e9)]
    known = sequence.has_truth
    moving = sequence.movement
    with BagWriter(path, storage) as bag:
        bag.add_topic(IMU_TOPIC, IMU)
        if known.any():
            bag.add_topic(POSE_TOPIC, POSE)
        if moving is not None:
            bag.add_topic(MOVING_TOPIC, BOOL)
        if sequence.sensor_delay_s != 0.0:
            bag.add_topic(DELAY_TOPIC, FLOAT)
            delay = message_class(FLOAT)(data=sequence.sensor_delay_s)
            bag.write(DELAY_TOPIC, stamps[0], delay)
        for row, stamp in enumerate(stamps):
            if moving is not None and (row == 0 or moving[row] != moving[row - 1]):
                bag.write(MOVING_TOPIC, stamp, message_class(BOOL)(data=bool(moving[row])))
            rate, force = sequence.gyro_rad_s[row], sequence.accel_m_s2[row]
            bag.write(IMU_TOPIC, stamp, imu_message(rate, force, stamp, frame_id))
            if known[row]:
                bag.write(POSE_TOPIC, stamp, _pose_message(sequence, row, stamp))
    return len(stamps)


def imu_message(
    gyro_rad_s: Float64Array, accel_m_s2: Float64Array, stamp: int, frame_id: str = SENSOR_FRAME
) -> Any:
    """Make a sensor_msgs/Imu without an orientation from (3,) and (3,); covariances unknown."""
    vector = message_class("geometry_msgs/msg/Vector3")
    quaternion = message_class("geometry_msgs/msg/Quaternion")
    absent = np.zeros(9)
    absent[0] = -1.0  # sensor_msgs/Imu: this quantity is not measured
    return message_class(IMU)(
        header=header(stamp, frame_id),
        orientation=quaternion(x=0.0, y=0.0, z=0.0, w=1.0),
        orientation_covariance=absent,
        angular_velocity=vector(*map(float, gyro_rad_s)),
        angular_velocity_covariance=_UNKNOWN,
        linear_acceleration=vector(*map(float, accel_m_s2)),
        linear_acceleration_covariance=_UNKNOWN,
    )


def _pose_message(sequence: ImuSequence, row: int, stamp: int) -> Any:
    quat = np.zeros(4) if sequence.orientation_xyzw is None else sequence.orientation_xyzw[row]
    place = np.zeros(3) if sequence.position_m is None else np.nan_to_num(sequence.position_m[row])
    pose = message_class("geometry_msgs/msg/Pose")(
        position=message_class("geometry_msgs/msg/Point")(*map(float, place)),
        orientation=message_class("geometry_msgs/msg/Quaternion")(*map(float, quat)),
    )
    return message_class(POSE)(header=header(stamp, EARTH_FRAME), pose=pose)


def read_imu_bag(
    path: Path,
    *,
    imu_topic: str | None = None,
    pose_topic: str | None = None,
    max_truth_gap_s: float = MAX_TRUTH_GAP_S,
) -> ImuSequence:
    """Read a recording from a bag; truth is brought to the stamps of the samples.

    Samples and poses whose stamp repeats or precedes one before it are left out, and so are
    samples that are not finite and poses without a unit quaternion; a warning counts them.

    Args:
        path: a rosbag2 directory, or a bare MCAP or SQLite file.
        imu_topic: of sensor_msgs/Imu; by default the one there is, or `imu/data_raw` of several.
        pose_topic: of geometry_msgs/PoseStamped: the sensor in an earth frame with z up; by
            default `truth/pose` where there is one.
        max_truth_gap_s: orientations are interpolated by slerp and positions by lines between
            poses that are at most this far apart; elsewhere they are NaN.

    Returns:
        The recording; ``time_s`` begins at 0, ``start_ns`` is the first stamp.

    Raises:
        BagError: the bag cannot be read, or has no such topic.
        DatasetError: fewer than 2 usable samples.
    """
    path = Path(path)
    with BagReader(path) as bag:
        imu = bag.require(imu_topic, IMU).name if imu_topic else _choose_imu(bag)
        pose = bag.require(pose_topic, POSE).name if pose_topic else _named(bag, POSE_TOPIC)
        streams = _fill(bag, imu, pose)
    for name, stream in ((imu, streams.samples), (pose, streams.poses)):
        if stream.dropped:
            counts = ", ".join(f"{count} {kind}" for kind, count in stream.dropped.items())
            total = len(stream.stamps) + sum(stream.dropped.values())
            warnings.warn(f"{path}: {name}: of {total} left out: {counts}", stacklevel=2)
    if len(streams.samples.stamps) < 2:
        raise DatasetError(
            f"{path}: {len(streams.samples.stamps)} usable samples on {imu}, expected 2 or more; "
            "record it again"
        )
    return _sequence(path, streams, max_truth_gap_s)


@dataclass
class _Bag:
    """What is read of a bag."""

    samples: StampedRows = field(default_factory=StampedRows)
    poses: StampedRows = field(default_factory=StampedRows)
    moving: StampedRows = field(default_factory=StampedRows)
    delay_s: float = 0.0


def _fill(bag: BagReader, imu: str, pose: str | None) -> _Bag:
    streams = _Bag()
    moving, delay = _named(bag, MOVING_TOPIC), _named(bag, DELAY_TOPIC)
    for batch in bag.batches([imu, pose] if pose else [imu]):
        rows = imu_rows(batch) if batch.topic == imu else pose_rows(batch)
        stream = streams.samples if batch.topic == imu else streams.poses
        stream.add_many(rows.stamp_ns, rows.values)
        stream.dropped.update(rows.dropped)
    for topic, time_ns, message in bag.messages([name for name in (moving, delay) if name]):
        if topic == moving:
            streams.moving.add(time_ns, (float(message.data),))
        else:
            streams.delay_s = float(message.data)
    return streams


def _sequence(path: Path, streams: _Bag, max_gap_s: float) -> ImuSequence:
    samples, poses, moving = streams.samples, streams.poses, streams.moving
    start_ns = samples.stamps[0]
    time_s, measured = samples.times_s(start_ns), samples.rows
    truth = truth_at(time_s, start_ns, poses, moving, max_gap_s)
    return ImuSequence(
        name=path.stem if path.suffix in (".mcap", ".db3") else path.name,
        time_s=time_s,
        gyro_rad_s=measured[:, :3],
        accel_m_s2=measured[:, 3:],
        source="bag",
        start_ns=start_ns,
        sensor_delay_s=streams.delay_s,
        **truth,
    )


def _choose_imu(bag: BagReader) -> str:
    found = bag.find(IMU)
    named = [name for name in found if name.endswith(IMU_TOPIC) or f"/{name}" == IMU_TOPIC]
    if len(found) == 1 or len(named) == 1:
        return (named or found)[0]
    if found:
        raise BagError(
            f"{bag.path}: several topics are {IMU}: {', '.join(found)}; expected one, or one that "
            f"is called {IMU_TOPIC[1:]}; record that one alone"
        )
    there = ", ".join(f"{topic.name} ({topic.type})" for topic in bag.topics.values())
    raise BagError(f"{bag.path}: no topic with {IMU}; it holds {there}; record the sensor's topic")


def _named(bag: BagReader, name: str) -> str | None:
    topics = [topic.name for topic in bag.topics.values() if topic.count]
    return next((topic for topic in topics if topic in (name, name[1:])), None)
