"""Evaluation of the task `gyro`: corrected rates, integrated and compared with the truth."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar

import numpy as np

from nn_perception.datasets.imu import Float64Array, ImuSequence
from nn_perception.datasets.imu_bags import IMU
from nn_perception.evaluation.imu_baselines import Baseline, gyro_baselines
from nn_perception.evaluation.imu_evaluation import ImuEvaluation
from nn_perception.evaluation.imu_metrics import (
    Figures,
    align_heading,
    integrate_open_loop,
    rotation_figures,
)
from nn_perception.evaluation.imu_outcome import Outcome
from nn_perception.inertial.cdr import ImuCdr
from nn_perception.rotations import quat_distance

VECTOR = "geometry_msgs/msg/Vector3Stamped"


class GyroEvaluation(ImuEvaluation):
    """Orientation that the corrected rate alone leads to, from the first true one on.

    The pipeline runs from the first sample of a recording, also before the truth begins. VQF and
    RIANN see the accelerometer as well: they are no rivals of the same kind, and are compared with
    their heading turned to be right at the first sample with truth.
    """

    headline = "orientation_rms_deg"
    names: ClassVar[dict[str, str]] = {
        "orientation_rms_deg": "orientation (open loop)",
        "relative_1s_rms_deg": "rotation over 1 s",
        "relative_10s_rms_deg": "rotation over 10 s",
    }
    rivals = ("constant_bias", "vqf", "riann")
    output_topics: ClassVar[dict[str, str]] = {
        "/imu/data_corrected": IMU,
        "/imu/gyro_bias": VECTOR,
    }

    def estimate(self, sequence: ImuSequence) -> Outcome:
        """Correct a whole recording."""
        return self._outcome(sequence, self.pipeline.correct(sequence).gyro_rad_s)

    def answer_row(self, result: Any) -> list[float]:
        """Return the corrected rate."""
        row: list[float] = result.gyro_rad_s.tolist()
        return row

    def outcome_of_rows(self, sequence: ImuSequence, rows: Float64Array) -> Outcome:
        """Compare the results of a replay."""
        return self._outcome(sequence, rows)

    def baselines(self) -> tuple[dict[str, Baseline], dict[str, str]]:
        """Return a constant bias, plain integration, VQF and RIANN."""
        calibration = self.pipeline.bundle.config.calibration
        found, left_out = gyro_baselines(calibration.get("constant_gyro_bias_rad_s"))
        order = ("constant_bias", "gyro_integration", "vqf", "riann")
        return {name: found[name] for name in order if name in found}, left_out

    def compare(
        self, orientation_xyzw: Float64Array, sequence: ImuSequence
    ) -> tuple[Float64Array, Figures, Float64Array]:
        """Return the estimate, its figures, and its rotation angle from the truth."""
        # Without effect on what was integrated from the first true orientation.
        aligned = align_heading(orientation_xyzw, sequence)
        error_rad = quat_distance(aligned, sequence.orientation_xyzw)
        return aligned, rotation_figures(aligned, sequence), np.degrees(error_rad)

    def output_messages(self, data: bytes, result: Any) -> Iterable[tuple[str, bytes]]:
        """Return the sample with its corrected rate, and the bias."""
        source = ImuCdr(data)
        patched = source.with_angular_velocity(result.gyro_rad_s, result.covariance_rad2_s2)
        bias = source.vector3_stamped(result.bias_rad_s)
        return (("/imu/data_corrected", patched), ("/imu/gyro_bias", bias))

    def _outcome(self, sequence: ImuSequence, gyro_rad_s: Float64Array) -> Outcome:
        orientation = integrate_open_loop(gyro_rad_s, sequence)
        aligned, figures, _ = self.compare(orientation, sequence)
        return Outcome(sequence, aligned, figures)
