"""IMU samples to a corrected angular rate."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from nn_perception.bundle import Bundle
from nn_perception.datasets.imu import ImuSequence
from nn_perception.engine import Engine
from nn_perception.errors import BundleError
from nn_perception.inertial.gate import Limits
from nn_perception.tasks.gyro.corrector import Calibration, Corrector
from nn_perception.tasks.imu_pipeline import ImuPipeline, Waiting, rounds

Float64Array = NDArray[np.float64]

RATE_TOLERANCE = 0.05
"""A stream whose rate is further from the trained one goes without the convolutions."""

_SHAPES = {
    "matrix": (3, 3),
    "expected_bias_rad_s": (3,),
    "motion_offset_rad_s": (3,),
    "rest_thresholds": (4,),
}


class GyroResult(NamedTuple):
    """Corrected rate of one sample.

    Attributes:
        stamp_ns: stamp of the sample.
        frame_id: frame of the sensor.
        gyro_rad_s: (3,) corrected rate.
        bias_rad_s: (3,) bias taken off, of the rate after scale and misalignment.
        covariance_rad2_s2: (3, 3), or None: that of the input holds.
        flags: conditions of this sample, see `nn_perception.inertial.gate`.
        stage_s: seconds per stage.
    """

    stamp_ns: int
    frame_id: str
    gyro_rad_s: Float64Array
    bias_rad_s: Float64Array
    covariance_rad2_s2: Float64Array | None
    flags: tuple[str, ...]
    stage_s: Mapping[str, float]


@dataclass(frozen=True)
class GyroTrack:
    """Corrected rates over a recording.

    Attributes:
        gyro_rad_s: (N, 3).
        bias_rad_s: (N, 3).
    """

    gyro_rad_s: Float64Array
    bias_rad_s: Float64Array


class GyroPipeline(ImuPipeline):
    """Corrects any number of sensors of the kind that the bundle was trained on."""

    _core: Corrector

    def __init__(
        self,
        bundle: Bundle,
        engine: Engine,
        *,
        max_gap_s: float = Limits.max_gap_s,
        frozen_after_s: float = Limits.frozen_after_s,
    ) -> None:
        """Take a verified bundle and its engine.

        Args:
            bundle: of the task ``gyro``.
            engine: of that bundle.
            max_gap_s: see `Limits`.
            frozen_after_s: see `Limits`.

        Raises:
            BundleError: the bundle lacks what the correction needs.
            ConfigError: a setting is out of its range.
        """
        self._calibration = _calibration(bundle)
        rate = self._calibration.rate_hz
        low, high = rate * (1.0 - RATE_TOLERANCE), rate * (1.0 + RATE_TOLERANCE)
        super().__init__(bundle, engine, Limits(max_gap_s, frozen_after_s, low, high))

    def correct(self, sequence: ImuSequence) -> GyroTrack:
        """Run over a recording, from a reset, as a live node would."""
        answers = self._run(sequence)
        return GyroTrack(
            np.stack([answer.gyro_rad_s for answer in answers]),
            np.stack([answer.bias_rad_s for answer in answers]),
        )

    def _new_core(self) -> Corrector:
        return Corrector(self.engine, self._calibration)

    def _answer(self, waiting: Mapping[int, Sequence[Waiting]], answers: list[Any]) -> None:
        for rows, batch in rounds(waiting):
            start = time.perf_counter()
            found = self._core.advance(rows, batch)
            count = len(rows) * len(batch[0])
            stage_s = {"correct": (time.perf_counter() - start) / count}
            for i, part in enumerate(batch):
                for k, (place, reading, passed) in enumerate(part):
                    answers[place] = GyroResult(
                        reading.stamp_ns,
                        reading.frame_id,
                        found.gyro_rad_s[i, k],
                        found.bias_rad_s[i, k],
                        None,
                        passed.flags,
                        stage_s,
                    )


def _calibration(bundle: Bundle) -> Calibration:
    calibration = bundle.config.calibration
    try:
        arrays = {name: np.array(calibration[name], np.float64) for name in _SHAPES}
        left_bias = float(calibration.get("left_bias_rad_s", 0.0))
        rate_hz = float(bundle.config.preprocessing["rate_hz"])
        cache = int(bundle.config.inputs[1].shape[-1] or 0)
        state_of = bundle.id if calibration.get("recurrent", False) else ""
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise BundleError(
            f"{bundle.name}: its calibration lacks or garbles {error}; expected "
            f"{', '.join(_SHAPES)} and rate_hz: train it again with this version"
        ) from None
    sound = all(
        arrays[name].shape == shape and np.isfinite(arrays[name]).all()
        for name, shape in _SHAPES.items()
    )
    sound = sound and 0.0 <= left_bias < 1.0 and 1.0 <= rate_hz <= 10_000.0 and cache > 0
    if not sound:
        raise BundleError(f"{bundle.name}: its calibration has other sizes; train it again")
    return Calibration(
        **arrays, left_bias_rad_s=left_bias, rate_hz=rate_hz, cache=cache, state_of=state_of
    )
