"""The attitude filter over streams of samples, for all sensors of a process at once."""

from __future__ import annotations

from collections.abc import Sequence
from math import isfinite
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from nn_perception.engine import Engine
from nn_perception.inertial.blocks import is_full
from nn_perception.inertial.filter import Block, State, features, initial_state, predict, step
from nn_perception.inertial.strapdown import OpenBlock, Quaternion
from nn_perception.tasks.imu_pipeline import Waiting

Float64Array = NDArray[np.float64]


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
        covariance_rad2: n arrays (3, 3), one for all K samples, not to be written to.
        gyro_bias_rad_s: n arrays (3,), likewise.
        recovered: n times, whether the state became unusable and began anew.
    """

    orientation_xyzw: Float64Array
    covariance_rad2: Sequence[Float64Array]
    gyro_bias_rad_s: Sequence[Float64Array]
    recovered: Sequence[bool]


class Sensor:
    """What is known of one sensor.

    Attributes:
        block: samples since the last correction.
        state: the filter's, after it; arrays of one row, replaced and never written to.
        memory: (1, M) the network's.
        covariance_rad2: (3, 3) as it is published.
        recovered: whether the state became unusable since the last answer, and began anew.
    """

    __slots__ = ("block", "covariance_rad2", "memory", "recovered", "state")

    recovered: bool
    block: OpenBlock
    state: State
    memory: NDArray[np.float32]
    covariance_rad2: Float64Array


class Estimator:
    """State and arithmetic of the filter, for any number of sensors.

    Between the blocks' ends the orientation goes on by the gyroscope alone. A correction is due
    with a block's last sample and shows in the next one: it costs ten times what a sample does, and
    the answer need not wait for it. Sensors whose blocks end together are corrected together.
    """

    def __init__(self, engine: Engine, settings: Settings) -> None:
        self._engine = engine
        self._settings = settings
        self._sigmas = np.array(settings.first_sigmas)
        floors, scales = np.array(settings.floors_rad), np.sqrt(settings.variance_scales)
        self._floors = np.diag(floors[[0, 0, 1]] ** 2)
        self._scales = np.outer(scales[[0, 0, 1]], scales[[0, 0, 1]])
        # What a gap adds is physics and not to be scaled down: here it is scaled up before.
        self._unknown_scale = 1.0 / float(scales[0])
        self._sensors: list[Sensor] = []

    def add_sensor(self) -> int:
        """Make room for one more sensor; return its row."""
        sensor = Sensor()
        sensor.block, sensor.recovered = OpenBlock(), False
        self._begin(sensor, (0.0, 0.0, 0.0, 0.0, 0.0, 1.0))
        self._sensors.append(sensor)
        return len(self._sensors) - 1

    def adopt(self, previous: Estimator) -> None:
        """Take over the state of another one, and the network's memory if it has this size."""
        self._sensors = previous._sensors
        for sensor in self._sensors:
            if sensor.memory.shape[1] != self._settings.memory:
                sensor.memory = self._no_memory()
            self._publish(sensor)

    def fills_block(self, row: int, elapsed_s: float) -> bool:
        """Tell whether that many further seconds of samples fill a sensor's block."""
        block = self._sensors[row].block
        return is_full(elapsed_s + (0.0 if block.is_full else block.duration_s))

    def settle(self) -> None:
        """Make the corrections that are due; else the next samples do."""
        self._correct_full(self._sensors)

    def advance(
        self, rows: Sequence[int], samples: Sequence[Sequence[Waiting]], delay_s: float
    ) -> Estimates:
        """Take K samples of each sensor in ``rows``.

        Args:
            rows: n distinct rows.
            samples: n lists of K samples; only its last sample may fill a block.
            delay_s: time by which to predict ahead.
        """
        sensors = [self._sensors[row] for row in rows]
        self._correct_full(sensors)
        tracks = [self._follow(*pair, delay_s) for pair in zip(sensors, samples, strict=True)]
        covariances = [sensor.covariance_rad2 for sensor in sensors]
        biases = [sensor.state.gyro_bias_rad_s[0] for sensor in sensors]
        recovered = [sensor.recovered for sensor in sensors]
        for sensor in sensors:
            sensor.recovered = False
        return Estimates(np.array(tracks), covariances, biases, recovered)

    def _correct_full(self, sensors: Sequence[Sensor]) -> None:
        full = [sensor for sensor in sensors if sensor.block.is_full]
        if full:
            self._correct(full)

    def _follow(
        self, sensor: Sensor, samples: Sequence[Waiting], delay_s: float
    ) -> list[Quaternion]:
        """Return the orientations at samples within a block."""
        block, track = sensor.block, []
        for _, reading, passed in samples:
            values = reading.gyro_rad_s.tolist() + reading.accel_m_s2.tolist()
            if passed.starts:
                self._begin(sensor, values)
            block.add(values, passed.dt_s, self._unknown_scale * passed.unknown_s)
            track.append(block.orientation(delay_s))
        return track

    def _correct(self, sensors: Sequence[Sensor]) -> None:
        """Close the blocks of these sensors."""
        block = Block(*_together([sensor.block.block() for sensor in sensors]))
        state = State(*_together([sensor.state for sensor in sensors]))
        (memory,) = _together([(sensor.memory,) for sensor in sensors])
        motion = predict(state, block)
        seen = features(state, block, motion).astype(np.float32)
        noise, memory = self._engine(seen, memory)
        memory = memory.copy()  # outputs are valid until the next call only
        state = step(state, block, motion, noise.astype(np.float64))
        for i, sensor in enumerate(sensors):
            sensor.state = State(*(part[i : i + 1] for part in state))
            sensor.memory = memory[i : i + 1]
            # A sum is NaN or infinite when a part is.
            sound = isfinite(sensor.state.orientation_xyzw.sum() + sensor.state.covariance.sum())
            if sound:
                self._publish(sensor)
                self._open(sensor)
            else:
                sensor.recovered = True
                self._begin(sensor, sensor.block.last)

    def _begin(self, sensor: Sensor, reading: Sequence[float]) -> None:
        """Level a sensor by its specific force; its heading is zero."""
        sensor.state = initial_state(np.array([reading[3:]]), self._sigmas)
        sensor.memory = self._no_memory()
        sensor.block.last = reading
        self._publish(sensor)
        self._open(sensor)

    def _publish(self, sensor: Sensor) -> None:
        covariance = sensor.state.covariance[0, :3, :3]
        sensor.covariance_rad2 = (covariance + self._floors) * self._scales

    def _open(self, sensor: Sensor) -> None:
        x, y, z, w = sensor.state.orientation_xyzw[0].tolist()
        sensor.block.open((x, y, z, w), sensor.state.gyro_bias_rad_s[0].tolist())

    def _no_memory(self) -> NDArray[np.float32]:
        return np.zeros((1, self._settings.memory), np.float32)


def _together(parts: Sequence[tuple[NDArray[Any], ...]]) -> tuple[NDArray[Any], ...]:
    """Return the arrays of one row each as one array of all rows, field by field."""
    if len(parts) == 1:
        return parts[0]
    return tuple(np.concatenate(field) for field in zip(*parts, strict=True))
