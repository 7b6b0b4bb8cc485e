"""Digits whose strokes do not touch: the bar of a five, an open four, a faint curve."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from nn_perception.regions.components import Components

_NEIGHBOURHOOD = 4.0
"""Distance, in sizes, of the digits that tell how large one is here."""
_LARGEST = 1.3
"""Greatest size of a joined digit, of the size of those around."""
_LARGEST_ALONE = 1.5
"""Greatest size of a joined digit, of its larger part, where none is around to compare with."""
_PART = 0.85
"""Greatest size of a part, of the digits around: what is larger is a digit of its own."""
_PART_ALONE = 0.75
"""Greatest size of the smaller part, of the larger one."""
_SMALLEST = 0.18
"""Least size of a part, of the larger part: below are specks."""
_ABOVE = 0.2
"""Greatest gap of parts above each other, of the joined size."""
_BESIDE = 0.06
"""Greatest gap of parts beside each other: the next digit is further off."""
_OVERLAP = 0.25
"""Least overlap of parts, of the narrower one."""


class _Pairs(NamedTuple):
    """Strokes that are close to a digit, in arrays over the pairs.

    Attributes:
        digit: index of the digit.
        part: index of the stroke, which is no larger.
        gap_x: pixels between their boxes; negative: they overlap.
        gap_y: likewise.
        narrower: width of the narrower.
        lower: height of the lower.
        joined: longer side of the box around both.
    """

    digit: NDArray[np.intp]
    part: NDArray[np.intp]
    gap_x: NDArray[np.float32]
    gap_y: NDArray[np.float32]
    narrower: NDArray[np.float32]
    lower: NDArray[np.float32]
    joined: NDArray[np.float32]


def join_broken(digits: Components, strokes: Components) -> tuple[Components, NDArray[np.bool_]]:
    """Join digits with the parts that belong to them.

    A part is smaller than the digits around, close above, below or beside, and the joined digit is
    no larger than those. Digits that turn out to be parts of others are told.

    Args:
        digits: candidates.
        strokes: all strokes of the frame, the candidates among them.

    Returns:
        All candidates, some of them larger; and which of them are no parts of others.
    """
    pairs = _close_pairs(digits, strokes)
    belongs = np.flatnonzero(_belongs(pairs, digits, strokes))
    gaps = np.maximum(pairs.gap_x, pairs.gap_y)[belongs]
    boxes, seeds = digits.boxes.copy(), digits.seeds.copy()
    parts: set[tuple[int, int]] = set()
    taken: set[int] = set()
    for pair in belongs[np.argsort(gaps, kind="stable")].tolist():
        digit, part = int(pairs.digit[pair]), int(pairs.part[pair])
        own = _key(digits, digit)
        if digit in taken or own in parts or _key(strokes, part) in parts:
            continue
        taken.add(digit)
        parts.add(_key(strokes, part))
        boxes[digit] = _around(boxes[digit], strokes.boxes[part])
        seeds[digit, 1] = strokes.seeds[part, 0]
    whole = [_key(digits, digit) not in parts for digit in range(len(boxes))]
    return digits._replace(boxes=boxes, seeds=seeds), np.array(whole, bool)


def _key(strokes: Components, index: int) -> tuple[int, int]:
    x, y = strokes.seeds[index, 0].tolist()
    return x, y


def _around(first: NDArray[np.int32], second: NDArray[np.int32]) -> NDArray[np.int32]:
    """Return the box around two."""
    low = np.minimum(first[:2], second[:2])
    high = np.maximum(first[:2] + first[2:], second[:2] + second[2:])
    return np.concatenate([low, high - low])


def _close_pairs(digits: Components, strokes: Components) -> _Pairs:
    """Return the pairs whose boxes are close: few, so that all else is measured on them alone."""
    left, top, width, height = digits.boxes.T.astype(np.float32)[:, :, None]
    other_left, other_top, other_width, other_height = strokes.boxes.T.astype(np.float32)[:, None]
    size, part_size = digits.sizes[:, None], strokes.sizes[None]
    gap_x = np.maximum(left, other_left) - np.minimum(left + width, other_left + other_width)
    gap_y = np.maximum(top, other_top) - np.minimum(top + height, other_top + other_height)
    close = np.maximum(gap_x, gap_y) <= _ABOVE * _LARGEST_ALONE * size
    close &= (part_size <= size) & (part_size >= _SMALLEST * size)
    close &= digits.light[:, None] == strokes.light[None]
    digit, part = np.nonzero(close)
    same = (digits.seeds[digit, 0] == strokes.seeds[part, 0]).all(1)
    digit, part = digit[~same], part[~same]
    gap_x, gap_y = gap_x[digit, part], gap_y[digit, part]
    sides, other_sides = digits.boxes[digit, 2:], strokes.boxes[part, 2:]
    narrower, lower = np.minimum(sides, other_sides).astype(np.float32).T
    joined = np.maximum(
        np.maximum(sides[:, 0], other_sides[:, 0]), (sides + other_sides)[:, 0] + gap_x
    )
    joined_y = np.maximum(
        np.maximum(sides[:, 1], other_sides[:, 1]), (sides + other_sides)[:, 1] + gap_y
    )
    return _Pairs(digit, part, gap_x, gap_y, narrower, lower, np.maximum(joined, joined_y))


def _belongs(pairs: _Pairs, digits: Components, strokes: Components) -> NDArray[np.bool_]:
    """Tell which pairs are one digit."""
    above = (-pairs.gap_x >= _OVERLAP * pairs.narrower) & (pairs.gap_y <= _ABOVE * pairs.joined)
    beside = (-pairs.gap_y >= _OVERLAP * pairs.lower) & (pairs.gap_x <= _BESIDE * pairs.joined)
    near = above | beside
    if not near.any():
        return near
    usual = _usual_sizes(digits)[pairs.digit]
    size, part_size = digits.sizes[pairs.digit], strokes.sizes[pairs.part]
    among = (size <= usual) & (part_size <= _PART * usual) & (pairs.joined <= _LARGEST * usual)
    alone = (part_size <= _PART_ALONE * size) & (pairs.joined <= _LARGEST_ALONE * size)
    return np.asarray(near & np.where(np.isnan(usual), alone, among))


def _usual_sizes(digits: Components) -> NDArray[np.float64]:
    """Return the median size of the digits around each, itself left out; NaN: there are none."""
    x, y = (digits.boxes[:, :2] + 0.5 * digits.boxes[:, 2:]).T
    sizes = digits.sizes.astype(np.float64)
    near = np.hypot(x[:, None] - x, y[:, None] - y) <= _NEIGHBOURHOOD * sizes[:, None]
    near &= digits.light[:, None] == digits.light[None]
    ratio = sizes / sizes[:, None]
    near &= (ratio > 0.5) & (ratio < 2.0)
    np.fill_diagonal(near, False)
    table = np.sort(np.where(near, sizes[None], np.inf), axis=1)
    count = near.sum(1)
    middle = table[np.arange(len(table)), np.maximum(count - 1, 0) // 2]
    return np.where(count > 0, middle, np.nan)
