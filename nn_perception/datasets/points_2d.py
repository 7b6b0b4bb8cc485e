"""Two classes of points in a plane, as a playground for classifiers has them; no units.

The kinds are those of playground.tensorflow.org (D. Smilkov et al. 2017, arXiv:1708.03788), in our
own formulas within -1..1, and the two moons of scikit-learn.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nn_perception.errors import DatasetError, nearest

Float64Array = NDArray[np.float64]
Draw = np.random.RandomState

MARGIN = 0.1
"""Distance of points without noise from the border of their class, where the kind has a line."""

TURNS = 1.5
"""Of each arm of ``spirals`` around the centre."""


@dataclass(frozen=True, eq=False)
class Points:
    """Points with classes.

    Attributes:
        points: (N, 2) float64, horizontal and vertical, within -1..1 but for the noise.
        classes: (N,) int64, 0 or 1, as many of both but for one.
    """

    points: Float64Array
    classes: NDArray[np.int64]


def draw_points(kind: str, count: int, noise: float, seed: int) -> Points:
    """Draw points of both classes in turn.

    Args:
        kind: one of ``KINDS``.
        count: how many, of both classes together.
        noise: standard deviation of Gaussian noise on each coordinate, added after the class is
            known: it may carry a point over the border.
        seed: same seed, same points; points of other kinds are drawn by themselves.

    Raises:
        DatasetError: there is no such kind, or a number is out of range.
    """
    if kind not in KINDS:
        raise DatasetError(
            f"unknown kind of points '{kind}'{nearest(kind, KINDS)} (there are: {', '.join(KINDS)})"
        )
    if count < 2 or not 0.0 <= noise < np.inf:
        raise DatasetError(
            f"{count} points with noise {noise}: expected 2 or more, and noise of 0 or more"
        )
    draw = Draw([seed, list(KINDS).index(kind)])
    halves = ((count + 1) // 2, count // 2)
    points = np.empty((count, 2))
    for label, size in enumerate(halves):
        points[label::2] = KINDS[kind](draw, size, label)
    points += noise * draw.standard_normal(points.shape)
    return Points(points, np.arange(count) % 2)


def best_line(drawn: Points, directions: int = 180) -> float:
    """Return the share of points that the best straight line has on the right sides.

    Args:
        drawn: the points, which the line may be chosen by.
        directions: of the lines that are tried, evenly spaced; all offsets of each are.
    """
    angles = np.pi * np.arange(directions) / directions
    normals = np.stack((np.cos(angles), np.sin(angles)))
    order = np.argsort(drawn.points @ normals, axis=0)
    ones = np.cumsum(drawn.classes[order], axis=0)
    # Class 1 below the n-th point and class 0 above it; the other way round is the rest.
    zeros_above = (drawn.classes == 0).sum() - (np.arange(1, len(order) + 1)[:, None] - ones)
    right = (ones + zeros_above) / len(order)
    return float(max(right.max(), 1.0 - right.min()))


def _linear(draw: Draw, count: int, label: int) -> Float64Array:
    """On one side of the line x + y = 0."""
    return _from_square(draw, count, lambda p: p.sum(1) * np.sqrt(0.5), 1 if label else -1)


def _xor(draw: Draw, count: int, label: int) -> Float64Array:
    """Class 1 where x and y have different signs."""
    return _from_square(
        draw, count, lambda p: np.sign(p.prod(1)) * np.abs(p).min(1), -1 if label else 1
    )


def _from_square(
    draw: Draw, count: int, distance: Callable[[Float64Array], Float64Array], side: int
) -> Float64Array:
    """Draw uniformly from where a signed distance to a border is MARGIN or more on one side."""
    found = np.empty((0, 2))
    while len(found) < count:
        candidates = draw.uniform(-1.0, 1.0, (4 * count, 2))
        found = np.concatenate((found, candidates[side * distance(candidates) >= MARGIN]))
    return found[:count]


def _circle(draw: Draw, count: int, label: int) -> Float64Array:
    """Class 1 in the middle, class 0 in a ring around it, uniform over radius and angle."""
    radius = draw.uniform(*((0.0, 0.5) if label else (0.5 + 2 * MARGIN, 1.0)), count)
    return _polar(radius, draw.uniform(0.0, 2 * np.pi, count))


def _moons(draw: Draw, count: int, label: int) -> Float64Array:
    """Two half circles, one in the other's opening."""
    arc = _polar(np.full(count, 0.6), draw.uniform(0.0, np.pi, count)) - (0.3, 0.15)
    return -arc if label else arc


def _spirals(draw: Draw, count: int, label: int) -> Float64Array:
    """Two Archimedean spirals, one the other turned by half a circle."""
    along = draw.uniform(MARGIN, 1.0, count)
    arm = _polar(along, 2 * np.pi * TURNS * along)
    return -arm if label else arm


def _polar(radius: Float64Array, angle: Float64Array) -> Float64Array:
    return np.stack((radius * np.cos(angle), radius * np.sin(angle)), axis=1)


KINDS: dict[str, Callable[[Draw, int, int], Float64Array]] = {
    "linear": _linear,
    "circle": _circle,
    "xor": _xor,
    "moons": _moons,
    "spirals": _spirals,
}
"""Name -> draws so many points (count, 2) of one class, without noise."""
