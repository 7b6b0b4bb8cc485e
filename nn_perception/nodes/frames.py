"""Single camera frames as a client of a classifier handles them."""

from __future__ import annotations

import struct
from typing import Any

import cv2
import numpy as np
from sensor_msgs.msg import CompressedImage, Image

from nn_perception.errors import NnPerceptionError


class ClientError(NnPerceptionError):
    """A classifier that cannot be used: nobody listens, or nobody answers."""


def raw_stamp_ns(raw: bytes) -> int:
    """Return the header stamp of a serialised message that begins with a std_msgs/Header.

    CDR: 4 bytes of encapsulation, whose second holds the byte order, then int32 and uint32.
    """
    if len(raw) < 12:
        raise ClientError(f"a serialised message of {len(raw)} bytes holds no header")
    seconds, nanoseconds = struct.unpack_from("<iI" if raw[1] & 1 else ">iI", raw, 4)
    return int(seconds) * 1_000_000_000 + int(nanoseconds)


def probe(message_class: Any) -> Any:
    """Return a small valid image with the stamp 0."""
    pixels = np.zeros((32, 32), np.uint8)
    if message_class is CompressedImage:
        return CompressedImage(format="png", data=cv2.imencode(".png", pixels)[1].tobytes())
    return Image(height=32, width=32, step=32, encoding="mono8", data=pixels.tobytes())
