"""Figures of merit of a classifier, from probabilities and true labels. NumPy only.

Everything is computed from counts and sums, so that a stream of any length needs O(K^2) memory.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from nn_perception.errors import DatasetError

CALIBRATION_BINS = 15
"""Equal-width confidence bins of the calibration error, as in Guo et al. 2017."""

_SMALLEST_PROBABILITY = float(np.finfo(np.float64).eps)  # as scikit-learn's log_loss clips


@dataclass(frozen=True)
class ClassFigures:
    """One class. A ratio whose denominator is 0 is NaN: nothing is known, which is not 0.

    Attributes:
        precision: share of the answers with this class that were right.
        recall: share of this class's images that were answered right.
        f1: harmonic mean of the two.
        support: number of images of this class.
    """

    precision: float
    recall: float
    f1: float
    support: int


@dataclass(frozen=True)
class Reliability:
    """How far confidence can be trusted; one entry per bin ``(i / bins, (i + 1) / bins]``.

    Attributes:
        count: answers per bin, int64 (bins,).
        confidence: mean probability of the answered class, (bins,), NaN in an empty bin.
        accuracy: share of right answers, (bins,), NaN in an empty bin.
    """

    count: npt.NDArray[np.int64]
    confidence: npt.NDArray[np.float64]
    accuracy: npt.NDArray[np.float64]


@dataclass(frozen=True)
class ClassificationMetrics:
    """All figures of one evaluation; NaN where there was no data.

    Attributes:
        labels: class names.
        n: number of images.
        accuracy: share answered right (the most probable class is the answer).
        ece: expected calibration error of the answered class (Guo et al. 2017, eq. 3, 15 bins).
        nll: mean negative log likelihood of the true class, nats.
        brier: mean over images of the sum over classes of squared errors, 0..2 (Brier 1950).
        confusion: counts (K, K), rows truth, columns answer.
        per_class: by class name.
        reliability: the bins behind `ece`.
    """

    labels: tuple[str, ...]
    n: int
    accuracy: float
    ece: float
    nll: float
    brier: float
    confusion: npt.NDArray[np.int64]
    per_class: dict[str, ClassFigures]
    reliability: Reliability

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain Python values for JSON, NaN as None."""
        return {
            "n": self.n,
            "accuracy": _number(self.accuracy),
            "ece": _number(self.ece),
            "nll": _number(self.nll),
            "brier": _number(self.brier),
            "labels": list(self.labels),
            "per_class": {
                name: {
                    "precision": _number(figures.precision),
                    "recall": _number(figures.recall),
                    "f1": _number(figures.f1),
                    "support": figures.support,
                }
                for name, figures in self.per_class.items()
            },
            "confusion": self.confusion.tolist(),
            "reliability": {
                "count": self.reliability.count.tolist(),
                "confidence": [_number(value) for value in self.reliability.confidence],
                "accuracy": [_number(value) for value in self.reliability.accuracy],
            },
        }


