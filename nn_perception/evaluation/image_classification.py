"""Evaluation of image classifiers: against labelled pictures, and against a bag's label topic.

`choose_evaluation` gives the evaluation that fits what a pipeline answers: whole frames or regions.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from nn_perception.datasets.arrays import ImageSet
from nn_perception.datasets.bags import classification_message
from nn_perception.datasets.builtin import BUILTIN, load_builtin_digits
from nn_perception.datasets.images import load_image_set
from nn_perception.errors import ConfigError, DatasetError
from nn_perception.evaluation.classification import ClassificationMetrics, classification_metrics
from nn_perception.evaluation.latency import LatencyRecorder
from nn_perception.evaluation.per_source import SourceFigures, accuracy_per_source
from nn_perception.evaluation.recording import write_results
from nn_perception.evaluation.regions import RegionsEvaluation
from nn_perception.evaluation.report import write_classification_report
from nn_perception.evaluation.score import Score
from nn_perception.messages import decode_image, stamp_ns
from nn_perception.tasks.classification import converter, prepare_image
from nn_perception.tasks.image_pipeline import IMAGE, ImageClassificationPipeline
from nn_perception.tasks.image_results import ClassificationResult
from nn_perception.tasks.pipeline import InputSpec
from nn_perception.tasks.region_modes import OF_REGIONS

LABEL_TYPE = "vision_msgs/msg/Classification"
MAX_WRONG = 48
"""Wrongly answered pictures that are kept for the report."""

"""Values of a pipeline's setting `regions` with which it answers with regions."""

WrongPicture = tuple[npt.NDArray[np.uint8], str, str, float]


def choose_evaluation(
    pipeline: Any, **settings: Any
) -> ClassificationEvaluation | RegionsEvaluation:
    """Return the evaluation for what a pipeline answers, empty.

    Args:
        pipeline: its `regions`, ``"full"`` where it has none, decides.
        settings: see `ClassificationEvaluation`.

    Raises:
        ConfigError: it serves several cameras, whose frames may have the same stamps.
    """
    images = [spec.name for spec in getattr(pipeline, "inputs", ()) if spec.name.endswith(IMAGE)]
    if len(images) > 1:
        raise ConfigError(
            f"answers are compared by their stamps, which cameras may share, and there are "
            f"{', '.join(images)}: take one at a time, with --topic image_raw=TOPIC and without "
            "the setting 'cameras'"
        )
    if getattr(pipeline, "regions", "full") in OF_REGIONS:
        return RegionsEvaluation(pipeline, **settings)
    return ClassificationEvaluation(pipeline, **settings)


