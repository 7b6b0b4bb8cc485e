"""IMU samples to orientation with covariance: the filter, block by block, and what is between."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from nn_perception.bundle import Bundle
from nn_perception.datasets.imu import ImuSequence
from nn_perception.engine import Engine
from nn_perception.errors import BundleError, ConfigError, MessageError
from nn_perception.inertial.gate import RESET, Limits, Passed, StreamGate
from nn_perception.inertial.readings import ImuReading, reading_from_message
from nn_perception.tasks.attitude.estimator import Estimates, Estimator, Settings
from nn_perception.tasks.pipeline import InputSpec

Float64Array = NDArray[np.float64]

MIN_RATE_HZ, MAX_RATE_HZ = 45.0, 1050.0
"""Rates that the filter is made for: its blocks of 40 ms need two samples."""


@dataclass(frozen=True)
class AttitudeResult:
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


class AttitudePipeline:
    """Runs the filter for any number of sensors, told apart by the name of their input."""

    inputs: ClassVar[tuple[InputSpec, ...]] = (InputSpec("imu", ("sensor_msgs/msg/Imu",), "every"),)

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
        self.bundle = bundle
        self.engine = engine
        self._limits = Limits(max_gap_s, frozen_after_s, MIN_RATE_HZ, MAX_RATE_HZ)
        if not 0.0 <= sensor_delay_s <= 0.1:
            raise ConfigError(f"sensor_delay_s is {sensor_delay_s}, expected 0 to 0.1 s")
        self._sensor_delay_s = sensor_delay_s
        self._settings = _settings(bundle)
        self.reset()

    def reset(self) -> None:
        """Forget all sensors."""
        self._estimator = Estimator(self.engine, self._settings)
        self._gates: dict[str, StreamGate] = {}
        self._rows: dict[str, int] = {}

    def adopt(self, previous: Any) -> bool:
        """Go on where another pipeline stands; False, and a reset, when it is of another kind.

        The filter's state is physics and goes on with any network; the network's memory only when
        it has the same size.
        """
        if not isinstance(previous, AttitudePipeline):
            self.reset()
            return False
        self._gates, self._rows = previous._gates, previous._rows
        self._estimator.adopt(previous._estimator)
        return True

    def process(self, name: str, message: Any) -> AttitudeResult:
        """Take one sample of the sensor ``name``.

        Args:
            name: tells sensors apart; any text.
            message: sensor_msgs/Imu, or an `ImuReading`.

        Raises:
            MessageError: the sample cannot be used; see `inertial.readings` and `inertial.gate`.
        """
        (answer,) = self.process_many([(name, message)])
        if isinstance(answer, MessageError):
            raise answer
        return answer

    def process_many(
        self, arrivals: Sequence[tuple[str, Any]]
    ) -> list[AttitudeResult | MessageError]:
        """Take samples of any sensors in order of arrival; return an answer for each."""
        start = time.perf_counter()
        answers: list[Any] = [None] * len(arrivals)
        waiting: dict[int, list[tuple[int, ImuReading, Passed]]] = {}
        for index, (name, message) in enumerate(arrivals):
            try:
                reading = reading_from_message(message)
                passed = self._gate(name).check(reading)
            except MessageError as error:
                answers[index] = error
                continue
            waiting.setdefault(self._row(name), []).append((index, reading, passed))
        flat: list[tuple[Sequence[tuple[int, ImuReading, Passed]], Estimates]] = []
        for rows, batch in self._estimator.rounds(waiting):
            samples = [[(reading, passed) for _, reading, passed in part] for part in batch]
            estimates = self._estimator.advance(rows, samples, self._sensor_delay_s)
            flat.extend((part, estimates.of(i)) for i, part in enumerate(batch))
        share = (time.perf_counter() - start) / max(1, len(arrivals))
        stage_s = {"estimate": share}
        for part, estimate in flat:
            again = (RESET,) if estimate.recovered else ()
            for k, (index, reading, passed) in enumerate(part):
                answers[index] = AttitudeResult(
                    reading.stamp_ns,
                    reading.frame_id,
                    estimate.orientation_xyzw[k],
                    estimate.covariance_rad2,
                    estimate.gyro_bias_rad_s,
                    passed.flags + again,
                    stage_s,
                )
        return answers

    def estimate(self, sequence: ImuSequence, sensor_delay_s: float | None = None) -> AttitudeTrack:
        """Run over a recording, from a reset, as a live node would.

        Args:
            sequence: the recording.
            sensor_delay_s: None takes the pipeline's.
        """
        self.reset()
        before = self._sensor_delay_s
        if sensor_delay_s is not None:
            self._sensor_delay_s = sensor_delay_s
        try:
            stamps = np.round(sequence.time_s * 1e9).astype(np.int64).tolist()
            readings = [
                ("imu", ImuReading(stamp, "", gyro, accel))
                for stamp, gyro, accel in zip(
                    stamps, sequence.gyro_rad_s, sequence.accel_m_s2, strict=True
                )
            ]
            answers = self.process_many(readings)
        finally:
            self._sensor_delay_s = before
            self.reset()
        for answer in answers:
            if isinstance(answer, MessageError):
                raise answer
        return AttitudeTrack(
            np.stack([a.orientation_xyzw for a in answers]),  # type: ignore[union-attr]
            np.stack([np.diagonal(a.covariance_rad2) for a in answers]),  # type: ignore[union-attr]
            np.stack([a.gyro_bias_rad_s for a in answers]),  # type: ignore[union-attr]
        )

    def _gate(self, name: str) -> StreamGate:
        gate = self._gates.get(name)
        if gate is None:
            gate = self._gates[name] = StreamGate(self._limits)
        return gate

    def _row(self, name: str) -> int:
        row = self._rows.get(name)
        if row is None:
            row = self._rows[name] = self._estimator.add_sensor()
        return row


def _settings(bundle: Bundle) -> Settings:
    calibration, memory = bundle.config.calibration, bundle.config.inputs[-1].shape[-1]
    try:
        settings = Settings(
            tuple(float(v) for v in calibration["first_sigmas"]),
            tuple(float(v) for v in calibration["floors_rad"]),
            tuple(float(v) for v in calibration["variance_scales"]),
            int(memory or 0),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise BundleError(
            f"{bundle.name}: its calibration lacks or garbles {error}; expected first_sigmas (3), "
            "floors_rad (2) and variance_scales (2): train it again with this version"
        ) from None
    sizes = [len(part) for part in settings[:3]]
    if sizes != [3, 2, 2] or not settings.memory:
        raise BundleError(f"{bundle.name}: its calibration has other sizes; train it again")
    return settings
