"""What an image classifier answers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Scores = npt.NDArray[np.float64]


@dataclass(frozen=True)
class ClassificationResult:
    """Class probabilities of one image.

    Attributes:
        stamp_ns: stamp of the input, nanoseconds.
        frame_id: frame of the input.
        labels: class names, in the order of the scores.
        scores: calibrated probabilities, shape (K,), sum 1.
        stage_s: seconds per stage: decode, preprocess, engine, postprocess.
        accepted: whether the image looks like one of the classes; the scores of one that does
            not mean nothing.
    """

    stamp_ns: int
    frame_id: str
    labels: tuple[str, ...]
    scores: Scores
    stage_s: Mapping[str, float]
    accepted: bool = True

    @property
    def best(self) -> tuple[str, float]:
        """The most probable class and its probability."""
        index = int(self.scores.argmax())
        return self.labels[index], float(self.scores[index])


@dataclass(frozen=True)
class RegionsResult:
    """Class probabilities of the regions of one image, in reading order.

    Attributes:
        stamp_ns: stamp of the image, nanoseconds.
        frame_id: frame of the image.
        labels: class names, in the order of the scores.
        boxes_xywh: (N, 4) left, top, width, height in pixels of the regions that are known.
        lines: (N,) the text line of each, an index of `texts`; all 0 where regions are no text.
        scores: (N, K) calibrated probabilities, each row of sum 1.
        rejected: regions that look like none of the classes.
        refused: boxes that could not be looked at, by reason: ``not_finite``, ``outside``,
            ``too_small``, ``too_many``.
        stage_s: seconds per stage: decode, preprocess (finding and cutting), engine, postprocess.
    """

    stamp_ns: int
    frame_id: str
    labels: tuple[str, ...]
    boxes_xywh: npt.NDArray[np.float32]
    lines: npt.NDArray[np.int32]
    scores: Scores
    rejected: int
    refused: Mapping[str, int]
    stage_s: Mapping[str, float]

    @property
    def answers(self) -> tuple[str, ...]:
        """The most probable class of each region."""
        return tuple(self.labels[index] for index in self.scores.argmax(axis=1))

    @property
    def texts(self) -> tuple[str, ...]:
        """The answers of each line, joined; a line of which nothing is known is left out."""
        answers = np.array(self.answers, dtype=str)
        return tuple("".join(answers[self.lines == line]) for line in np.unique(self.lines))


Result = ClassificationResult | RegionsResult
