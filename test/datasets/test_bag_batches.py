"""Messages by the thousand are the same as one by one."""

from __future__ import annotations

import struct

import numpy as np
import pytest

from nn_perception.cdr import undecodable
from nn_perception.datasets.bag_batches import Batch, UnindexedError, chunk_batches, mcap_files
from nn_perception.datasets.bag_types import default_typestore, message_class
from nn_perception.datasets.bag_writer import BagWriter, header
from nn_perception.datasets.bags import BagReader
from nn_perception.datasets.bulk_cdr import imu_rows, pose_rows, range_rows
from nn_perception.datasets.imu_bags import IMU, IMU_TOPIC, imu_message
from nn_perception.datasets.imu_truth import StampedRows, increasing, pose_from_cdr
from nn_perception.datasets.uwb_bag_writer import range_message
from nn_perception.errors import BagError, MessageError
from nn_perception.inertial.cdr import reading_from_cdr

pytest.importorskip("rosbags")
STRING = "std_msgs/msg/String"


def record(path, count=3000, storage="mcap", times=None):
    draw = np.random.default_rng(0)
    with BagWriter(path, storage) as bag:
        bag.add_topic(IMU_TOPIC, IMU)
        bag.add_topic("/text", STRING)
        for index in range(count):
            time_ns = index if times is None else times[index]
            message = imu_message(draw.normal(size=3), draw.normal(size=3), 1000 + index)
            bag.write(IMU_TOPIC, time_ns, message)
            bag.write("/text", time_ns, message_class(STRING)(data="x" * int(draw.integers(900))))
    return path


def recompress(path, out, compression, chunk_bytes, shuffled=False):
    """The same messages as another program writes them."""
    mcap_writer = pytest.importorskip("mcap.writer")
    with BagReader(path) as bag, out.open("wb") as stream:
        writer = mcap_writer.Writer(
            stream,
            chunk_size=chunk_bytes,
            compression=getattr(mcap_writer.CompressionType, compression),
        )
        writer.start(profile="ros2", library="test")
        definitions = {c.topic: c.msgdef.data for c in bag._reader.connections}
        channels = {}
        for name, topic in bag.topics.items():
            schema = writer.register_schema(topic.type, "ros2msg", definitions[name].encode())
            channels[name] = writer.register_channel(name, "cdr", schema)
        messages = list(bag.raw_messages())
        if shuffled:
            order = np.random.default_rng(1).permutation(len(messages))
            messages = [messages[i] for i in order]
        for topic, time_ns, data in messages:
            writer.add_message(channels[topic], time_ns, data, time_ns)
        writer.finish()
    return out


def both_ways(path, topics):
    with BagReader(path) as bag:
        single = {t: [(n, d) for _, n, d in bag.raw_messages([t])] for t in topics}
        found = {t: [] for t in topics}
        for batch in bag.batches(topics):
            rows = [(int(n), batch.message(i)) for i, n in enumerate(batch.time_ns)]
            assert [bytes(batch.view(i)) for i in range(len(batch))] == [d for _, d in rows]
            found[batch.topic] += rows
    return single, found


@pytest.mark.parametrize("storage", ["mcap", "sqlite3"])
@pytest.mark.parametrize("topics", [[IMU_TOPIC], [IMU_TOPIC, "/text"]])
def test_batches_hold_what_single_messages_are(tmp_path, storage, topics):
    single, found = both_ways(record(tmp_path / "bag", storage=storage), topics)
    assert found == single
    assert len(found[IMU_TOPIC]) == 3000


@pytest.mark.parametrize("compression", ["NONE", "LZ4", "ZSTD"])
@pytest.mark.parametrize("shuffled", [False, True])
def test_other_writers_compression_and_chunks_that_overlap(tmp_path, compression, shuffled):
    if compression != "NONE":
        pytest.importorskip("pyarrow")
    bag = record(tmp_path / "bag", 600)
    path = recompress(bag, tmp_path / "other.mcap", compression, 20_000, shuffled)
    if shuffled:
        with pytest.raises(UnindexedError, match="overlap"):
            chunk_batches(mcap_files(path), [IMU_TOPIC])
    else:
        assert sum(1 for _ in chunk_batches(mcap_files(path), [IMU_TOPIC])) > 3
    single, found = both_ways(path, [IMU_TOPIC, "/text"])
    assert found == single


