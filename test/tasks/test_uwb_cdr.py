"""Ranges and poses from messages and from bytes, against rosbags' serialisation."""

import contextlib
import math
import struct
from types import SimpleNamespace as Fields

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nn_perception.datasets.bag_types import default_typestore
from nn_perception.errors import MessageError
from nn_perception.tasks.uwb.cdr import RangeCdr, odometry_from_cdr
from nn_perception.tasks.uwb.readings import (
    OdomReading,
    RangeReading,
    odometry_from_message,
    range_from_message,
)

STORE = default_typestore()
FLOAT32 = st.floats(width=32, allow_nan=False)
FINITE = st.floats(-1e6, 1e6)
FRAMES = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=9)
STAMPS = st.tuples(st.integers(-(2**31), 2**31 - 1), st.integers(0, 2**32 - 1))


def make(kind, *values):
    return STORE.types[kind](*values)


def header(frame_id, stamp):
    return make("std_msgs/msg/Header", make("builtin_interfaces/msg/Time", *stamp), frame_id)


def range_message(values=(0.1, 0.2, 30.0, 4.5, 0.25), frame_id="a1", stamp=(3, 4), kind=7):
    return make("sensor_msgs/msg/Range", header(frame_id, stamp), kind, *map(float, values))


def odom_message(pose=(1, 2, 3, 0, 0, 0, 1), frame_id="map", child="base", stamp=(3, 4)):
    values = list(map(float, pose))
    place = make("geometry_msgs/msg/Point", *values[:3])
    turn = make("geometry_msgs/msg/Quaternion", *values[3:])
    zero = make("geometry_msgs/msg/Vector3", 0.0, 0.0, 0.0)
    both = make("geometry_msgs/msg/Pose", place, turn)
    twist = make("geometry_msgs/msg/Twist", zero, zero)
    return make(
        "nav_msgs/msg/Odometry",
        header(frame_id, stamp),
        child,
        make("geometry_msgs/msg/PoseWithCovariance", both, np.arange(36.0)),
        make("geometry_msgs/msg/TwistWithCovariance", twist, np.zeros(36)),
    )


def serialise(message, little_endian=True):
    kind = message.__msgtype__
    return bytes(STORE.serialize_cdr(message, kind, little_endian=little_endian))


def kind_of(read, *arguments):
    with pytest.raises(MessageError) as caught:
        read(*arguments)
    return caught.value.kind


ranges = st.builds(
    range_message, st.lists(FLOAT32, min_size=5, max_size=5), FRAMES, STAMPS, st.integers(0, 255)
)


@given(ranges, st.booleans())
def test_bytes_and_message_give_the_same_range(message, little_endian):
    cdr = RangeCdr(serialise(message, little_endian))
    expected = range_from_message(message)
    assert cdr.reading() == expected == range_from_message(cdr.reading())
    assert expected.range_m == message.range
    assert (expected.min_range_m, expected.max_range_m) == (message.min_range, message.max_range)
    assert expected.stamp_ns == message.header.stamp.sec * 10**9 + message.header.stamp.nanosec
    assert cdr.has_variance


@given(ranges, st.booleans(), FLOAT32, FLOAT32)
def test_a_patch_changes_range_and_variance_and_nothing_else(message, little_endian, new, variance):
    raw = serialise(message, little_endian)
    patched = RangeCdr(raw).with_range(new, variance)
    again = STORE.deserialize_cdr(patched, "sensor_msgs/msg/Range")
    assert (again.range, again.variance) == (new, variance)
    back = RangeCdr(patched).with_range(message.range, message.variance)
    assert back == raw  # the padding and the parts that are not looked at, too


@pytest.mark.parametrize("length", range(9))
@pytest.mark.parametrize("little_endian", [True, False])
@pytest.mark.parametrize("buffer", [bytes, bytearray, memoryview])
def test_a_message_without_variance_stays_one(length, little_endian, buffer):
    """ROS 2 Humble has no such field."""
    whole = serialise(range_message(frame_id="f" * length), little_endian)
    cdr = RangeCdr(buffer(whole[:-4]))
    assert not cdr.has_variance
    assert cdr.range_m == 4.5
    patched = cdr.with_range(2.5, 9.0)
    assert patched == RangeCdr(whole).with_range(2.5, 9.0)[:-4]
    assert RangeCdr(patched).range_m == 2.5


def test_every_truncation_of_a_range_is_undecodable():
    raw = serialise(range_message())
    for size in range(len(raw) - 4):
        assert kind_of(RangeCdr, raw[:size]) == "undecodable"
    assert RangeCdr(raw + b"\0\0\0").reading() == RangeCdr(raw).reading()


def test_every_truncation_of_a_pose_is_undecodable():
    raw = serialise(odom_message())
    for size in range(len(raw)):
        assert kind_of(odometry_from_cdr, raw[:size]) == "undecodable"


@pytest.mark.parametrize("read", [RangeCdr, odometry_from_cdr])
@pytest.mark.parametrize("change", [{1: 7}, {1: 3}, {0: 1}, {16: 0xFF}, {15: 0x7F}])
def test_other_encodings_and_impossible_texts_are_undecodable(read, change):
    message = range_message() if read is RangeCdr else odom_message()
    raw = bytearray(serialise(message))
    for at, value in change.items():
        raw[at] = value
    assert kind_of(read, bytes(raw)) == "undecodable"


