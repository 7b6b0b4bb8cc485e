"""Evaluation of image classifiers: against labelled pictures, and against a bag's label topic."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from nn_perception.datasets.arrays import ImageSet
from nn_perception.datasets.bags import classification_message
from nn_perception.datasets.images import load_image_set
from nn_perception.evaluation.classification import ClassificationMetrics, classification_metrics
from nn_perception.messages import decode_image, stamp_ns
from nn_perception.tasks.classification import (
    ClassificationResult,
    ImageClassificationPipeline,
    prepare_image,
)
from nn_perception.tasks.pipeline import InputSpec

LABEL_TYPE = "vision_msgs/msg/Classification"
MAX_WRONG = 48
"""Wrongly answered pictures that are kept for the report."""

WrongPicture = tuple[npt.NDArray[np.uint8], str, str, float]


class ClassificationEvaluation:
    """Collects results and labels, and computes the figures.

    Attributes:
        truth: the label topic: one hypothesis per image, matched by the header's stamp.
        result_type: message type of `to_message`.
        result_topic: where `to_message` is recorded.
    """

    truth: ClassVar[tuple[InputSpec, ...]] = (InputSpec("label", (LABEL_TYPE,), "every"),)
    result_type = LABEL_TYPE
    result_topic = "/classification"

    def __init__(self, pipeline: ImageClassificationPipeline) -> None:
        self.pipeline = pipeline
        self._index = {label: i for i, label in enumerate(pipeline.bundle.labels)}
        self._labels: dict[int, int] = {}
        self._scores: dict[int, npt.NDArray[np.float64]] = {}
        self._pictures: dict[int, npt.NDArray[np.uint8]] = {}
        self.unknown_labels: set[str] = set()
        self.wrong: list[WrongPicture] = []

    def add_truth(self, name: str, message: Any, time_ns: int) -> None:
        """Take one label; a label that the model does not know counts as unknown."""
        if not message.results:
            return
        label = str(message.results[0].class_id)
        if label in self._index:
            self._labels[stamp_ns(message)] = self._index[label]
        else:
            self.unknown_labels.add(label)

    def add_result(self, message: Any, result: ClassificationResult, time_ns: int) -> None:
        """Take one answer."""
        self._scores[result.stamp_ns] = result.scores
        label = self._labels.get(result.stamp_ns)
        if label is not None and label != result.scores.argmax() and len(self.wrong) < MAX_WRONG:
            settings = self.pipeline.preprocessing
            picture = prepare_image(decode_image(message, settings.channels), settings)
            self._keep_wrong(picture, label, result.scores)

    def metrics(self) -> ClassificationMetrics | None:
        """Return the figures over all frames with an answer and a label; None without any."""
        both = [stamp for stamp in self._scores if stamp in self._labels]
        if not both:
            return None
        scores = np.stack([self._scores[stamp] for stamp in both])
        labels = np.array([self._labels[stamp] for stamp in both])
        return classification_metrics(scores, labels, self.pipeline.bundle.labels)

    def evaluate_data(self, path: Path) -> ClassificationMetrics:
        """Classify a labelled set of pictures (its test split where it has one).

        Raises:
            DatasetError: the set is damaged, or has a class that the model does not know.
        """
        labels = self.pipeline.bundle.labels
        data = load_image_set(path, class_names=labels, convert=self._prepare)
        return self.evaluate_images(data)

    def evaluate_images(self, data: ImageSet) -> ClassificationMetrics:
        """Classify a labelled set whose classes are the model's, in the model's order."""
        labels = data.labels
        scores = self.pipeline.classify(data.images)
        answers = scores.argmax(axis=1)
        for index in np.flatnonzero(answers != labels)[:MAX_WRONG]:
            picture = prepare_image(data.images[index], self.pipeline.preprocessing)
            self._keep_wrong(picture, int(labels[index]), scores[index])
        return classification_metrics(scores, labels, self.pipeline.bundle.labels)

    @staticmethod
    def to_message(result: ClassificationResult) -> Any:
        """Return the result as a recordable vision_msgs/Classification."""
        return classification_message(
            result.labels, result.scores, result.stamp_ns, result.frame_id
        )

    def _prepare(self, image: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
        return prepare_image(image, self.pipeline.preprocessing).transpose(1, 2, 0)

    def _keep_wrong(
        self, picture: npt.NDArray[np.uint8], label: int, scores: npt.NDArray[np.float64]
    ) -> None:
        names = self.pipeline.bundle.labels
        answer = int(scores.argmax())
        image = picture.transpose(1, 2, 0)
        self.wrong.append((image, names[label], names[answer], float(scores[answer])))
