"""The attitude filter over streams of samples, for all sensors of a process at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from nn_perception.engine import Engine
from nn_perception.inertial.blocks import integrate, is_full, midpoints
from nn_perception.inertial.filter import Block, State, features, initial_state, predict, step
from nn_perception.inertial.small import exp, multiply
from nn_perception.tasks.imu_pipeline import Waiting

Float64Array = NDArray[np.float64]

_IDENTITY = np.array([0.0, 0.0, 0.0, 1.0])


class Settings(NamedTuple):
    """What a bundle tells about its filter.

    Attributes:
        first_sigmas: standard deviations at a start: tilt (rad), velocity (m/s), bias (rad/s).
        floors_rad: errors that no filtering takes away: inclination (each axis), heading.
        variance_scales: factors that calibrate the variances of inclination and heading.
        memory: width of the network's memory.
    """

    first_sigmas: tuple[float, ...]
    floors_rad: tuple[float, ...]
    variance_scales: tuple[float, ...]
    memory: int


class Estimates(NamedTuple):
    """Answers to K samples of each of n sensors.

    Attributes:
        orientation_xyzw: (n, K, 4) unit.
        covariance_rad2: (n, 3, 3) after the last of them.
        gyro_bias_rad_s: (n, 3) likewise.
        recovered: (n,) whether the state became unusable and began anew.
    """

    orientation_xyzw: Float64Array
    covariance_rad2: Float64Array
    gyro_bias_rad_s: Float64Array
    recovered: NDArray[np.bool_]


class Estimator:
    """State and arithmetic of the filter; rows of its arrays are sensors.

    Between the blocks' ends the orientation goes on by the gyroscope alone. Corrections come with
    a block's last sample.
    """

    def __init__(self, engine: Engine, settings: Settings) -> None:
        self._engine = engine
        self._settings = settings
        self._sigmas = np.array(settings.first_sigmas)
        floors, scales = np.array(settings.floors_rad), np.sqrt(settings.variance_scales)
        self._floors = np.diag(floors[[0, 0, 1]] ** 2)
        self._scales = np.outer(scales[[0, 0, 1]], scales[[0, 0, 1]])
        empty = np.zeros((0, 3))
        self._state = initial_state(empty, self._sigmas)
        self._memory = np.zeros((0, settings.memory), np.float32)
        self._turn, self._gained, self._rate_sum = np.zeros((0, 4)), empty, empty
        self._last = np.zeros((0, 6))  # the reading before: rate, specific force
        self._duration: list[float] = []
        self._unknown: list[float] = []

    def add_sensor(self) -> int:
        """Make room for one more sensor; return its row."""
        up = np.array([[0.0, 0.0, 1.0]])
        new = initial_state(up, self._sigmas)
        self._state = State(*(np.concatenate(pair) for pair in zip(self._state, new, strict=True)))
        memory = np.zeros((1, self._settings.memory), np.float32)
        self._memory = np.concatenate([self._memory, memory])
        self._turn = np.concatenate([self._turn, _IDENTITY[None]])
        self._last = np.concatenate([self._last, np.zeros((1, 6))])
        for name in ("_gained", "_rate_sum"):
            setattr(self, name, np.concatenate([getattr(self, name), np.zeros((1, 3))]))
        self._duration.append(0.0)
        self._unknown.append(0.0)
        return len(self._duration) - 1

    def adopt(self, previous: Estimator) -> None:
        """Take over the state of another one, and the network's memory if it has this size."""
        memory = previous._memory
        if memory.shape[1] != self._settings.memory:
            memory = np.zeros((len(memory), self._settings.memory), np.float32)
        self._state, self._memory = previous._state, memory
        for name in ("_turn", "_gained", "_rate_sum", "_last", "_duration", "_unknown"):
            setattr(self, name, getattr(previous, name))

    def fills_block(self, row: int, elapsed_s: float) -> bool:
        """Tell whether that many further seconds of samples fill a sensor's block."""
        return is_full(self._duration[row] + elapsed_s)

    def advance(
        self, rows: NDArray[np.intp], samples: Sequence[Sequence[Waiting]], delay_s: float
    ) -> Estimates:
        """Take K samples of each sensor in ``rows``.

        Args:
            rows: (n,) distinct rows.
            samples: n lists of K samples; only its last sample may fill a block.
            delay_s: time by which to predict ahead.
        """
        readings = np.array(
            [[(*s.reading.gyro_rad_s, *s.reading.accel_m_s2) for s in part] for part in samples]
        )
        dt = np.array([[sample.passed.dt_s for sample in part] for part in samples])
        for i, part in enumerate(samples):
            if part[0].passed.starts:
                self._begin(rows[i], readings[i, 0])
        means = midpoints(readings, self._last[rows])
        self._last[rows] = readings[:, -1]
        gyro = means[:, :, :3]
        steps = integrate(self._turn[rows], gyro, means[:, :, 3:], dt)
        elapsed = np.array([[self._duration[row]] for row in rows]) + np.cumsum(dt, axis=1)
        orientation = self._between(rows, steps.turn_xyzw, elapsed, readings[:, :, :3], delay_s)
        self._turn[rows] = steps.turn_xyzw[:, -1]
        self._gained[rows] += steps.gained_m_s
        self._rate_sum[rows] += (gyro * dt[:, :, None]).sum(1)
        for i, row in enumerate(rows):
            self._duration[row] = float(elapsed[i, -1])
            self._unknown[row] += sum(sample.passed.unknown_s for sample in samples[i])
        full = np.array([is_full(self._duration[row]) for row in rows])
        recovered = np.zeros(len(rows), dtype=bool)
        if full.any():
            done = rows[full]
            recovered[full] = self._correct(done)
            ahead = exp((readings[full, -1, :3] - self._state.gyro_bias_rad_s[done]) * delay_s)
            orientation[full, -1] = multiply(self._state.orientation_xyzw[done], ahead)
        covariance = (self._state.covariance[rows, :3, :3] + self._floors) * self._scales
        return Estimates(orientation, covariance, self._state.gyro_bias_rad_s[rows], recovered)

    def _between(
        self,
        rows: NDArray[np.intp],
        turns: Float64Array,
        elapsed: Float64Array,
        gyro: Float64Array,
        delay_s: float,
    ) -> Float64Array:
        """Return orientations (n, K, 4) within a block, by the gyroscope without its bias."""
        count, samples = elapsed.shape
        bias = self._state.gyro_bias_rad_s[rows][:, None, :]
        half = -0.5 * bias * elapsed[:, :, None]
        after = half + (gyro - bias) * delay_s
        start = np.repeat(self._state.orientation_xyzw[rows], samples, axis=0)
        first = multiply(start, exp(half.reshape(-1, 3)))
        second = multiply(turns.reshape(-1, 4), exp(after.reshape(-1, 3)))
        orientation: Float64Array = multiply(first, second)
        orientation /= np.sqrt((orientation**2).sum(-1))[:, None]
        return orientation.reshape(count, samples, 4)

    def _correct(self, rows: NDArray[np.intp]) -> NDArray[np.bool_]:
        """Close the blocks of these rows; return which had to begin anew."""
        duration = np.array([[self._duration[row]] for row in rows])
        block = Block(
            self._turn[rows],
            self._gained[rows],
            self._rate_sum[rows] / duration,
            duration,
            np.array([[self._unknown[row]] for row in rows]),
        )
        state = State(*(part[rows] for part in self._state))
        motion = predict(state, block)
        seen = features(state, block, motion).astype(np.float32)
        noise, memory = self._engine(seen, self._memory[rows])
        self._memory[rows] = memory
        state = step(state, block, motion, noise.astype(np.float64))
        for whole, part in zip(self._state, state, strict=True):
            whole[rows] = part
        sound = np.isfinite(state.orientation_xyzw).all(1) & np.isfinite(state.covariance).all(
            (1, 2)
        )
        self._clear(rows)
        for row in rows[~sound]:
            self._begin(row, self._last[row])
        lost: NDArray[np.bool_] = ~sound
        return lost

    def _begin(self, row: int, reading: Float64Array) -> None:
        """Level a sensor by its specific force; its heading is zero."""
        new = initial_state(reading[None, 3:], self._sigmas)
        for whole, part in zip(self._state, new, strict=True):
            whole[row] = part[0]
        self._memory[row] = 0.0
        self._last[row] = reading
        self._clear(np.array([row]))

    def _clear(self, rows: NDArray[np.intp]) -> None:
        self._turn[rows] = _IDENTITY
        self._gained[rows] = self._rate_sum[rows] = 0.0
        for row in rows:
            self._duration[row] = self._unknown[row] = 0.0
