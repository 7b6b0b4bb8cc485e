"""Metrics against hand-computed numbers and against scikit-learn."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from nn_perception.errors import DatasetError
from nn_perception.evaluation.classification import (
    ClassificationAccumulator,
    classification_metrics,
)

NAMES = ("a", "b", "c")
# Four images, worked out by hand below.
SCORES = np.array([[0.7, 0.2, 0.1], [0.1, 0.6, 0.3], [0.5, 0.3, 0.2], [0.9, 0.05, 0.05]])
LABELS = np.array([0, 1, 1, 0])


def random_case(n: int = 2000, k: int = 7) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(5)
    logits = rng.normal(size=(n, k)) * 2
    scores = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    labels = np.where(rng.random(n) < 0.6, scores.argmax(1), rng.integers(0, k, n))
    return scores, labels


def test_by_hand() -> None:
    metrics = classification_metrics(SCORES, LABELS, NAMES)
    assert metrics.n == 4
    assert metrics.accuracy == 0.75
    assert metrics.confusion.tolist() == [[2, 0, 0], [1, 1, 0], [0, 0, 0]]
    assert metrics.per_class["a"].precision == pytest.approx(2 / 3)
    assert metrics.per_class["a"].recall == 1.0
    assert metrics.per_class["a"].f1 == pytest.approx(0.8)
    assert metrics.per_class["b"].recall == 0.5
    assert metrics.per_class["b"].support == 2
    assert math.isnan(metrics.per_class["c"].recall)
    assert math.isnan(metrics.per_class["c"].precision)
    # Each answer in a bin of its own: mean of |right - confidence|.
    assert metrics.ece == pytest.approx((0.3 + 0.4 + 0.5 + 0.1) / 4)
    assert metrics.nll == pytest.approx(-np.log([0.7, 0.6, 0.3, 0.9]).mean())
    brier = (0.09 + 0.04 + 0.01) + (0.01 + 0.16 + 0.09) + (0.25 + 0.49 + 0.04) + (0.01 + 0.005)
    assert metrics.brier == pytest.approx(brier / 4)


def test_calibration_bins_average_before_they_compare() -> None:
    """Two answers in one bin: |1 of 2 right - mean confidence|, not the mean of the gaps."""
    scores = np.array([[0.96, 0.04], [0.98, 0.02]])
    metrics = classification_metrics(scores, [0, 1], ("x", "y"))
    assert metrics.ece == pytest.approx(0.97 - 0.5)
    assert metrics.reliability.count.tolist() == [0] * 14 + [2]
    assert metrics.reliability.confidence[-1] == pytest.approx(0.97)
    assert metrics.reliability.accuracy[-1] == 0.5


def test_upper_edges_belong_to_their_bin() -> None:
    """0.6 = 9/15 is the upper edge of bin 8; 1.0 of bin 14."""
    scores = np.array([[0.6, 0.4], [1.0, 0.0]])
    count = classification_metrics(scores, [0, 0], ("x", "y")).reliability.count
    assert np.flatnonzero(count).tolist() == [8, 14]


def test_perfect_calibration_has_no_error() -> None:
    scores = np.tile([0.75, 0.25], (400, 1))
    labels = np.repeat([0, 1], [300, 100])
    assert classification_metrics(scores, labels, ("x", "y")).ece == pytest.approx(0.0, abs=1e-12)


def test_agrees_with_scikit_learn() -> None:
    sklearn = pytest.importorskip("sklearn.metrics")
    scores, labels = random_case()
    names = [f"class {i}" for i in range(7)]
    metrics = classification_metrics(scores, labels, names)
    answers = scores.argmax(1)
    assert metrics.accuracy == pytest.approx(sklearn.accuracy_score(labels, answers))
    assert np.array_equal(metrics.confusion, sklearn.confusion_matrix(labels, answers))
    assert metrics.nll == pytest.approx(sklearn.log_loss(labels, scores))
    one_hot = np.eye(7)[labels]
    assert metrics.brier == pytest.approx(np.square(scores - one_hot).sum(1).mean())
    expected = sklearn.precision_recall_fscore_support(labels, answers)
    for name, *row in zip(names, *expected, strict=True):
        figures = metrics.per_class[name]
        got = (figures.precision, figures.recall, figures.f1, figures.support)
        assert got == pytest.approx(row)


def test_calibration_error_agrees_with_the_definition() -> None:
    """Guo et al. 2017, eq. 3, written as loops."""
    scores, labels = random_case()
    confidence, right = scores.max(1), scores.argmax(1) == labels
    expected = 0.0
    for m in range(15):
        inside = (confidence > m / 15) & (confidence <= (m + 1) / 15)
        if inside.any():
            gap = abs(right[inside].mean() - confidence[inside].mean())
            expected += inside.sum() / len(labels) * gap
    metrics = classification_metrics(scores, labels, [str(i) for i in range(7)])
    assert metrics.ece == pytest.approx(expected)


def test_a_stream_gives_the_same_as_a_batch() -> None:
    scores, labels = random_case(300)
    names = [str(i) for i in range(7)]
    stream = ClassificationAccumulator(names)
    for label, row in zip(labels[:100], scores[:100], strict=True):
        stream.add(int(label), row)
    stream.add_batch(labels[100:], scores[100:])
    batch = classification_metrics(scores, labels, names).to_dict()
    for key, value in stream.metrics().to_dict().items():
        if isinstance(value, float):
            assert value == pytest.approx(batch[key], rel=1e-12)
    assert stream.metrics().confusion.tolist() == batch["confusion"]


def test_metrics_do_not_change_when_more_is_added() -> None:
    stream = ClassificationAccumulator(("x", "y"))
    stream.add(0, [0.9, 0.1])
    before = stream.metrics()
    stream.add(1, [0.9, 0.1])
    assert before.confusion.sum() == 1
    assert before.reliability.count.sum() == 1


def test_nothing_gives_none_and_strict_json() -> None:
    figures = ClassificationAccumulator(NAMES).metrics().to_dict()
    assert figures["n"] == 0
    assert figures["accuracy"] is None
    assert figures["ece"] is None
    assert figures["per_class"]["a"]["recall"] is None
    json.dumps(figures, allow_nan=False)


def test_a_certain_wrong_answer_stays_finite() -> None:
    metrics = classification_metrics([[1.0, 0.0]], [1], ("x", "y"))
    assert 30 < metrics.nll < 40
    assert metrics.brier == 2.0
    json.dumps(metrics.to_dict(), allow_nan=False)


@pytest.mark.parametrize(
    ("scores", "labels", "message"),
    [
        ([[0.5, 0.5]], [0, 1], "do not fit"),
        ([[0.5, 0.2, 0.3]], [0], "do not fit"),
        ([[0.5, 0.5]], [2], "class indices"),
        ([[0.5, 0.5]], [-1], "class indices"),
        ([[0.5, 0.5]], [0.0], "class indices"),
        ([[3.0, -2.0]], [0], "softmax"),
        ([[1.5, 1.5]], [0], "softmax"),
        ([[np.nan, 0.5]], [0], "softmax"),
    ],
)
def test_what_is_no_classification_is_refused(scores, labels, message: str) -> None:
    with pytest.raises(DatasetError, match=message):
        classification_metrics(scores, labels, ("x", "y"))


def test_doubled_names_are_refused() -> None:
    with pytest.raises(DatasetError, match="each once"):
        ClassificationAccumulator(("x", "x"))
