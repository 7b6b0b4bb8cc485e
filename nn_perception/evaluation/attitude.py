"""Evaluation of the task `attitude`: estimated orientations against the truth."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any, ClassVar

import numpy as np

from nn_perception.datasets.imu import Float64Array, ImuSequence
from nn_perception.datasets.imu_bags import IMU
from nn_perception.evaluation.imu_baselines import Baseline, attitude_baselines, vqf_told_delay
from nn_perception.evaluation.imu_evaluation import ImuEvaluation
from nn_perception.evaluation.imu_metrics import (
    Figures,
    align_heading,
    attitude_figures,
    normalised_errors,
)
from nn_perception.evaluation.imu_outcome import Outcome
from nn_perception.inertial.cdr import ImuCdr
from nn_perception.rotations import attitude_errors


class AttitudeEvaluation(ImuEvaluation):
    """Inclination, heading and total error as BROAD defines them, and what VQF and others give.

    The heading of an estimate without a magnetometer starts anywhere: it is turned to be right at
    the first sample with truth. Where a recording says how late its gyroscope is, the pipeline is
    told, and the figures without that are reported beside.
    """

    headline = "inclination_rms_deg"
    names: ClassVar[dict[str, str]] = {
        "inclination_rms_deg": "inclination",
        "heading_rms_deg": "heading",
        "total_rms_deg": "total",
    }
    rivals = ("vqf_with_delay", "vqf", "riann", "constant_bias")
    output_topics: ClassVar[dict[str, str]] = {"/imu/data": IMU}

    def estimate(self, sequence: ImuSequence) -> Outcome:
        """Run the pipeline over a whole recording, told the sensor's delay."""
        delay_s = sequence.sensor_delay_s
        track = self.pipeline.estimate(sequence, delay_s)
        outcome = self._outcome(sequence, track.orientation_xyzw, track.variance_rad2)
        if delay_s != 0.0:
            untold = self.pipeline.estimate(sequence, 0.0).orientation_xyzw
            outcome.without_delay = self.compare(untold, sequence)[1]
        return outcome

    def answer_row(self, result: Any) -> list[float]:
        """Return the orientation and the diagonal of its covariance."""
        covariance = np.asarray(result.covariance_rad2).reshape(-1)
        row: list[float] = result.orientation_xyzw.tolist()
        return [*row, float(covariance[0]), float(covariance[4]), float(covariance[8])]

    def outcome_of_rows(self, sequence: ImuSequence, rows: Float64Array) -> Outcome:
        """Compare the results of a replay."""
        return self._outcome(sequence, rows[:, :4], rows[:, 4:])

    def baselines(self) -> tuple[dict[str, Baseline], dict[str, str]]:
        """Return VQF, RIANN and plain integration."""
        found, left_out = attitude_baselines()
        if "vqf" in found:
            found["vqf_with_delay"] = vqf_told_delay
        order = ("vqf", "vqf_with_delay", "riann", "constant_bias", "gyro_integration")
        return {name: found[name] for name in order if name in found}, left_out

    def compare(
        self, orientation_xyzw: Float64Array, sequence: ImuSequence
    ) -> tuple[Float64Array, Figures, Float64Array]:
        """Return the estimate with its heading aligned, its figures, and the inclination error."""
        aligned = align_heading(orientation_xyzw, sequence)
        errors = attitude_errors(aligned, sequence.orientation_xyzw)
        return aligned, attitude_figures(aligned, sequence), np.degrees(errors.inclination_rad)

    def output_messages(self, data: bytes, result: Any) -> Iterable[tuple[str, bytes]]:
        """Return the sample with its orientation."""
        patched = ImuCdr(data).with_orientation(result.orientation_xyzw, result.covariance_rad2)
        return (("/imu/data", patched),)

    def summary(self) -> list[tuple[str, object]]:
        """Return the rows of the table for people, with how honest the stated errors are."""
        rows = super().summary()
        if delay_s := self._recording.delay_s:
            hint = f"the pipeline is told by --set sensor_delay_s={delay_s:g}"
            rows.append(("delay that the bag states", f"{1e3 * delay_s:.1f} ms; {hint}"))
        found = [outcome.normalised for outcome in self.outcomes.values()]
        for kind in ("inclination", "heading"):
            ratios = [each[kind] for each in found if math.isfinite(each.get(kind, math.nan))]
            if ratios:
                text = f"{float(np.mean(ratios)):.3g} of the stated variance (1: calibrated)"
                rows.append((f"squared error, {kind}", text))
        return rows

    def _outcome(
        self, sequence: ImuSequence, orientation_xyzw: Float64Array, variance_rad2: Float64Array
    ) -> Outcome:
        aligned, figures, _ = self.compare(orientation_xyzw, sequence)
        outcome = Outcome(sequence, aligned, figures)
        outcome.normalised = normalised_errors(aligned, variance_rad2, sequence)
        return outcome
