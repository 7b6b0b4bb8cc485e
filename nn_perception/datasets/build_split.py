"""Which block of time of which bag is for training, validation or test."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nn_perception.datasets.build_settings import (
    BLOCK_S,
    GUARD_S,
    LEAST_BLOCKS,
    PARTS,
    BuildSettings,
    Kind,
)
from nn_perception.errors import DatasetError

Int64Array = NDArray[np.int64]
NONE = -1
"""Part of a row that lies between two parts."""
_DRAWS = 256
_MISSING = 10.0
"""Cost of a class that a part lacks; 1 is that of one that is wholly in the wrong part."""


@dataclass(frozen=True)
class SplitPlan:
    """Blocks of time by their part.

    Attributes:
        origin_ns: stamp at which the blocks of each bag begin.
        parts: for each bag (B,) the part of each block, index into `PARTS`.
        block_ns: length of a block.
        guard_ns: what is left out between blocks of different parts.
    """

    origin_ns: tuple[int, ...]
    parts: tuple[Int64Array, ...]
    block_ns: int
    guard_ns: int

    def part_of(self, bag: int, stamp_ns: Int64Array) -> Int64Array:
        """Return the part of each row (N,), `NONE` within the guard between two parts."""
        parts = self.parts[bag]
        since = stamp_ns - self.origin_ns[bag]
        block = np.clip(since // self.block_ns, 0, len(parts) - 1)
        # Runs of blocks of one part, since a guard may be longer than a block.
        starts = np.flatnonzero(np.diff(parts, prepend=NONE))
        run = np.searchsorted(starts, block, side="right") - 1
        ends = np.append(starts[1:], len(parts))
        half = self.guard_ns // 2
        close = (run > 0) & (since - starts[run] * self.block_ns < half)
        close |= (run < len(starts) - 1) & (ends[run] * self.block_ns - since <= half)
        return np.where(close, NONE, parts[block])


def block_length_s(settings: BuildSettings, kind: Kind, total_s: float) -> float:
    """Return the length of a block: as given, or what suits the recordings."""
    if settings.block_s is not None:
        return settings.block_s
    return max(1e-3, min(BLOCK_S[kind], total_s / LEAST_BLOCKS))


def plan_split(
    settings: BuildSettings,
    block_s: float,
    origins_ns: Sequence[int],
    counts: Sequence[NDArray[np.int64]],
) -> SplitPlan:
    """Divide blocks, or bags, at random, so that the parts have their shares of each class.

    Of many draws the one is taken whose parts come nearest to their shares.

    Args:
        settings: shares, seed, and whether bags are kept whole.
        block_s: length of a block.
        origins_ns: first stamp of each bag.
        counts: for each bag (B, C): rows of each class in each block.

    Raises:
        DatasetError: there are fewer blocks, or bags, than parts.
    """
    by_bag = settings.split_by == "bag"
    units = [count.sum(axis=0, keepdims=True) if by_bag else count for count in counts]
    table = np.concatenate(units)
    used = np.flatnonzero(table.sum(axis=1))
    part = np.full(len(table), NONE)
    part[used] = _divided(table[used], settings, by_bag, block_s)
    ends = np.cumsum([len(unit) for unit in units])[:-1]
    per_bag = [
        np.repeat(own, len(count)) if by_bag else _filled(own)
        for own, count in zip(np.split(part, ends), counts, strict=True)
    ]
    guard_s = min(GUARD_S, block_s / 10) if settings.guard_s is None else settings.guard_s
    return SplitPlan(tuple(origins_ns), tuple(per_bag), round(block_s * 1e9), round(guard_s * 1e9))


def _filled(parts: Int64Array) -> Int64Array:
    """Let blocks without rows belong to the part before them: nothing is kept apart from them."""
    used = np.flatnonzero(parts != NONE)
    before = np.searchsorted(used, np.arange(len(parts)), side="right") - 1
    filled: Int64Array = parts[used[np.maximum(before, 0)]]
    return filled


def _divided(
    table: Int64Array, settings: BuildSettings, by_bag: bool, block_s: float
) -> Int64Array:
    shares = np.array(settings.split) / sum(settings.split)
    wanted = np.flatnonzero(shares)
    if len(table) < len(wanted):
        what = "bag(s)" if by_bag else f"block(s) of {block_s:g} s"
        repair = "give more bags, or --split-by time" if by_bag else "give a shorter --block-s"
        raise DatasetError(
            f"{len(table)} {what} with data cannot be divided into {len(wanted)} parts "
            f"({', '.join(PARTS[i] for i in wanted)}); {repair}, more recordings, or other shares "
            "with --split"
        )
    sizes = _sizes(len(table), shares)
    deck = np.repeat(np.arange(len(PARTS)), sizes)
    draw = np.random.RandomState(settings.seed)
    total = table.sum(axis=0)
    best, least = deck, np.inf
    for _ in range(_DRAWS):
        parts = draw.permutation(deck)
        cost = _cost(parts, table, total, shares)
        if cost < least:
            best, least = parts, cost
    return best


def _sizes(count: int, shares: NDArray[np.float64]) -> Int64Array:
    """Return how many of ``count`` each part gets: its share, and 1 at least."""
    exact = shares * count
    sizes = np.floor(exact).astype(np.int64)
    for index in np.argsort(sizes - exact, kind="stable")[: count - int(sizes.sum())]:
        sizes[index] += 1
    for index in np.flatnonzero((shares > 0) & (sizes == 0)):
        sizes[int(np.argmax(sizes))] -= 1
        sizes[index] = 1
    return sizes


def _cost(
    parts: Int64Array, table: Int64Array, total: Int64Array, shares: NDArray[np.float64]
) -> float:
    cost = 0.0
    for index in np.flatnonzero(shares):
        own = table[parts == index].sum(axis=0)
        cost += float((abs(own - shares[index] * total) / np.maximum(total, 1)).sum())
        cost += _MISSING * int(((own == 0) & (total > 0)).sum())
    return cost
