"""Samples from messages and from bytes, against rosbags' serialisation in both byte orders."""

import contextlib
import struct
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nn_perception.datasets.bag_types import default_typestore
from nn_perception.errors import MessageError
from nn_perception.inertial.cdr import ImuCdr, reading_from_cdr
from nn_perception.inertial.readings import (
    MAX_ACCEL_M_S2,
    MAX_RATE_RAD_S,
    ImuReading,
    reading_from_message,
)

STORE = default_typestore()
FINITE = st.floats(allow_nan=False, allow_infinity=False)
MEASURABLE = st.floats(-MAX_RATE_RAD_S, MAX_RATE_RAD_S)
FRAMES = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=9)


def vector(kind, values):
    return STORE.types[f"geometry_msgs/msg/{kind}"](*(float(v) for v in values))


def imu(values, frame_id="imu", stamp=(3, 4)):
    """A message of rosbags' own classes from the 37 numbers of sensor_msgs/Imu."""
    types = STORE.types
    time = types["builtin_interfaces/msg/Time"](*stamp)
    header = types["std_msgs/msg/Header"](time, frame_id)
    values = np.array(values, np.float64)
    return types["sensor_msgs/msg/Imu"](
        header,
        vector("Quaternion", values[:4]), values[4:13],
        vector("Vector3", values[13:16]), values[16:25],
        vector("Vector3", values[25:28]), values[28:],
    )  # fmt: skip


def serialise(message, little_endian=True):
    return bytes(STORE.serialize_cdr(message, "sensor_msgs/msg/Imu", little_endian=little_endian))


def numbers(message):
    q, w, a = message.orientation, message.angular_velocity, message.linear_acceleration
    return np.array(
        [
            *(q.x, q.y, q.z, q.w), *message.orientation_covariance,
            *(w.x, w.y, w.z), *message.angular_velocity_covariance,
            *(a.x, a.y, a.z), *message.linear_acceleration_covariance,
        ]
    )  # fmt: skip


VALUES = np.random.default_rng(1).standard_normal(37)
messages = st.builds(
    imu,
    st.lists(MEASURABLE.filter(lambda v: v != -1.0), min_size=37, max_size=37),
    FRAMES,
    st.tuples(st.integers(-(2**31), 2**31 - 1), st.integers(0, 2**32 - 1)),
)


def check_same(a, b):
    assert (a.stamp_ns, a.frame_id) == (b.stamp_ns, b.frame_id)
    np.testing.assert_array_equal(a.gyro_rad_s, b.gyro_rad_s)
    np.testing.assert_array_equal(a.accel_m_s2, b.accel_m_s2)


@given(messages, st.booleans())
def test_bytes_and_message_give_the_same_reading(message, little_endian):
    reading = reading_from_cdr(serialise(message, little_endian))
    check_same(reading, reading_from_message(message))
    stamp = message.header.stamp
    assert reading.stamp_ns == stamp.sec * 10**9 + stamp.nanosec
    np.testing.assert_array_equal(reading.gyro_rad_s, numbers(message)[13:16])
    np.testing.assert_array_equal(reading.accel_m_s2, numbers(message)[25:28])
    assert reading.gyro_rad_s.dtype == np.float64
    assert reading.gyro_rad_s.flags.aligned


@pytest.mark.parametrize("length", range(10))
@pytest.mark.parametrize("little_endian", [True, False])
@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_every_alignment_and_buffer(length, little_endian, kind):
    message = imu(VALUES, "i" * length)
    buffer = kind(serialise(message, little_endian))
    cdr = ImuCdr(buffer)
    check_same(cdr.reading(), reading_from_message(message))
    assert type(cdr.with_orientation(np.ones(4), np.eye(3))) is bytes


