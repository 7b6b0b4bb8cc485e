"""Lines of text: which digits stand on one, how it is tilted, and the order of reading."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

_LIKE_SIZE = 0.45
"""Least ratio of the sizes of two digits of one line, longer sides: zeros may be small."""
_ANGLE_BIN_DEG = 2.0
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


def group_lines(boxes_xywh: NDArray[np.floating], *, max_tilt_deg: float, max_gap: float) -> Lines:
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
    step = centres[None, :, :] - centres[:, None, :]
    mean_size = 0.5 * (sizes[None, :] + sizes[:, None])
    alike = np.minimum(sizes[None, :], sizes[:, None]) >= _LIKE_SIZE * np.maximum(
        sizes[None, :], sizes[:, None]
    )
    tilt = _common_tilt(step, mean_size, alike, max_tilt_deg, max_gap)
    along, across = _turned(step, tilt)
    chained = _chain(along / mean_size, across / mean_size, alike, max_gap)
    return _read(centres, _groups(chained), tilt, np.deg2rad(max_tilt_deg))


def _turned(
    vectors: NDArray[np.float64], angle: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the parts of (..., 2) vectors along and across a direction."""
    cosine, sine = np.cos(angle), np.sin(angle)
    x, y = vectors[..., 0], vectors[..., 1]
    return cosine * x + sine * y, cosine * y - sine * x


def _common_tilt(
    step: NDArray[np.float64],
    mean_size: NDArray[np.float64],
    alike: NDArray[np.bool_],
    max_tilt_deg: float,
    max_gap: float,
) -> float:
    """Return the most frequent direction from a region to those right of it, radians."""
    distance = np.hypot(step[..., 0], step[..., 1]) / mean_size
    rightwards = alike & (step[..., 0] > 0) & (distance < max_gap)
    degrees = np.rad2deg(np.arctan2(step[..., 1][rightwards], step[..., 0][rightwards]))
    near = np.abs(degrees) <= max_tilt_deg
    degrees, distance = degrees[near], distance[rightwards][near]
    if not len(degrees):
        return 0.0
    # Near neighbours tell most: distant ones are often of another line.
    weights = np.exp(-0.5 * (degrees / _USUAL_TILT_DEG) ** 2) / (0.5 + distance) ** 2
    trial = np.arange(-max_tilt_deg, max_tilt_deg + 0.5 * _ANGLE_BIN_DEG, _ANGLE_BIN_DEG)
    closeness = np.exp(-0.5 * ((degrees[None, :] - trial[:, None]) / (2 * _ANGLE_BIN_DEG)) ** 2)
    best = int((closeness @ weights).argmax())
    weights = weights * closeness[best]
    return float(np.deg2rad((weights * degrees).sum() / weights.sum()))


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
    along, across = _turned(centres, tilt)
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
    along, across = _turned(centres - centres.mean(0), tilt)
    own = tilt + float(np.arctan2((along * across).sum(), (along * along).sum()))
    return float(np.clip(own, -max_tilt, max_tilt))
