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

from nn_perception.datasets.imu_resampling import (
    Float64Array,
    grid_times,
    interpolate,
    period_means,
)
from nn_perception.errors import DatasetError
from nn_perception.rotations import quat_conjugate, quat_multiply, quat_to_matrix

__all__ = ["BoolArray", "Float64Array", "ImuSequence", "interpolate"]

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
        sensor_delay_s: time by which the gyroscope's readings lag the truth's stamps, each reading
            taken as the rate at its very stamp; positive: late. Truth at t belongs to the readings
            at t + delay; :func:`imu_delay.estimate_sensor_delay` measures it.
        part: of a data set: ``train``, ``validation`` or ``test``; empty where nobody says.

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
    sensor_delay_s: float = 0.0
    part: str = ""

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
        if not np.isfinite(self.sensor_delay_s):
            raise DatasetError(
                f"{label}: sensor_delay_s is {self.sensor_delay_s}, expected seconds; 0 for none"
            )
        if self.movement is not None:
            movement = np.ascontiguousarray(self.movement, bool)
            _check_shape(movement, time_s.shape, "movement", label)
            object.__setattr__(self, "movement", movement)

    def __len__(self) -> int:
        return len(self.time_s)

    @cached_property
    def sha256(self) -> str:
        """Hash of all arrays: equal for equal recorded content, whatever the file."""
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
        grids = [grid_times(self.time_s[rows], self.time_s[0], rate_hz) for rows in segments]
        changed: dict[str, Any] = {"time_s": np.concatenate(grids)}
        for field in _COLUMNS:
            value = getattr(self, field)
            if value is None:
                continue
            if field in _MEASURED and rate_hz < self.rate_hz:
                pairs = zip(grids, segments, strict=True)
                means = [period_means(grid, rate_hz, self.time_s[n], value[n]) for grid, n in pairs]
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
        to_new = quat_to_matrix(mounting)
        changed: dict[str, Any] = {
            field: getattr(self, field) @ to_new.T
            for field in _IN_SENSOR_FRAME
            if getattr(self, field) is not None
        }
        if self.orientation_xyzw is not None:
            back = quat_conjugate(mounting)
            changed["orientation_xyzw"] = quat_multiply(self.orientation_xyzw, back)
        return replace(self, **changed)


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