@given(messages, st.booleans(), st.lists(FINITE, min_size=13, max_size=13))
def test_patching_changes_nothing_else(message, little_endian, new):
    raw = serialise(message, little_endian)
    old = numbers(message)

    def back(patched):
        again = STORE.deserialize_cdr(patched, "sensor_msgs/msg/Imu")
        assert again.header == message.header
        return numbers(again)

    cdr = ImuCdr(raw)
    patched = cdr.with_orientation(new[:4], np.reshape(new[4:], (3, 3)))
    np.testing.assert_array_equal(back(patched), [*new, *old[13:]])
    assert ImuCdr(patched).with_orientation(old[:4], old[4:13]) == raw  # the padding too
    rate = cdr.with_angular_velocity(new[:3])
    np.testing.assert_array_equal(back(rate), [*old[:13], *new[:3], *old[16:]])
    both = cdr.with_angular_velocity(np.array(new[:3]), np.array(new[3:12]).reshape(3, 3))
    np.testing.assert_array_equal(back(both), [*old[:13], *new[:12], *old[25:]])
    bias = STORE.deserialize_cdr(cdr.vector3_stamped(new[:3]), "geometry_msgs/msg/Vector3Stamped")
    assert bias.header == message.header
    assert [bias.vector.x, bias.vector.y, bias.vector.z] == new[:3]


@settings(max_examples=300)
@given(st.binary(max_size=400))
def test_any_bytes_give_a_reading_or_a_message_error(data):
    with contextlib.suppress(MessageError):
        assert np.isfinite(reading_from_cdr(data).gyro_rad_s).all()


@given(st.integers(0, 400), st.binary(min_size=1, max_size=8))
def test_damage_gives_a_reading_or_a_message_error(at, junk):
    raw = bytearray(serialise(imu(VALUES, "imu_link")))
    raw[at : at + len(junk)] = junk
    with contextlib.suppress(MessageError):
        reading_from_cdr(bytes(raw))


def test_every_truncation_is_undecodable():
    raw = serialise(imu(VALUES, "imu_link"))
    for size in range(len(raw)):
        with pytest.raises(MessageError, match=f"{size} bytes") as caught:
            reading_from_cdr(raw[:size])
        assert caught.value.kind == "undecodable"
    reading_from_cdr(raw + b"\0\0\0")  # a middleware may pad


@pytest.mark.parametrize(
    "change",
    [
        {0: 0x00, 1: 0x07},  # XCDR2 aligns doubles to 4: read as this it would give other numbers
        {0: 0x00, 1: 0x03},  # a parameter list
        {0: 0x01},
        {16: 0xFF},  # not UTF-8
        {15: 0x7F},  # a frame_id of 2 GB
    ],
)
def test_other_encodings_and_impossible_texts_are_undecodable(change):
    raw = bytearray(serialise(imu(VALUES)))
    for at, value in change.items():
        raw[at] = value
    with pytest.raises(MessageError) as caught:
        reading_from_cdr(bytes(raw))
    assert caught.value.kind == "undecodable"


def test_a_text_of_length_zero_is_an_empty_frame():
    """Some implementations write no terminating zero for an empty text."""
    raw = struct.pack("<BBHiII4x", 0, 1, 0, 5, 6, 0)[:16] + VALUES.tobytes()
    raw = raw[:16] + b"\0" * 4 + VALUES.tobytes()
    reading = reading_from_cdr(raw)
    assert (reading.stamp_ns, reading.frame_id) == (5_000_000_006, "")
    np.testing.assert_array_equal(reading.gyro_rad_s, VALUES[13:16])


def both_ways(message):
    return (
        lambda: reading_from_message(message),
        lambda: reading_from_cdr(serialise(message)),
        lambda: reading_from_cdr(serialise(message, little_endian=False)),
    )


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("index", [13, 14, 15, 25, 26, 27])
def test_numbers_that_are_not_finite(index, value):
    values = VALUES.copy()
    values[index] = value
    for read in both_ways(imu(values)):
        with pytest.raises(MessageError, match="expected finite numbers") as caught:
            read()
        assert caught.value.kind == "not_finite"


@pytest.mark.parametrize("sign", [1.0, -1.0])
@pytest.mark.parametrize(
    ("indices", "limit"), [((13, 14, 15), MAX_RATE_RAD_S), ((25, 26, 27), MAX_ACCEL_M_S2)]
)
def test_what_no_sensor_measures_is_damage(indices, limit, sign):
    """Found by fuzzing: finite all the same, it made the states of both pipelines NaN."""
    for index in indices:
        values = VALUES.copy()
        values[index] = sign * limit
        for read in both_ways(imu(values)):
            assert sign * limit in (*read().gyro_rad_s, *read().accel_m_s2)
        for huge in (np.nextafter(limit, np.inf), 1e300, np.finfo(float).max):
            values[index] = sign * huge
            for read in both_ways(imu(values)):
                with pytest.raises(MessageError, match="check units") as caught:
                    read()
                assert caught.value.kind == "out_of_range"


