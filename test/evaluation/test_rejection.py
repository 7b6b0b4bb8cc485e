"""AUROC and FPR at a share of known answers against scikit-learn and against counting."""

from __future__ import annotations

import numpy as np
import pytest

from nn_perception.errors import DatasetError
from nn_perception.evaluation.rejection import auroc, fpr_at_tpr


def drawn(seed: int, steps: float | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Overlapping scores; ``steps`` rounds them so that many are equal."""
    rng = np.random.default_rng(seed)
    known, foreign = rng.normal(1.0, 1.0, 311), rng.normal(-0.5, 2.0, 173)
    return (
        (known, foreign) if steps is None else (np.round(known * steps), np.round(foreign * steps))
    )


@pytest.mark.parametrize("steps", [None, 2.0, 0.5])
def test_auroc_agrees_with_scikit_learn(steps: float | None) -> None:
    roc_auc_score = pytest.importorskip("sklearn.metrics").roc_auc_score
    known, foreign = drawn(0, steps)
    truth = np.repeat([1, 0], [len(known), len(foreign)])
    expected = roc_auc_score(truth, np.concatenate([known, foreign]))
    assert auroc(known, foreign) == pytest.approx(expected, abs=1e-12)


def test_auroc_by_hand() -> None:
    assert auroc([2.0, 3.0], [0.0, 1.0]) == 1.0
    assert auroc([0.0], [1.0]) == 0.0
    assert auroc([1.0, 1.0], [1.0]) == 0.5
    assert auroc([1.0, 2.0], [1.0, 0.0]) == (0.5 + 1 + 1 + 1) / 4
    assert auroc([np.inf], [-np.inf, 0.0]) == 1.0


def by_counting(known: np.ndarray, foreign: np.ndarray, tpr: float) -> float:
    """Try every threshold from above until enough of the known scores reach it."""
    for threshold in sorted(set(known), reverse=True):
        if sum(known >= threshold) >= tpr * len(known) - 1e-9:
            return sum(foreign >= threshold) / len(foreign)
    raise AssertionError


@pytest.mark.parametrize("tpr", [0.5, 0.8, 0.95, 0.99, 1.0])
@pytest.mark.parametrize("steps", [None, 2.0, 0.5])
def test_fpr_agrees_with_counting(tpr: float, steps: float | None) -> None:
    for seed in range(5):
        known, foreign = drawn(seed, steps)
        assert fpr_at_tpr(known, foreign, tpr) == pytest.approx(by_counting(known, foreign, tpr))


def test_fpr_where_the_share_is_a_whole_number_of_scores() -> None:
    """19 of 20 are exactly 95 %: the lowest may be left out, the one above may not."""
    known = np.arange(20.0)
    assert fpr_at_tpr(known, [0.0, 0.5], 0.95) == 0.0
    assert fpr_at_tpr(known, [1.0, 0.5], 0.95) == 0.5
    assert fpr_at_tpr(np.arange(19.0), [0.0, -1.0], 0.95) == 0.5  # 18 of 19 would be 94.7 %


@pytest.mark.parametrize(
    ("known", "foreign", "text"),
    [
        ([], [1.0], "known scores have the shape"),
        ([1.0], [[1.0]], "foreign scores have the shape"),
        ([1.0, np.nan], [1.0], "1 of 2 known scores are NaN"),
    ],
)
def test_unusable_scores_are_refused(known: list, foreign: list, text: str) -> None:
    for figure in (auroc, fpr_at_tpr):
        with pytest.raises(DatasetError, match=text):
            figure(known, foreign)


@pytest.mark.parametrize("tpr", [0.0, -1.0, 1.01, float("nan")])
def test_impossible_shares_are_refused(tpr: float) -> None:
    with pytest.raises(DatasetError, match="tpr is"):
        fpr_at_tpr([1.0], [1.0], tpr)
