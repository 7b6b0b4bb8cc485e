"""decode_image against known pictures in every encoding, and against every kind of damage."""

from __future__ import annotations

import array
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nn_perception.errors import ConfigError, MessageError
from nn_perception.image_codecs import compressed_size
from nn_perception.image_encodings import MAX_PIXELS, RAW_ENCODINGS
from nn_perception.messages import (
    answerable_stamp_ns,
    array_to_image_fields,
    decode_image,
    frame_id,
    stamp_ns,
)

COLOURS = {"r": 200, "g": 120, "b": 40}
GREY_OF_COLOURS = 135  # 0.299 * 200 + 0.587 * 120 + 0.114 * 40 = 134.8


def picture(height: int = 48, width: int = 64) -> np.ndarray:
    """A smooth RGB picture, so that subsampled colours come back nearly the same."""
    y, x = np.mgrid[0:height, 0:width]
    planes = (40 + 3 * x % 200, 30 + 4 * y % 200, 220 - 2 * x)
    smooth = np.stack([np.broadcast_to(p, (height, width)) for p in planes], axis=-1)
    return cv2.GaussianBlur(smooth.astype(np.uint8), (9, 9), 3)


def grey(rgb: np.ndarray) -> np.ndarray:
    return cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY)


def image(pixels: np.ndarray, written_as: str, **changes: object) -> SimpleNamespace:
    fields = array_to_image_fields(pixels, written_as)
    return SimpleNamespace(**{**fields, **changes})


def padded(array_: np.ndarray, encoding: str, padding: int) -> SimpleNamespace:
    """The same image with `padding` bytes of rubbish behind every row."""
    message = image(array_, encoding)
    rows = np.frombuffer(message.data, np.uint8).reshape(-1, message.step)
    rubbish = np.full((len(rows), padding), 0xAB, np.uint8)
    message.data = np.hstack([rows, rubbish]).tobytes()
    message.step += padding
    return message


def compressed(image_: np.ndarray, extension: str, format_: str = "") -> SimpleNamespace:
    ok, data = cv2.imencode(f".{extension}", image_)
    assert ok
    return SimpleNamespace(format=format_ or extension, data=data.tobytes())


