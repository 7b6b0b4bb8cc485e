"""Image messages, and messages with boxes, to NumPy and back, by fields only.

No message class is imported: whatever has the fields of sensor_msgs/Image (`encoding`, `height`,
`width`, `step`, `is_bigendian`, `data`) or sensor_msgs/CompressedImage (`format`, `data`) works, so
that a live rclpy message and one that rosbags read from a file take the same path.

`decode_image` raises nothing but `MessageError` whatever a message holds. Its kinds:

| kind | meaning |
|---|---|
| ``type`` | a field is missing or of a wrong type |
| ``encoding`` | an encoding that is not known |
| ``size`` | empty, above 100 megapixels, or impossible for the encoding |
| ``step`` | `step` is shorter than a row of pixels |
| ``data_short`` | `data` is shorter than `step * height` |
| ``not_finite`` | NaN or infinity among float pixels |
| ``compressed`` | not JPEG or PNG, truncated or damaged |
"""

from __future__ import annotations

import operator
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from nn_perception.errors import ConfigError, MessageError
from nn_perception.image_codecs import decode_compressed
from nn_perception.image_encodings import check_size, decode_raw, find_encoding


def decode_image(message: Any, channels: int) -> NDArray[np.uint8]:
    """Turn an image message into grey or RGB pixels, with one conversion at most.

    `data` longer than `step * height` is accepted, since common drivers pad it.

    Args:
        message: has the fields of sensor_msgs/Image or sensor_msgs/CompressedImage.
        channels: 1 for grey (ITU-R BT.601 weights), 3 for RGB.

    Returns:
        uint8 (H, W) for 1 channel, (H, W, 3) RGB for 3. Where nothing had to be converted (mono8 as
        grey, rgb8 as RGB) this is a view of `message.data`: maybe read-only, strided when `step` is
        padded, and to be copied by whoever keeps it longer than the message or writes to it.

    Raises:
        MessageError: with the kinds that the table of this module names.
        ConfigError: `channels` is neither 1 nor 3.
    """
    if channels != 1 and channels != 3:
        raise ConfigError(f"channels is {channels!r}, expected 1 (grey) or 3 (RGB)")
    encoding = getattr(message, "encoding", None)
    if encoding is None:
        if not hasattr(message, "format"):
            raise MessageError(
                "type",
                f"{type(message).__name__} has neither 'encoding' nor 'format', expected the fields"
                " of sensor_msgs/Image or sensor_msgs/CompressedImage",
            )
        name = _text(message, "format")
        return decode_compressed(_data_bytes(message).tobytes(), name, channels)
    return _decode_plain(message, channels)


def _decode_plain(message: Any, channels: int) -> NDArray[np.uint8]:
    """Decode a message with the fields of sensor_msgs/Image."""
    encoding = find_encoding(_text(message, "encoding"))
    height = _integer(message, "height")
    width = _integer(message, "width")
    step = _integer(message, "step")
    check_size(height, width)
    row_bytes = width * encoding.pixel_bytes
    if step < row_bytes:
        raise MessageError(
            "step", f"step is {step}, expected at least {row_bytes} for {width} {encoding.layout}"
        )
    rows = encoding.rows(height)
    data = _data_bytes(message)
    if data.size < rows * step:
        raise MessageError(
            "data_short",
            f"data has {data.size} bytes, expected {rows * step} ({rows} rows of step {step})",
        )
    pixels = data[: rows * step].reshape(rows, step)[:, :row_bytes]
    big_endian = encoding.sample_bytes > 1 and _integer(message, "is_bigendian") != 0
    try:
        return decode_raw(pixels, encoding, (height, width), big_endian, channels)
    except cv2.error as error:
        raise MessageError(
            "size", f"OpenCV cannot convert {width}x{height} {message.encoding}: {error}"
        ) from error


def decode_boxes(message: Any, limit: int) -> tuple[NDArray[np.float64], int]:
    """Read the boxes of a vision_msgs/Detection2DArray.

    Of a turned box (`center.theta`) the upright box around it is taken.

    Args:
        message: has its fields: `detections`, each with a `bbox`.
        limit: the first so many are read; a message may hold any number of them.

    Returns:
        (N, 4) left, top, width, height in pixels, whatever the message says; and how many boxes
        were beyond the limit.

    Raises:
        MessageError: ``"type"`` when fields are missing or no numbers.
    """
    try:
        detections = message.detections
        rows = [
            (
                box.center.position.x,
                box.center.position.y,
                box.size_x,
                box.size_y,
                box.center.theta,
            )
            for box in (detection.bbox for detection in detections[:limit])
        ]
        values = np.array(rows, np.float64).reshape(-1, 5)
        beyond = max(0, len(detections) - limit)
    except (AttributeError, TypeError, ValueError) as error:
        raise MessageError(
            "type", f"{type(message).__name__} is no vision_msgs/Detection2DArray: {error}"
        ) from None
    centre, size, theta = values[:, :2], values[:, 2:4], values[:, 4]
    with np.errstate(invalid="ignore", over="ignore"):
        cos, sin = np.abs(np.cos(theta)), np.abs(np.sin(theta))
        width, height = size[:, 0] * cos + size[:, 1] * sin, size[:, 0] * sin + size[:, 1] * cos
        upright = np.stack((width, height), axis=1)
        corner = centre - upright / 2
    return np.concatenate((corner, upright), axis=1), beyond


