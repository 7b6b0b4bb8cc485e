"""Surfaces over a plane, and the paths that optimisers take on them."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from nn_perception.training.config import TrainingConfig
from nn_perception.training.optimisers import make_optimizer

LEVEL = 1e-3
"""A path is to come down to this part of the start's height above the minimum."""

HOLD = 50
"""A path has arrived where it stays at the level for so many steps: a jump across is no arrival."""

STARTS = 8
"""Places around the start from which a learning rate has to arrive: with one, some arrive by
chance, in jumps all over the plane."""

_SEED = 0

Float64Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Surface:
    """A function of two variables that is to be minimised.

    Attributes:
        formula: in words.
        height: of points (..., 2), in float64; its minimum is 0.
        start: of the paths.
        around: how far other starts are from it, at most, in x and y.
        minima: where it is 0.
        view: (least x, largest x, least y, largest y) of the picture.
    """

    formula: str
    height: Callable[[Tensor], Tensor]
    start: tuple[float, float]
    around: tuple[float, float]
    minima: tuple[tuple[float, float], ...]
    view: tuple[float, float, float, float]

    @property
    def level(self) -> float:
        """Height at which a path has arrived."""
        return LEVEL * float(self.height(torch.tensor(self.start, dtype=torch.float64)))

    def starts(self) -> Float64Array:
        """Return places to start from, (STARTS, 2); the first is `start`."""
        drawn = np.random.RandomState(_SEED).uniform(-1.0, 1.0, (STARTS, 2))
        drawn[0] = 0.0
        places: Float64Array = self.start + drawn * self.around
        return places

    def is_lost(self, places: Float64Array) -> bool:
        """Tell whether one of the places (N, 2) is out of twice the picture, or not finite."""
        low, high = np.array(self.view).reshape(2, 2).T
        return not bool((np.abs(places - (low + high) / 2) <= high - low).all())


def _ravine(p: Tensor) -> Tensor:
    x, y = p.unbind(-1)
    # Turned by 30 degrees: along the axes it would be made for optimisers that scale each of them.
    cosine, sine = math.cos(math.pi / 6), math.sin(math.pi / 6)
    along, across = cosine * x + sine * y, cosine * y - sine * x
    return 0.5 * (along**2 + 50 * across**2)


def _rosenbrock(p: Tensor) -> Tensor:
    x, y = p.unbind(-1)
    return (1 - x) ** 2 + 100 * (y - x**2) ** 2


def _beale(p: Tensor) -> Tensor:
    x, y = p.unbind(-1)
    return (
        (1.5 - x + x * y) ** 2 + (2.25 - x + x * y**2) ** 2 + (2.625 - x + x * y**3) ** 2
    )  # fmt: skip


def _saddle(p: Tensor) -> Tensor:
    x, y = p.unbind(-1)
    return 0.5 * x**2 + 0.25 * (y**2 - 1) ** 2


SURFACES: dict[str, Surface] = {
    "ravine": Surface(
        "(u² + 50 v²) / 2, (u, v) turned by 30°", _ravine,
        (-6.0, -1.5), (0.5, 0.5), ((0.0, 0.0),), (-7.5, 2.5, -5.0, 2.5),
    ),
    "rosenbrock": Surface(
        "(1 - x)² + 100 (y - x²)²", _rosenbrock,
        (-1.5, 2.0), (0.1, 0.1), ((1.0, 1.0),), (-2.0, 2.0, -1.0, 3.0),
    ),
    "beale": Surface(
        "(1.5 - x + xy)² + (2.25 - x + xy²)² + (2.625 - x + xy³)²", _beale,
        (1.0, 1.5), (0.1, 0.1), ((3.0, 0.5),), (-0.5, 4.5, -2.0, 2.0),
    ),
    "saddle": Surface(
        "x² / 2 + (y² - 1)² / 4", _saddle,
        (-2.0, 0.001), (0.1, 0.0005), ((0.0, 1.0), (0.0, -1.0)), (-2.5, 1.5, -1.5, 1.5),
    ),
}  # fmt: skip
"""An ill-conditioned bowl (condition 50); H. Rosenbrock 1960; E. Beale 1958; a saddle at (0, 0)."""


class _Points(nn.Module):
    """Places that one optimiser moves, each by itself: all of ours work number by number."""

    def __init__(self, places: Float64Array) -> None:
        super().__init__()
        self.places = nn.Parameter(torch.from_numpy(places))


@dataclass(frozen=True, eq=False)
class Descent:
    """The ways of one optimiser with one learning rate, from all starts.

    Attributes:
        points: (steps + 1, 2): the way from the surface's own start.
        heights: (steps + 1,): of the points.
        arrived: steps after which each start's path stays at the level or lower; empty: not all
            do.
        lost: whether one went out of twice the picture.
    """

    points: Float64Array
    heights: Float64Array
    arrived: tuple[int, ...]
    lost: bool

    @property
    def steps(self) -> float | None:
        """Mean over the starts; None: not all arrive."""
        return float(np.mean(self.arrived)) if self.arrived else None

    @property
    def rank(self) -> tuple[bool, float, float]:
        """Smaller is better: first who arrives, by steps, then the lowest."""
        last = math.inf if self.lost else float(self.heights[-1])
        return not self.arrived, self.steps or 0.0, last


def descend(surface: Surface, config: TrainingConfig, steps: int) -> Descent:
    """Go down a surface with the optimiser of a configuration, until all paths have arrived.

    Args:
        surface: to go down.
        config: its optimiser, learning rate and momentum.
        steps: the most to arrive in; a path then has to stay for `HOLD` more.
    """
    network = _Points(surface.starts())
    optimizer = make_optimizer(network, config)
    points, heights = [], []
    since = np.full(STARTS, -1)  # when each came to the level, -1: it is above
    lost = False
    for step in range(steps + HOLD + 1):
        optimizer.zero_grad(set_to_none=True)
        height = surface.height(network.places)
        places, values = network.places.detach().numpy().copy(), height.detach().numpy()
        points.append(places[0])
        heights.append(float(values[0]))
        lost = surface.is_lost(places)
        since = np.where(values <= surface.level, np.where(since < 0, step, since), -1)
        late = step >= steps and since.min() < 0
        if lost or late or (since.min() >= 0 and step >= since.max() + HOLD):
            break
        height.sum().backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    arrived = not lost and since.min() >= 0
    found = tuple(since.tolist()) if arrived else ()
    return Descent(np.array(points), np.array(heights), found, lost)


def best_rate(descents: Sequence[tuple[float, Descent]]) -> tuple[float, Descent]:
    """Return the learning rate that arrives in the fewest steps; none: that ends lowest."""
    return min(descents, key=lambda pair: pair[1].rank)
