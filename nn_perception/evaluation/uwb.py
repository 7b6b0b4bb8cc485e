"""Evaluation of the task `uwb`: by the error of ranges, and by positions that ranges lead to."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, ClassVar

from nn_perception.datasets.bags import BagWriter
from nn_perception.datasets.uwb import UwbSequence
from nn_perception.datasets.uwb_bags import ODOM as ODOM_TYPE
from nn_perception.datasets.uwb_bags import POSE, range_topics
from nn_perception.datasets.uwb_bags import RANGE as RANGE_TYPE
from nn_perception.datasets.uwb_data import load_uwb_data
from nn_perception.errors import DatasetError
from nn_perception.evaluation.html_page import plain
from nn_perception.evaluation.latency import LatencyRecorder
from nn_perception.evaluation.score import Score
from nn_perception.evaluation.uwb_methods import LEARNED, METHODS, ConstantModel, methods_of
from nn_perception.evaluation.uwb_outcome import (
    NOTES,
    UwbOutcome,
    by_method,
    cut_to_rows,
    in_means,
    judge,
    to_dict,
)
from nn_perception.evaluation.uwb_recording import UwbRecording, settings_in_bag
from nn_perception.evaluation.uwb_report import write_uwb_report
from nn_perception.tasks.pipeline import InputSpec
from nn_perception.tasks.uwb.cdr import RangeCdr, odometry_from_cdr
from nn_perception.tasks.uwb.model import Prediction, RangeModel
from nn_perception.tasks.uwb.pipeline import ODOM, RANGE
from nn_perception.tasks.uwb.readings import OdomReading, RangeReading

HEADLINES = ("range_rmse_m", "position_rmse_m", "position_p95_m", "normalised_innovation")


class UwbEvaluation:
    """Compares learned corrections of ranges with none and with a constant for each pair.

    Attributes:
        source: what `evaluate_data` was given, in words.
        left_out: why recordings do not count, by name.
        truth: optional topics of a bag, see `nn_perception.datasets.uwb_bags`.
        raw_types: message types that come serialised in a replay.
        progress_unit: what `evaluate_data` counts.
        score: by which bundles are compared.
        needs_pipeline: recordings bring anchors and tags, which a pipeline has to be told.
    """

    truth: ClassVar[tuple[InputSpec, ...]] = (InputSpec("pose", (POSE,), "every"),)
    raw_types: ClassVar[tuple[str, ...]] = (RANGE_TYPE, ODOM_TYPE, POSE)
    progress_unit: ClassVar[str] = "range"
    score: ClassVar[Score] = Score(
        f"range_rmse_m.{LEARNED}", higher_is_better=False, unit="m", count="ranges"
    )
    needs_pipeline: ClassVar[bool] = False
    settings_in_bag = staticmethod(settings_in_bag)

    def __init__(self, pipeline: Any, *, keep_results: bool = False) -> None:
        """Start empty; for `evaluate_data` the pipeline needs ``bundle`` and ``engine`` alone.

        Args:
            pipeline: of the task ``uwb``.
            keep_results: whether to keep each answer for `record_results`.

        Raises:
            BundleError: the bundle's calibration lacks something.
        """
        self.pipeline = pipeline
        self.source = ""
        self.left_out: dict[str, str] = {}
        self._model = RangeModel(pipeline.bundle, pipeline.engine)
        self._constants = ConstantModel(pipeline.bundle)
        self._outcomes: dict[str, UwbOutcome] | None = None
        self._replayed = False
        self._recording = UwbRecording()
        self._kept: list[tuple[int, str, bytes]] | None = [] if keep_results else None

    # Data sets.

    def evaluate_data(
        self, path: Path, on_progress: Callable[[int], object] = lambda _: None
    ) -> dict[str, UwbOutcome]:
        """Correct the ranges of recordings, follow them, and compare with their truth.

        Args:
            path: see `load_uwb_data`.
            on_progress: called with the number of ranges done since the last call.

        Raises:
            DatasetError: nothing is there, a recording cannot be read, or none is left.
        """
        self.source = Path(path).name
        return self.evaluate_sequences(load_uwb_data(path), on_progress)

    def evaluate_sequences(
        self,
        sequences: Iterable[UwbSequence],
        on_progress: Callable[[int], object] = lambda _: None,
    ) -> dict[str, UwbOutcome]:
        """Evaluate recordings that are in memory; see `evaluate_data`."""
        found: dict[str, UwbOutcome] = {}
        self.left_out = {}
        for sequence in sequences:
            cut = cut_to_rows(sequence, self._model, self.pipeline.bundle)
            if cut.sequence is None:
                self.left_out[sequence.name] = cut.reason
            else:
                methods = methods_of(cut.sequence, self._model, self._constants)
                found[sequence.name] = judge(cut, methods)
            on_progress(len(sequence))
        if not found:
            reasons = "; ".join(f"{name}: {why}" for name, why in self.left_out.items())
            raise DatasetError(
                f"no recording is left to evaluate on ({reasons or 'there is none'}), expected "
                f"ranges of the radios {self._model.site!r} with a true pose; give their "
                "recordings, or another bundle"
            )
        self._outcomes, self._replayed = found, False
        return found

    # Replays.

    @property
    def inputs(self) -> tuple[InputSpec, ...]:
        """The pipeline's inputs with the tags that it is set up for."""
        tags = list(self.pipeline.site.tags)
        names = [RANGE] if len(tags) == 1 else [f"{tag}/{RANGE}" for tag in tags]
        ranges = (InputSpec(name, (RANGE_TYPE,), "every") for name in names)
        return (*ranges, InputSpec(ODOM, (ODOM_TYPE,), "every"))

    def take_in(self, name: str, data: bytes) -> tuple[OdomReading | RangeReading, RangeCdr | None]:
        """Decode a serialised message of an input: for the pipeline, and for `add_result`.

        Raises:
            MessageError: it cannot be used.
        """
        if name == ODOM:
            return odometry_from_cdr(data), None
        cdr = RangeCdr(data)
        return cdr.reading(), cdr

    def add_truth(self, name: str, message: bytes, time_ns: int) -> None:
        """Take one serialised true pose."""
        self._recording.add_truth(message)

    def add_result(self, message: RangeCdr, result: Any, time_ns: int) -> None:
        """Take one answer and the range that caused it."""
        self._recording.add(self.pipeline.site, result)
        if self._kept is not None:
            corrected = message.with_range(result.range_m, result.sigma_m**2)
            self._kept.append((time_ns, result.tag, corrected))

    def record_results(self, path: Path) -> None:
        """Write the kept answers as a bag, each at the time of its input, as the node publishes."""
        topics = {
            tag: f"{topic}_corrected"
            for tag, topic in range_topics(self.pipeline.site.tags).items()
        }
        with BagWriter(path) as bag:
            for topic in topics.values():
                bag.add_topic(topic, RANGE_TYPE)
            for time_ns, tag, data in self._kept or ():
                bag.write_raw(topics[tag], time_ns, data)

    def _of_replay(self) -> dict[str, UwbOutcome]:
        site = getattr(self.pipeline, "site", None)
        replayed = site and self._recording.replayed(self.source or "replay", site)
        if not replayed:
            return {}
        sequence, answers = replayed
        cut = cut_to_rows(sequence, self._model, self.pipeline.bundle)
        if cut.sequence is None:
            self.left_out[sequence.name] = cut.reason
            return {}
        told = Prediction(*(values[cut.rows] for values in answers))
        methods = methods_of(cut.sequence, self._model, self._constants, told)
        return {sequence.name: judge(cut, methods)}

    # Figures.

    @property
    def outcomes(self) -> dict[str, UwbOutcome]:
        """What was compared, by recording: of `evaluate_data`, else of a replay with truth."""
        if self._outcomes is None:
            self._outcomes = self._of_replay()
            self._replayed = True
        return self._outcomes

    def summary(self) -> list[tuple[str, object]]:
        """Return the rows of the table for people."""
        outcomes = self.outcomes
        if not outcomes:
            known = [(f"{name}: left out", reason) for name, reason in self.left_out.items()]
            return [("range error", "unknown: no truth/pose topic with poses"), *known]
        ranges = sum(len(outcome.sequence) for outcome in outcomes.values())
        rows: list[tuple[str, object]] = [
            ("recordings", f"{len(outcomes)}, {ranges:,} ranges"),
            ("mean over recordings", " / ".join(METHODS)),
        ]
        for words, key in (
            ("range RMSE without outliers, m", "range_rmse_m"),
            ("range median |error| with outliers, m", "median_abs_error_m"),
            ("range 95 % |error| with outliers, m", "p95_abs_error_m"),
            ("position RMSE in the loop, m", "rmse_m"),
            ("position 95 %, m", "p95_m"),
            ("normalised innovation", "nis"),
            ("ranges within 1 sigma", "within_1_sigma"),
            ("ranges within 2 sigma", "within_2_sigma"),
            ("position RMSE without a filter, m", "multilateration_rmse_m"),
        ):
            values = by_method(outcomes, key)
            rows.append((words, " / ".join(f"{values[method]:.3g}" for method in METHODS)))
        counted = in_means(outcomes)
        for name, outcome in outcomes.items():
            if outcome.trained:
                note = "partly: figures on the rest" if name in counted else "not in the means"
                if outcome.trained is True and name in counted:
                    note = "in full, no test"
                rows.append((f"{name}: trained on", note))
            if outcome.geometry:
                rows.append((f"{name}: anchors", outcome.geometry))
        rows += [(f"{name}: left out", reason) for name, reason in self.left_out.items()]
        return rows

    def to_dict(self) -> dict[str, Any]:
        """Return the figures for JSON; the headlines are null when there was no truth."""
        outcomes = self.outcomes
        # In a replay the learned correction has seen neither the truth nor the filter.
        others = ("features", "loop") if self._replayed else ("replay",)
        notes = {name: text for name, text in NOTES.items() if name not in others}
        values: dict[str, Any] = {
            "recordings": len(outcomes),
            "ranges": sum(len(outcome.sequence) for outcome in outcomes.values()),
            "site": self._model.site,
            **(to_dict(outcomes) if outcomes else dict.fromkeys(HEADLINES)),
            "left_out": self.left_out,
            "notes": notes,
        }
        return {key: plain(value) for key, value in values.items()}

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
        if not self.outcomes:
            raise DatasetError(
                "no report: nothing has a true pose to compare with; record truth/pose "
                "(geometry_msgs/PoseStamped), or name its topic with --topic pose=TOPIC"
            )
        return write_uwb_report(
            directory,
            title=title,
            outcomes=self.outcomes,
            metrics=self.to_dict(),
            facts=facts,
            latency={} if latency is None else latency.samples(),
        )
