"""Pictures of the held-out parts that look like pictures that are trained on."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nn_perception.datasets.build_settings import PARTS
from nn_perception.datasets.build_split import SplitPlan

SAME_RMS = 1.5
"""Small grey copies whose grey levels differ by less (RMS) show the same."""
_AT_ONCE = 2048

Float32Array = NDArray[np.float32]
Int64Array = NDArray[np.int64]
Rows = Callable[[], Iterator[NDArray[Any]]]


def near_duplicates(
    bags: Sequence[Rows], plan: SplitPlan
) -> tuple[list[Int64Array], dict[str, int]]:
    """Find pictures of test that look like ones of train or validation, and so on.

    Memory is that of the held-out parts' small copies, 64 bytes each.

    Args:
        bags: for each bag what gives its rows, with ``stamp`` and ``thumbnail``.
        plan: of the split.

    Returns:
        For each bag the numbers of the rows to leave out, and how many there are in each part.
    """
    left_out: list[list[Int64Array]] = [[] for _ in bags]
    counts: dict[str, int] = {}
    for own in range(1, len(PARTS)):
        held = [_Held(plan, own, number, rows) for number, rows in enumerate(bags)]
        _compare(held, bags, plan, own)
        for number, part in enumerate(held):
            found = part.index[part.same]
            left_out[number].append(found)
            if len(found):
                counts[PARTS[own]] = counts.get(PARTS[own], 0) + len(found)
    return [np.sort(np.concatenate(found)) for found in left_out], counts


class _Held:
    """The pictures of one bag in one part."""

    def __init__(self, plan: SplitPlan, own: int, number: int, rows: Rows) -> None:
        index, copies, at = [], [], 0
        for chunk in rows():
            mine = plan.part_of(number, chunk["stamp"].astype(np.int64)) == own
            index.append(at + np.flatnonzero(mine))
            copies.append(chunk["thumbnail"][mine])
            at += len(chunk)
        self.index = np.concatenate(index) if index else np.zeros(0, np.int64)
        self.copies = np.concatenate(copies) if copies else np.zeros((0, 64), np.uint8)
        self.same = np.zeros(len(self.index), bool)


def _compare(held: Sequence[_Held], bags: Sequence[Rows], plan: SplitPlan, own: int) -> None:
    for number, rows in enumerate(bags):
        for chunk in rows():
            others = plan.part_of(number, chunk["stamp"].astype(np.int64))
            trained = chunk["thumbnail"][(others >= 0) & (others < own)]
            if not len(trained):
                continue
            for start in range(0, len(trained), _AT_ONCE):
                near = trained[start : start + _AT_ONCE].astype(np.float32)
                for part in held:
                    _mark(part, near)


def _mark(part: _Held, trained: Float32Array) -> None:
    limit = trained.shape[1] * SAME_RMS**2
    squares = (trained**2).sum(axis=1)
    for start in range(0, len(part.index), _AT_ONCE):
        span = slice(start, start + _AT_ONCE)
        copies = part.copies[span].astype(np.float32)
        apart = (copies**2).sum(axis=1)[:, None] + squares - 2.0 * copies @ trained.T
        part.same[span] |= (apart <= limit).any(axis=1)
