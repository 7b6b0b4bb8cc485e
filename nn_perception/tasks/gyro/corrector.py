"""The gyroscope correction over streams of samples, for all sensors of a process at once."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from nn_perception.engine import Engine
from nn_perception.inertial.gate import GAP, RATE
from nn_perception.inertial.rest import SMOOTHING_S, RestState, first_state, remember
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
        rate_hz: the sample rate that the convolutions were trained at.
        cache: size of the convolutions' cache.
    """

    matrix: Float64Array
    expected_bias_rad_s: Float64Array
    motion_offset_rad_s: Float64Array
    rest_thresholds: Float64Array
    left_bias_rad_s: float
    rate_hz: float
    cache: int


class Corrections(NamedTuple):
    """Answers to K samples of each of n sensors, (n, K, 3) each.

    Attributes:
        gyro_rad_s: corrected rate.
        bias_rad_s: bias that is taken off the calibrated rate.
    """

    gyro_rad_s: Float64Array
    bias_rad_s: Float64Array


class Corrector:
    """State and arithmetic of the correction; rows of its arrays are sensors."""

    def __init__(self, engine: Engine, calibration: Calibration) -> None:
        self._engine = engine
        self._calibration = calibration
        self._cache = np.zeros((0, calibration.cache), np.float32)
        self._rest = first_state(np.zeros((0, 1, 6)))
        self._period_s: list[float] = []
        self._aid = GravityAid(calibration.left_bias_rad_s)

    def add_sensor(self) -> int:
        """Make room for one more sensor; return its row."""
        new = first_state(np.zeros((1, 1, 6)))
        self._rest = RestState(*(np.concatenate(p) for p in zip(self._rest, new, strict=True)))
        empty = np.zeros((1, self._calibration.cache), np.float32)
        self._cache = np.concatenate([self._cache, empty])
        self._period_s.append(1.0 / self._calibration.rate_hz)
        self._aid.add_sensor()
        return len(self._cache) - 1

    def adopt(self, previous: Corrector) -> None:
        """Take over what another one remembers, and the convolutions' cache if it has this size.

        The remembered bias is relative to the expected one: the difference of the two is kept.
        """
        size, count = self._calibration.cache, len(previous._cache)
        fits = previous._cache.shape[1] == size
        self._cache = previous._cache if fits else np.zeros((count, size), np.float32)
        self._period_s = previous._period_s
        self._aid = previous._aid
        rest = previous._rest
        moved = previous._calibration.expected_bias_rad_s - self._calibration.expected_bias_rad_s
        mean = rest.mean.copy()
        mean[:, :3] += moved
        self._rest = rest._replace(
            mean=mean, weighted_rad=rest.weighted_rad + rest.weight_s * moved
        )

    def advance(self, rows: Sequence[int], samples: Sequence[Sequence[Waiting]]) -> Corrections:
        """Take K samples of each sensor in ``rows``.

        Args:
            rows: (n,) distinct rows; of several at once, each with one sample.
            samples: n lists of K samples; one that starts or ends a gap comes alone.
        """
        off_rate = [RATE in sample.passed.flags for part in samples for sample in part]
        if len(off_rate) > 1 and any(off_rate):  # each has a smoothing of its own
            alone = [
                [self.advance(rows[i : i + 1], [[sample]]) for sample in part]
                for i, part in enumerate(samples)
            ]
            joined = [[np.concatenate(p, 1) for p in zip(*row, strict=True)] for row in alone]
            return Corrections(*(np.concatenate(p) for p in zip(*joined, strict=True)))
        calibration = self._calibration
        measured = np.array(
            [[(*s.reading.gyro_rad_s, *s.reading.accel_m_s2) for s in part] for part in samples]
        )
        rate = measured[..., :3] @ calibration.matrix.T - calibration.expected_bias_rad_s
        calibrated = np.concatenate([rate, measured[..., 3:]], -1)
        for row, part, own in zip(rows, samples, calibrated, strict=True):
            self._prepare(row, part, own[:1])
        # What is not sure to be a measurement is no rest either: a frozen sensor scatters least.
        dt = np.array([[s.passed.dt_s * (s.passed.unknown_s == 0.0) for s in p] for p in samples])
        period = self._period_s[rows[0]] if any(off_rate) else 1.0 / calibration.rate_hz
        state = RestState(*(part[rows] for part in self._rest))
        seen, after = remember(
            state,
            calibrated,
            dt[:, :, None],
            math.exp(-period / SMOOTHING_S),
            calibration.rest_thresholds,
        )
        for whole, part_after in zip(self._rest, after, strict=True):
            whole[rows] = part_after
        offset = calibration.motion_offset_rad_s * seen.known * (1.0 - seen.at_rest)
        correction = self._convolve(rows, measured)
        correction[np.array(off_rate).reshape(correction.shape[:2])] = 0.0
        corrected = rate - seen.bias_rad_s + offset + correction
        left = self._left(rows, samples, corrected, measured[..., 3:])
        bias = calibration.expected_bias_rad_s + seen.bias_rad_s + left
        return Corrections(corrected - left, bias)

    def _left(
        self,
        rows: Sequence[int],
        samples: Sequence[Sequence[Waiting]],
        rate_rad_s: Float64Array,
        accel_m_s2: Float64Array,
    ) -> Float64Array:
        """Return the bias (n, K, 3) that gravity shows in the corrected rate."""
        found = np.empty_like(rate_rad_s)
        for i, part in enumerate(samples):
            if part[0].passed.starts:
                self._aid.begin(int(rows[i]), accel_m_s2[i, 0])
            times = np.array([(s.passed.dt_s, s.passed.unknown_s) for s in part])
            found[i] = self._aid.follow(
                int(rows[i]), rate_rad_s[i], accel_m_s2[i], times[:, 0], times[:, 1]
            )
        return found

    def _prepare(self, row: int, part: Sequence[Waiting], calibrated: Float64Array) -> None:
        passed = part[0].passed
        if passed.starts or GAP in passed.flags:
            self._cache[row] = 0.0  # what came before a gap is no past of what comes after it
        if passed.starts:
            for whole, part in zip(self._rest, first_state(calibrated[None]), strict=True):
                whole[row] = part[0]
        elif GAP not in passed.flags:
            for sample in part:
                self._period_s[row] += 0.02 * (sample.passed.dt_s - self._period_s[row])

    def _convolve(self, rows: Sequence[int], measured: Float64Array) -> Float64Array:
        correction, cache = self._engine(measured.astype(np.float32), self._cache[rows])
        self._cache[rows] = cache
        found: Float64Array = correction.astype(np.float64)
        return found
