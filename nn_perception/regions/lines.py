"""Lines of text: which digits stand on one, how it is tilted, and the order of reading."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

_UNLIKE_SIZE = 0.38
"""Greatest difference of the sizes of two digits of one line, of their sum: 1 to 2.2."""
_VOTE_DEG = 4.0
"""Width of one pair's vote for the tilt."""
_VOTE = np.exp(-0.5 * (np.arange(-12.0, 13.0) / _VOTE_DEG) ** 2)
_USUAL_TILT_DEG = 20.0
"""Width of the preference for level lines, which decides where digits stand in a square grid."""
_ACROSS = 0.5
"""Greatest step across the line from one digit to the next, in sizes."""
_FITTED = 3
"""Digits from which a line has a tilt of its own; a shorter one takes that of the frame."""


class Lines(NamedTuple):
    """Text lines of a frame.

    Attributes:
        order: (N,) indices of the regions in reading order.
        lines: (N,) line of each region in that order, 0 at the top.
        angles_rad: (N,) tilt of that line, positive where it falls to the right.
    """

    order: NDArray[np.intp]
    lines: NDArray[np.int32]
    angles_rad: NDArray[np.float64]


def group_lines(boxes_xywh: NDArray[Any], *, max_tilt_deg: float, max_gap: float) -> Lines:
    """Group regions into text lines, and put them into reading order.

    One tilt is found for the whole frame, as the direction in which most regions have their
    nearest neighbours. Along it neighbours are chained to lines, and each line of three or more
    gets a tilt of its own, since under perspective they differ.

    Args:
        boxes_xywh: (N, 4) boxes, pixels.
        max_tilt_deg: greatest tilt either way.
        max_gap: greatest distance of neighbours, centre to centre, in sizes.
    """
    count = len(boxes_xywh)
    if not count:
        empty = np.zeros(0, np.intp)
        return Lines(empty, empty.astype(np.int32), np.zeros(0))
    boxes = np.asarray(boxes_xywh, np.float64)
    centres = boxes[:, :2] + 0.5 * boxes[:, 2:]
    sizes = boxes[:, 2:].max(1)
    step_x, step_y = (values - values[:, None] for values in centres.T)
    mean_size = 0.5 * (sizes + sizes[:, None])
    alike = np.abs(sizes - sizes[:, None]) <= _UNLIKE_SIZE * 2.0 * mean_size
    tilt = _common_tilt(step_x, step_y, mean_size, alike, max_tilt_deg, max_gap)
    along, across = _turned(step_x, step_y, tilt)
    chained = _chain(along / mean_size, across / mean_size, alike, max_gap)
    return _read(centres, _groups(chained), tilt, np.deg2rad(max_tilt_deg))


def _turned(
    x: NDArray[np.float64], y: NDArray[np.float64], angle: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the parts of vectors along and across a direction."""
    cosine, sine = math.cos(angle), math.sin(angle)
    return cosine * x + sine * y, cosine * y - sine * x


def _common_tilt(
    step_x: NDArray[np.float64],
    step_y: NDArray[np.float64],
    mean_size: NDArray[np.float64],
    alike: NDArray[np.bool_],
    max_tilt_deg: float,
    max_gap: float,
) -> float:
    """Return the most frequent direction from a region to those right of it, radians."""
    steepest = math.tan(math.radians(max_tilt_deg))
    seen = alike & (step_x > 0) & (step_x < max_gap * mean_size)
    seen &= np.abs(step_y) <= steepest * step_x
    x, y, size = step_x[seen], step_y[seen], mean_size[seen]
    if not len(x):
        return 0.0
    degrees = np.rad2deg(np.arctan2(y, x))
    # Near neighbours tell most: distant ones are often of another line.
    weights = np.exp(-0.5 * (degrees / _USUAL_TILT_DEG) ** 2) / (0.5 + np.hypot(x, y) / size) ** 2
    votes = np.bincount(np.rint(degrees + 90.0).astype(np.intp), weights, 181)
    best = int(np.convolve(votes, _VOTE, "same").argmax()) - 90
    close = weights * np.exp(-0.5 * ((degrees - best) / _VOTE_DEG) ** 2)
    return math.radians(float((close * degrees).sum() / close.sum()))


def _chain(
    along: NDArray[np.float64],
    across: NDArray[np.float64],
    alike: NDArray[np.bool_],
    max_gap: float,
) -> list[tuple[int, int]]:
    """Return for each region its next one to the right, if there is one."""
    follows = alike & (along > 0) & (along < max_gap) & (np.abs(across) < _ACROSS)
    cost = np.where(follows, along + 2.0 * np.abs(across), np.inf)
    nearest = cost.argmin(1)
    found = np.flatnonzero(np.isfinite(cost[np.arange(len(cost)), nearest]))
    return [(int(index), int(nearest[index])) for index in found] + [
        (index, index) for index in range(len(cost))
    ]


def _groups(links: list[tuple[int, int]]) -> list[list[int]]:
    """Return the connected groups of a graph."""
    parents: dict[int, int] = {}

    def root(index: int) -> int:
        while parents.setdefault(index, index) != index:
            index = parents[index]
        return index

    for first, second in links:
        parents[root(second)] = root(first)
    groups: dict[int, list[int]] = {}
    for index in sorted(parents):
        groups.setdefault(root(index), []).append(index)
    return list(groups.values())


def _read(
    centres: NDArray[np.float64], groups: list[list[int]], tilt: float, max_tilt: float
) -> Lines:
    along, across = _turned(centres[:, 0], centres[:, 1], tilt)
    groups = sorted(groups, key=lambda group: float(across[group].mean()))
    order = [sorted(group, key=lambda index: float(along[index])) for group in groups]
    angles = [np.full(len(group), _own_tilt(centres[group], tilt, max_tilt)) for group in order]
    lines = [np.full(len(group), line, np.int32) for line, group in enumerate(order)]
    return Lines(
        np.concatenate(order).astype(np.intp), np.concatenate(lines), np.concatenate(angles)
    )


def _own_tilt(centres: NDArray[np.float64], tilt: float, max_tilt: float) -> float:
    """Return the tilt of one line: that of the straight line through its centres."""
    if len(centres) < _FITTED:
        return tilt
    x, y = (centres - centres.mean(0)).T
    along, across = _turned(x, y, tilt)
    own = tilt + float(np.arctan2((along * across).sum(), (along * along).sum()))
    return float(np.clip(own, -max_tilt, max_tilt))
