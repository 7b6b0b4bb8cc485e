"""IMU samples to orientation with covariance: the filter, block by block, and what is between."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from nn_perception.bundle import Bundle
from nn_perception.datasets.imu import ImuSequence
from nn_perception.engine import Engine
from nn_perception.errors import BundleError, ConfigError
from nn_perception.inertial.gate import RESET, Limits
from nn_perception.tasks.attitude.estimator import Estimator, Settings
from nn_perception.tasks.imu_pipeline import ImuPipeline, Waiting, rounds

Float64Array = NDArray[np.float64]

MIN_RATE_HZ, MAX_RATE_HZ = 45.0, 1050.0
"""Rates that the filter is made for: its blocks of 40 ms need two samples."""


class AttitudeResult(NamedTuple):
    """Orientation at one sample.

    Attributes:
        stamp_ns: stamp of the sample.
        frame_id: frame of the sensor.
        orientation_xyzw: (4,) unit, sensor to earth (z up); heading zero at the start, and adrift.
        covariance_rad2: (3, 3) of the rotation error about the earth's x, y and z.
        gyro_bias_rad_s: (3,) estimated bias, sensor frame.
        flags: conditions of this sample, see `nn_perception.inertial.gate`.
        stage_s: seconds per stage.
    """

    stamp_ns: int
    frame_id: str
    orientation_xyzw: Float64Array
    covariance_rad2: Float64Array
    gyro_bias_rad_s: Float64Array
    flags: tuple[str, ...]
    stage_s: Mapping[str, float]


@dataclass(frozen=True)
class AttitudeTrack:
    """Orientations over a recording.

    Attributes:
        orientation_xyzw: (N, 4).
        variance_rad2: (N, 3) about the earth's x, y and z.
        gyro_bias_rad_s: (N, 3).
    """

    orientation_xyzw: Float64Array
    variance_rad2: Float64Array
    gyro_bias_rad_s: Float64Array


class AttitudePipeline(ImuPipeline):
    """Runs the filter for any number of sensors, told apart by the name of their input."""

    _core: Estimator

    def __init__(
        self,
        bundle: Bundle,
        engine: Engine,
        *,
        sensor_delay_s: float = 0.0,
        max_gap_s: float = Limits.max_gap_s,
        frozen_after_s: float = Limits.frozen_after_s,
    ) -> None:
        """Take a verified bundle and its engine.

        Args:
            bundle: of the task ``attitude``.
            engine: of that bundle.
            sensor_delay_s: how late the samples are; the orientation is predicted ahead by it.
            max_gap_s: see `Limits`.
            frozen_after_s: see `Limits`.

        Raises:
            BundleError: the bundle lacks what the filter needs.
            ConfigError: a setting is out of its range.
        """
        if not 0.0 <= sensor_delay_s <= 0.1:
            raise ConfigError(f"sensor_delay_s is {sensor_delay_s}, expected 0 to 0.1 s")
        self._sensor_delay_s = sensor_delay_s
        self._settings = _settings(bundle)
        limits = Limits(max_gap_s, frozen_after_s, MIN_RATE_HZ, MAX_RATE_HZ)
        super().__init__(bundle, engine, limits)

    def estimate(self, sequence: ImuSequence, sensor_delay_s: float | None = None) -> AttitudeTrack:
        """Run over a recording, from a reset, as a live node would.

        Args:
            sequence: the recording.
            sensor_delay_s: None takes the pipeline's.
        """
        before = self._sensor_delay_s
        self._sensor_delay_s = before if sensor_delay_s is None else sensor_delay_s
        try:
            answers = self._run(sequence)
        finally:
            self._sensor_delay_s = before
        return AttitudeTrack(
            np.stack([answer.orientation_xyzw for answer in answers]),
            np.stack([np.diagonal(answer.covariance_rad2) for answer in answers]),
            np.stack([answer.gyro_bias_rad_s for answer in answers]),
        )

    def _new_core(self) -> Estimator:
        return Estimator(self.engine, self._settings)

    def _answer(self, waiting: Mapping[int, Sequence[Waiting]], answers: list[Any]) -> None:
        core = self._core
        for rows, batch in rounds(waiting, core.fills_block):
            start = time.perf_counter()
            estimates = core.advance(rows, batch, self._sensor_delay_s)
            count = len(rows) * len(batch[0])
            stage_s = {"estimate": (time.perf_counter() - start) / count}
            for i, part in enumerate(batch):
                again = (RESET,) if estimates.recovered[i] else ()
                for k, (place, reading, passed) in enumerate(part):
                    answers[place] = AttitudeResult(
                        reading.stamp_ns,
                        reading.frame_id,
                        estimates.orientation_xyzw[i, k],
                        estimates.covariance_rad2[i],
                        estimates.gyro_bias_rad_s[i],
                        passed.flags + again,
                        stage_s,
                    )


def _settings(bundle: Bundle) -> Settings:
    calibration = bundle.config.calibration
    try:
        settings = Settings(
            tuple(float(v) for v in calibration["first_sigmas"]),
            tuple(float(v) for v in calibration["floors_rad"]),
            tuple(float(v) for v in calibration["variance_scales"]),
            int(bundle.config.inputs[-1].shape[-1] or 0),
        )
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise BundleError(
            f"{bundle.name}: its calibration lacks or garbles {error}; expected first_sigmas (3), "
            "floors_rad (2) and variance_scales (2): train it again with this version"
        ) from None
    sizes = [len(part) for part in settings[:3]]
    numbers = [value for part in settings[:3] for value in part]
    sound = all(0.0 < value < math.inf for value in numbers)
    if sizes != [3, 2, 2] or not sound or settings.memory < 1:
        raise BundleError(
            f"{bundle.name}: its calibration has other sizes or impossible values; train it again"
        )
    return settings
