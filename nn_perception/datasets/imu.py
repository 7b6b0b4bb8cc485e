"""Recordings of an inertial measurement unit, with the truth where there is one.

Frames (REP-103, REP-145): a sensor frame, and an earth frame with z up. Quaternions are x, y, z, w,
unit, Hamilton, and rotate vectors from the sensor frame into the earth frame:
``v_earth = q * v_sensor * q^-1``. At rest the accelerometer shows +9.8 m/s2 along up.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from nn_perception.errors import DatasetError

Float64Array = NDArray[np.float64]
BoolArray = NDArray[np.bool_]

_UNIT_TOLERANCE = 1e-3
_GAP_PERIODS = 2.5
_COLUMNS = {
    "gyro_rad_s": 3,
    "accel_m_s2": 3,
    "mag_ut": 3,
    "orientation_xyzw": 4,
    "position_m": 3,
    "velocity_m_s": 3,
    "gyro_bias_rad_s": 3,
    "accel_bias_m_s2": 3,
}
_OPTIONAL = tuple(_COLUMNS)[2:]
_IN_SENSOR_FRAME = ("gyro_rad_s", "accel_m_s2", "mag_ut", "gyro_bias_rad_s", "accel_bias_m_s2")
_MEASURED = ("gyro_rad_s", "accel_m_s2", "mag_ut")


@dataclass(frozen=True, eq=False)
class ImuSequence:
    """One uninterrupted recording, all arrays sampled at ``time_s``.

    Arrays are converted to float64 (``movement`` to bool). Rows of a truth array are NaN where the
    truth is missing; gyroscope and accelerometer are finite throughout.

    Attributes:
        name: what the recording is called, a file's stem for example.
        time_s: (N,) seconds, strictly increasing, N at least 2.
        gyro_rad_s: (N, 3) angular rate, sensor frame.
        accel_m_s2: (N, 3) specific force, sensor frame.
        source: where it comes from, in words; no path of the machine.
        mag_ut: (N, 3) magnetic field, microtesla, sensor frame, or None.
        orientation_xyzw: (N, 4) truth, sensor to earth, or None.
        position_m: (N, 3) truth, earth frame, or None.
        velocity_m_s: (N, 3) truth, earth frame, or None.
        gyro_bias_rad_s: (N, 3) truth, measured = true + bias, or None.
        accel_bias_m_s2: (N, 3) truth, measured = true + bias, or None.
        movement: (N,) True in phases of movement, to which error figures are limited, or None.
        start_ns: absolute time of ``time_s`` = 0 in ns, or None where it is unknown.

    Raises:
        DatasetError: shapes, times or values are not of that kind.
    """

    name: str
    time_s: Float64Array
    gyro_rad_s: Float64Array
    accel_m_s2: Float64Array
    source: str
    mag_ut: Float64Array | None = None
    orientation_xyzw: Float64Array | None = None
    position_m: Float64Array | None = None
    velocity_m_s: Float64Array | None = None
    gyro_bias_rad_s: Float64Array | None = None
    accel_bias_m_s2: Float64Array | None = None
    movement: BoolArray | None = None
    start_ns: int | None = None

    def __post_init__(self) -> None:
        label = f"{self.source}/{self.name}"
        time_s = np.ascontiguousarray(self.time_s, np.float64)
        _check_time(time_s, label)
        object.__setattr__(self, "time_s", time_s)
        for field, columns in _COLUMNS.items():
            value = getattr(self, field)
            if value is None and field in _OPTIONAL:
                continue
            array = np.ascontiguousarray(value, np.float64)
            shape = (len(time_s), columns)
            _check_rows(array, shape, field, label, complete=field in _MEASURED)
            object.__setattr__(self, field, array)
        if self.orientation_xyzw is not None:
            unit = _unit_quaternions(self.orientation_xyzw, f"{label}: orientation")
            object.__setattr__(self, "orientation_xyzw", unit)
        if self.movement is not None:
            movement = np.ascontiguousarray(self.movement, bool)
            _check_shape(movement, time_s.shape, "movement", label)
            object.__setattr__(self, "movement", movement)

    def __len__(self) -> int:
        return len(self.time_s)

    @cached_property
    def sha256(self) -> str:
        """Hash of all arrays: equal for equal content, whatever the file."""
        digest = hashlib.sha256()
        for field in ("time_s", *_COLUMNS, "movement"):
            value = getattr(self, field)
            digest.update(repr((field, None if value is None else value.shape)).encode())
            if value is not None:
                digest.update(np.ascontiguousarray(value, value.dtype.newbyteorder("<")).data)
        return digest.hexdigest()

    @property
    def rate_hz(self) -> float:
        """Sampling rate: one over the median period."""
        return 1.0 / float(np.median(np.diff(self.time_s)))

    @property
    def duration_s(self) -> float:
        """From the first sample to the last, in seconds."""
        return float(self.time_s[-1] - self.time_s[0])

    @property
    def has_truth(self) -> BoolArray:
        """(N,) True where the orientation is known."""
        if self.orientation_xyzw is None:
            return np.zeros(len(self), dtype=bool)
        return np.isfinite(self.orientation_xyzw[:, 3])

    def slice(self, start: int, stop: int) -> ImuSequence:
        """Return samples ``start`` to ``stop`` (excluded), as Python counts; times stay.

        Raises:
            DatasetError: fewer than 2 samples are left.
        """
        rows = {field: getattr(self, field) for field in ("time_s", *_COLUMNS, "movement")}
        kept = {field: row[start:stop] for field, row in rows.items() if row is not None}
        return replace(self, **kept)

    def resample(self, rate_hz: float, max_gap_s: float | None = None) -> ImuSequence:
        """Sample at another rate.

        A new sample of a measurement is the mean over the new period around its time, of the lines
        between the old samples: what a slower sensor with a low-pass filter shows, without
        aliases. Above the present rate the lines are sampled. Positions, velocities and biases are
        interpolated by lines, orientations by slerp, movement is that of the nearest sample.
        Nothing is made up across a gap: a gap in time stays a gap, and a missing truth makes the
        new samples beside it NaN.

        Args:
            rate_hz: the new rate, above 0.
            max_gap_s: periods longer than this are gaps; 2.5 median periods by default.

        Raises:
            DatasetError: the rate is not above 0, or no two new samples lie in one segment.
        """
        if not 0.0 < rate_hz < np.inf:
            raise DatasetError(f"{self.name}: resample to {rate_hz} Hz, expected above 0; 200 fits")
        limit = _GAP_PERIODS / self.rate_hz if max_gap_s is None else max_gap_s
        cuts = np.flatnonzero(np.diff(self.time_s) > limit) + 1
        segments = np.split(np.arange(len(self)), cuts)
        grids = [_grid(self.time_s[rows], self.time_s[0], rate_hz) for rows in segments]
        changed: dict[str, Any] = {"time_s": np.concatenate(grids)}
        for field in _COLUMNS:
            value = getattr(self, field)
            if value is None:
                continue
            if field in _MEASURED and rate_hz < self.rate_hz:
                pairs = zip(grids, segments, strict=True)
                means = [_means(grid, rate_hz, self.time_s[n], value[n]) for grid, n in pairs]
                changed[field] = np.concatenate(means)
            else:
                turn = field == "orientation_xyzw"
                changed[field] = interpolate(changed["time_s"], self.time_s, value, limit, turn)
        if self.movement is not None:
            middle_s = (self.time_s[:-1] + self.time_s[1:]) / 2.0
            changed["movement"] = self.movement[np.searchsorted(middle_s, changed["time_s"])]
        return replace(self, **changed)

    def rotate_mounting(self, mounting_xyzw: ArrayLike) -> ImuSequence:
        """Return what the sensor would have recorded mounted otherwise on the same body.

        Args:
            mounting_xyzw: (4,) from the old sensor frame to the new: v_new = q * v_old * q^-1.

        Raises:
            DatasetError: this is no unit quaternion.
        """
        given = np.asarray(mounting_xyzw, np.float64)
        _check_rows(np.atleast_2d(given), (1, 4), "mounting", self.name, complete=True)
        mounting = _unit_quaternions(np.atleast_2d(given), f"{self.name}: mounting")[0]
        to_new = quat_matrix(mounting)
        changed: dict[str, Any] = {
            field: getattr(self, field) @ to_new.T
            for field in _IN_SENSOR_FRAME
            if getattr(self, field) is not None
        }
        if self.orientation_xyzw is not None:
            back = mounting * [-1.0, -1.0, -1.0, 1.0]
            changed["orientation_xyzw"] = quat_product(self.orientation_xyzw, back)
        return replace(self, **changed)


# What a recording needs of quaternions (x, y, z, w).


def quat_product(left: Float64Array, right: Float64Array) -> Float64Array:
    """Multiply quaternions, (..., 4) each, Hamilton convention."""
    left_v, left_w = left[..., :3], left[..., 3:]
    right_v, right_w = right[..., :3], right[..., 3:]
    vector = left_w * right_v + right_w * left_v + np.cross(left_v, right_v)
    scalar = left_w * right_w - np.sum(left_v * right_v, axis=-1, keepdims=True)
    product: Float64Array = np.concatenate([vector, scalar], axis=-1)
    return product


def quat_matrix(quat_xyzw: Float64Array) -> Float64Array:
    """Return the rotation matrices (..., 3, 3) of unit quaternions (..., 4)."""
    cross = -np.cross(quat_xyzw[..., np.newaxis, :3], np.eye(3))
    matrix: Float64Array = (
        np.eye(3) + 2 * quat_xyzw[..., 3:, np.newaxis] * cross + 2 * cross @ cross
    )
    return matrix


def interpolate(
    new_s: Float64Array, old_s: Float64Array, rows: Float64Array, max_gap_s: float, turn: bool
) -> Float64Array:
    """Interpolate rows (N, C) at other times, by lines, or by slerp where they are quaternions.

    Returns:
        (M, C); NaN outside of ``old_s``, inside a period longer than ``max_gap_s``, and beside a
        row that is NaN.
    """
    first = np.clip(np.searchsorted(old_s, new_s, side="right") - 1, 0, len(old_s) - 2)
    period_s = old_s[first + 1] - old_s[first]
    part = (new_s - old_s[first]) / period_s
    part = np.where(abs(part - np.round(part)) < 1e-6, np.round(part), part)[:, np.newaxis]
    left, right = rows[first], rows[first + 1]
    mixed = _slerp(left, right, part) if turn else (1.0 - part) * left + part * right
    inside = (part > 0.0) & (part < 1.0) & (period_s <= max_gap_s)[:, np.newaxis]
    mixed = np.where(inside, mixed, np.nan)
    return np.where(part == 0.0, left, np.where(part == 1.0, right, mixed))


def _slerp(left: Float64Array, right: Float64Array, part: Float64Array) -> Float64Array:
    right = np.where(np.sum(left * right, axis=-1, keepdims=True) < 0.0, -right, right)
    chord, sum_ = (np.linalg.norm(v, axis=-1, keepdims=True) for v in (left - right, left + right))
    angle = 2.0 * np.arctan2(chord, sum_)
    small = angle < 1e-6
    scale = np.where(small, 1.0, np.sin(angle))
    weights = [np.where(small, p, np.sin(p * angle) / scale) for p in (1.0 - part, part)]
    mixed: Float64Array = weights[0] * left + weights[1] * right
    mixed /= np.linalg.norm(mixed, axis=-1, keepdims=True)
    return mixed


def _grid(time_s: Float64Array, anchor_s: float, rate_hz: float) -> Float64Array:
    first = np.ceil((time_s[0] - anchor_s) * rate_hz - 1e-6)
    last = np.floor((time_s[-1] - anchor_s) * rate_hz + 1e-6)
    return np.clip(np.arange(first, last + 1) / rate_hz + anchor_s, time_s[0], time_s[-1])


def _means(
    centre_s: Float64Array, rate_hz: float, time_s: Float64Array, rows: Float64Array
) -> Float64Array:
    """Mean of the lines through ``rows`` over one period around each time, cut at the ends."""
    if len(time_s) < 2:
        return np.repeat(rows, len(centre_s), axis=0)
    steps = np.diff(time_s)[:, np.newaxis] * (rows[1:] + rows[:-1]) / 2.0
    total = np.concatenate([np.zeros((1, rows.shape[1])), np.cumsum(steps, axis=0)])

    def integral(at_s: Float64Array) -> Float64Array:
        first = np.clip(np.searchsorted(time_s, at_s, side="right") - 1, 0, len(time_s) - 2)
        into_s = (at_s - time_s[first])[:, np.newaxis]
        slope = (rows[first + 1] - rows[first]) / np.diff(time_s)[first, np.newaxis]
        value: Float64Array = total[first] + into_s * (rows[first] + slope * into_s / 2.0)
        return value

    start_s = np.maximum(centre_s - 0.5 / rate_hz, time_s[0])
    stop_s = np.minimum(centre_s + 0.5 / rate_hz, time_s[-1])
    mean: Float64Array = (integral(stop_s) - integral(start_s)) / (stop_s - start_s)[:, np.newaxis]
    return mean


def _check_shape(array: NDArray[Any], shape: tuple[int, ...], field: str, label: str) -> None:
    if array.shape != shape:
        raise DatasetError(
            f"{label}: {field} has the shape {array.shape}, expected {shape}; "
            "give one row for each time and as many columns"
        )


def _check_time(time_s: Float64Array, label: str) -> None:
    if time_s.ndim != 1 or len(time_s) < 2:
        raise DatasetError(
            f"{label}: times have the shape {time_s.shape}, expected (N,) with N of 2 or more; "
            "give one time for each sample"
        )
    wrong = np.flatnonzero(~(np.diff(time_s) > 0.0))
    if len(wrong) or not np.isfinite(time_s[[0, -1]]).all():
        at = int(wrong[0]) + 1 if len(wrong) else 0
        raise DatasetError(
            f"{label}: time {time_s[at]} s of sample {at} does not come after the one before, "
            "expected finite and increasing times; sort the samples and drop duplicates"
        )


def _check_rows(
    rows: Float64Array, shape: tuple[int, int], field: str, label: str, *, complete: bool
) -> None:
    _check_shape(rows, shape, field, label)
    finite = np.isfinite(rows).all(axis=1)
    missing = np.isnan(rows).all(axis=1)
    allowed = finite if complete else finite | missing
    if not allowed.all():
        at = int(np.flatnonzero(~allowed)[0])
        wanted = "finite values" if complete else "finite values or a whole row of NaN"
        raise DatasetError(
            f"{label}: {field} of sample {at} is {rows[at].tolist()}, expected {wanted}; "
            "cut the recording there"
        )


def _unit_quaternions(quat_xyzw: Float64Array, label: str) -> Float64Array:
    norm = np.linalg.norm(quat_xyzw, axis=1, keepdims=True)
    wrong = np.flatnonzero(abs(norm[:, 0] - 1.0) > _UNIT_TOLERANCE)
    if len(wrong):
        raise DatasetError(
            f"{label}: row {wrong[0]} has the norm {norm[wrong[0], 0]:.4g}, expected unit "
            "quaternions x, y, z, w; divide each by its norm"
        )
    unit: Float64Array = quat_xyzw / norm
    return unit