def test_times_that_decrease_within_a_chunk_are_put_in_order(tmp_path):
    times = np.random.default_rng(2).permutation(500)
    single, found = both_ways(record(tmp_path / "bag", 500, times=times.tolist()), [IMU_TOPIC])
    assert found == single
    assert [time_ns for time_ns, _ in found[IMU_TOPIC]] == list(range(500))


def test_a_damaged_chunk_is_refused(tmp_path):
    # Written with checksums, as rosbags does not.
    path = recompress(record(tmp_path / "bag", 300), tmp_path / "a.mcap", "NONE", 20_000)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0xFF
    broken = tmp_path / "broken.mcap"
    broken.write_bytes(data)
    with BagReader(broken) as bag, pytest.raises(BagError, match="damaged"):
        list(bag.batches([IMU_TOPIC]))


def batch_of(messages: list[bytes]) -> Batch:
    """With other bytes between, as in a chunk."""
    data, start = bytearray(b"\7" * 3), []
    for message in messages:
        start.append(len(data))
        data += message + b"\7" * 5
    size = np.array([len(message) for message in messages])
    times = np.arange(len(messages))
    return Batch("/t", times, np.frombuffer(bytes(data), np.uint8), np.array(start), size)


def big_endian_imu(message):
    store = default_typestore()
    little = store.serialize_cdr(message, IMU)
    return store.serialize_cdr(message, IMU, little_endian=False), little


def imu_messages() -> list[bytes]:
    draw, store = np.random.default_rng(3), default_typestore()
    messages = []
    for index in range(40):
        frame = ["imu", "a_longer_frame", "", "imü"][index % 4]
        rate, force = draw.normal(size=3), draw.normal(size=3)
        message = imu_message(rate, force, -5_000_000_000 + index * 1_234_567_891, frame)
        if index == 7:
            message.angular_velocity.x = float("nan")
        if index == 9:
            # Not written into the array that is there: all messages share it.
            message.linear_acceleration_covariance = np.array([-1.0, *[0.0] * 8])
        messages.append(bytes(store.serialize_cdr(message, IMU)))
    messages[11] = bytes(big_endian_imu(imu_message(np.ones(3), np.ones(3), 77, "b"))[0])
    messages[13] = messages[13][:-1]
    messages[15] = messages[15][:10]
    messages[17] = b"\0\3" + messages[17][2:]
    bad = bytearray(messages[19])
    bad[16] = 0xFF
    messages[19] = bytes(bad)
    huge = bytearray(messages[21])
    huge[12:16] = struct.pack("<I", 2**31)
    messages[21] = bytes(huge)
    for row, value in ((23, 1e4), (25, 1.001e4), (27, -1e300)):
        message = imu_message(np.array([0.0, value, 0.0]), np.ones(3), row)
        messages[row] = bytes(store.serialize_cdr(message, IMU))
    return messages


def test_samples_are_those_of_the_reader_of_single_ones():
    messages = imu_messages()
    rows = imu_rows(batch_of(messages))
    expected, kinds = [], []
    for message in messages:
        try:
            reading = reading_from_cdr(message)
            expected.append((reading.stamp_ns, [*reading.gyro_rad_s, *reading.accel_m_s2]))
        except MessageError as error:
            kinds.append(error.kind)
    assert list(zip(rows.stamp_ns.tolist(), rows.values.tolist(), strict=True)) == expected
    assert rows.dropped == {kind: kinds.count(kind) for kind in kinds}
    assert len(set(kinds)) == 4


def poses(kind: str) -> list[bytes]:
    draw, store = np.random.default_rng(4), default_typestore()
    found = []
    for index in range(30):
        numbers = draw.normal(size=7)
        numbers[3:] /= np.linalg.norm(numbers[3:]) * (1.0 if index % 7 else 3.0)
        if index == 10:
            numbers[0] = np.inf
        found.append(bytes(store.serialize_cdr(pose_message(kind, numbers, index), kind)))
    found[12] = found[12][:50]
    return found