def stamp_ns(message: Any) -> int:
    """Return `header.stamp` in nanoseconds.

    Raises:
        MessageError: ``"type"`` when the message has no such integers.
    """
    try:
        stamp = message.header.stamp
        return operator.index(stamp.sec) * 1_000_000_000 + operator.index(stamp.nanosec)
    except (AttributeError, TypeError) as error:
        raise MessageError(
            "type", f"{type(message).__name__} has no integer header.stamp: {error}"
        ) from error


def answerable_stamp_ns(message: Any) -> int:
    """Return `header.stamp` in nanoseconds, of a message whose answer is given a stamp made of it.

    Raises:
        MessageError: as `stamp_ns`, and for a stamp that no message could carry, since its
            nanoseconds lead beyond the last second of 32 bits.
    """
    total = stamp_ns(message)
    if not -(2**31) <= total // 1_000_000_000 < 2**31:
        raise MessageError("type", f"header.stamp is {total} ns, expected a time of 32 bits")
    return total


def frame_id(message: Any) -> str:
    """Return `header.frame_id`.

    Raises:
        MessageError: ``"type"`` when the message has no such text.
    """
    header = getattr(message, "header", None)
    if header is None:
        raise MessageError("type", f"{type(message).__name__} has no header")
    return _text(header, "frame_id")


def array_to_image_fields(image: NDArray[Any], encoding: str) -> dict[str, Any]:
    """Return the fields of sensor_msgs/Image for an array that is already in the encoding's layout.

    Args:
        image: (H, W) or (H, W, C) of uint8, uint16 or float32, as the encoding says; packed YUV is
            (H, W, 2) uint8, NV12 (H * 3 / 2, W) uint8.
        encoding: any of `image_encodings.RAW_ENCODINGS`.

    Returns:
        `height`, `width`, `encoding`, `is_bigendian` (0), `step`, and `data` as bytes (what rclpy
        copies fastest; rosbags wants ``np.frombuffer(data, np.uint8)``). No header.

    Raises:
        MessageError: ``"encoding"``, or ``"type"`` when dtype or shape do not fit it.
    """
    spec = find_encoding(encoding)
    dtype = np.dtype({1: "u1", 2: "<u2", 4: "<f4"}[spec.sample_bytes])
    shape_ok = image.ndim == 2 if spec.samples == 1 else image.ndim == 3
    if not shape_ok or image[0:1].size == 0 or image.dtype.newbyteorder("<") != dtype:
        raise MessageError(
            "type", f"{image.dtype} {image.shape} is no {encoding}, expected {dtype} pixels"
        )
    height, width = image.shape[:2]
    if spec.samples != 1 and image.shape[2] != spec.samples:
        raise MessageError(
            "type", f"{encoding} has {spec.samples} channels, got an array {image.shape}"
        )
    return {
        "height": int(height if spec.rows(2) == 2 else height * 2 // 3),
        "width": int(width),
        "encoding": encoding,
        "is_bigendian": 0,
        "step": int(width) * spec.pixel_bytes,
        "data": np.ascontiguousarray(image, dtype=dtype).tobytes(),
    }


def _integer(message: Any, field: str) -> int:
    try:
        return operator.index(getattr(message, field))
    except AttributeError:
        raise MessageError("type", f"{type(message).__name__} has no field '{field}'") from None
    except TypeError:
        value = getattr(message, field)
        raise MessageError(
            "type", f"'{field}' is {type(value).__name__}, expected an integer"
        ) from None


def _text(message: Any, field: str) -> str:
    value = getattr(message, field, None)
    if not isinstance(value, str):
        raise MessageError("type", f"'{field}' is {type(value).__name__}, expected a string")
    return value


def _data_bytes(message: Any) -> NDArray[np.uint8]:
    """Return `data` as a flat uint8 array, without a copy for all that ROS libraries deliver."""
    data = getattr(message, "data", None)
    if isinstance(data, np.ndarray):
        if data.dtype != np.uint8:
            raise MessageError("type", f"'data' is an array of {data.dtype}, expected uint8")
        return data.reshape(-1)
    try:
        if type(data) is not bytes and memoryview(data).itemsize != 1:  # type: ignore[arg-type]
            raise TypeError("its items are not bytes")
        return np.frombuffer(data, np.uint8)  # type: ignore[arg-type]
    except (TypeError, ValueError, BufferError) as error:
        raise MessageError(
            "type", f"'data' is {type(data).__name__}, expected bytes or uint8: {error}"
        ) from None
