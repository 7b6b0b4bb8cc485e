"""Figures of orientations and angular rates against the truth of a recording."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from nn_perception.datasets.imu import BoolArray, Float64Array, ImuSequence
from nn_perception.errors import DatasetError
from nn_perception.rotations import (
    attitude_errors,
    attitude_rms_deg,
    integrate_gyro,
    quat_conjugate,
    quat_distance,
    quat_exp,
    quat_multiply,
    rms_ignoring_nan,
)

Figures = dict[str, float]

WINDOWS_S = (1.0, 10.0)
"""Lengths over which relative rotations are compared."""

_START_EVERY_S = 0.1
_MIN_KNOWN = 2


@dataclass(frozen=True)
class Series:
    """One figure of several recordings.

    Attributes:
        per_sequence: value by the recording's name; NaN where there is none.
    """

    per_sequence: Mapping[str, float]

    @property
    def mean(self) -> float:
        """Mean over the recordings that have a value; NaN without any."""
        values = [value for value in self.per_sequence.values() if math.isfinite(value)]
        return float(np.mean(values)) if values else math.nan

    def to_dict(self) -> dict[str, Any]:
        """Return ``mean`` and ``per_sequence``."""
        return {"mean": self.mean, "per_sequence": dict(self.per_sequence)}


def collect(figures: Mapping[str, Figures]) -> dict[str, Series]:
    """Turn figures by recording into series by figure, in order of first appearance."""
    names = dict.fromkeys(name for each in figures.values() for name in each)
    return {
        name: Series({key: each[name] for key, each in figures.items() if name in each})
        for name in names
    }


def counted(sequence: ImuSequence) -> BoolArray:
    """Return (N,) True at samples with truth and, where phases of movement are known, in one.

    Raises:
        DatasetError: there are fewer than 2.
    """
    rows = sequence.has_truth
    if sequence.movement is not None:
        rows = rows & sequence.movement
    if rows.sum() < _MIN_KNOWN:
        raise DatasetError(
            f"{sequence.source}/{sequence.name}: {rows.sum()} samples with a true orientation (in "
            "movement, where that is marked), expected 2 or more; leave it out, or add the truth"
        )
    return rows


def first_known(sequence: ImuSequence) -> int:
    """Return the first sample with truth.

    Raises:
        DatasetError: there is none.
    """
    known = np.flatnonzero(sequence.has_truth)
    if not len(known):
        raise DatasetError(
            f"{sequence.source}/{sequence.name}: no true orientation, expected one at least; leave "
            "it out, or add the truth"
        )
    return int(known[0])


def align_heading(estimate_xyzw: Float64Array, sequence: ImuSequence) -> Float64Array:
    """Turn estimates (N, 4) about the vertical so that the heading is right at the first truth.

    Without a magnetometer the heading's start is arbitrary. The heading error is BROAD's: the part
    about z of ``q_est * inv(q_true)``.

    Raises:
        DatasetError: there is no truth.
    """
    at, truth = first_known(sequence), sequence.orientation_xyzw
    assert truth is not None
    error = quat_multiply(estimate_xyzw[at], quat_conjugate(truth[at]))
    size = math.hypot(error[2], error[3])
    if size == 0.0:  # upside down: no heading to compare
        return estimate_xyzw
    back = np.array([0.0, 0.0, -error[2], error[3]]) / size
    aligned: Float64Array = quat_multiply(np.broadcast_to(back, estimate_xyzw.shape), estimate_xyzw)
    return aligned


def attitude_figures(aligned_xyzw: Float64Array, sequence: ImuSequence) -> Figures:
    """Return RMS errors in degrees as BROAD defines them, see `rotations.attitude_errors`.

    Args:
        aligned_xyzw: estimates (N, 4) from `align_heading`; NaN where there is none.
        sequence: with truth.
    """
    rms = attitude_rms_deg(aligned_xyzw, sequence.orientation_xyzw, counted(sequence))
    return {
        "inclination_rms_deg": float(rms.inclination_deg),
        "heading_rms_deg": float(rms.heading_deg),
        "total_rms_deg": float(rms.total_deg),
    }


def normalised_errors(
    aligned_xyzw: Float64Array, variance_rad2: Float64Array, sequence: ImuSequence
) -> Figures:
    """Return the mean squared error over the variance that was stated; 1 is calibrated.

    Above 1 the estimate claims to be better than it is. Inclination: squared angle between the
    up-vectors over var_x + var_y; heading: squared heading error over var_z. Samples whose stated
    variance is 0 are left out.

    Args:
        aligned_xyzw: estimates (N, 4) from `align_heading`.
        variance_rad2: (N, 3) about the earth's x, y, z.
        sequence: with truth.
    """
    errors = attitude_errors(aligned_xyzw, sequence.orientation_xyzw)
    rows = counted(sequence)
    pairs = {
        "inclination": (errors.inclination_rad, variance_rad2[:, 0] + variance_rad2[:, 1]),
        "heading": (errors.heading_rad, variance_rad2[:, 2]),
    }
    figures: Figures = {}
    for name, (error, variance) in pairs.items():
        used = rows & (variance > 0.0) & np.isfinite(error)
        ratio = error[used] ** 2 / variance[used]
        figures[name] = float(ratio.mean()) if len(ratio) else math.nan
    return figures


def predict_ahead(
    quat_xyzw: Float64Array, gyro_rad_s: Float64Array, delay_s: float
) -> Float64Array:
    """Turn orientations (N, 4) on by the rate (N, 3) for ``delay_s``: q * exp(rate * delay)."""
    ahead: Float64Array = quat_multiply(quat_xyzw, quat_exp(gyro_rad_s * delay_s))
    return ahead


def integrate_open_loop(gyro_rad_s: Float64Array, sequence: ImuSequence) -> Float64Array:
    """Integrate a rate (N, 3) from the first true orientation on; NaN (N, 4) before it.

    Each sample holds until the next, ``q[k + 1] = q[k] * exp(gyro[k] * dt)``.

    Raises:
        DatasetError: there is no truth.
    """
    at, truth = first_known(sequence), sequence.orientation_xyzw
    assert truth is not None
    orientation = np.full((len(sequence), 4), np.nan)
    orientation[at:] = integrate_gyro(
        gyro_rad_s[at:-1], np.diff(sequence.time_s)[at:], truth[at].copy()
    )
    return orientation


def rotation_figures(orientation_xyzw: Float64Array, sequence: ImuSequence) -> Figures:
    """Return RMS rotation angles in degrees: over all of the recording, and relative ones.

    A relative error compares how estimate and truth turn from one sample to the one 1 s or 10 s
    later, whatever the orientation there; one starts every 0.1 s.

    Args:
        orientation_xyzw: estimates (N, 4), in the frame of the truth; NaN where there is none.
        sequence: with truth.
    """
    truth = sequence.orientation_xyzw
    error_rad = quat_distance(orientation_xyzw, truth)
    figures = {"orientation_rms_deg": math.degrees(rms_ignoring_nan(error_rad))}
    for window_s in WINDOWS_S:
        start, stop = _windows(sequence, window_s)
        turns = [
            quat_multiply(quat_conjugate(quat[start]), quat[stop])
            for quat in (orientation_xyzw, np.asarray(truth))
        ]
        rms = rms_ignoring_nan(quat_distance(*turns))
        figures[f"relative_{window_s:g}s_rms_deg"] = math.degrees(rms)
    return figures


def _windows(
    sequence: ImuSequence, window_s: float
) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Samples at the start and at the end of windows, those that a gap makes longer left out."""
    time_s, rate_hz = sequence.time_s, sequence.rate_hz
    start = np.arange(0, len(time_s), max(1, round(_START_EVERY_S * rate_hz)))
    stop = np.searchsorted(time_s, time_s[start] + window_s - 0.5 / rate_hz)
    start, stop = start[stop < len(time_s)], stop[stop < len(time_s)]
    fits = abs(time_s[stop] - time_s[start] - window_s) < 1.0 / rate_hz
    return start[fits], stop[fits]
