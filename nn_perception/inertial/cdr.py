"""sensor_msgs/Imu in its serialised form: read and changed in place of decoding and encoding.

Behind the header, whose layout `nn_perception.cdr` tells:

| bytes | field |
|---|---|
| 0 to 7 | padding, so that what follows lies on a multiple of 8 |
| 4 + 9 doubles | orientation x, y, z, w and its covariance, row by row |
| 3 + 9 doubles | angular_velocity and its covariance |
| 3 + 9 doubles | linear_acceleration and its covariance |

rclpy takes 15 us to make a message of it and more to write it again; this takes 2 us each.
"""

from __future__ import annotations

import struct
from math import isfinite

import numpy as np
from numpy.typing import ArrayLike

from nn_perception.cdr import ENCAPSULATION_BYTES, Buffer, read_header, undecodable
from nn_perception.inertial.readings import ImuReading, checked_reading

BODY_BYTES = 37 * 8

_KIND = "sensor_msgs/Imu"
_RATE = 13 * 8  # bytes from the orientation to the angular velocity
_MEASURED = {order: struct.Struct(f"{order}{_RATE}x4d64x4d") for order in "<>"}
_DOUBLE = {order: np.dtype(f"{order}f8") for order in "<>"}


class ImuCdr:
    """One serialised sensor_msgs/Imu."""

    __slots__ = ("_body", "_order", "buffer", "frame_id", "stamp_ns")

    def __init__(self, buffer: Buffer) -> None:
        """Find the fields; nothing is copied but the frame.

        Args:
            buffer: what a raw subscription or a bag gives; must not change while this is used.

        Raises:
            MessageError: ``"undecodable"``: it is too short, damaged, or of another encoding.
        """
        order, stamp_ns, frame_id, end = read_header(buffer, _KIND)
        self._body = ENCAPSULATION_BYTES + ((end + 7) & ~7)
        if len(buffer) < self._body + BODY_BYTES:
            raise undecodable(buffer, _KIND, f"expected {self._body + BODY_BYTES} bytes in all")
        self.buffer = buffer
        self._order = order
        self.stamp_ns: int = stamp_ns
        self.frame_id = frame_id

    def reading(self) -> ImuReading:
        """Return rate and acceleration.

        Raises:
            MessageError: ``"not_finite"`` or ``"no_data"``, as `reading_from_message`.
        """
        gx, gy, gz, gyro_head, ax, ay, az, accel_head = _MEASURED[self._order].unpack_from(
            self.buffer, self._body
        )
        # A sum is NaN or infinite when a part is; one that only overflows is looked at in detail.
        finite = isfinite(gx + gy + gz + ax + ay + az) or all(
            map(isfinite, (gx, gy, gz, ax, ay, az))
        )
        return checked_reading(
            self.stamp_ns, self.frame_id, (gx, gy, gz, ax, ay, az), (gyro_head, accel_head), finite
        )

    def with_orientation(self, orientation_xyzw: ArrayLike, covariance_rad2: ArrayLike) -> bytes:
        """Return the message with another orientation (4,) and covariance (3, 3) or (9,)."""
        new = self._doubles(orientation_xyzw, 4) + self._doubles(covariance_rad2, 9)
        return self._replaced(self._body, new)

    def with_angular_velocity(
        self, rate_rad_s: ArrayLike, covariance_rad2_s2: ArrayLike | None = None
    ) -> bytes:
        """Return the message with another rate (3,); a covariance of None keeps the message's."""
        new = self._doubles(rate_rad_s, 3)
        if covariance_rad2_s2 is not None:
            new += self._doubles(covariance_rad2_s2, 9)
        return self._replaced(self._body + _RATE, new)

    def vector3_stamped(self, vector: ArrayLike) -> bytes:
        """Return a serialised geometry_msgs/Vector3Stamped with this message's header."""
        # The vector's doubles lie where the orientation's do: same header, same alignment.
        return bytes(self.buffer[: self._body]) + self._doubles(vector, 3)

    def _replaced(self, start: int, new: bytes) -> bytes:
        buffer = self.buffer
        return b"".join((buffer[:start], new, buffer[start + len(new) :]))

    def _doubles(self, values: ArrayLike, count: int) -> bytes:
        """Serialise float64 numbers; the caller has checked that they are finite."""
        data = np.asarray(values, _DOUBLE[self._order]).tobytes()
        if len(data) != 8 * count:
            raise ValueError(f"got {len(data) // 8} numbers, expected {count}")
        return data


def reading_from_cdr(buffer: Buffer) -> ImuReading:
    """Take rate and acceleration out of a serialised sensor_msgs/Imu.

    Raises:
        MessageError: ``"undecodable"``, ``"not_finite"`` or ``"no_data"``.
    """
    return ImuCdr(buffer).reading()
