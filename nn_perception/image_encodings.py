"""Raw pixel formats: what `messages.decode_image` does once the fields of an Image are read.

The table `RAW_ENCODINGS` follows `sensor_msgs/image_encodings.hpp`. Everything here takes plain
values and arrays, so that nothing depends on a message class.

Rules that every encoding shares, so that one picture gives one answer however it was packed:

* 16 bit samples keep their high byte (a full-range 16 bit image equals its 8 bit version).
* 32 bit floats are intensities 0..1, scaled to 0..255 and clipped.
* YUV is video range BT.601 (Y 16..235), as OpenCV and USB cameras have it; grey is Y *expanded* to
  0..255, so that it equals the grey of the RGB picture. (cv_bridge leaves Y as it is.)
* Alpha is dropped.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from nn_perception.errors import MessageError, nearest

MAX_PIXELS = 100_000_000
"""Larger pictures are refused: no robot camera makes them, and a decompression bomb does."""

_VIDEO_RANGE = np.clip(np.round((np.arange(256.0) - 16.0) * 255.0 / 219.0), 0, 255).astype(np.uint8)


@dataclass(frozen=True)
class RawEncoding:
    """How one `encoding` of sensor_msgs/Image lays out its bytes.

    Attributes:
        layout: key of the colour conversion (``"mono"``, ``"rgb"``, ``"bayer_rggb"``, ``"yuy2"``).
        samples: samples per pixel in one row (2 for packed YUV 4:2:2, 1 for planar NV12).
        sample_bytes: 1 (uint8), 2 (uint16) or 4 (float32).
    """

    layout: str
    samples: int = 1
    sample_bytes: int = 1

    @property
    def pixel_bytes(self) -> int:
        """Bytes per pixel in one row."""
        return self.samples * self.sample_bytes

    def rows(self, height: int) -> int:
        """Rows of ``step`` bytes for ``height`` rows of pixels (NV12 adds half for U and V)."""
        return height * 3 // 2 if self.is_planar else height

    @property
    def is_planar(self) -> bool:
        """Whether the colours follow the grey values as rows of their own."""
        return self.layout in ("nv12", "nv21")

    def check_size(self, height: int, width: int) -> None:
        """Refuse sizes that this encoding cannot have.

        Raises:
            MessageError: ``"size"``.
        """
        shares_columns = self.is_planar or self.layout in ("yuy2", "uyvy")
        if (shares_columns and width % 2) or (self.is_planar and height % 2):
            raise MessageError(
                "size", f"{width}x{height} is odd, but pixels of {self.layout} share their colours"
            )
        if self.layout.startswith("bayer") and min(height, width) < 3:  # OpenCV would answer black
            raise MessageError("size", f"{width}x{height} is too small to demosaic, needs 3x3")


def _raw_encodings() -> dict[str, RawEncoding]:
    table = {
        "8UC1": RawEncoding("mono"),
        "8UC3": RawEncoding("bgr", 3),
        "8UC4": RawEncoding("bgra", 4),
        "16UC1": RawEncoding("mono", 1, 2),
        "16UC3": RawEncoding("bgr", 3, 2),
        "16UC4": RawEncoding("bgra", 4, 2),
        "32FC1": RawEncoding("mono", 1, 4),
    }
    for layout, samples in (("mono", 1), ("rgb", 3), ("bgr", 3), ("rgba", 4), ("bgra", 4)):
        table[f"{layout}8"] = RawEncoding(layout, samples)
        table[f"{layout}16"] = RawEncoding(layout, samples, 2)
    for pattern in ("rggb", "bggr", "gbrg", "grbg"):
        table[f"bayer_{pattern}8"] = RawEncoding(f"bayer_{pattern}")
        table[f"bayer_{pattern}16"] = RawEncoding(f"bayer_{pattern}", 1, 2)
    table.update(dict.fromkeys(("yuv422_yuy2", "yuyv"), RawEncoding("yuy2", 2)))
    table.update(dict.fromkeys(("yuv422", "uyvy"), RawEncoding("uyvy", 2)))
    table.update({name: RawEncoding(name) for name in ("nv12", "nv21")})
    return table


RAW_ENCODINGS: dict[str, RawEncoding] = _raw_encodings()
"""Every `encoding` that `decode_image` understands."""

# OpenCV names a mosaic after the second row, second and third column; ROS after the first pixels.
# The names OpenCV 4.5 added (COLOR_BayerRGGB2RGB) are the same numbers, but older ones lack them.
_TO_RGB: dict[str, int] = {
    "mono": cv2.COLOR_GRAY2RGB,
    "bgr": cv2.COLOR_BGR2RGB,
    "rgba": cv2.COLOR_RGBA2RGB,
    "bgra": cv2.COLOR_BGRA2RGB,
    "bayer_rggb": cv2.COLOR_BayerBG2RGB,
    "bayer_bggr": cv2.COLOR_BayerRG2RGB,
    "bayer_gbrg": cv2.COLOR_BayerGR2RGB,
    "bayer_grbg": cv2.COLOR_BayerGB2RGB,
    "yuy2": cv2.COLOR_YUV2RGB_YUY2,
    "uyvy": cv2.COLOR_YUV2RGB_UYVY,
    "nv12": cv2.COLOR_YUV2RGB_NV12,
    "nv21": cv2.COLOR_YUV2RGB_NV21,
}
_TO_GREY: dict[str, int] = {
    "rgb": cv2.COLOR_RGB2GRAY,
    "bgr": cv2.COLOR_BGR2GRAY,
    "rgba": cv2.COLOR_RGBA2GRAY,
    "bgra": cv2.COLOR_BGRA2GRAY,
    "bayer_rggb": cv2.COLOR_BayerBG2GRAY,
    "bayer_bggr": cv2.COLOR_BayerRG2GRAY,
    "bayer_gbrg": cv2.COLOR_BayerGR2GRAY,
    "bayer_grbg": cv2.COLOR_BayerGB2GRAY,
}


def find_encoding(name: str) -> RawEncoding:
    """Look up an `encoding`.

    Raises:
        MessageError: ``"encoding"`` with the nearest known name and all of them.
    """
    found = RAW_ENCODINGS.get(name)
    if found is None:
        short = name[:40]
        raise MessageError(
            "encoding",
            f"image encoding {short!r} is not supported{nearest(short.lower(), RAW_ENCODINGS)}"
            f" (supported: {', '.join(sorted(RAW_ENCODINGS))})",
        )
    return found


def decode_raw(
    rows: NDArray[np.uint8],
    encoding: RawEncoding,
    size: tuple[int, int],
    big_endian: bool,
    channels: int,
) -> NDArray[np.uint8]:
    """Turn the bytes of a raw image into grey or RGB, with one conversion at most.

    Args:
        rows: (rows, width * pixel_bytes) uint8; the rows may be strided (padded `step`).
        encoding: how the bytes are laid out.
        size: height and width in pixels, both > 0.
        big_endian: byte order of 16 bit and float samples.
        channels: 1 for grey, 3 for RGB.

    Returns:
        uint8 (H, W) or (H, W, 3); a view of `rows` where nothing had to be converted.

    Raises:
        MessageError: ``"not_finite"``, or ``"size"`` for a size that the encoding cannot have.
    """
    height, width = size
    encoding.check_size(height, width)
    if encoding.sample_bytes == 2:
        # The high byte is one "channel" of the byte pair: no byte order to swap, nothing to shift.
        pairs = rows.reshape(rows.shape[0], -1, 2)
        rows = np.asarray(cv2.extractChannel(pairs, 0 if big_endian else 1), dtype=np.uint8)
    elif encoding.sample_bytes == 4:
        rows = _unit_floats_to_bytes(rows, big_endian)
    pixels = rows if encoding.samples == 1 else rows.reshape(height, width, encoding.samples)
    return _convert(pixels, encoding.layout, height, channels)


def _convert(
    pixels: NDArray[np.uint8], layout: str, height: int, channels: int
) -> NDArray[np.uint8]:
    """Convert 8 bit pixels of one layout to grey or RGB."""
    if layout == ("mono" if channels == 1 else "rgb"):
        return pixels
    if channels == 1:
        if layout in ("nv12", "nv21"):
            return _bytes(cv2.LUT(pixels[:height], _VIDEO_RANGE))
        if layout in ("yuy2", "uyvy"):
            luma = cv2.extractChannel(pixels, 0 if layout == "yuy2" else 1)
            return _bytes(cv2.LUT(luma, _VIDEO_RANGE))
        return _bytes(cv2.cvtColor(pixels, _TO_GREY[layout]))
    return _bytes(cv2.cvtColor(pixels, _TO_RGB[layout]))


def _bytes(image: Any) -> NDArray[np.uint8]:
    return np.asarray(image, dtype=np.uint8)  # no copy: cv2 gave uint8; this tells the type checker


def _unit_floats_to_bytes(rows: NDArray[np.uint8], big_endian: bool) -> NDArray[np.uint8]:
    """Scale float32 intensities 0..1 to 0..255."""
    order = ">f4" if big_endian else "<f4"
    values = np.ascontiguousarray(rows).view(order)
    bad = values.size - int(np.count_nonzero(np.isfinite(values)))
    if bad:
        raise MessageError(
            "not_finite", f"{bad} of {values.size} float pixels are NaN or infinite, expected 0..1"
        )
    return np.asarray(np.clip(values, 0.0, 1.0) * np.float32(255.0) + 0.5, dtype=np.uint8)


def check_size(height: int, width: int) -> None:
    """Refuse empty and absurd sizes.

    Raises:
        MessageError: ``"size"``.
    """
    if height < 1 or width < 1 or height * width > MAX_PIXELS:
        raise MessageError(
            "size", f"image is {width}x{height}, expected 1x1 to {MAX_PIXELS:,} pixels in all"
        )