def test_huge_numbers_whose_sum_overflows_are_no_infinity():
    values = VALUES.copy()
    values[13:15] = 1.7e308
    for read in both_ways(imu(values)):
        with pytest.raises(MessageError) as caught:
            read()
        assert caught.value.kind == "out_of_range"


def test_nan_elsewhere_is_no_concern():
    values = VALUES.copy()
    values[[0, 5, 20, 33]] = np.nan
    for read in both_ways(imu(values)):
        np.testing.assert_array_equal(read().accel_m_s2, values[25:28])


@pytest.mark.parametrize(("index", "name"), [(16, "angular_velocity"), (28, "linear_acceleration")])
def test_a_quantity_that_the_driver_does_not_measure(index, name):
    values = VALUES.copy()
    values[index] = -1.0
    values[index - 1] = np.nan  # some drivers say it in both ways
    for read in both_ways(imu(values)):
        with pytest.raises(MessageError, match=f"^{name} .*must unite") as caught:
            read()
        assert caught.value.kind == "no_data"


def test_an_unknown_orientation_is_no_concern():
    values = VALUES.copy()
    values[4] = -1.0
    for read in both_ways(imu(values)):
        read()


@pytest.mark.parametrize(
    "change",
    [
        {"angular_velocity": None},
        {"linear_acceleration": SimpleNamespace(x="1", y=2.0, z=3.0)},
        {"linear_acceleration": SimpleNamespace(x=10**400, y=2.0, z=3.0)},
        {"angular_velocity_covariance": []},
        {"angular_velocity_covariance": ["x"]},
        {"header": None},
        {"header": SimpleNamespace(stamp=SimpleNamespace(sec=1.5, nanosec=0), frame_id="x")},
        {"header": SimpleNamespace(stamp=SimpleNamespace(sec=1, nanosec=0), frame_id=b"x")},
    ],
)
def test_what_is_no_imu_message_is_a_wrong_type(change):
    good = imu(VALUES)
    fields = {name: getattr(good, name) for name in good.__dataclass_fields__ if name[0] != "_"}
    reading_from_message(SimpleNamespace(**fields))
    with pytest.raises(MessageError) as caught:
        reading_from_message(SimpleNamespace(**{**fields, **change}))
    assert caught.value.kind == "type"
    with pytest.raises(MessageError, match="sensor_msgs/Imu"):
        reading_from_message(3)


def test_a_reading_is_its_own_reading():
    reading = ImuReading(1, "imu", np.zeros(3), np.ones(3))
    assert reading_from_message(reading) is reading


def test_a_patch_of_another_size_is_refused():
    with pytest.raises(ValueError, match="got 3 numbers, expected 4"):
        ImuCdr(serialise(imu(VALUES))).with_orientation(np.ones(3), np.eye(3))


@pytest.mark.ros
def test_rclpy_reads_what_was_written_and_writes_what_is_read():
    pytest.importorskip("rclpy")
    from geometry_msgs.msg import Vector3Stamped
    from rclpy.serialization import deserialize_message, serialize_message
    from sensor_msgs.msg import Imu

    for length in range(10):
        frame_id = "abcdefghi"[:length]
        theirs = deserialize_message(serialise(imu(VALUES, frame_id)), Imu)
        raw = serialize_message(theirs)
        cdr = ImuCdr(raw)
        check_same(cdr.reading(), reading_from_message(theirs))
        patched = deserialize_message(cdr.with_orientation([0, 0, 0, 1], np.eye(3)), Imu)
        theirs.orientation.x = theirs.orientation.y = theirs.orientation.z = 0.0
        theirs.orientation.w = 1.0
        theirs.orientation_covariance = np.eye(3).reshape(-1)
        assert patched == theirs
        bias = deserialize_message(cdr.vector3_stamped([1, 2, 3]), Vector3Stamped)
        assert (bias.header, bias.vector.z) == (theirs.header, 3.0)
