"""sensor_msgs/Range and nav_msgs/Odometry in their serialised form, read and changed in place.

Behind the header, whose layout `nn_perception.cdr` tells, a range has

| bytes | field |
|---|---|
| 1 | radiation_type: uint8 |
| 0 to 3 | padding, so that what follows lies on a multiple of 4 |
| 4 floats | field_of_view, min_range, max_range, range |
| 1 float | variance; not before ROS 2 Iron |

and odometry

| bytes | field |
|---|---|
| 0 to 3, 4 + n | padding, child_frame_id: uint32 length with its terminating zero, then the text |
| 0 to 7 | padding, so that what follows lies on a multiple of 8 |
| 3 + 4 + 36 doubles | pose: position, orientation x, y, z, w, covariance row by row |
| 6 + 36 doubles | twist and its covariance |
"""

from __future__ import annotations

import struct

from nn_perception.cdr import (
    ENCAPSULATION_BYTES,
    MAXIMUM_TEXT_BYTES,
    UINT32,
    Buffer,
    read_header,
    undecodable,
)
from nn_perception.tasks.uwb.readings import OdomReading, RangeReading, checked_odometry

_RANGE, _ODOMETRY = "sensor_msgs/Range", "nav_msgs/Odometry"
_RANGE_BYTES, _VARIANCE_BYTES = 4 * 4, 4
_ODOMETRY_BYTES = 85 * 8
_LIMITS = {order: struct.Struct(f"{order}4x3f") for order in "<>"}
_FLOAT = {order: struct.Struct(f"{order}f") for order in "<>"}
_TWO_FLOATS = {order: struct.Struct(f"{order}2f") for order in "<>"}
# Position, orientation, and of the covariance the variances of x, y and z.
_POSE = {order: struct.Struct(f"{order}8d48xd48xd") for order in "<>"}


class RangeCdr:
    """One serialised sensor_msgs/Range.

    Attributes:
        buffer: as it came.
        stamp_ns: header stamp, nanoseconds.
        frame_id: the anchor.
        range_m: as measured; any number.
        min_range_m: the driver's limits; any numbers.
        max_range_m: likewise.
    """

    __slots__ = (
        "_floats",
        "_order",
        "buffer",
        "frame_id",
        "max_range_m",
        "min_range_m",
        "range_m",
        "stamp_ns",
    )

    def __init__(self, buffer: Buffer) -> None:
        """Read it; nothing is copied but the frame.

        Args:
            buffer: what a raw subscription or a bag gives; must not change while this is used.

        Raises:
            MessageError: ``"undecodable"``: it is too short, damaged, or of another encoding.
        """
        order, self.stamp_ns, self.frame_id, end = read_header(buffer, _RANGE)
        self._floats = ENCAPSULATION_BYTES + ((end + 1 + 3) & ~3)
        if len(buffer) < self._floats + _RANGE_BYTES:
            raise undecodable(buffer, _RANGE, f"expected {self._floats + _RANGE_BYTES} or more")
        self.buffer = buffer
        self._order = order
        self.min_range_m: float
        self.max_range_m: float
        self.range_m: float
        self.min_range_m, self.max_range_m, self.range_m = _LIMITS[order].unpack_from(
            buffer, self._floats
        )

    @property
    def has_variance(self) -> bool:
        """Whether the message has the field ``variance``."""
        return len(self.buffer) >= self._floats + _RANGE_BYTES + _VARIANCE_BYTES

    def reading(self) -> RangeReading:
        """Return what the pipeline takes."""
        return RangeReading(
            self.stamp_ns, self.frame_id, self.range_m, self.min_range_m, self.max_range_m
        )

    def with_range(self, range_m: float, variance_m2: float) -> bytes:
        """Return the message with another range; the variance only where it has the field."""
        if self.has_variance:
            new = _TWO_FLOATS[self._order].pack(range_m, variance_m2)
        else:
            new = _FLOAT[self._order].pack(range_m)
        start = self._floats + _RANGE_BYTES - 4
        buffer = self.buffer
        return b"".join((buffer[:start], new, buffer[start + len(new) :]))


def odometry_from_cdr(buffer: Buffer) -> OdomReading:
    """Take the pose out of a serialised nav_msgs/Odometry.

    Raises:
        MessageError: ``"undecodable"``, ``"not_finite"`` or ``"not_unit"``.
    """
    order, stamp_ns, _, end = read_header(buffer, _ODOMETRY)
    at = (end + 3) & ~3
    if len(buffer) < ENCAPSULATION_BYTES + at + 4:
        raise undecodable(buffer, _ODOMETRY, "expected a child_frame_id behind the header")
    (length,) = UINT32[order].unpack_from(buffer, ENCAPSULATION_BYTES + at)
    pose = ENCAPSULATION_BYTES + ((at + 4 + length + 7) & ~7)
    if length > MAXIMUM_TEXT_BYTES or len(buffer) < pose + _ODOMETRY_BYTES:
        raise undecodable(
            buffer,
            _ODOMETRY,
            f"a child_frame_id of {length} bytes makes {pose + _ODOMETRY_BYTES} bytes in all",
        )
    px, py, pz, x, y, z, w, xx, yy, zz = _POSE[order].unpack_from(buffer, pose)
    return checked_odometry(stamp_ns, (px, py, pz), (x, y, z, w), (xx, yy, zz))
