from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from nn_perception.datasets.bag_types import default_typestore, message_class
from nn_perception.datasets.bag_writer import header
from nn_perception.datasets.bags import BagReader, BagWriter
from nn_perception.datasets.imu import ImuSequence
from nn_perception.datasets.imu_bags import (
    IMU,
    IMU_TOPIC,
    POSE,
    POSE_TOPIC,
    imu_message,
    read_imu_bag,
    write_imu_bag,
)
from nn_perception.datasets.imu_simulator import Motion, simulate_imu
from nn_perception.datasets.imu_truth import pose_from_cdr
from nn_perception.errors import BagError, DatasetError
from nn_perception.rotations import quat_distance, quat_slerp

pytest.importorskip("rosbags")


@pytest.fixture(scope="module")
def simulated() -> ImuSequence:
    return simulate_imu(200.0, seed=4, motion=Motion(duration_s=5.0, rest_s=(0.5, 1.0)))


def with_truth_missing(sequence: ImuSequence, *rows: slice) -> ImuSequence:
    quat = sequence.orientation_xyzw.copy()
    for part in rows:
        quat[part] = np.nan
    return replace(sequence, orientation_xyzw=quat)


@pytest.mark.parametrize("storage", ["mcap", "sqlite3"])
def test_what_is_written_is_read_again(tmp_path, simulated, storage):
    given = replace(
        with_truth_missing(simulated, slice(0, 30), slice(400, 420)),
        sensor_delay_s=0.0041,
        start_ns=1_403_636_579_758_555_392,
    )
    count = write_imu_bag(given, tmp_path / "flight", storage=storage, frame_id="imu0")
    assert count == len(given)
    found = read_imu_bag(tmp_path / "flight")
    assert (found.name, found.source, found.start_ns) == ("flight", "bag", given.start_ns)
    assert found.sensor_delay_s == 0.0041
    np.testing.assert_allclose(found.time_s, given.time_s, atol=1e-9)
    for field in ("gyro_rad_s", "accel_m_s2", "movement", "has_truth"):
        np.testing.assert_array_equal(getattr(found, field), getattr(given, field))
    known = given.has_truth
    assert 0 < known.sum() < len(given)
    error = quat_distance(found.orientation_xyzw[known], given.orientation_xyzw[known])
    assert error.max() < 1e-7
    np.testing.assert_allclose(found.position_m[known], given.position_m[known], atol=1e-9)
    with BagReader(tmp_path / "flight") as bag:
        message = next(iter(bag.messages([IMU_TOPIC])))[2]
        assert bag.topics["/truth/moving"].count < 10
    assert message.header.frame_id == "imu0"
    assert message.orientation_covariance[0] == -1.0


def test_a_recording_without_truth_has_none(tmp_path, simulated):
    bare = replace(simulated, orientation_xyzw=None, position_m=None, movement=None)
    write_imu_bag(bare, tmp_path / "bag")
    found = read_imu_bag(tmp_path / "bag")
    assert found.orientation_xyzw is None
    assert found.movement is None
    assert found.sensor_delay_s == 0.0


def record(path: Path, samples, poses=(), topics=(IMU_TOPIC,)) -> Path:
    """A bag of (stamp in ns, rate about x) and (stamp in ns, angle about z or a quaternion)."""
    quaternion = message_class("geometry_msgs/msg/Quaternion")
    with BagWriter(path) as bag:
        for topic in topics:
            bag.add_topic(topic, IMU)
        bag.add_topic(POSE_TOPIC, POSE)
        for number, (stamp, rate) in enumerate(samples):
            message = imu_message(np.array([rate, 0.0, 0.0]), np.array([0.0, 0.0, 9.8]), stamp)
            for topic in topics:
                bag.write(topic, number, message)
        for number, (stamp, turn) in enumerate(poses):
            half = np.array(turn) / 2.0
            quat = [0.0, 0.0, np.sin(half), np.cos(half)] if np.ndim(turn) == 0 else turn
            pose = message_class("geometry_msgs/msg/Pose")(
                position=message_class("geometry_msgs/msg/Point")(float(number), 0.0, 0.0),
                orientation=quaternion(*map(float, quat)),
            )
            bag.write(POSE_TOPIC, number, message_class(POSE)(header=header(stamp, "m"), pose=pose))
    return path


MS = 1_000_000


