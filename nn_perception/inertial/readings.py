"""One sample of an inertial measurement unit, from a message or from its serialised form.

No message class is imported: whatever has the fields of sensor_msgs/Imu works, so that a live rclpy
message, one that rosbags read from a file, and the bytes of either (`cdr`) take the same path and
give the same numbers.

Nothing but `MessageError` is raised whatever a message holds. Its kinds:

| kind | meaning |
|---|---|
| ``type`` | a field is missing or of a wrong type |
| ``not_finite`` | NaN or infinity in the rate or the acceleration (REP-117) |
| ``out_of_range`` | a rate or acceleration beyond what any sensor measures: damage |
| ``no_data`` | a covariance begins with -1: the driver does not measure this quantity |
| ``undecodable`` | serialised data that is short, damaged or not of this kind (see `cdr`) |
"""

from __future__ import annotations

from math import isfinite
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from nn_perception.errors import MessageError
from nn_perception.messages import frame_id, stamp_ns

Float64Array = NDArray[np.float64]

NO_DATA = -1.0
"""First element of a covariance whose quantity is not measured (sensor_msgs/Imu)."""

MAX_RATE_RAD_S = 1e4
MAX_ACCEL_M_S2 = 1e6
"""Thirty and ten times what the fastest gyroscope and a shock sensor measure. Larger numbers are
damage; some way above them squares overflow in float32, and a filter's state would be lost."""


class ImuReading(NamedTuple):
    """One sample, in the sensor's frame. Its arrays are this sample's own and are not shared.

    Attributes:
        stamp_ns: header stamp, nanoseconds.
        frame_id: frame of the sensor.
        gyro_rad_s: (3,) angular rate, finite.
        accel_m_s2: (3,) specific force, +9.8 along up at rest, finite.
    """

    stamp_ns: int
    frame_id: str
    gyro_rad_s: Float64Array
    accel_m_s2: Float64Array


def reading_from_message(message: Any) -> ImuReading:
    """Take rate and acceleration out of a message; an `ImuReading` is returned as it is.

    Args:
        message: has the fields of sensor_msgs/Imu.

    Raises:
        MessageError: ``"type"``, ``"not_finite"``, ``"out_of_range"`` or ``"no_data"``; see this
            module's table.
    """
    if isinstance(message, ImuReading):
        return message
    try:
        rate, force = message.angular_velocity, message.linear_acceleration
        values = (rate.x, rate.y, rate.z, force.x, force.y, force.z)
        finite = all(map(isfinite, values))
        heads = (
            float(message.angular_velocity_covariance[0]),
            float(message.linear_acceleration_covariance[0]),
        )
    except (AttributeError, TypeError, IndexError, ValueError, OverflowError) as error:
        raise MessageError(
            "type",
            f"{type(message).__name__} cannot be read as sensor_msgs/Imu: {error}; expected its "
            "fields angular_velocity and linear_acceleration with their covariances",
        ) from error
    return checked_reading(stamp_ns(message), frame_id(message), values, heads, finite)


def checked_reading(
    stamp_ns: int,
    frame_id: str,
    values: tuple[float, ...],
    covariance_heads: tuple[float, float],
    finite: bool,
) -> ImuReading:
    """Return the reading of three rates (rad/s) and three accelerations (m/s2).

    Args:
        stamp_ns: header stamp.
        frame_id: of the header.
        values: rate x, y, z, acceleration x, y, z.
        covariance_heads: first element of the rate's and the acceleration's covariance.
        finite: whether all ``values`` are.

    Raises:
        MessageError: ``"no_data"``, ``"not_finite"`` or ``"out_of_range"``.
    """
    if NO_DATA in covariance_heads:
        raise _no_data(covariance_heads)
    if not finite:
        raise MessageError(
            "not_finite",
            f"rate {values[:3]} rad/s, acceleration {values[3:]} m/s2: expected finite numbers; "
            "check the driver and the sensor's cable",
        )
    gx, gy, gz, ax, ay, az = values
    if not (
        min(gx, gy, gz) >= -MAX_RATE_RAD_S
        and max(gx, gy, gz) <= MAX_RATE_RAD_S
        and min(ax, ay, az) >= -MAX_ACCEL_M_S2
        and max(ax, ay, az) <= MAX_ACCEL_M_S2
    ):
        raise MessageError(
            "out_of_range",
            f"rate {values[:3]} rad/s, acceleration {values[3:]} m/s2: expected "
            f"{MAX_RATE_RAD_S:g} and {MAX_ACCEL_M_S2:g} at most; check units and the sensor's bus",
        )
    both = np.array(values, np.float64)
    return ImuReading(stamp_ns, frame_id, both[:3], both[3:])


def _no_data(covariance_heads: tuple[float, float]) -> MessageError:
    names = ("angular_velocity", "linear_acceleration")
    missing = [name for name, head in zip(names, covariance_heads, strict=True) if head == NO_DATA]
    return MessageError(
        "no_data",
        f"{' and '.join(missing)} are marked as not measured ({missing[0]}_covariance[0] is -1); "
        "rate and acceleration are needed in one message: a driver that publishes them apart must "
        "unite them",
    )