def yuv_of(rgb: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Video-range BT.601, by its definition and not by OpenCV."""
    r, g, b = (rgb[..., i].astype(float) for i in range(3))
    y = 16 + (65.481 * r + 128.553 * g + 24.966 * b) / 255
    u = 128 + (-37.797 * r - 74.203 * g + 112.0 * b) / 255
    v = 128 + (112.0 * r - 93.786 * g - 18.214 * b) / 255
    return tuple(np.round(p).astype(np.uint8) for p in (y, u, v))  # type: ignore[return-value]


def encoded(rgb: np.ndarray, encoding: str) -> tuple[np.ndarray, int]:
    """The array of `rgb` in an encoding, and the error that coming back may have."""
    alpha = np.full((*rgb.shape[:2], 1), 7, np.uint8)
    wide = rgb.astype(np.uint16) * 257
    table: dict[str, tuple[np.ndarray, int]] = {
        "rgb8": (rgb, 0),
        "bgr8": (rgb[..., ::-1], 0),
        "8UC3": (rgb[..., ::-1], 0),
        "rgba8": (np.concatenate([rgb, alpha], 2), 0),
        "bgra8": (np.concatenate([rgb[..., ::-1], alpha], 2), 0),
        "8UC4": (np.concatenate([rgb[..., ::-1], alpha], 2), 0),
        "rgb16": (wide, 0),
        "bgr16": (wide[..., ::-1], 0),
        "16UC3": (wide[..., ::-1], 0),
    }
    if encoding in table:
        return table[encoding]
    y, u, v = yuv_of(rgb)
    even_u, even_v = u[:, 0::2], v[:, 0::2]
    both = np.empty_like(u)
    both[:, 0::2], both[:, 1::2] = even_u, even_v
    if encoding in ("yuv422_yuy2", "yuyv"):
        return np.stack([y, both], -1), 6
    if encoding in ("yuv422", "uyvy"):
        return np.stack([both, y], -1), 6
    quarter = np.empty((rgb.shape[0] // 2, rgb.shape[1]), np.uint8)
    first, second = (u, v) if encoding == "nv12" else (v, u)
    quarter[:, 0::2], quarter[:, 1::2] = first[0::2, 0::2], second[0::2, 0::2]
    return np.vstack([y, quarter]), 8


COLOUR_ENCODINGS = (
    "rgb8", "bgr8", "8UC3", "rgba8", "bgra8", "8UC4", "rgb16", "bgr16", "16UC3",
    "yuv422_yuy2", "yuyv", "yuv422", "uyvy", "nv12", "nv21",
)  # fmt: skip


@pytest.mark.parametrize("padding", [0, 8])
@pytest.mark.parametrize("encoding", COLOUR_ENCODINGS)
def test_colour_encodings_come_back_as_the_same_picture(encoding: str, padding: int) -> None:
    rgb = picture()
    pixels, tolerance = encoded(rgb, encoding)
    message = padded(pixels, encoding, padding)
    for channels, expected in ((3, rgb), (1, grey(rgb))):
        result = decode_image(message, channels)
        assert result.dtype == np.uint8
        assert result.shape == expected.shape
        # Where the colour jumps, halved colour resolution shows: the mean is the strict measure.
        difference = np.abs(result.astype(int) - expected.astype(int))
        assert difference.max() <= (3 * tolerance if channels == 3 else tolerance // 2)
        assert difference.mean() <= tolerance / 4


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("pattern", ["rggb", "bggr", "gbrg", "grbg"])
def test_bayer_patterns_put_each_colour_where_it_belongs(pattern: str, bits: int) -> None:
    mosaic = np.zeros((10, 12), np.uint8)
    for index, colour in enumerate(pattern):
        mosaic[index // 2 :: 2, index % 2 :: 2] = COLOURS[colour]
    pixels = mosaic if bits == 8 else mosaic.astype(np.uint16) * 257
    message = padded(pixels, f"bayer_{pattern}{bits}", 6)
    rgb = decode_image(message, 3)
    assert rgb.reshape(-1, 3).tolist() == [[200, 120, 40]] * 120
    assert np.unique(decode_image(message, 1)).tolist() == [GREY_OF_COLOURS]


@pytest.mark.parametrize("encoding", ["mono8", "8UC1"])
def test_grey_stays_grey_and_is_a_view_of_the_message(encoding: str) -> None:
    pixels = picture()[..., 0]
    message = image(pixels, encoding)
    result = decode_image(message, 1)
    assert np.array_equal(result, pixels)
    assert np.shares_memory(result, np.frombuffer(message.data, np.uint8))
    assert np.array_equal(decode_image(message, 3), np.dstack([pixels] * 3))


def test_rgb8_as_rgb_and_padded_rows_are_views_too() -> None:
    message = padded(picture(), "rgb8", 4)
    result = decode_image(message, 3)
    assert np.shares_memory(result, np.frombuffer(message.data, np.uint8))
    assert np.array_equal(result, picture())


@pytest.mark.parametrize("encoding", ["mono16", "16UC1"])
@pytest.mark.parametrize("big_endian", [False, True])
def test_16_bit_keeps_the_high_byte(encoding: str, big_endian: bool) -> None:
    pixels = (np.arange(48 * 64, dtype=np.uint16) * 21).reshape(48, 64)
    message = padded(pixels, encoding, 2)
    if big_endian:
        message.data = np.frombuffer(message.data, np.uint16).byteswap().tobytes()
        message.is_bigendian = 1
    assert np.array_equal(decode_image(message, 1), pixels >> 8)
    assert np.array_equal(decode_image(message, 3)[..., 2], pixels >> 8)


@pytest.mark.parametrize("big_endian", [False, True])
def test_float_intensities_are_scaled_and_clipped(big_endian: bool) -> None:
    values = np.array([[0.0, 0.5, 1.0, 2.0], [-3.0, 1e38, 100 / 255, 1 / 255]], np.float32)
    message = padded(values, "32FC1", 4)
    if big_endian:
        message.data = np.frombuffer(message.data, np.uint32).byteswap().tobytes()
        message.is_bigendian = 1
    expected = [[0, 128, 255, 255], [0, 255, 100, 1]]
    assert decode_image(message, 1).tolist() == expected
    assert decode_image(message, 3)[..., 0].tolist() == expected


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_one_bad_float_refuses_the_frame(bad: float) -> None:
    values = np.zeros((4, 4), np.float32)
    values[2, 3] = bad
    assert refused(image(values, "32FC1")) == "not_finite"


@pytest.mark.parametrize(
    "wrap",
    [bytes, bytearray, memoryview, lambda d: array.array("B", d), lambda d: np.frombuffer(d, "u1")],
)
def test_every_kind_of_buffer_is_read(wrap) -> None:
    message = image(picture(), "bgr8")
    message.data = wrap(message.data)
    assert np.array_equal(decode_image(message, 3), picture()[..., ::-1])


def test_longer_data_is_accepted() -> None:
    message = image(picture(), "rgb8")
    message.data += b"\0" * 100
    assert np.array_equal(decode_image(message, 3), picture())


# --- compressed -----------------------------------------------------------------------------------


def test_jpeg_comes_back_nearly_the_same() -> None:
    rgb = picture()
    message = compressed(rgb[..., ::-1], "jpg", "rgb8; jpeg compressed bgr8")
    assert np.abs(decode_image(message, 3).astype(int) - rgb).mean() < 3
    assert np.abs(decode_image(message, 1).astype(int) - grey(rgb)).mean() < 3


def test_png_colour_alpha_and_16_bit() -> None:
    rgb = picture()
    alpha = np.full((*rgb.shape[:2], 1), 3, np.uint8)
    assert np.array_equal(decode_image(compressed(rgb[..., ::-1], "png"), 3), rgb)
    with_alpha = compressed(np.concatenate([rgb[..., ::-1], alpha], 2), "png")
    assert np.array_equal(decode_image(with_alpha, 3), rgb)
    wide = compressed(rgb[..., 0].astype(np.uint16) * 256 + 99, "png", "mono16; png compressed")
    for channels in (1, 3):
        result = decode_image(wide, channels).reshape(48, 64, -1)[..., 0].astype(int)
        assert np.abs(result - rgb[..., 0]).max() <= 1  # libraries round or cut, by version


def test_a_compressed_mosaic_is_demosaiced() -> None:
    mosaic = np.zeros((10, 12), np.uint8)
    for index, colour in enumerate("gbrg"):
        mosaic[index // 2 :: 2, index % 2 :: 2] = COLOURS[colour]
    message = compressed(mosaic, "png", "bayer_gbrg8; png compressed ")
    assert decode_image(message, 3)[5, 5].tolist() == [200, 120, 40]
    assert decode_image(message, 1)[5, 5] == GREY_OF_COLOURS


def test_exif_rotation_is_ignored() -> None:
    data = compressed(picture(), "jpg").data
    exif = b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0"
    turned = data[:2] + b"\xff\xe1" + (len(exif) + 2).to_bytes(2, "big") + exif + data[2:]
    assert cv2.imdecode(np.frombuffer(turned, "u1"), cv2.IMREAD_COLOR).shape == (64, 48, 3)
    assert decode_image(SimpleNamespace(format="jpeg", data=turned), 3).shape == (48, 64, 3)


@pytest.mark.parametrize("extension", ["jpg", "png"])
@pytest.mark.parametrize("kept", [1, 3, 10, 40, 0.3, 0.7, -1])
def test_truncated_files_are_refused(extension: str, kept: float) -> None:
    message = compressed(picture(), extension)
    end = int(len(message.data) * kept) if isinstance(kept, float) else kept
    message.data = message.data[:end] if extension == "jpg" or kept != -1 else message.data[:-12]
    assert refused(message) == "compressed"
    # By our own look at the file too: OpenCV 4 would fill the rest with grey.
    with pytest.raises(MessageError):
        compressed_size(message.data)


def test_a_truncated_jpeg_with_a_whole_thumbnail_is_refused() -> None:
    data = compressed(picture(), "jpg").data
    thumbnail = b"Exif\0\0" + compressed(picture(8, 8), "jpg").data
    whole = data[:2] + b"\xff\xe1" + (len(thumbnail) + 2).to_bytes(2, "big") + thumbnail + data[2:]
    assert decode_image(SimpleNamespace(format="jpeg", data=whole), 3).shape == (48, 64, 3)
    assert refused(SimpleNamespace(format="jpeg", data=whole[:-200])) == "compressed"


@pytest.mark.parametrize("data", [b"", b"rubbish", b"GIF89a" + bytes(50), b"\xff\xd8" * 1000])
def test_what_is_no_picture_is_refused(data: bytes) -> None:
    assert refused(SimpleNamespace(format="jpeg", data=data)) == "compressed"


def test_a_decompression_bomb_is_refused_by_its_header() -> None:
    data = bytearray(compressed(picture(), "png").data)
    data[16:24] = (200_000).to_bytes(4, "big") * 2
    assert refused(SimpleNamespace(format="png", data=bytes(data))) == "size"
    data = bytearray(compressed(picture(), "jpg").data)
    frame = data.index(b"\xff\xc0")
    data[frame + 5 : frame + 9] = b"\xff\xff\xff\xff"
    assert refused(SimpleNamespace(format="jpeg", data=bytes(data))) == "size"


# --- bad fields -----------------------------------------------------------------------------------


def refused(message: object) -> str:
    kinds = set()
    for channels in (1, 3):
        with pytest.raises(MessageError) as caught:
            decode_image(message, channels)
        kinds.add(caught.value.kind)
    assert len(kinds) == 1
    return kinds.pop()


@pytest.mark.parametrize(
    ("changes", "kind"),
    [
        ({"height": 0}, "size"),
        ({"width": 0}, "size"),
        ({"height": -3}, "size"),
        ({"height": MAX_PIXELS}, "size"),
        ({"step": 191}, "step"),
        ({"step": 0}, "step"),
        ({"data": bytes(48 * 192 - 1)}, "data_short"),
        ({"data": b""}, "data_short"),
        ({"height": 49}, "data_short"),
        ({"step": 2**31}, "data_short"),
        ({"encoding": "rgb9"}, "encoding"),
        ({"encoding": ""}, "encoding"),
        ({"encoding": 3}, "type"),
        ({"encoding": None}, "type"),
        ({"height": 48.0}, "type"),
        ({"width": None}, "type"),
        ({"step": "192"}, "type"),
        ({"data": None}, "type"),
        ({"data": "text"}, "type"),
        ({"data": [1, 2, 3]}, "type"),
        ({"data": np.zeros(48 * 192, np.float32)}, "type"),
        ({"data": array.array("d", [0.0] * 48 * 192)}, "type"),
        ({"encoding": "yuv422_yuy2", "width": 63}, "size"),
        ({"encoding": "nv12", "height": 31}, "size"),
        ({"encoding": "bayer_rggb8", "height": 2}, "size"),
        ({"encoding": "mono16", "is_bigendian": None}, "type"),
    ],
)
def test_bad_fields_name_their_kind(changes: dict[str, object], kind: str) -> None:
    assert refused(image(picture(), "rgb8", **changes)) == kind


@pytest.mark.parametrize("field", ["height", "width", "step", "data", "encoding"])
def test_a_missing_field_is_named(field: str) -> None:
    message = image(picture(), "rgb8")
    delattr(message, field)
    assert refused(message) == "type"


def test_unknown_encoding_names_the_nearest() -> None:
    with pytest.raises(MessageError, match="did you mean 'mono8'"):
        decode_image(image(picture(), "rgb8", encoding="MONO8"), 1)


def test_wrong_channel_count_is_a_mistake_of_the_caller() -> None:
    with pytest.raises(ConfigError, match="expected 1"):
        decode_image(image(picture(), "rgb8"), 4)


# --- fuzz -----------------------------------------------------------------------------------------

ANYTHING = st.one_of(
    st.none(), st.integers(), st.floats(), st.text(max_size=8), st.binary(max_size=64),
    st.lists(st.integers(0, 255), max_size=4), st.booleans(),
)  # fmt: skip
KINDS = {"type", "encoding", "size", "step", "data_short", "not_finite", "compressed"}
FUZZ = settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
SMALL = st.integers(-1, 40)
DATA = st.one_of(st.binary(max_size=4000), st.integers(0, 20000).map(bytes))


@FUZZ
@given(
    fields=st.fixed_dictionaries(
        {
            "height": st.one_of(SMALL, ANYTHING),
            "width": st.one_of(SMALL, ANYTHING),
            "step": st.one_of(st.integers(-1, 400), ANYTHING),
            "is_bigendian": st.one_of(st.integers(0, 1), ANYTHING),
            "encoding": st.one_of(st.sampled_from(sorted(RAW_ENCODINGS)), ANYTHING),
            "data": st.one_of(DATA, ANYTHING),
        }
    ),
    channels=st.sampled_from([1, 3]),
)
def test_random_fields_raise_nothing_but_message_errors(fields, channels: int) -> None:
    only_message_errors(SimpleNamespace(**fields), channels)


@FUZZ
@given(
    height=st.integers(1, 12),
    width=st.integers(1, 12),
    padding=st.integers(0, 9),
    big_endian=st.integers(0, 1),
    encoding=st.sampled_from(sorted(RAW_ENCODINGS)),
    fill=st.binary(min_size=1, max_size=50),
    channels=st.sampled_from([1, 3]),
)
def test_whole_random_images_decode_or_say_why(
    height, width, padding, big_endian, encoding, fill, channels: int
) -> None:
    step = width * RAW_ENCODINGS[encoding].pixel_bytes + padding
    message = SimpleNamespace(
        height=height, width=width, step=step, is_bigendian=big_endian, encoding=encoding,
        data=(fill * (step * height * 2))[: step * height * 2],
    )  # fmt: skip
    result = only_message_errors(message, channels)
    if result is not None:
        assert result.shape == ((height, width) if channels == 1 else (height, width, 3))


@FUZZ
@given(
    data=st.data(),
    extension=st.sampled_from(["jpg", "png"]),
    format_=st.one_of(st.sampled_from(["jpeg", "bayer_rggb8; png compressed "]), ANYTHING),
    channels=st.sampled_from([1, 3]),
)
def test_damaged_files_raise_nothing_but_message_errors(data, extension, format_, channels) -> None:
    raw = bytearray(compressed(picture(16, 16), extension).data)
    for _ in range(data.draw(st.integers(0, 4))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    tail = data.draw(st.binary(max_size=20))
    only_message_errors(SimpleNamespace(format=format_, data=bytes(raw) + tail), channels)


def only_message_errors(message: object, channels: int) -> np.ndarray | None:
    try:
        result = decode_image(message, channels)
    except MessageError as error:
        refusal = error
    else:
        assert result.dtype == np.uint8
        return result
    assert refusal.kind in KINDS
    assert len(str(refusal)) < 2000
    return None


# --- headers and writing --------------------------------------------------------------------------


def test_stamp_and_frame() -> None:
    stamp = SimpleNamespace(sec=1_700_000_000, nanosec=999_999_999)
    message = SimpleNamespace(header=SimpleNamespace(stamp=stamp, frame_id="camera"))
    assert stamp_ns(message) == 1_700_000_000_999_999_999
    assert frame_id(message) == "camera"


@pytest.mark.parametrize(
    "message",
    [
        SimpleNamespace(),
        SimpleNamespace(header=None),
        SimpleNamespace(header=SimpleNamespace(stamp=SimpleNamespace(sec=1.5, nanosec=0))),
    ],
)
def test_a_bad_header_is_a_message_error(message: object) -> None:
    for read in (stamp_ns, frame_id):
        with pytest.raises(MessageError) as caught:
            read(message)
        assert caught.value.kind == "type"


@pytest.mark.parametrize(
    ("pixels", "encoding", "kind"),
    [
        (np.zeros((4, 4)), "mono8", "type"),
        (np.zeros((4, 4), np.uint8), "rgb8", "type"),
        (np.zeros((4, 4, 4), np.uint8), "rgb8", "type"),
        (np.zeros((4, 4, 3), np.uint8), "mono8", "type"),
        (np.zeros((4, 4), np.uint8), "mono7", "encoding"),
    ],
)
def test_arrays_that_do_not_fit_are_not_written(pixels, encoding: str, kind: str) -> None:
    with pytest.raises(MessageError) as caught:
        array_to_image_fields(pixels, encoding)
    assert caught.value.kind == kind


def test_fields_fit_the_real_classes() -> None:
    """The same picture through rosbags' message and, where ROS is there, rclpy's."""
    typesys = pytest.importorskip("rosbags.typesys")
    types = typesys.get_typestore(typesys.Stores.ROS2_HUMBLE).types
    fields = array_to_image_fields(picture(), "bgr8")
    time = types["builtin_interfaces/msg/Time"](sec=3, nanosec=4)
    header = types["std_msgs/msg/Header"](stamp=time, frame_id="camera")
    data = np.frombuffer(fields["data"], np.uint8)
    message = types["sensor_msgs/msg/Image"](header=header, **{**fields, "data": data})
    assert np.array_equal(decode_image(message, 1), grey(picture()[..., ::-1]))
    assert (stamp_ns(message), frame_id(message)) == (3_000_000_004, "camera")


def test_fields_fit_rclpy_messages() -> None:
    sensor_msgs = pytest.importorskip("sensor_msgs.msg")
    fields = array_to_image_fields(picture(), "bgr8")
    message = sensor_msgs.Image(**{**fields, "data": array.array("B", fields["data"])})
    assert np.array_equal(decode_image(message, 1), grey(picture()[..., ::-1]))
    file = sensor_msgs.CompressedImage(format="png")
    file.data = array.array("B", compressed(picture(), "png").data)
    assert np.array_equal(decode_image(file, 3), picture()[..., ::-1])


@pytest.mark.parametrize(
    ("seconds", "nanoseconds", "fits"),
    [
        (2**31 - 1, 999_999_999, True),
        (2**31 - 1, 10**9, False),
        (2**31 - 5, 2**32 - 1, True),
        (2**31 - 5, 5 * 10**9, False),
        (-(2**31), 0, True),
    ],
)
def test_a_stamp_that_no_answer_could_carry(seconds: int, nanoseconds: int, fits: bool) -> None:
    stamp = SimpleNamespace(sec=seconds, nanosec=nanoseconds)
    message = SimpleNamespace(header=SimpleNamespace(stamp=stamp))
    if fits:
        assert answerable_stamp_ns(message) == seconds * 10**9 + nanoseconds
        return
    with pytest.raises(MessageError, match="32 bits") as caught:
        answerable_stamp_ns(message)
    assert caught.value.kind == "type"
