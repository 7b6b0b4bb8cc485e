"""Evaluation of pipelines that answer with regions of a frame: against true boxes of a bag."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import numpy.typing as npt

from nn_perception.datasets.bags import image_message
from nn_perception.datasets.detection_messages import (
    DETECTION_ARRAY,
    LabelledBoxes,
    detections_message,
    read_detections,
)
from nn_perception.errors import DatasetError, MessageError
from nn_perception.evaluation.detection import (
    DetectionAccumulator,
    DetectionMetrics,
    FrameFigures,
)
from nn_perception.evaluation.latency import LatencyRecorder
from nn_perception.evaluation.recording import write_results
from nn_perception.evaluation.regions_report import (
    MAX_PICTURES,
    ErrorPicture,
    draw_errors,
    write_regions_report,
)
from nn_perception.evaluation.score import Score
from nn_perception.messages import decode_image, stamp_ns
from nn_perception.tasks.pipeline import InputSpec

if TYPE_CHECKING:
    from nn_perception.datasets.digit_frames import DigitFrame

_WAITING = 64
"""Images that wait for their truth, or for the answer that comes with another message."""


class RegionsEvaluation:
    """Collects regions and true boxes, pairs them by stamp, and computes the figures.

    Results have the fields of `nn_perception.tasks.image_results.RegionsResult`.

    Attributes:
        source: what was evaluated, in words.
        truth: true boxes of each frame, matched by the header's stamp.
        score: by which bundles are compared.
        result_type: message type of `to_message`.
        result_topic: where `to_message` is recorded.
        frames: counts of each compared frame by its stamp in nanoseconds.
    """

    truth: ClassVar[tuple[InputSpec, ...]] = (InputSpec("truth", (DETECTION_ARRAY,), "every"),)
    progress_unit: ClassVar[str] = "frame"
    score: ClassVar[Score] = Score("f1", higher_is_better=True, unit="1", count="frames")
    result_type = DETECTION_ARRAY
    result_topic = "/detections"

    def __init__(self, pipeline: Any, *, keep_results: bool = False) -> None:
        """Start empty; ``keep_results`` keeps each answer for `record_results`."""
        self.pipeline = pipeline
        self.source = ""
        self.frames: dict[int, FrameFigures] = {}
        self.unknown_labels: set[str] = set()
        self.bad_truth: Counter[str] = Counter()
        self.pictures: list[ErrorPicture] = []
        self.latency = LatencyRecorder()
        self._results: list[tuple[int, Any]] | None = [] if keep_results else None
        self._sums = DetectionAccumulator()
        self._truths: dict[int, LabelledBoxes] = {}
        self._answers: dict[int, Any] = {}
        self._images: deque[tuple[int, Any]] = deque(maxlen=_WAITING)
        self._rejected = 0
        self._refused: Counter[str] = Counter()

    def add_truth(self, name: str, message: Any, time_ns: int) -> None:
        """Take the true boxes of one frame; a message that holds none is counted and left out."""
        try:
            boxes, stamp = read_detections(message), stamp_ns(message)
        except MessageError as error:
            self.bad_truth[error.kind] += 1
            return
        known = set(self.pipeline.bundle.labels)
        self.unknown_labels |= {label for label in boxes.labels if label not in known}
        self._truths[stamp] = boxes
        self._compare(stamp)

    def add_unanswered(self, message: Any) -> None:
        """Take a message that waits for another one: a frame for its boxes, or the reverse."""
        if hasattr(message, "data"):
            self._images.append((stamp_ns(message), message))

    def add_result(self, message: Any, result: Any, time_ns: int) -> None:
        """Take one answer, and the message that it came with: an image, or boxes."""
        self.add_unanswered(message)
        self._rejected += result.rejected
        self._refused.update(result.refused)
        if self._results is not None:
            self._results.append((time_ns, result))
        self._answers[result.stamp_ns] = result
        self._compare(result.stamp_ns)

    def evaluate_frames(
        self,
        frames: Any,
        count: int,
        on_progress: Callable[[int], object] = lambda _: None,
    ) -> DetectionMetrics:
        """Run the pipeline over the first generated frames and compare with their exact truth.

        Args:
            frames: `DigitFrames`, or anything that gives a `DigitFrame` for an index.
            count: how many.
            on_progress: called with the number of frames done since the last call.
        """
        for index in range(count):
            frame: DigitFrame = frames[index]
            labels = tuple(str(label) for label in frame.labels.tolist())
            stamp = index * 1_000_000
            self._truths[stamp] = LabelledBoxes(
                frame.boxes_xywh, labels, np.ones(len(labels)), frame.lines
            )
            message = image_message(frame.image, "rgb8", stamp)
            result = self.pipeline.process("image_raw", message)
            self.latency.add_all(result.stage_s)
            self.add_result(message, result, stamp)
            on_progress(1)
        return self._sums.metrics()

    def metrics(self) -> DetectionMetrics | None:
        """Return the figures of all frames with an answer and truth; None when there is none."""
        return self._sums.metrics() if self.frames else None

    def summary(self) -> list[tuple[str, object]]:
        """Return the rows of the table for people."""
        metrics = self.metrics()
        if metrics is None:
            rows: list[tuple[str, object]] = [
                ("detection F1", "unknown: no truth topic, or no truth fits a frame's stamp")
            ]
        else:
            rows = [
                ("detection F1", _percent(metrics.f1, f"{metrics.frames} frames")),
                ("precision", _percent(metrics.precision, f"{metrics.found} found")),
                ("recall", _percent(metrics.recall, f"{metrics.true} true")),
                ("reading accuracy", _percent(metrics.reading_accuracy, f"{metrics.true} true")),
                ("label accuracy", _percent(metrics.label_accuracy, f"{metrics.matched} found")),
            ]
            if metrics.lines:
                rows.append(("lines exact", _percent(metrics.lines_exact, str(metrics.lines))))
        if self._rejected:
            rows.append(("regions of no known class", self._rejected))
        for title, counts in (("boxes refused", self._refused), ("truth refused", self.bad_truth)):
            if counts.total():
                rows.append((title, ", ".join(f"{n} x {kind}" for kind, n in counts.items() if n)))
        if self.unknown_labels:
            rows.append(("labels unknown to the model", ", ".join(sorted(self.unknown_labels))))
        return rows

    def to_dict(self) -> dict[str, Any]:
        """Return the figures for JSON; they are null when there was no truth."""
        return {
            **self._sums.metrics().to_dict(),
            "rejected": self._rejected,
            "refused": {kind: n for kind, n in self._refused.items() if n},
            "frames_without_answer": len(self._truths),
            "frames_without_truth": len(self._answers),
            "bad_truth": dict(self.bad_truth),
            "unknown_labels": sorted(self.unknown_labels),
            "per_frame": [
                {"stamp_ns": stamp, **figures.counts()}
                for stamp, figures in sorted(self.frames.items())
            ],
        }

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
            DatasetError: there is nothing to report, since no answer could be compared.
        """
        metrics = self.metrics()
        if metrics is None:
            raise DatasetError(
                "no report: no answer has true boxes to compare with; name their topic with "
                "--topic truth=TOPIC"
            )
        return write_regions_report(
            directory,
            title=title,
            metrics=metrics,
            figures=self.to_dict(),
            pictures=self.pictures,
            latency=(latency or self.latency).samples() or None,
            facts={name: str(value) for name, value in facts.items()},
        )

    def record_results(self, path: Path) -> None:
        """Write the kept answers as a bag, each at the time of its input."""
        write_results(
            path, self.result_topic, self.result_type, self._results or (), self.to_message
        )

    @staticmethod
    def to_message(result: Any) -> Any:
        """Return the result as a recordable vision_msgs/Detection2DArray."""
        return detections_message(
            result.boxes_xywh,
            result.labels,
            result.scores,
            result.stamp_ns,
            result.frame_id,
            result.lines,
        )

    def _compare(self, stamp: int) -> None:
        """Compare a frame when its answer and its truth are there."""
        if stamp not in self._truths or stamp not in self._answers:
            return
        true, result = self._truths.pop(stamp), self._answers.pop(stamp)
        answers = tuple(result.labels[index] for index in result.scores.argmax(axis=1).tolist())
        figures = self._sums.add(
            result.boxes_xywh, answers, result.lines, true.boxes_xywh, true.labels, true.lines
        )
        self.frames[stamp] = figures
        least = min((entry.errors for entry in self.pictures), default=0)
        if figures.errors and (len(self.pictures) < MAX_PICTURES or figures.errors > least):
            self._keep_picture(stamp, (result.boxes_xywh, answers), true, figures)

    def _keep_picture(
        self,
        stamp: int,
        found: tuple[npt.NDArray[np.float32], tuple[str, ...]],
        true: LabelledBoxes,
        figures: FrameFigures,
    ) -> None:
        message = next((message for known, message in self._images if known == stamp), None)
        if message is None:
            return
        image = draw_errors(
            decode_image(message, 3), found, (true.boxes_xywh, true.labels), figures
        )
        missed, false = figures.true - figures.matched, figures.found - figures.matched
        wrong = figures.matched - figures.right
        caption = f"{missed} missed, {wrong} wrong, {false} false of {figures.true}"
        self.pictures.append(ErrorPicture(image, figures.errors, caption))
        self.pictures = sorted(self.pictures, key=lambda entry: -entry.errors)[:MAX_PICTURES]


def _percent(share: float, of: str) -> str:
    return f"unknown, {of}" if share != share else f"{share:.2%} of {of}"
