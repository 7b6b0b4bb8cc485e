"""Simulate an inertial sensor in random smooth motion: data with exact truth, without a download.

Orientation and position are splines, see `imu_splines`: rate and acceleration are smooth and known
in closed form.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from nn_perception.datasets.imu import Float64Array, ImuSequence
from nn_perception.datasets.imu_splines import DEGREE, rotation_spline, spline
from nn_perception.errors import DatasetError
from nn_perception.rotations import quat_multiply, quat_to_matrix

GRAVITY_M_S2 = 9.80665
_RAMP = 0.25  # share of a phase of movement in which it grows, and in which it fades
_PERSISTENCE = 0.7  # of the angular rate from knot to knot
_SLOW_KNOTS = 9  # width of the window that makes the slow part of the translation
_STREAMS = {"motion": 0, "sensor": 1}


@dataclass(frozen=True)
class Motion:
    """How the sensor moves: phases of rest and of movement, each of random length and intensity.

    Attributes:
        duration_s: length of the recording.
        rate_rms_rad_s: RMS of the angular rate while it moves, about; 0 for no rotation.
        accel_rms_m_s2: RMS of the acceleration while it moves, about; 0 for no translation.
        knot_s: time between knots; what happens within it is smooth: 0.2 gives motion up to
            about 2 Hz.
        move_s: shortest and longest phase of movement.
        rest_s: shortest and longest phase of rest; the recording begins with one. (0, 0): never.
        intensity: weakest and strongest phase, relative to each other, at most 1.

    Raises:
        DatasetError: a value is out of range.
    """

    duration_s: float = 60.0
    rate_rms_rad_s: float = 1.5
    accel_rms_m_s2: float = 2.0
    knot_s: float = 0.2
    move_s: tuple[float, float] = (6.0, 20.0)
    rest_s: tuple[float, float] = (2.0, 6.0)
    intensity: tuple[float, float] = (0.25, 1.0)

    def __post_init__(self) -> None:
        _check_values(self)
        for name in ("duration_s", "knot_s"):
            if getattr(self, name) == 0.0:
                raise DatasetError(f"Motion: {name} is 0, expected above 0; Motion() is a start")
        for name in ("move_s", "rest_s", "intensity"):
            low, high = getattr(self, name)
            if low > high or (name != "rest_s" and low <= 0.0):
                raise DatasetError(
                    f"Motion: {name} is {(low, high)}, expected the smaller value first, above 0; "
                    "Motion() is a start"
                )


@dataclass(frozen=True)
class SensorErrors:
    """What the sensor does wrong; every axis has errors of its own. The default is a common MEMS.

    measured = clip((I + scale + misalignment) true + bias + noise). Values with ``_std`` are those
    of the normal distribution from which one constant per recording and axis is drawn.

    Attributes:
        gyro_noise_rad_s_rthz: white noise, density.
        accel_noise_m_s2_rthz: white noise, density.
        gyro_walk_rad_s2_rthz: random walk of the bias, density of its rate.
        accel_walk_m_s3_rthz: random walk of the bias, density of its rate.
        gyro_bias_std_rad_s: bias at the start.
        accel_bias_std_m_s2: bias at the start.
        scale_std: error of each axis' scale.
        misalignment_std_rad: error of each axis' direction.
        gyro_range_rad_s: where the gyroscope saturates.
        accel_range_m_s2: where the accelerometer saturates.

    Raises:
        DatasetError: a value is negative or NaN.
    """

    gyro_noise_rad_s_rthz: float = 2e-4
    accel_noise_m_s2_rthz: float = 2e-3
    gyro_walk_rad_s2_rthz: float = 2e-5
    accel_walk_m_s3_rthz: float = 2e-4
    gyro_bias_std_rad_s: float = 0.01
    accel_bias_std_m_s2: float = 0.05
    scale_std: float = 0.005
    misalignment_std_rad: float = 0.005
    gyro_range_rad_s: float = math.radians(2000.0)
    accel_range_m_s2: float = 16.0 * GRAVITY_M_S2

    def __post_init__(self) -> None:
        _check_values(self)

    @classmethod
    def none(cls) -> SensorErrors:
        """Return a perfect sensor."""
        ranges = ("gyro_range_rad_s", "accel_range_m_s2")
        return cls(**{f.name: math.inf if f.name in ranges else 0.0 for f in fields(cls)})


def simulate_imu(
    rate_hz: float = 200.0,
    seed: int = 0,
    motion: Motion | None = None,
    errors: SensorErrors | None = None,
) -> ImuSequence:
    """Simulate one recording.

    A sample is the rate and the specific force at its very time: integrate lines between samples,
    not steps, where less than half a sample matters. The motion depends on the seed and not on
    the rate or the errors of the sensor. ``numpy.random.RandomState`` draws, as its stream is
    frozen (NEP 19).

    Args:
        rate_hz: samples per second.
        seed: same seed, same recording; 0 to 2^32 - 1.
        motion: how it moves; ``Motion()`` by default.
        errors: of the sensor; ``SensorErrors()`` by default.

    Returns:
        The recording with the true orientation, position, velocity and biases. ``movement`` is
        False exactly where nothing moves.

    Raises:
        DatasetError: fewer than 2 samples, or the seed is out of range.
    """
    motion = Motion() if motion is None else motion
    errors = SensorErrors() if errors is None else errors
    if not (1.0 <= rate_hz * motion.duration_s < math.inf and 0 <= seed < 2**32):
        raise DatasetError(
            f"simulate {motion.duration_s} s at {rate_hz} Hz with seed {seed}, expected at least 2 "
            "samples and a seed from 0 to 2^32 - 1; 60 s at 200 Hz with seed 0 are a start"
        )
    time_s = np.arange(int(rate_hz * motion.duration_s + 1e-9) + 1) / rate_hz
    truth = _trajectory(motion, time_s, np.random.RandomState([_STREAMS["motion"], seed]))
    to_earth = quat_to_matrix(truth["orientation_xyzw"])
    upward = truth.pop("acceleration_m_s2") + np.array([0.0, 0.0, GRAVITY_M_S2])
    force = np.einsum("nji,nj->ni", to_earth, upward)
    draw = np.random.RandomState([_STREAMS["sensor"], seed])
    gyro, gyro_bias = _measure(truth.pop("rate_rad_s"), rate_hz, "gyro", errors, draw)
    accel, accel_bias = _measure(force, rate_hz, "accel", errors, draw)
    return ImuSequence(
        name=f"simulated_{seed}",
        time_s=time_s,
        gyro_rad_s=gyro,
        accel_m_s2=accel,
        source="simulator",
        gyro_bias_rad_s=gyro_bias,
        accel_bias_m_s2=accel_bias,
        **truth,
    )


def _measure(
    true: Float64Array, rate_hz: float, kind: str, errors: SensorErrors, draw: np.random.RandomState
) -> tuple[Float64Array, Float64Array]:
    """What a gyroscope or an accelerometer shows, and its bias, (N, 3) each."""
    noise, walk, bias_std, limit = (  # the order of the fields
        getattr(errors, field.name) for field in fields(errors) if field.name.startswith(kind)
    )
    mixing = errors.misalignment_std_rad * draw.standard_normal((3, 3))
    np.fill_diagonal(mixing, errors.scale_std * draw.standard_normal(3))
    steps = draw.standard_normal(true.shape) * walk / math.sqrt(rate_hz)
    steps[0] = draw.standard_normal(3) * bias_std
    bias = np.cumsum(steps, axis=0)
    white = draw.standard_normal(true.shape) * noise * math.sqrt(rate_hz)
    return np.clip(true @ (np.eye(3) + mixing).T + bias + white, -limit, limit), bias


def _trajectory(
    motion: Motion, time_s: Float64Array, draw: np.random.RandomState
) -> dict[str, Any]:
    """Orientation, angular rate, position, velocity, acceleration and movement at these times."""
    knots = int(motion.duration_s / motion.knot_s) + 2
    envelope = _envelope(motion, knots + DEGREE, draw)
    turns, points = _control_turns(envelope, draw), _control_points(envelope, draw)
    first = np.minimum((time_s / motion.knot_s).astype(np.int64), knots - 1)
    part = time_s / motion.knot_s - first
    moving = envelope > 0.0

    middle = (np.arange(knots), np.full(knots, 0.5))
    size = _rms(rotation_spline(turns, *middle)[1][moving[DEGREE // 2 :][:knots]]) / motion.knot_s
    turns = turns * (motion.rate_rms_rad_s / size if size > 0.0 else 0.0)
    size = _rms(spline(points, *middle, order=2)[moving[DEGREE // 2 :][:knots]]) / motion.knot_s**2
    points = points * (motion.accel_rms_m_s2 / size if size > 0.0 else 0.0)

    start = draw.standard_normal(4)
    quat, rate = rotation_spline(turns, first, part)
    windows = first[:, np.newaxis] + np.arange(DEGREE + 1)
    return {
        "orientation_xyzw": quat_multiply(start / np.linalg.norm(start), quat),
        "rate_rad_s": rate / motion.knot_s,
        "position_m": spline(points, first, part, order=0),
        "velocity_m_s": spline(points, first, part, order=1) / motion.knot_s,
        "acceleration_m_s2": spline(points, first, part, order=2) / motion.knot_s**2,
        "movement": moving[windows].any(axis=1) & bool(turns.any() or points.any()),
    }


def _envelope(motion: Motion, count: int, draw: np.random.RandomState) -> Float64Array:
    """Intensity at each control point: 0 in rest, ramps at both ends of a movement."""
    parts: list[Float64Array] = []
    while sum(map(len, parts)) < count:
        rest_s, move_s = draw.uniform(*motion.rest_s), draw.uniform(*motion.move_s)
        # A spline rests only where all of its DEGREE + 1 control points do.
        rest = math.ceil(rest_s / motion.knot_s) + DEGREE if rest_s > 0.0 else 0
        move = max(math.ceil(move_s / motion.knot_s), 2 * DEGREE)
        low, high = motion.intensity
        strength = low * (high / low) ** draw.uniform()
        into = (np.arange(move) + 0.5) / move
        ramp = np.clip(np.minimum(into, 1.0 - into) / _RAMP, 0.0, 1.0)
        parts += [np.zeros(rest), strength * np.sin(ramp * math.pi / 2.0) ** 2]
    return np.concatenate(parts)[:count]


def _control_turns(envelope: Float64Array, draw: np.random.RandomState) -> Float64Array:
    """Rotation vectors from control point to control point, (count, 3)."""
    white = draw.standard_normal((len(envelope), 3))
    turns = np.zeros_like(white)
    for index in range(1, len(white)):
        turns[index] = _PERSISTENCE * turns[index - 1] + white[index]
    return turns * envelope[:, np.newaxis]


def _control_points(envelope: Float64Array, draw: np.random.RandomState) -> Float64Array:
    """Positions, (count, 3): a fast part and a slow one of about the same acceleration."""
    white = draw.standard_normal((2, len(envelope) + _SLOW_KNOTS - 1, 3))
    window = np.hanning(_SLOW_KNOTS + 2)[1:-1]
    slow = np.stack([np.convolve(white[0, :, axis], window, "valid") for axis in range(3)], axis=1)
    parts = [slow, white[1, : len(envelope)]]
    parts = [part / _rms(np.diff(part, n=2, axis=0)) for part in parts]
    return (parts[0] + parts[1]) * envelope[:, np.newaxis]


def _rms(rows: Float64Array) -> float:
    """RMS length of vectors, 0 where there are none."""
    return float(np.sqrt(np.mean(np.sum(rows**2, axis=-1)))) if len(rows) else 0.0


def _check_values(values: Any) -> None:
    for field in fields(values):
        given = getattr(values, field.name)
        if not all(number >= 0.0 for number in np.ravel(given)):
            raise DatasetError(
                f"{type(values).__name__}: {field.name} is {given}, expected 0 or more; "
                f"{type(values).__name__}() is a start"
            )