@settings(max_examples=300)
@given(st.binary(max_size=800))
def test_any_bytes_give_a_reading_or_a_message_error(data):
    for read in (RangeCdr, odometry_from_cdr):
        with contextlib.suppress(MessageError):
            read(data)


@given(st.integers(0, 720), st.binary(min_size=1, max_size=8))
def test_a_damaged_pose_is_a_unit_one_or_refused(at, junk):
    raw = bytearray(serialise(odom_message()))
    raw[at : at + len(junk)] = junk
    with contextlib.suppress(MessageError):
        reading = odometry_from_cdr(bytes(raw))
        assert math.isclose(math.hypot(*reading.orientation_xyzw), 1.0)
        assert all(map(math.isfinite, reading.position_m))


poses = st.builds(
    lambda place, angle, *rest: odom_message(
        [*place, 0.0, math.sin(angle), 0.0, math.cos(angle)], *rest
    ),
    st.lists(FINITE, min_size=3, max_size=3), st.floats(0.0, 6.0), FRAMES, FRAMES, STAMPS,
)  # fmt: skip


@given(poses, st.booleans())
def test_bytes_and_message_give_the_same_pose(message, little_endian):
    reading = odometry_from_cdr(serialise(message, little_endian))
    assert reading == odometry_from_message(message) == odometry_from_message(reading)
    place, turn = message.pose.pose.position, message.pose.pose.orientation
    assert reading.position_m == (place.x, place.y, place.z)
    np.testing.assert_allclose(
        reading.orientation_xyzw, [turn.x, turn.y, turn.z, turn.w], atol=1e-12
    )
    assert reading.variance_m2 == (0.0, 7.0, 14.0)


@pytest.mark.parametrize("index", range(7))
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_pose_that_is_not_finite(index, value):
    pose = [1.0, 2.0, 3.0, 0.0, 0.0, 0.0, 1.0]
    pose[index] = value
    message = odom_message(pose)
    assert kind_of(odometry_from_message, message) == "not_finite"
    assert kind_of(odometry_from_cdr, serialise(message)) == "not_finite"


def test_a_quaternion_is_made_unit_or_refused():
    slightly = odom_message([0, 0, 0, 0, 0, 0.6 * 1.009, 0.8 * 1.009])
    np.testing.assert_allclose(odometry_from_message(slightly).orientation_xyzw, [0, 0, 0.6, 0.8])
    for quat in ([0, 0, 0, 0], [0, 0, 0, 1.02], [0, 0, 0, 0.98], [1, 1, 1, 1]):
        message = odom_message([0, 0, 0, *quat])
        assert kind_of(odometry_from_message, message) == "not_unit"
        assert kind_of(odometry_from_cdr, serialise(message)) == "not_unit"


@pytest.mark.parametrize("change", [{"range": None}, {"min_range": "x"}, {"header": None}])
def test_what_is_no_range_is_a_wrong_type(change):
    good = {"header": header("a", (1, 2)), "range": 1.0, "min_range": 0.0, "max_range": 9.0}
    assert isinstance(range_from_message(Fields(**good)), RangeReading)
    assert kind_of(range_from_message, Fields(**{**good, **change})) == "type"
    assert kind_of(range_from_message, 3) == "type"


@pytest.mark.parametrize("change", [{"pose": None}, {"header": None}, {"pose": Fields(pose=1)}])
def test_what_is_no_odometry_is_a_wrong_type(change):
    message = odom_message()
    good = {"header": message.header, "pose": message.pose}
    assert isinstance(odometry_from_message(Fields(**good)), OdomReading)
    assert kind_of(odometry_from_message, Fields(**{**good, **change})) == "type"
    assert kind_of(odometry_from_message, range_message()) == "type"


def test_an_empty_text_without_its_zero():
    """Some implementations write no terminating zero for an empty text."""
    head = struct.pack("<BBHiII", 0, 1, 0, 5, 6, 0)
    cdr = RangeCdr(head + bytes(4) + struct.pack("<5f", 0.0, 0.0, 9.0, 2.0, 0.0))
    assert (cdr.frame_id, cdr.range_m) == ("", 2.0)


@pytest.mark.ros
def test_rclpy_writes_what_is_read_and_reads_what_is_written():
    pytest.importorskip("rclpy")
    from nav_msgs.msg import Odometry
    from rclpy.serialization import deserialize_message, serialize_message
    from sensor_msgs.msg import Range

    for length in range(9):
        message = Range(range=4.5, min_range=0.25, max_range=30.0, radiation_type=1)
        message.header.frame_id = "f" * length
        message.header.stamp.sec = 5
        cdr = RangeCdr(serialize_message(message))
        assert cdr.reading() == range_from_message(message)
        answer = deserialize_message(cdr.with_range(2.5, 0.0625), Range)
        message.range, message.variance = 2.5, 0.0625
        assert answer == message
        pose = Odometry(child_frame_id="c" * (2 * length))
        pose.header.frame_id = "f" * length
        pose.pose.pose.position.y, pose.pose.covariance[7] = 2.0, 0.5
        reading = odometry_from_cdr(serialize_message(pose))
        assert reading == odometry_from_message(pose)
        assert (reading.position_m, reading.variance_m2) == ((0.0, 2.0, 0.0), (0.0, 0.5, 0.0))
