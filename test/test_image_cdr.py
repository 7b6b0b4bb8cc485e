"""Serialised images against rosbags' serialisation."""

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from nn_perception.datasets.bag_types import default_typestore
from nn_perception.errors import MessageError
from nn_perception.image_cdr import compressed_from_cdr, image_from_cdr
from nn_perception.image_encodings import RAW_ENCODINGS
from nn_perception.messages import array_to_image_fields, decode_image, frame_id, stamp_ns

STORE = default_typestore()
FRAMES = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=9)
STAMPS = st.tuples(st.integers(-(2**31), 2**31 - 1), st.integers(0, 2**32 - 1))
SIZES = st.integers(1, 9)


def header(frame="camera", stamp=(3, 4)):
    time = STORE.types["builtin_interfaces/msg/Time"](*stamp)
    return STORE.types["std_msgs/msg/Header"](time, frame)


def image(pixels, encoding, frame="camera", stamp=(3, 4), **changes):
    fields = array_to_image_fields(pixels, encoding) | changes
    fields["data"] = np.frombuffer(fields["data"], np.uint8)
    return STORE.types["sensor_msgs/msg/Image"](header(frame, stamp), **fields)


def stamp_or_error(message):
    """The stamp, or what is wrong with one that leads beyond the last second of 32 bits."""
    try:
        return stamp_ns(message)
    except MessageError as error:
        return str(error)


def compressed(data, name="jpeg", frame="camera", stamp=(3, 4)):
    pixels = np.frombuffer(data, np.uint8)
    return STORE.types["sensor_msgs/msg/CompressedImage"](header(frame, stamp), name, pixels)


def serialise(message, little_endian=True):
    return bytes(STORE.serialize_cdr(message, message.__msgtype__, little_endian=little_endian))


def assert_same_header(found, message):
    assert found.header.stamp == (message.header.stamp.sec, message.header.stamp.nanosec)
    assert frame_id(found) == message.header.frame_id
    assert stamp_or_error(found) == stamp_or_error(message)


@given(frame=FRAMES, stamp=STAMPS, height=SIZES, width=SIZES, little=st.booleans(),
       encoding=st.sampled_from(sorted(RAW_ENCODINGS)), big=st.integers(0, 255))  # fmt: skip
def test_an_image_has_the_fields_that_were_serialised(
    frame, stamp, height, width, little, encoding, big
):
    message = image(np.zeros((height, width), np.uint8), "mono8", frame, stamp)
    message.encoding, message.is_bigendian = encoding, big
    message.data = np.arange(height * width, dtype=np.uint8)
    found = image_from_cdr(serialise(message, little))
    assert_same_header(found, message)
    for name in ("height", "width", "encoding", "is_bigendian", "step"):
        assert getattr(found, name) == getattr(message, name)
    np.testing.assert_array_equal(found.data, message.data)


@pytest.mark.parametrize("little_endian", [True, False])
def test_pixels_are_those_of_the_message_and_no_copy(little_endian):
    pixels = np.random.default_rng(0).integers(0, 256, (48, 64, 3), dtype=np.uint8)
    message = image(pixels, "rgb8")
    raw = serialise(message, little_endian)
    found = decode_image(image_from_cdr(raw), 3)
    np.testing.assert_array_equal(found, pixels)
    assert np.shares_memory(found, np.frombuffer(raw, np.uint8))


@given(frame=FRAMES, stamp=STAMPS, name=FRAMES, data=st.binary(max_size=40), little=st.booleans())
@example(frame="", stamp=(2**31 - 2, 2 * 10**9), name="", data=b"", little=False)
def test_a_compressed_image_has_the_fields_that_were_serialised(frame, stamp, name, data, little):
    message = compressed(data, name, frame, stamp)
    found = compressed_from_cdr(serialise(message, little))
    assert_same_header(found, message)
    assert (found.format, found.data.tobytes()) == (name, data)


GOOD = serialise(image(np.arange(12, dtype=np.uint8).reshape(3, 4), "mono8"))
GOOD_COMPRESSED = serialise(compressed(b"\xff\xd8 as a JPEG begins"))


@pytest.mark.parametrize(
    ("read", "raw"), [(image_from_cdr, GOOD), (compressed_from_cdr, GOOD_COMPRESSED)]
)
def test_every_truncation_is_undecodable(read, raw):
    for end in range(len(raw)):
        with pytest.raises(MessageError) as error:
            read(raw[:end])
        assert error.value.kind == "undecodable"


@pytest.mark.parametrize(
    ("read", "raw", "changes"),
    [
        (image_from_cdr, GOOD, {0: b"\0\7"}),  # another encapsulation
        (image_from_cdr, GOOD, {GOOD.index(b"mono8"): b"m\xffno8"}),
        (image_from_cdr, GOOD, {GOOD.index(b"mono8") - 4: b"\xff\xff\xff\x7f"}),
        (image_from_cdr, GOOD, {len(GOOD) - 16: b"\x0d"}),  # one byte more than there is
        (compressed_from_cdr, GOOD_COMPRESSED, {GOOD_COMPRESSED.index(b"jpeg") - 4: b"\xff\xff"}),
    ],
)
def test_damage_is_undecodable_and_says_what_was_expected(read, raw, changes):
    damaged = bytearray(raw)
    for start, new in changes.items():
        damaged[start : start + len(new)] = new
    with pytest.raises(MessageError, match="no serialised sensor_msgs/") as error:
        read(bytes(damaged))
    assert error.value.kind == "undecodable"


@settings(max_examples=2000, deadline=None)
@given(data=st.data())
def test_mutated_bytes_give_an_image_or_a_message_error(data):
    read, raw = data.draw(
        st.sampled_from([(image_from_cdr, GOOD), (compressed_from_cdr, GOOD_COMPRESSED)])
    )
    damaged = bytearray(raw)
    places = st.integers(0, len(raw) - 1)
    for place in data.draw(st.lists(places, min_size=1, max_size=6)):
        damaged[place] = data.draw(st.integers(0, 255))
    try:
        found = read(bytes(damaged[: data.draw(st.integers(0, len(raw)))]))
        picture = decode_image(found, 3)
    except MessageError:
        return
    assert picture.dtype == np.uint8
    assert picture.ndim == 3