def test_truth_is_brought_to_the_stamps_of_the_samples(tmp_path):
    samples = [(stamp * MS, 0.0) for stamp in range(100, 200, 5)]
    poses = [(stamp * MS, 0.01 * (stamp - 100)) for stamp in (98, 108, 118, 128, 168, 178)]
    path = record(tmp_path / "bag", samples, poses)
    found = read_imu_bag(path)
    known = found.has_truth
    at_ms = 100 + np.rint(found.time_s * 1e3)
    assert at_ms[known].tolist() == [100, 105, 110, 115, 120, 125, 170, 175]
    yaw = 2.0 * np.arctan2(found.orientation_xyzw[known, 2], found.orientation_xyzw[known, 3])
    np.testing.assert_allclose(yaw, 0.01 * (at_ms[known] - 100), atol=1e-12)
    assert found.position_m[known][0, 0] == pytest.approx(0.2)
    wide = read_imu_bag(path, max_truth_gap_s=0.05)
    assert (100 + np.rint(wide.time_s[wide.has_truth] * 1e3)).tolist() == list(range(100, 180, 5))
    expected = quat_slerp(found.orientation_xyzw[5], found.orientation_xyzw[14], 15 / 45)
    assert quat_distance(wide.orientation_xyzw[8], expected) < 1e-9


def test_samples_and_poses_that_do_not_fit_are_left_out_and_counted(tmp_path):
    stamps = [0, 5, 10, 10, 15, 5, 20, 25]
    samples = [(stamp * MS, float(number)) for number, stamp in enumerate(stamps)]
    samples.append((30 * MS, np.nan))
    poses = [(0, 0.0), (10 * MS, 0.0), (5 * MS, 1.0), (20 * MS, [0.0] * 4), (25 * MS, 0.0)]
    with pytest.warns(UserWarning, match="left out") as caught:
        found = read_imu_bag(record(tmp_path / "bag", samples, poses))
    texts = " ".join(str(warning.message) for warning in caught)
    assert "/imu/data_raw: of 9 left out: 1 repeated, 1 out of order, 1 not_finite" in texts
    assert "/truth/pose: of 5 left out: 1 out of order, 1 without a unit quaternion" in texts
    assert (found.time_s * 1e3).round().tolist() == [0, 5, 10, 15, 20, 25]
    assert found.gyro_rad_s[:, 0].tolist() == [0, 1, 2, 4, 6, 7]
    assert found.has_truth.all()


def test_which_topic_is_read(tmp_path):
    samples = [(stamp * MS, 0.0) for stamp in range(3)]
    path = record(tmp_path / "two", samples, topics=("/front/imu", "/back/imu"))
    with pytest.raises(BagError, match=r"several topics .* /back/imu, /front/imu"):
        read_imu_bag(path)
    assert len(read_imu_bag(path, imu_topic="/back/imu")) == 3
    named = record(tmp_path / "named", samples, topics=("/front/imu", "/robot/imu/data_raw"))
    assert len(read_imu_bag(named)) == 3
    with pytest.raises(BagError, match=r"/front/imu' is sensor_msgs/msg/Imu, expected geometry"):
        read_imu_bag(path, imu_topic="/back/imu", pose_topic="/front/imu")
    with BagWriter(tmp_path / "none") as bag:
        bag.add_topic("/x", "std_msgs/msg/Bool")
        bag.write("/x", 1, message_class("std_msgs/msg/Bool")(data=True))
    with pytest.raises(BagError, match="no topic with sensor_msgs/msg/Imu; it holds /x"):
        read_imu_bag(tmp_path / "none")


def test_too_few_samples_are_refused(tmp_path):
    with (
        pytest.warns(UserWarning, match="of 2 left out: 1 repeated"),
        pytest.raises(DatasetError, match="1 usable samples"),
    ):
        read_imu_bag(record(tmp_path / "bag", [(5, 0.0), (5, 0.0)]))


@pytest.mark.parametrize("little_endian", [True, False])
@pytest.mark.parametrize("frame", ["", "m", "odom", "a_longer_frame"])
def test_a_pose_is_read_from_its_bytes(little_endian, frame):
    store = default_typestore()
    pose = message_class("geometry_msgs/msg/Pose")(
        position=message_class("geometry_msgs/msg/Point")(1.0, -2.0, 3.5),
        orientation=message_class("geometry_msgs/msg/Quaternion")(0.5, -0.5, 0.5, 0.502),
    )
    message = message_class(POSE)(header=header(1_700_000_000_123_456_789, frame), pose=pose)
    data = bytes(store.serialize_cdr(message, POSE, little_endian=little_endian))
    stamp, row = pose_from_cdr(data)
    assert stamp == 1_700_000_000_123_456_789
    assert row[:3] == (1.0, -2.0, 3.5)
    assert np.linalg.norm(row[3:]) == pytest.approx(1.0, abs=1e-15)
    assert row[3] / row[6] == pytest.approx(0.5 / 0.502)
    assert all(pose_from_cdr(data[:size]) is None for size in range(len(data)))
    assert pose_from_cdr(b"\0\3" + data[2:]) is None
