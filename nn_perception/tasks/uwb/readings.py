"""A range or a pose, from a message or from its serialised form.

No message class is imported, as in `nn_perception.inertial.readings`: rclpy's messages, those of
rosbags, and the bytes of either (`cdr`) take the same path and give the same numbers.

Nothing but `MessageError` is raised whatever a message holds. Its kinds:

| kind | meaning |
|---|---|
| ``type`` | a field is missing or of a wrong type |
| ``not_finite`` | NaN or infinity in a pose |
| ``not_unit`` | a pose whose quaternion is off by more than 1 % |
| ``undecodable`` | serialised data that is short, damaged or not of this kind (see `cdr`) |

What a range may be is for the pipeline to say: a driver tells much by numbers that are none.
"""

from __future__ import annotations

from math import hypot, isfinite
from typing import Any, NamedTuple

from nn_perception.datasets.uwb_text import Quaternion, Vector3
from nn_perception.errors import MessageError
from nn_perception.messages import frame_id, stamp_ns

UNIT_TOLERANCE = 0.01


class RangeReading(NamedTuple):
    """One sensor_msgs/Range as it came.

    Attributes:
        stamp_ns: header stamp, nanoseconds.
        frame_id: the anchor.
        range_m: as measured; any number.
        min_range_m: the driver's limits; any numbers.
        max_range_m: likewise.
    """

    stamp_ns: int
    frame_id: str
    range_m: float
    min_range_m: float
    max_range_m: float


class OdomReading(NamedTuple):
    """Where the body is, in the frame of the anchors.

    Attributes:
        stamp_ns: header stamp, nanoseconds.
        position_m: x, y, z, finite.
        orientation_xyzw: unit quaternion, body to world.
        variance_m2: of x, y, z, as it came: 0 or less, or not finite, where it is not known.
    """

    stamp_ns: int
    position_m: Vector3
    orientation_xyzw: Quaternion
    variance_m2: Vector3


def range_from_message(message: Any) -> RangeReading:
    """Take the range out of a message; a `RangeReading` is returned as it is.

    Args:
        message: has the fields of sensor_msgs/Range.

    Raises:
        MessageError: ``"type"``.
    """
    if isinstance(message, RangeReading):
        return message
    try:
        limits = float(message.min_range), float(message.max_range)
        return RangeReading(stamp_ns(message), frame_id(message), float(message.range), *limits)
    except (AttributeError, TypeError, ValueError, OverflowError) as error:
        raise _wrong_type(message, "sensor_msgs/Range", "range, min_range, max_range", error) from (
            error
        )


def odometry_from_message(message: Any) -> OdomReading:
    """Take the pose out of a message; an `OdomReading` is returned as it is.

    Args:
        message: has the fields of nav_msgs/Odometry.

    Raises:
        MessageError: ``"type"``, ``"not_finite"`` or ``"not_unit"``.
    """
    if isinstance(message, OdomReading):
        return message
    try:
        pose, covariance = message.pose.pose, message.pose.covariance
        place, turn = pose.position, pose.orientation
        position = float(place.x), float(place.y), float(place.z)
        quat = float(turn.x), float(turn.y), float(turn.z), float(turn.w)
        variance = float(covariance[0]), float(covariance[7]), float(covariance[14])
    except (AttributeError, TypeError, IndexError, ValueError, OverflowError) as error:
        raise _wrong_type(message, "nav_msgs/Odometry", "pose with its covariance", error) from (
            error
        )
    return checked_odometry(stamp_ns(message), position, quat, variance)


def checked_odometry(
    stamp_ns: int, position_m: Vector3, orientation_xyzw: Quaternion, variance_m2: Vector3
) -> OdomReading:
    """Return the reading of a pose, its quaternion made unit.

    Raises:
        MessageError: ``"not_finite"`` or ``"not_unit"``.
    """
    x, y, z, w = orientation_xyzw
    norm = hypot(x, y, z, w)
    if not (isfinite(norm) and all(map(isfinite, position_m))):
        raise MessageError(
            "not_finite",
            f"position {position_m} m, orientation {orientation_xyzw}: expected finite numbers; "
            "check the localisation that publishes the pose",
        )
    if not abs(norm - 1.0) <= UNIT_TOLERANCE:
        raise MessageError(
            "not_unit",
            f"orientation {orientation_xyzw} has the norm {norm:.4g}, expected a unit quaternion "
            "x, y, z, w; an estimator that has no pose yet must not publish one",
        )
    unit = (x / norm, y / norm, z / norm, w / norm)
    return OdomReading(stamp_ns, position_m, unit, variance_m2)


def _wrong_type(message: Any, kind: str, fields: str, error: Exception) -> MessageError:
    return MessageError(
        "type",
        f"{type(message).__name__} cannot be read as {kind}: {error}; expected its fields {fields}",
    )
