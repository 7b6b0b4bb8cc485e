"""What the evaluations of `attitude` and `gyro` share: recordings, replays, figures, files."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import numpy as np

from nn_perception.datasets.bags import BagWriter
from nn_perception.datasets.imu import Float64Array, ImuSequence
from nn_perception.datasets.imu_bags import BOOL, FLOAT, IMU, POSE
from nn_perception.datasets.imu_data import load_imu_data
from nn_perception.errors import DatasetError
from nn_perception.evaluation.html_page import plain
from nn_perception.evaluation.imu_baselines import Baseline
from nn_perception.evaluation.imu_metrics import Figures, collect
from nn_perception.evaluation.imu_outcome import (
    MODEL,
    UNTOLD,
    Outcome,
    as_dict,
    figures_by_method,
)
from nn_perception.evaluation.imu_recording import ImuRecording
from nn_perception.evaluation.imu_report import write_imu_report
from nn_perception.evaluation.latency import LatencyRecorder
from nn_perception.evaluation.score import Score
from nn_perception.evaluation.tum import write_tum
from nn_perception.inertial.cdr import reading_from_cdr
from nn_perception.inertial.readings import ImuReading
from nn_perception.tasks.pipeline import InputSpec


class TakenIn(NamedTuple):
    """One sample of a replay: decoded, and as it came."""

    reading: ImuReading
    data: bytes


class ImuEvaluation(ABC):
    """Compares a pipeline for inertial sensors with the truth and with baselines.

    Attributes:
        source: what `evaluate_data` was given, in words.
        truth: optional topics of a bag, see `nn_perception.datasets.imu_bags`.
        raw_types: message types that come serialised in a replay.
        progress_unit: what `evaluate_data` counts.
        headline: the figure that recordings are ordered by.
        with_baselines: whether others are computed beside; False where the model alone counts.
        names: words for each figure, for people.
        rivals: baselines in pictures, the most important first.
    """

    truth: ClassVar[tuple[InputSpec, ...]] = (
        InputSpec("pose", (POSE,), "every"),
        InputSpec("moving", (BOOL,), "every"),
        InputSpec("sensor_delay", (FLOAT,), "every"),
    )
    raw_types: ClassVar[tuple[str, ...]] = (IMU, POSE)
    progress_unit: ClassVar[str] = "sample"
    headline: ClassVar[str]
    with_baselines = True
    names: ClassVar[Mapping[str, str]]
    rivals: ClassVar[tuple[str, ...]]

    def __init__(self, pipeline: Any, *, keep_results: bool = False) -> None:
        """Start empty; ``keep_results`` keeps each answer for `record_results`."""
        self.pipeline = pipeline
        self.source = ""
        self.left_out: dict[str, str] = {}
        self._recording = ImuRecording()
        self._kept: list[tuple[int, bytes, Any]] | None = [] if keep_results else None
        self._outcomes: dict[str, Outcome] | None = None

    @property
    def score(self) -> Score:
        """By which bundles are compared: the headline, in degrees."""
        return Score(f"{self.headline}.mean", higher_is_better=False, unit="deg", count="samples")

    # What a task says.

    @abstractmethod
    def estimate(self, sequence: ImuSequence) -> Outcome:
        """Run the pipeline over a whole recording and compare; baselines are added by `judge`."""

    @abstractmethod
    def answer_row(self, result: Any) -> list[float]:
        """Return the numbers of a result that `outcome_of_rows` needs."""

    @abstractmethod
    def outcome_of_rows(self, sequence: ImuSequence, rows: Float64Array) -> Outcome:
        """Compare the results (N, K) of a replay."""

    @abstractmethod
    def baselines(self) -> tuple[dict[str, Baseline], dict[str, str]]:
        """Return baselines by name, and why others are left out."""

    @abstractmethod
    def compare(
        self, orientation_xyzw: Float64Array, sequence: ImuSequence
    ) -> tuple[Float64Array, Figures, Float64Array]:
        """Return an estimate in the frame of the truth, its figures, and its error in degrees."""

    @abstractmethod
    def output_messages(self, data: bytes, result: Any) -> Iterable[tuple[str, bytes]]:
        """Return (topic, serialised message) of a result, as the live node publishes them."""

    output_topics: ClassVar[Mapping[str, str]]

    # Data sets.

    def evaluate_data(
        self, path: Path, on_progress: Callable[[int], object] = lambda _: None
    ) -> dict[str, Outcome]:
        """Estimate recordings and compare them with their truth.

        Args:
            path: see `load_imu_data`.
            on_progress: called with the number of samples done since the last call.

        Raises:
            DatasetError: nothing is there, or a recording cannot be read or has no truth.
        """
        self.source = Path(path).name
        return self.evaluate_sequences(load_imu_data(path), on_progress)

    def evaluate_sequences(
        self,
        sequences: Iterable[ImuSequence],
        on_progress: Callable[[int], object] = lambda _: None,
    ) -> dict[str, Outcome]:
        """Estimate recordings that are in memory; see `evaluate_data`."""
        found: dict[str, Outcome] = {}
        for sequence in sequences:
            found[sequence.name] = self.judge(self.estimate(sequence))
            on_progress(len(sequence))
        self._outcomes = found
        return found

    def judge(self, outcome: Outcome) -> Outcome:
        """Add the baselines of a recording."""
        sequence, shown = outcome.sequence, outcome.shown
        methods, self.left_out = self.baselines() if self.with_baselines else ({}, {})
        outcome.errors_deg[MODEL] = self.compare(outcome.orientation_xyzw, sequence)[2][shown]
        for name, baseline in methods.items():
            if name.endswith("_with_delay") and sequence.sensor_delay_s == 0.0:
                continue
            aligned, figures, error_deg = self.compare(baseline(sequence), sequence)
            outcome.baselines[name] = figures
            outcome.errors_deg[name] = error_deg[shown]
            outcome.baseline_xyzw[name] = aligned[shown]
        return outcome

    # Replays.

    def take_in(self, name: str, data: bytes) -> tuple[ImuReading, TakenIn]:
        """Decode a serialised sensor_msgs/Imu: for the pipeline, and for `add_result`.

        Raises:
            MessageError: it cannot be used.
        """
        reading = reading_from_cdr(data)
        return reading, TakenIn(reading, data)

    def add_truth(self, name: str, message: Any, time_ns: int) -> None:
        """Take one message of a truth topic; poses come serialised."""
        self._recording.add_truth(name, message, time_ns)

    def add_result(self, message: TakenIn, result: Any, time_ns: int) -> None:
        """Take one answer and the sample that caused it."""
        self._recording.add(message.reading, self.answer_row(result))
        if self._kept is not None:
            self._kept.append((time_ns, message.data, result))

    @property
    def outcomes(self) -> dict[str, Outcome]:
        """What was compared, by recording: of `evaluate_data`, else of a replay with truth."""
        if self._outcomes is None:
            self._outcomes = {}
            found = self._recording.sequence(self.source or "replay")
            if found is not None and found[0].has_truth.any():
                outcome = self.outcome_of_rows(*found)
                self._outcomes[outcome.sequence.name] = self.judge(outcome)
        return self._outcomes

    def record_results(self, path: Path) -> None:
        """Write the kept answers as a bag, each at the time of its input, as the node publishes."""
        with BagWriter(path) as bag:
            for topic, msgtype in self.output_topics.items():
                bag.add_topic(topic, msgtype)
            for time_ns, data, result in self._kept or ():
                for topic, message in self.output_messages(data, result):
                    bag.write_raw(topic, time_ns, message)

    # Figures.

    def summary(self) -> list[tuple[str, object]]:
        """Return the rows of the table for people."""
        outcomes = self.outcomes
        if not outcomes:
            return [(self.names[self.headline], "unknown: no truth/pose topic with orientations")]
        samples = sum(len(outcome.sequence) for outcome in outcomes.values())
        rows: list[tuple[str, object]] = [
            ("recordings", f"{len(outcomes)}, {samples:,} samples"),
            ("RMS, degrees, mean", " / ".join(self.names.values())),
        ]
        for method, figures in figures_by_method(outcomes).items():
            means = {key: series.mean for key, series in collect(figures).items()}
            line = " / ".join(f"{means[key]:.3g}" for key in self.names)
            rows.append((method, line))
        rows += [(f"{name}: left out", reason) for name, reason in self.left_out.items()]
        if self._recording.dropped:
            rows.append(("answers with an older stamp", self._recording.dropped))
        return rows

    def to_dict(self) -> dict[str, Any]:
        """Return the figures for JSON; they are null when there was no truth."""
        outcomes = self.outcomes
        methods = {name: as_dict(f) for name, f in figures_by_method(outcomes).items()}
        values: dict[str, Any] = {
            "recordings": len(outcomes),
            "samples": sum(len(outcome.sequence) for outcome in outcomes.values()),
            **methods.pop(MODEL, dict.fromkeys(self.names)),
        }
        if UNTOLD in methods:
            values["without_delay"] = methods.pop(UNTOLD)
        normalised = {name: o.normalised for name, o in outcomes.items() if o.normalised}
        if normalised:
            values["normalised_error"] = as_dict(normalised)
        values |= {"baselines": methods, "baselines_left_out": self.left_out}
        return {key: plain(value) for key, value in values.items()}

    def write_tum(self, directory: Path) -> list[Path]:
        """Write estimate and truth of each recording for ``evo``; return the files.

        Raises:
            DatasetError: there is no truth, or a file cannot be written.
        """
        paths: list[Path] = []
        for outcome in self._need_outcomes("TUM files"):
            sequence = outcome.sequence
            paths += [directory / f"{sequence.name}_{kind}.tum" for kind in ("estimate", "truth")]
            write_tum(paths[-2], sequence, outcome.orientation_xyzw)
            truth = np.asarray(sequence.orientation_xyzw)
            write_tum(paths[-1], sequence, truth, sequence.position_m)
        return paths

    def write_report(
        self,
        directory: Path,
        *,
        title: str,
        facts: Mapping[str, object],
        latency: LatencyRecorder | None = None,
    ) -> Path:
        """Write a page with tables and pictures; return its path.

        Raises:
            DatasetError: there is nothing to report, since there is no truth.
        """
        self._need_outcomes("report")
        return write_imu_report(
            directory,
            title=title,
            outcomes=self.outcomes,
            names=self.names,
            headline=self.headline,
            rivals=self.rivals,
            metrics=self.to_dict(),
            facts=facts,
            latency={} if latency is None else latency.samples(),
        )

    def _need_outcomes(self, what: str) -> list[Outcome]:
        if not self.outcomes:
            raise DatasetError(
                f"no {what}: nothing has a true orientation to compare with; record truth/pose "
                "(geometry_msgs/PoseStamped), or name its topic with --topic pose=TOPIC"
            )
        return list(self.outcomes.values())
