"""Compressed pictures: what `messages.decode_image` does with a CompressedImage."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from nn_perception.errors import MessageError
from nn_perception.image_encodings import RAW_ENCODINGS, RawEncoding, check_size, decode_raw

MAX_DEFLATE_RATIO = 1032
"""By how much zlib can shrink anything (zlib's technical details)."""
MAX_JPEG_PIXELS_PER_BYTE = 512
"""A block of 8x8 pixels takes at least one bit."""
_PNG_SAMPLES = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}  # of a pixel, by colour type (PNG, 11.2.2)
_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_JPEG_SIGNATURE = b"\xff\xd8"


def decode_compressed(data: bytes, format_name: str, channels: int) -> NDArray[np.uint8]:
    """Decode a JPEG or PNG file to grey or RGB.

    The size is read from the header first, and a file without its end is refused: OpenCV 4 fills
    the missing part of a picture with grey and only prints a warning. EXIF rotation is ignored, as
    the frame of a camera is defined by its unrotated pixels. A mosaic that was compressed as it is
    (`format` starts with ``bayer_``, as image_transport writes it) is demosaiced.

    Args:
        data: the whole file.
        format_name: `format` of sensor_msgs/CompressedImage; the file itself tells JPEG from PNG.
        channels: 1 for grey, 3 for RGB.

    Raises:
        MessageError: ``"compressed"`` for what is damaged, truncated or neither JPEG nor PNG,
            ``"size"`` for an absurd size.
    """
    size = compressed_size(data)
    check_size(*size)
    _check_content(data, *size)
    mosaic = RAW_ENCODINGS.get(format_name.split(";")[0].strip())
    is_mosaic = mosaic is not None and mosaic.layout.startswith("bayer")
    grey = channels == 1 or is_mosaic
    rgb_flag = getattr(cv2, "IMREAD_COLOR_RGB", None)  # OpenCV >= 4.10
    flag = cv2.IMREAD_GRAYSCALE if grey else (cv2.IMREAD_COLOR if rgb_flag is None else rgb_flag)
    try:
        image: Any = cv2.imdecode(
            np.frombuffer(data, np.uint8), flag | cv2.IMREAD_IGNORE_ORIENTATION
        )
    except cv2.error as error:
        raise MessageError("compressed", f"OpenCV cannot decode the picture: {error}") from error
    if image is None or image.shape[:2] != size or image.dtype != np.uint8:
        kind = format_name[:40]
        raise MessageError(
            "compressed", f"OpenCV cannot decode {len(data)} bytes of format {kind!r}: damaged?"
        )
    if is_mosaic and mosaic is not None:
        return decode_raw(
            np.asarray(image, dtype=np.uint8), RawEncoding(mosaic.layout), size, False, channels
        )
    if not grey and rgb_flag is None:
        image = cv2.cvtColor(image, cv2.COLOR_BGR2RGB, dst=image)
    return np.asarray(image, dtype=np.uint8)


def compressed_size(data: bytes) -> tuple[int, int]:
    """Read height and width from a JPEG or PNG header without decoding, and look for the end mark.

    Raises:
        MessageError: ``"compressed"`` when the file is empty, truncated or of another kind.
    """
    if not data:
        raise MessageError("compressed", "compressed image is empty, expected a JPEG or PNG file")
    if data.startswith(_PNG_SIGNATURE):
        return _png_size(data)
    if data.startswith(_JPEG_SIGNATURE):
        return _jpeg_size(data)
    raise MessageError(
        "compressed", f"compressed image starts with {data[:8]!r}, expected a JPEG or PNG file"
    )


def _check_content(data: bytes, height: int, width: int) -> None:
    """Refuse a size for which there is too little data, before memory for it is allocated.

    Raises:
        MessageError: ``"compressed"``.
    """
    if data.startswith(_PNG_SIGNATURE):
        bits = data[24] * _PNG_SAMPLES.get(data[25], 1)
        possible = height * (1 + width * bits // 8) <= MAX_DEFLATE_RATIO * len(data)
    else:
        possible = height * width <= MAX_JPEG_PIXELS_PER_BYTE * len(data)
    if not possible:
        raise MessageError(
            "compressed", f"{len(data)} bytes cannot hold a picture of {width}x{height}: damaged?"
        )


def _png_size(data: bytes) -> tuple[int, int]:
    """Walk the chunks of a PNG (PNG specification, 5.3) from its header to its end.

    Each must lie within the file: OpenCV 4.11 and later allocate what a chunk says it holds, four
    gigabytes for a damaged length.
    """
    size: tuple[int, int] | None = None
    position = len(_PNG_SIGNATURE)
    while position + 12 <= len(data):
        length = int.from_bytes(data[position : position + 4], "big")
        kind = data[position + 4 : position + 8]
        end = position + 12 + length  # with length, kind and checksum
        if end > len(data) or (kind == b"IHDR") != (size is None):
            break
        if size is None:
            if length != 13:
                break
            width, height = data[position + 8 : position + 12], data[position + 12 : position + 16]
            size = int.from_bytes(height, "big"), int.from_bytes(width, "big")
        if kind == b"IEND":
            return size
        position = end
    raise MessageError("compressed", f"PNG of {len(data)} bytes is truncated or damaged")


def _jpeg_size(data: bytes) -> tuple[int, int]:
    """Walk the segments of a JPEG (ITU-T T.81, B.1) to its first scan.

    Walking skips thumbnails, whose own end mark would hide that the picture has none.
    """
    size: tuple[int, int] | None = None
    position = 2
    while position + 4 <= len(data) and data[position] == 0xFF:
        marker = data[position + 1]
        if marker == 0xFF:  # a fill byte
            position += 1
            continue
        if marker == 0xDA:  # start of scan
            if size is None or data.rfind(b"\xff\xd9") <= position:
                break
            return size
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):  # start of frame
            frame = data[position + 5 : position + 9]
            size = int.from_bytes(frame[:2], "big"), int.from_bytes(frame[2:], "big")
        position += 2 + max(2, int.from_bytes(data[position + 2 : position + 4], "big"))
    raise MessageError("compressed", f"JPEG of {len(data)} bytes is truncated or damaged")
