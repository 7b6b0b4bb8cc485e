"""The gyroscope correction over streams of samples, for all sensors of a process at once."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from nn_perception.engine import Engine
from nn_perception.inertial.gate import GAP, RATE
from nn_perception.inertial.rest import SMOOTHING_S, RestMemory
from nn_perception.tasks.gyro.aid import GravityAid
from nn_perception.tasks.imu_pipeline import Waiting

Float64Array = NDArray[np.float64]


class Calibration(NamedTuple):
    """What a bundle tells beside its graph; see `nn_perception.tasks.gyro.network`.

    Attributes:
        matrix: (3, 3) scale and misalignment.
        expected_bias_rad_s: (3,) of the calibrated rate, before anything is remembered.
        motion_offset_rad_s: (3,) to be added in motion once the bias at rest is known.
        rest_thresholds: (4,) see `nn_perception.inertial.rest.remember`.
        left_bias_rad_s: standard deviation of the bias left for `GravityAid` to find; 0: none.
        rate_hz: the sample rate that the network was trained at.
        cache: size of the network's cache.
        state_of: id of the bundle, where the cache is the state of a recurrence, which another
            network would not understand; empty for convolutions, whose past runs out.
    """

    matrix: Float64Array
    expected_bias_rad_s: Float64Array
    motion_offset_rad_s: Float64Array
    rest_thresholds: Float64Array
    left_bias_rad_s: float
    rate_hz: float
    cache: int
    state_of: str = ""


class Corrections(NamedTuple):
    """Answers to K samples of each of n sensors, (n, K, 3) each.

    Attributes:
        gyro_rad_s: corrected rate.
        bias_rad_s: bias that is taken off the calibrated rate.
    """

    gyro_rad_s: Float64Array
    bias_rad_s: Float64Array


class Sensor:
    """What is known of one sensor.

    Attributes:
        rest: the bias remembered from rest.
        aid: the bias that gravity shows.
        cache: (1, C) the network's; replaced and never written to.
        period_s: of its samples of late.
    """

    __slots__ = ("aid", "cache", "period_s", "rest")

    def __init__(self, calibration: Calibration) -> None:
        self.rest = RestMemory()
        self.aid = GravityAid(calibration.left_bias_rad_s)
        self.cache = np.zeros((1, calibration.cache), np.float32)
        self.period_s = 1.0 / calibration.rate_hz


class Corrector:
    """State and arithmetic of the correction, for any number of sensors.

    The convolutions take all sensors together. What else there is to compute are a few numbers for
    each sample, in plain floats.
    """

    def __init__(self, engine: Engine, calibration: Calibration) -> None:
        self._engine = engine
        self._calibration = calibration
        self._matrix: list[list[float]] = calibration.matrix.tolist()
        self._expected: list[float] = calibration.expected_bias_rad_s.tolist()
        self._offset: list[float] = calibration.motion_offset_rad_s.tolist()
        self._thresholds: list[float] = calibration.rest_thresholds.tolist()
        self._decay = math.exp(-1.0 / (calibration.rate_hz * SMOOTHING_S))
        self._no_cache = np.zeros((1, calibration.cache), np.float32)
        self._sensors: list[Sensor] = []

    def add_sensor(self) -> int:
        """Make room for one more sensor; return its row."""
        self._sensors.append(Sensor(self._calibration))
        return len(self._sensors) - 1

    def adopt(self, previous: Corrector) -> None:
        """Take over what another one remembers, and the network's cache if it means the same here.

        The remembered bias is relative to the expected one: the difference of the two is kept.
        """
        moved = previous._calibration.expected_bias_rad_s - self._calibration.expected_bias_rad_s
        self._sensors = previous._sensors
        same = previous._calibration.state_of == self._calibration.state_of
        for sensor in self._sensors:
            if not same or sensor.cache.shape != self._no_cache.shape:
                sensor.cache = self._no_cache
            sensor.rest.move(moved.tolist())

    def settle(self) -> None:
        """Make the corrections by gravity that are due; else the next samples do."""
        for sensor in self._sensors:
            sensor.aid.settle()

    def advance(self, rows: Sequence[int], samples: Sequence[Sequence[Waiting]]) -> Corrections:
        """Take K samples of each sensor in ``rows``.

        Args:
            rows: n distinct rows.
            samples: n lists of K samples; one that starts or ends a gap comes alone.
        """
        sensors = [self._sensors[row] for row in rows]
        measured = [
            [(*w.reading.gyro_rad_s.tolist(), *w.reading.accel_m_s2.tolist()) for w in part]
            for part in samples
        ]
        for sensor, part in zip(sensors, samples, strict=True):
            passed = part[0].passed
            if passed.starts or GAP in passed.flags:
                sensor.cache = self._no_cache  # what came before a gap is no past of what follows
        convolved = self._convolve(sensors, measured)
        answers = [
            [self._correct(sensor, *each) for each in zip(*parts, strict=True)]
            for sensor, *parts in zip(sensors, samples, measured, convolved, strict=True)
        ]
        both = np.array(answers)
        return Corrections(both[:, :, 0], both[:, :, 1])

    def _correct(
        self,
        sensor: Sensor,
        sample: Waiting,
        measured: Sequence[float],
        convolved: Sequence[float],
    ) -> tuple[list[float], list[float]]:
        """Return the corrected rate (3,) and the bias (3,) of one sample."""
        passed = sample.passed
        x, y, z, *force = measured
        rate = [
            row[0] * x + row[1] * y + row[2] * z - expected
            for row, expected in zip(self._matrix, self._expected, strict=True)
        ]
        calibrated = rate + force
        if passed.starts:
            sensor.rest.begin(calibrated)
            sensor.aid.begin(force)
        elif GAP not in passed.flags:
            sensor.period_s += 0.02 * (passed.dt_s - sensor.period_s)
        decay = self._decay
        if RATE in passed.flags:
            decay = math.exp(-sensor.period_s / SMOOTHING_S)
            convolved = (0.0, 0.0, 0.0)
        # What is not sure to be a measurement is no rest either: a frozen sensor scatters least.
        sure_s = 0.0 if passed.unknown_s else passed.dt_s
        remembered, at_rest, known = sensor.rest.add(calibrated, sure_s, decay, self._thresholds)
        moving = known * (1.0 - at_rest)
        corrected = [
            rate[i] - remembered[i] + moving * self._offset[i] + convolved[i] for i in range(3)
        ]
        left = sensor.aid.follow(corrected, force, passed.dt_s, passed.unknown_s)
        bias = [self._expected[i] + remembered[i] + left[i] for i in range(3)]
        return [corrected[i] - left[i] for i in range(3)], bias

    def _convolve(
        self, sensors: Sequence[Sensor], measured: Sequence[Sequence[Sequence[float]]]
    ) -> list[list[list[float]]]:
        """Return the corrections (n, K, 3) of the network."""
        alone = len(sensors) == 1
        before = sensors[0].cache if alone else np.concatenate([each.cache for each in sensors])
        correction, cache = self._engine(np.array(measured, np.float32), before)
        cache = cache.copy()  # outputs are valid until the next call only
        for i, sensor in enumerate(sensors):
            sensor.cache = cache if alone else cache[i : i + 1]
        found: list[list[list[float]]] = correction.tolist()
        return found
