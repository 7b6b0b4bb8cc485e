"""sensor_msgs/Image and CompressedImage in their serialised form, read without copying the pixels.

Behind the header, whose layout `nn_perception.cdr` tells, each number aligned to its size:

| sensor_msgs/Image | sensor_msgs/CompressedImage |
|---|---|
| uint32 height, uint32 width | string format |
| string encoding | uint32 length, then the bytes of data |
| uint8 is_bigendian, uint32 step | |
| uint32 length, then the bytes of data | |

rclpy makes a message of 640x480 pixels in 80 us and of 1920x1080 in 850 us; this takes 4 us.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from nn_perception.cdr import (
    ENCAPSULATION_BYTES,
    HEADER,
    UINT32,
    Buffer,
    read_header,
    undecodable,
)

IMAGE, COMPRESSED = "sensor_msgs/Image", "sensor_msgs/CompressedImage"

MAXIMUM_NAME_BYTES = 256
"""Of an encoding or format; a longer one is damage."""

_TWO = {order: struct.Struct(f"{order}II") for order in "<>"}


class Stamp(NamedTuple):
    """The fields of builtin_interfaces/Time."""

    sec: int
    nanosec: int


class RawHeader(NamedTuple):
    """The fields of std_msgs/Header."""

    stamp: Stamp
    frame_id: str


class RawImage(NamedTuple):
    """The fields of sensor_msgs/Image; ``data`` is a view of the serialised message."""

    header: RawHeader
    height: int
    width: int
    encoding: str
    is_bigendian: int
    step: int
    data: NDArray[np.uint8]


class RawCompressedImage(NamedTuple):
    """The fields of sensor_msgs/CompressedImage; ``data`` is a view of the serialised message."""

    header: RawHeader
    format: str
    data: NDArray[np.uint8]


def image_from_cdr(buffer: Buffer) -> RawImage:
    """Find the fields of a serialised sensor_msgs/Image.

    Args:
        buffer: what a raw subscription or a bag gives; must not change while the result is used.

    Raises:
        MessageError: ``"undecodable"``: it is too short, damaged, or of another encoding.
    """
    cursor = _Cursor(buffer, IMAGE)
    height, width = cursor.two()
    encoding = cursor.text()
    is_bigendian = cursor.byte()
    step = cursor.one()
    return RawImage(cursor.header, height, width, encoding, is_bigendian, step, cursor.data())


def compressed_from_cdr(buffer: Buffer) -> RawCompressedImage:
    """Find the fields of a serialised sensor_msgs/CompressedImage; see `image_from_cdr`."""
    cursor = _Cursor(buffer, COMPRESSED)
    return RawCompressedImage(cursor.header, cursor.text(), cursor.data())


def header_from_cdr(buffer: Buffer, kind: str) -> tuple[RawHeader, str, int]:
    """Return the header of a serialised message, the byte order, and where the header ends.

    See `nn_perception.cdr.read_header` for arguments, the last two results and errors.
    """
    order, _, frame_id, end = read_header(buffer, kind)
    # The stamp's own two numbers: nanoseconds above a second, which are wrong, stay as they came.
    seconds, nanoseconds, _ = HEADER[order].unpack_from(buffer, ENCAPSULATION_BYTES)
    return RawHeader(Stamp(seconds, nanoseconds), frame_id), order, end


class _Cursor:
    """Reads one field after the other; what does not fit is a `MessageError`."""

    def __init__(self, buffer: Buffer, kind: str) -> None:
        self._buffer, self._kind = buffer, kind
        self.header, self._order, end = header_from_cdr(buffer, kind)
        # Alignment counts from behind the encapsulation, whose size is a multiple of 4.
        self._at = ENCAPSULATION_BYTES + end

    def one(self) -> int:
        """Read a uint32."""
        value: int = UINT32[self._order].unpack_from(self._buffer, self._take(4, 4))[0]
        return value

    def two(self) -> tuple[int, int]:
        """Read two of them."""
        first, second = _TWO[self._order].unpack_from(self._buffer, self._take(8, 4))
        return first, second

    def byte(self) -> int:
        """Read a uint8."""
        return self._buffer[self._take(1, 1)]

    def text(self) -> str:
        """Read a string with its terminating zero."""
        length = self.one()
        if length > MAXIMUM_NAME_BYTES:
            raise undecodable(self._buffer, self._kind, f"a name of {length} bytes is too long")
        start = self._take(length, 1)
        try:
            text = bytes(self._buffer[start : start + length]).decode()
        except UnicodeDecodeError as error:
            raise undecodable(self._buffer, self._kind, f"expected UTF-8 ({error})") from None
        return text[:-1] if text[-1:] == "\0" else text

    def data(self) -> NDArray[np.uint8]:
        """Return a view of a sequence of uint8."""
        length = self.one()
        return np.frombuffer(self._buffer, np.uint8, length, self._take(length, 1))

    def _take(self, size: int, alignment: int) -> int:
        """Return where a field of this size begins, and step behind it."""
        start = (self._at + alignment - 1) & -alignment
        self._at = start + size
        if self._at > len(self._buffer):
            wanted = f"a field of {size} bytes at {start} does not fit"
            raise undecodable(self._buffer, self._kind, wanted)
        return start
