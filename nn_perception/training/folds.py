"""Parts of a cross-validation.

``numpy.random.RandomState`` draws, as its stream is frozen (NEP 19).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from nn_perception.errors import DatasetError

if TYPE_CHECKING:
    from nn_perception.training.config import TrainingConfig

Int64Array = NDArray[np.int64]


@dataclass(frozen=True)
class Fold:
    """One part of a cross-validation: ``folds``, ``fold`` and ``seed`` of a configuration."""

    folds: int
    fold: int
    seed: int

    def recordings(self, names: Iterable[str], group: Callable[[str], str]) -> frozenset[str]:
        """Return the names of the recordings that validate.

        Args:
            names: of recordings.
            group: gives the group of a name: a group is in one fold as a whole.

        Raises:
            DatasetError: fewer groups than folds.
        """
        groups = {name: group(name) for name in names}
        chosen = group_fold(list(groups.values()), self.folds, self.fold, self.seed)
        return frozenset(name for name, own in groups.items() if own in chosen)


def fold_of(config: TrainingConfig) -> Fold | None:
    """Return what validates of a cross-validation; None: the configuration wants none."""
    return Fold(config.folds, config.fold, config.seed) if config.folds else None


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
        DatasetError: fewer items than folds.
    """
    draw, place = np.random.RandomState(seed), np.empty(len(labels), dtype=np.int64)
    first = 0
    for label in np.unique(labels):
        members = draw.permutation(np.flatnonzero(labels == label))
        place[members] = (first + np.arange(len(members))) % folds
        first += len(members)  # where the last class ended, so that folds are of one size
    validating = place == fold
    if len(labels) < folds:
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
        repair = f"ask for {len(names)} folds" if len(names) > 1 else "give more recordings"
        raise DatasetError(
            f"{len(names)} recording(s) ({', '.join(names)}) cannot make {folds} folds, since a "
            f"recording is in one fold as a whole; {repair}"
        )
    order = np.random.RandomState(seed).permutation(len(names))
    return frozenset(names[i] for i in order[fold::folds])


def group_members(
    groups: Sequence[str], folds: int, fold: int, seed: int
) -> tuple[Int64Array, Int64Array]:
    """Return the indices of items to train on and of those that validate, by their groups.

    Args:
        groups: (N,) the group of each item.
        folds: see `group_fold`, also for the error.
        fold: which one validates, from 0.
        seed: same seed, same folds.
    """
    chosen = group_fold(groups, folds, fold, seed)
    validating = np.fromiter((group in chosen for group in groups), np.bool_, len(groups))
    return np.flatnonzero(~validating), np.flatnonzero(validating)


def recording_of(name: str) -> str:
    """Return the recording that a piece of a data set belongs to: ``walk`` for ``walk.003``.

    Pieces are numbered so by `nn_perception.datasets.recorded_sequences`.
    """
    return re.sub(r"\.\d{3,}$", "", name)