class ClassificationEvaluation:
    """Collects results and labels, and computes the figures.

    Attributes:
        source: what `evaluate_data` was given, in words.
        truth: the label topic: one hypothesis per image, matched by the header's stamp.
        progress_unit: what `evaluate_data` counts.
        score: by which bundles are compared.
        result_type: message type of `to_message`.
        result_topic: where `to_message` is recorded.
        per_source: figures of `evaluate_images` by source; empty where the data name none.
        not_answered: pictures or frames that show no known class by the pipeline's threshold.
    """

    truth: ClassVar[tuple[InputSpec, ...]] = (InputSpec("label", (LABEL_TYPE,), "every"),)
    progress_unit: ClassVar[str] = "picture"
    score: ClassVar[Score] = Score("accuracy", higher_is_better=True, unit="1", count="n")
    result_type = LABEL_TYPE
    result_topic = "/classification"

    def __init__(
        self, pipeline: ImageClassificationPipeline, *, keep_results: bool = False
    ) -> None:
        """Start empty; ``keep_results`` keeps each answer for `record_results`."""
        self.pipeline = pipeline
        self.source = ""
        self._results: list[tuple[int, ClassificationResult]] | None = [] if keep_results else None
        self._metrics: ClassificationMetrics | None = None
        self._index = {label: i for i, label in enumerate(pipeline.bundle.labels)}
        self._labels: dict[int, int] = {}
        self._scores: dict[int, npt.NDArray[np.float64]] = {}
        self._rejected: set[int] = set()
        self._answered_metrics: ClassificationMetrics | None = None
        # A label may be recorded after its image: the last images wait for theirs.
        self._recent: deque[tuple[int, Any]] = deque(maxlen=32)
        self.unknown_labels: set[str] = set()
        self.wrong: list[WrongPicture] = []
        self.per_source: dict[str, SourceFigures] = {}
        self.not_answered = 0

    def add_truth(self, name: str, message: Any, time_ns: int) -> None:
        """Take one label; a label that the model does not know counts as unknown."""
        if not message.results:
            return
        label = str(message.results[0].class_id)
        if label not in self._index:
            self.unknown_labels.add(label)
            return
        stamp = stamp_ns(message)
        self._labels[stamp] = self._index[label]
        self._keep_if_wrong(stamp)

    def add_result(self, message: Any, result: ClassificationResult, time_ns: int) -> None:
        """Take one answer."""
        self._scores[result.stamp_ns] = result.scores
        (self._rejected.discard if getattr(result, "accepted", True) else self._rejected.add)(
            result.stamp_ns
        )
        self.not_answered = len(self._rejected)  # as the scores: of frames with one stamp the last
        self._recent.append((result.stamp_ns, message))
        if self._results is not None:
            self._results.append((time_ns, result))
        self._keep_if_wrong(result.stamp_ns)

    @property
    def scores_by_stamp(self) -> dict[int, npt.NDArray[np.float64]]:
        """Scores of each answered frame, by its stamp in nanoseconds."""
        return self._scores

    def metrics(self) -> ClassificationMetrics | None:
        """Return the figures of `evaluate_data`, else of all frames with an answer and a label.

        None when there is nothing to compare.
        """
        if self._metrics is not None:
            return self._metrics
        return self._metrics_of(stamp for stamp in self._scores if stamp in self._labels)

    def answered_metrics(self) -> ClassificationMetrics | None:
        """Return the figures of those that were answered; None when there is none of them."""
        if self._metrics is not None:
            return self._answered_metrics
        return self._metrics_of(
            stamp for stamp in self._scores if stamp in self._labels and stamp not in self._rejected
        )

    def _metrics_of(self, stamps: Iterable[int]) -> ClassificationMetrics | None:
        chosen = list(stamps)
        if not chosen:
            return None
        scores = np.stack([self._scores[stamp] for stamp in chosen])
        labels = np.array([self._labels[stamp] for stamp in chosen])
        return classification_metrics(scores, labels, self.pipeline.bundle.labels)

    def evaluate_data(
        self, path: Path, on_progress: Callable[[int], object] = lambda _: None
    ) -> ClassificationMetrics:
        """Classify a labelled set of pictures (its test split where it has one).

        Args:
            path: see `load_image_set`; the word ``builtin``: the digits of scikit-learn.
            on_progress: called with the number of pictures done since the last call.

        Raises:
            DatasetError: the set is damaged, or has a class that the model does not know.
        """
        if str(path) == BUILTIN and not Path(path).exists():
            return self.evaluate_images(load_builtin_digits("test"), on_progress)
        labels = self.pipeline.bundle.labels
        convert = converter(self.pipeline.preprocessing)
        data = load_image_set(path, class_names=labels, convert=convert)
        return self.evaluate_images(data, on_progress)

    def evaluate_images(
        self, data: ImageSet, on_progress: Callable[[int], object] = lambda _: None
    ) -> ClassificationMetrics:
        """Classify a labelled set whose classes are the model's, in the model's order."""
        labels = data.labels
        self.source = data.source
        judged = self.pipeline.judge(data.images, on_progress=on_progress)
        scores, answers = judged.scores, judged.scores.argmax(axis=1)
        for index in np.flatnonzero(answers != labels)[:MAX_WRONG]:
            picture = prepare_image(data.images[index], self.pipeline.preprocessing)
            self._keep_wrong(picture, int(labels[index]), scores[index])
        names = self.pipeline.bundle.labels
        if data.sources is not None:
            self.per_source = accuracy_per_source(data.sources, labels, answers, names)
        answered = judged.known >= self.pipeline.threshold
        self.not_answered = len(answered) - int(answered.sum())
        self._metrics = classification_metrics(scores, labels, names)
        self._answered_metrics = (
            classification_metrics(scores[answered], labels[answered], names)
            if answered.any()
            else None
        )
        return self._metrics

    def summary(self) -> list[tuple[str, object]]:
        """Return the rows of the table for people."""
        metrics, rows = self.metrics(), self._rejection_rows()
        if metrics is None:
            unknown = "unknown: no label topic, or no label fits a frame's stamp"
            return [("accuracy", unknown), *rows]
        rows = [
            ("accuracy", f"{metrics.accuracy:.2%} of {metrics.n}"),
            *rows,
            ("calibration error (ECE)", f"{metrics.ece:.2%}"),
        ]
        rows += [
            (f"accuracy, {source}", f"{figures.accuracy:.2%} of {figures.n}")
            for source, figures in self.per_source.items()
        ]
        if self.unknown_labels:
            rows.append(("labels unknown to the model", ", ".join(sorted(self.unknown_labels))))
        return rows

    def _rejection_rows(self) -> list[tuple[str, object]]:
        """Return what is to be said of frames that were not answered; nothing without any."""
        if not self.not_answered:
            return []
        metrics = self._metrics
        total = len(self._scores) if metrics is None else metrics.n
        rows: list[tuple[str, object]] = [("not answered", f"{self.not_answered} of {total}")]
        answered = self.answered_metrics()
        if answered is not None:
            rows.insert(0, ("accuracy, answered", f"{answered.accuracy:.2%} of {answered.n}"))
        return rows

    def to_dict(self) -> dict[str, Any]:
        """Return the figures for JSON; ``accuracy`` is null when there was no truth.

        ``accuracy`` counts all labelled frames, ``accuracy_answered`` those that were answered.
        """
        metrics, answered = self.metrics(), self.answered_metrics()
        figures: dict[str, Any] = {"accuracy": None, "ece": None, "n": 0}
        if metrics is not None:
            figures = metrics.to_dict()
        return {
            **figures,
            "not_answered": self.not_answered,
            "n_answered": 0 if answered is None else answered.n,
            "accuracy_answered": None if answered is None else answered.accuracy,
            "per_source": {name: each.to_dict() for name, each in self.per_source.items()},
            "unknown_labels": sorted(self.unknown_labels),
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
                "no report: no answer has a label to compare with; name the label topic with "
                "--topic label=TOPIC"
            )
        samples = {} if latency is None else latency.samples()
        return write_classification_report(
            directory,
            title=title,
            metrics=metrics,
            wrong=self.wrong,
            latency=samples or None,
            history=None,
            facts={name: str(value) for name, value in (*facts.items(), *self._rejection_rows())},
            per_source=self.per_source,
        )

    def record_results(self, path: Path) -> None:
        """Write the kept answers as a bag, each at the time of its input."""
        write_results(
            path, self.result_topic, self.result_type, self._results or (), self.to_message
        )

    @staticmethod
    def to_message(result: ClassificationResult) -> Any:
        """Return the result as a recordable vision_msgs/Classification; empty: not known."""
        known = getattr(result, "accepted", True)
        labels, scores = (result.labels, result.scores.tolist()) if known else ((), ())
        return classification_message(labels, scores, result.stamp_ns, result.frame_id)

    def _keep_if_wrong(self, stamp: int) -> None:
        """Keep the picture of a wrong answer; called when its answer or its label arrives."""
        label, scores = self._labels.get(stamp), self._scores.get(stamp)
        if label is None or scores is None or label == scores.argmax():
            return
        message = next((message for known, message in self._recent if known == stamp), None)
        if message is not None and len(self.wrong) < MAX_WRONG:
            settings = self.pipeline.preprocessing
            picture = prepare_image(decode_image(message, settings.channels), settings)
            self._keep_wrong(picture, label, scores)

    def _keep_wrong(
        self, picture: npt.NDArray[np.uint8], label: int, scores: npt.NDArray[np.float64]
    ) -> None:
        names = self.pipeline.bundle.labels
        answer = int(scores.argmax())
        image = picture.transpose(1, 2, 0)
        self.wrong.append((image, names[label], names[answer], float(scores[answer])))
