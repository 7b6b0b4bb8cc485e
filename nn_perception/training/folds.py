"""Parts of a cross-validation.

``numpy.random.RandomState`` draws, as its stream is frozen (NEP 19).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nn_perception.errors import DatasetError

Int64Array = NDArray[np.int64]


def stratified_fold(
    labels: NDArray[np.integer[Any]], folds: int, fold: int, seed: int
) -> tuple[Int64Array, Int64Array]:
    """Return the indices to train on and those of one fold, with the same share of every class.

    Args:
        labels: (N,) class of each item.
        folds: how many, 2 or more.
        fold: which one validates, from 0.
        seed: same seed, same folds; they are disjoint and together all items.

    Raises:
        DatasetError: the fold has no item.
    """
    draw, place = np.random.RandomState(seed), np.empty(len(labels), dtype=np.int64)
    first = 0
    for label in np.unique(labels):
        members = draw.permutation(np.flatnonzero(labels == label))
        place[members] = (first + np.arange(len(members))) % folds
        first += len(members)  # where the last class ended, so that folds are of one size
    validating = place == fold
    if not validating.any() or validating.all():
        raise DatasetError(f"{len(labels)} items cannot make {folds} folds; give more data")
    return np.flatnonzero(~validating), np.flatnonzero(validating)


def group_fold(groups: Sequence[str], folds: int, fold: int, seed: int) -> frozenset[str]:
    """Return the groups that validate: whole recordings, so that none is on both sides.

    Args:
        groups: name of each recording's group.
        folds: how many, 2 or more, and no more than groups.
        fold: which one validates, from 0.
        seed: same seed, same folds; they are disjoint and together all groups.

    Raises:
        DatasetError: fewer groups than folds.
    """
    names = sorted(set(groups))
    if len(names) < folds:
        raise DatasetError(
            f"{len(names)} recordings ({', '.join(names)}) cannot make {folds} folds: a recording "
            f"is in one fold as a whole; ask for {max(2, len(names))} folds at most"
        )
    order = np.random.RandomState(seed).permutation(len(names))
    return frozenset(names[i] for i in order[fold::folds])