def pose_message(kind, numbers, stamp):
    point, turn = map(float, numbers[:3]), map(float, numbers[3:])
    quaternion = message_class("geometry_msgs/msg/Quaternion")(*turn)
    stamped = header(stamp, "map" + "p" * (stamp % 5))
    if kind.endswith("TransformStamped"):
        vector = message_class("geometry_msgs/msg/Vector3")(*point)
        transform = message_class("geometry_msgs/msg/Transform")(vector, quaternion)
        return message_class(kind)(stamped, "body" + "y" * (stamp % 3), transform)
    pose = message_class("geometry_msgs/msg/Pose")(
        message_class("geometry_msgs/msg/Point")(*point), quaternion
    )
    if kind.endswith("PoseStamped"):
        return message_class(kind)(stamped, pose)
    vector = message_class("geometry_msgs/msg/Vector3")(0.0, 0.0, 0.0)
    twist = message_class("geometry_msgs/msg/Twist")(vector, vector)
    return message_class(kind)(
        stamped,
        "body" + "y" * (stamp % 3),
        message_class("geometry_msgs/msg/PoseWithCovariance")(pose, np.zeros(36)),
        message_class("geometry_msgs/msg/TwistWithCovariance")(twist, np.zeros(36)),
    )


@pytest.mark.parametrize(
    "kind",
    [
        "geometry_msgs/msg/PoseStamped",
        "geometry_msgs/msg/TransformStamped",
        "nav_msgs/msg/Odometry",
    ],
)
def test_poses_are_those_of_the_reader_of_single_ones_and_of_rosbags(kind):
    messages, child = poses(kind), not kind.endswith("PoseStamped")
    rows = pose_rows(batch_of(messages), child=child)
    expected = [pose for m in messages if (pose := pose_from_cdr(m, child=child)) is not None]
    assert rows.stamp_ns.tolist() == [stamp for stamp, _ in expected]
    np.testing.assert_allclose(rows.values, [row for _, row in expected], rtol=1e-15)
    assert sum(rows.dropped.values()) == len(messages) - len(expected) == 7
    decoded = default_typestore().deserialize_cdr(messages[1], kind)
    if kind.endswith("Odometry"):
        assert rows.values[0, 0] == decoded.pose.pose.position.x
    elif child:
        assert rows.values[0, 0] == decoded.transform.translation.x
    else:
        assert rows.values[0, 0] == decoded.pose.position.x


def test_ranges_with_frames_of_any_length():
    store, kind = default_typestore(), "sensor_msgs/msg/Range"
    frames = ["a1", "a2", "anchor_three", "a1", "", "b2"]
    messages = [
        bytes(store.serialize_cdr(range_message(float(i) / 3, frame, i), kind))
        for i, frame in enumerate(frames)
    ]
    messages.append(
        bytes(store.serialize_cdr(range_message(9.0, "a2", 6), kind, little_endian=False))
    )
    messages.append(messages[0][:30])
    rows = range_rows(batch_of(messages))
    assert [rows.names[i] for i in rows.name] == [*frames, "a2"]
    expected = [np.float32(i / 3) for i in range(6)] + [9.0]
    assert rows.values[:, 0].tolist() == [float(value) for value in expected]
    assert rows.dropped == {"undecodable": 1}
    assert undecodable(messages[-1], kind, "").kind == "undecodable"


def test_many_rows_at_once_are_kept_as_one_by_one():
    draw = np.random.default_rng(5)
    stamps = draw.integers(0, 300, 400)
    one, many = StampedRows(), StampedRows()
    for stamp in stamps.tolist():
        one.add(stamp, (float(stamp), 1.0))
    for part in np.split(stamps, [1, 50, 50, 333]):
        many.add_many(part, np.stack([part, np.ones(len(part))], axis=1).astype(float))
    assert many.stamps == one.stamps
    np.testing.assert_array_equal(many.rows, one.rows)
    assert many.dropped == one.dropped
    assert increasing(np.array([3, 4]), 3)[0].tolist() == [False, True]
