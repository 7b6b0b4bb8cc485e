"""Errors of an estimated orientation: total, heading and inclination, as BROAD defines them.

Laidig, Caruso, Cereatti and Seel, "BROAD - A benchmark for robust inertial orientation
estimation", Data 6(7), 2021: with d = q_est * inv(q_true), total = 2 acos |w|, heading =
2 atan |z / w|, inclination = 2 acos sqrt(w^2 + z^2). The error is taken in the world frame, z up.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from nn_perception.rotations.arrays import (
    Array,
    RotationError,
    atan2,
    checked,
    fit,
    norm,
    root,
    split,
)
from nn_perception.rotations.quaternions import product


@dataclass(frozen=True, eq=False)
class AttitudeErrors:
    """Errors per orientation, in rad, each of shape (...); NaN where the truth is NaN.

    Attributes:
        total_rad: angle of the whole error rotation, 0 to pi.
        heading_rad: its part about the vertical, 0 to pi.
        inclination_rad: the angle between the up-vectors, 0 to pi.
    """

    total_rad: Array
    heading_rad: Array
    inclination_rad: Array


@dataclass(frozen=True, eq=False)
class AttitudeRms:
    """Root mean squares over time, in degrees, each of shape (...); see `AttitudeErrors`."""

    total_deg: Array
    heading_deg: Array
    inclination_deg: Array


def attitude_errors(estimate_xyzw: Array, truth_xyzw: Array) -> AttitudeErrors:
    """Return the errors of estimated orientations (..., 4) against true ones (..., 4).

    The arc cosines are written as arc tangents, which equal them and keep their accuracy at small
    errors: 2 atan2(|xyz|, |w|), 2 atan2(|z|, |w|), 2 atan2(|xy|, |zw|).

    Raises:
        RotationError: not (..., 4), not floating, or leading axes that do not broadcast.
    """
    xp = checked(4, estimate_xyzw=estimate_xyzw, truth_xyzw=truth_xyzw)
    tx, ty, tz, tw = split(truth_xyzw)
    x, y, z, w = product(split(estimate_xyzw), (-tx, -ty, -tz, tw))
    return AttitudeErrors(
        total_rad=(2.0 * atan2(xp, norm(xp, (x, y, z)), abs(w)))[..., 0],
        heading_rad=(2.0 * atan2(xp, abs(z), abs(w)))[..., 0],
        inclination_rad=(2.0 * atan2(xp, norm(xp, (x, y)), norm(xp, (z, w))))[..., 0],
    )


def rms_ignoring_nan(values: Array, include: Array | None = None) -> Array:
    """Return the root mean square over the last axis, (..., N) -> (...), in the unit of ``values``.

    NaN values are left out; where nothing is left the result is NaN.

    Args:
        values: (..., N).
        include: bool, broadcasts to (..., N): which values count; all if None.

    Raises:
        RotationError: another type or shape.
    """
    xp = checked(values=values)
    if values.ndim < 1:
        raise RotationError("values is a scalar, expected (..., N); give the errors over time")
    valid = ~xp.isnan(values)
    if include is not None:
        if str(getattr(include, "dtype", None)).rpartition(".")[2] != "bool":
            raise RotationError(
                f"include is {getattr(include, 'dtype', type(include).__name__)}, expected an "
                "array of bool; compare it first, as in movement > 0"
            )
        fit("values and include", tuple(values.shape), tuple(include.shape))
        valid = valid & include
    kept = xp.where(valid, values, 0.0)
    count = xp.sum(xp.astype(valid, values.dtype), axis=-1)
    mean = xp.sum(kept * kept, axis=-1) / xp.where(count == 0, math.nan, count)
    return root(xp, mean)


def attitude_rms_deg(
    estimate_xyzw: Array, truth_xyzw: Array, include: Array | None = None
) -> AttitudeRms:
    """Return the RMS errors in degrees over the last axis but one, (..., N, 4) -> (...).

    Samples whose truth is NaN are left out. BROAD's figures are those of float64 arrays over the
    movement phase, then the mean over trials.

    Args:
        estimate_xyzw: (..., N, 4).
        truth_xyzw: (..., N, 4), NaN where it is not known.
        include: bool, broadcasts to (..., N): the movement phase; everything if None.

    Raises:
        RotationError: another type or shape.
    """
    errors = attitude_errors(estimate_xyzw, truth_xyzw)
    total, heading, inclination = (
        _degrees(rms_ignoring_nan(values, include))
        for values in (errors.total_rad, errors.heading_rad, errors.inclination_rad)
    )
    return AttitudeRms(total_deg=total, heading_deg=heading, inclination_deg=inclination)


def _degrees(angle_rad: Any) -> Any:
    return angle_rad * (180.0 / math.pi)