class ClassificationAccumulator:
    """Collects answers one by one or in batches; `metrics` may be asked for at any time."""

    def __init__(self, labels: Sequence[str], bins: int = CALIBRATION_BINS) -> None:
        """Start empty.

        Args:
            labels: class names, in the order of the scores.
            bins: confidence bins of the calibration error.

        Raises:
            DatasetError: there is no class, or a name twice.
        """
        self.labels = tuple(labels)
        if not self.labels or len(set(self.labels)) != len(self.labels):
            raise DatasetError(f"class names are {self.labels}, expected at least one, each once")
        self._confusion = np.zeros((len(self.labels), len(self.labels)), np.int64)
        self._count = np.zeros(bins, np.int64)
        self._right = np.zeros(bins, np.int64)
        self._confidence_sum = np.zeros(bins)
        self._nll_sum = 0.0
        self._brier_sum = 0.0

    def add(self, label: int, scores: npt.ArrayLike) -> None:
        """Take one answer: the true class index and the probabilities (K,)."""
        self.add_batch([label], np.asarray(scores)[None])

    def add_batch(self, labels: npt.ArrayLike, scores: npt.ArrayLike) -> None:
        """Take N answers: true class indices (N,) and probabilities (N, K).

        Raises:
            DatasetError: shapes do not fit, a label is no class, or the scores are no
                probabilities.
        """
        truth, probabilities = self._checked(np.asarray(labels), np.asarray(scores))
        if not len(truth):
            return
        rows = np.arange(len(truth))
        answers = probabilities.argmax(axis=1)
        np.add.at(self._confusion, (truth, answers), 1)
        confidence = probabilities[rows, answers]
        bins = len(self._count)
        # Bin i is (i / bins, (i + 1) / bins]: the upper edge belongs to it.
        bin_of = np.clip(np.ceil(confidence * bins).astype(np.int64) - 1, 0, bins - 1)
        self._count += np.bincount(bin_of, minlength=bins)
        self._right += np.bincount(bin_of[answers == truth], minlength=bins)
        self._confidence_sum += np.bincount(bin_of, weights=confidence, minlength=bins)
        chosen = probabilities[rows, truth]
        self._nll_sum -= float(np.log(np.maximum(chosen, _SMALLEST_PROBABILITY)).sum())
        # sum (p - y)^2 = sum p^2 - 2 p_true + 1, without an (N, K) array of one-hot labels
        self._brier_sum += float(np.square(probabilities).sum() - 2.0 * chosen.sum() + len(truth))

    def metrics(self) -> ClassificationMetrics:
        """Return the figures of everything that was added so far."""
        n = int(self._count.sum())
        right = np.diagonal(self._confusion)
        support, answered = self._confusion.sum(axis=1), self._confusion.sum(axis=0)
        per_class = {
            name: ClassFigures(
                precision=_ratio(right[i], answered[i]),
                recall=_ratio(right[i], support[i]),
                f1=_ratio(2 * right[i], support[i] + answered[i]),
                support=int(support[i]),
            )
            for i, name in enumerate(self.labels)
        }
        with np.errstate(invalid="ignore"):
            reliability = Reliability(
                count=self._count.copy(),
                confidence=self._confidence_sum / self._count,
                accuracy=self._right / self._count,
            )
        return ClassificationMetrics(
            labels=self.labels,
            n=n,
            accuracy=_ratio(right.sum(), n),
            ece=_ratio(np.abs(self._right - self._confidence_sum).sum(), n),
            nll=_ratio(self._nll_sum, n),
            brier=_ratio(self._brier_sum, n),
            confusion=self._confusion.copy(),
            per_class=per_class,
            reliability=reliability,
        )

    def _checked(
        self, labels: npt.NDArray[Any], scores: npt.NDArray[Any]
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
        classes = len(self.labels)
        if labels.ndim != 1 or scores.shape != (len(labels), classes):
            raise DatasetError(
                f"labels {labels.shape} and scores {scores.shape} do not fit, "
                f"expected (N,) and (N, {classes})"
            )
        if not len(labels):
            return np.zeros(0, np.int64), np.zeros((0, classes))
        if labels.dtype.kind not in "iu" or labels.min() < 0 or labels.max() >= classes:
            raise DatasetError(
                f"labels are {labels.dtype}, expected class indices 0..{classes - 1}"
            )
        probabilities = scores.astype(np.float64)
        sums = probabilities.sum(axis=1)
        if not (np.abs(sums - 1.0) < 1e-3).all() or probabilities.min() < -1e-6:
            raise DatasetError(
                f"scores are no probabilities: rows sum to {sums.min():.4g} .. {sums.max():.4g}, "
                f"lowest {probabilities.min():.4g}; apply softmax to logits first"
            )
        return labels.astype(np.int64), probabilities


def classification_metrics(
    scores: npt.ArrayLike, labels: npt.ArrayLike, names: Sequence[str]
) -> ClassificationMetrics:
    """Return the figures of N answers.

    Args:
        scores: probabilities, shape (N, K).
        labels: true class indices, shape (N,).
        names: the K class names.

    Raises:
        DatasetError: as `ClassificationAccumulator.add_batch`.
    """
    accumulator = ClassificationAccumulator(names)
    accumulator.add_batch(labels, scores)
    return accumulator.metrics()


def _ratio(part: float | np.number[Any], whole: float | np.number[Any]) -> float:
    return float(part) / float(whole) if whole else math.nan


def _number(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None
