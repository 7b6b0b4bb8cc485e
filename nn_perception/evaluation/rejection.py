"""How well a score tells known inputs from foreign ones. NumPy only.

A score is higher for what looks more like a known class (`nn_perception.tasks.rejection`).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from nn_perception.errors import DatasetError

Floats = npt.NDArray[np.float64]


def auroc(known: npt.ArrayLike, foreign: npt.ArrayLike) -> float:
    """Return the area under the receiver operating characteristic, 0 to 1.

    It is the chance that a known input scores higher than a foreign one, where equal scores count
    one half (Mann and Whitney 1947); 0.5 is guessing. Exact, with no steps of a threshold.

    Args:
        known: scores of known inputs, shape (N,).
        foreign: scores of foreign inputs, shape (M,).

    Raises:
        DatasetError: one of them is empty, or holds NaN.
    """
    above, below = _checked(known, "known"), np.sort(_checked(foreign, "foreign"))
    lower = np.searchsorted(below, above, side="left").sum(dtype=np.float64)
    lower_or_equal = np.searchsorted(below, above, side="right").sum(dtype=np.float64)
    return float((lower + lower_or_equal) / (2.0 * len(above) * len(below)))


def fpr_at_tpr(known: npt.ArrayLike, foreign: npt.ArrayLike, tpr: float = 0.95) -> float:
    """Return the share of foreign inputs that is answered where ``tpr`` of the known ones is.

    The threshold is the highest one at which at least the share ``tpr`` of the known scores
    reaches it; foreign scores that reach it too are false positives. It is found on the very
    scores that are judged, as is usual: the figure says how far two sets can be told apart, and
    not how well a stored threshold fits.

    Args:
        known: scores of known inputs, shape (N,).
        foreign: scores of foreign inputs, shape (M,).
        tpr: share of known inputs that must be answered, above 0, at most 1.

    Raises:
        DatasetError: one of them is empty, or holds NaN, or ``tpr`` is out of range.
    """
    if not 0.0 < tpr <= 1.0:
        raise DatasetError(f"tpr is {tpr}, expected a share above 0 and at most 1, such as 0.95")
    kept = np.sort(_checked(known, "known"))
    others = _checked(foreign, "foreign")
    # Of N sorted scores the last N - i reach the one at i; the margin is for 0.95 * 20 = 19.
    index = int(np.floor(len(kept) * (1.0 - tpr) + 1e-9))
    return float(np.mean(others >= kept[index]))


def _checked(scores: npt.ArrayLike, what: str) -> Floats:
    values: npt.NDArray[Any] = np.asarray(scores, np.float64)
    if values.ndim != 1 or not len(values):
        raise DatasetError(
            f"the {what} scores have the shape {values.shape}, expected (N,) with at least one; "
            "give one score per picture"
        )
    if np.isnan(values).any():
        raise DatasetError(
            f"{np.isnan(values).sum()} of {len(values)} {what} scores are NaN, expected numbers; "
            "the network's outputs are not finite"
        )
    return values
