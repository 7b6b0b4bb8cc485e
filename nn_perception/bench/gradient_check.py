"""How far the gradients of torch are from those of a NumPy oracle, and from finite differences."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import torch
from torch import Tensor

from nn_perception.networks.reference_activations import Array
from nn_perception.networks.reference_layers import Result

Arrays: TypeAlias = Mapping[str, Array]
Tensors: TypeAlias = dict[str, Tensor]

ORACLE_GOAL = 1e-10
"""Largest difference to the oracle."""
FINITE_GOAL = 1e-6
"""Largest difference to finite differences."""

STEP = 1e-5
"""Of central differences: with its square of truncation and 1e-16 / step of rounding, 1e-10."""
_MOST_ENTRIES = 12
"""Larger arrays are moved along random directions, all entries at once."""
_DIRECTIONS = 3
_SMALLEST = 1e-6
"""Derivatives below this in size count as differences of a derivative of this size."""


@dataclass(frozen=True)
class Case:
    """A function of torch with its oracle.

    Attributes:
        name: what it is.
        group: what it is counted as: ``layer``, ``network``, ``loss``, ``filter`` or
            ``kernel``.
        arrays: float64 by name; the derivatives by all of them are compared.
        torch: tensors by these names -> the result, of any shape.
        oracle: arrays by these names -> the same result, and its ``back``, whose derivatives have
            these names; None: finite differences alone.
        step: of finite differences, relative to an array's largest value; smaller where many kinks
            could lie within one.
    """

    name: str
    group: str
    arrays: Arrays
    torch: Callable[[Tensors], Tensor]
    oracle: Callable[[Arrays], Result] | None
    step: float = STEP


@dataclass(frozen=True)
class Check:
    """What a comparison found, each relative to the largest value of its array.

    Attributes:
        case: what was compared.
        values: largest difference of the results to the oracle's; 0 without one.
        gradients: largest difference of the derivatives to the oracle's; 0 without one.
        finite: largest difference of the derivatives to central finite differences of the torch
            function itself.
    """

    case: Case
    values: float
    gradients: float
    finite: float


def check(case: Case, seed: int = 0) -> Check:
    """Compare a case; what stands behind it is a random linear function of its result.

    Raises:
        ValueError: the oracle's derivatives have other names than the arrays.
    """
    random = np.random.default_rng(seed)
    leaves = {name: _tensor(array).requires_grad_() for name, array in case.arrays.items()}
    found = case.torch(leaves)
    change = random.standard_normal(tuple(found.shape))
    found_slopes = torch.autograd.grad(found, list(leaves.values()), torch.from_numpy(change))
    slopes = {name: slope.numpy() for name, slope in zip(leaves, found_slopes, strict=True)}
    values, gradients = _to_oracle(case, found.detach().numpy(), slopes, change)
    finite = max(_finite(case, name, slopes[name], change, random) for name in slopes)
    return Check(case, values, gradients, finite)


def _to_oracle(
    case: Case, found: Array, slopes: dict[str, Array], change: Array
) -> tuple[float, float]:
    """Return the differences of result and derivatives to the oracle's."""
    if case.oracle is None:
        return 0.0, 0.0
    expected, back = case.oracle(case.arrays)
    expected_slopes = back(change)
    if set(expected_slopes) != set(slopes):
        raise ValueError(
            f"{case.name}: the oracle has derivatives by {sorted(expected_slopes)}, expected "
            f"{sorted(slopes)}"
        )
    gradients = max(_apart(slopes[name], expected_slopes[name]) for name in slopes)
    return _apart(found, expected), gradients


def spread(random: np.random.Generator, *shape: int) -> Array:
    """Return numbers from -2 to 2 in random order, none nearer to 0 or to another than 2 / count.

    So finite differences meet no kink of a ReLU, and no two values of a pool are alike.
    """
    count = int(np.prod(shape))
    even = (np.arange(count) + 0.5 - 0.5 * count + 0.25 * (count % 2)) * (4.0 / count)
    return random.permutation(even).reshape(shape)


def _finite(
    case: Case, name: str, slope: Array, change: Array, random: np.random.Generator
) -> float:
    """Return how far derivatives by one array are from finite differences, over their size."""
    shape = slope.shape
    if slope.size <= _MOST_ENTRIES:
        directions = np.eye(slope.size).reshape(slope.size, *shape)
        size = float(np.abs(slope).max())
    else:
        directions = random.choice([-1.0, 1.0], (_DIRECTIONS, *shape))
        size = float(np.sqrt((slope**2).sum()))
    tensors = {key: _tensor(array) for key, array in case.arrays.items()}
    weights, start = torch.from_numpy(change), case.arrays[name]
    step = case.step * (float(np.abs(start).max()) or 1.0)
    worst = 0.0
    with torch.no_grad():
        for direction in directions:
            ends = [
                case.torch({**tensors, name: _tensor(start + sign * step * direction)})
                for sign in (1.0, -1.0)
            ]
            # The difference before the sum: what does not change cancels without rounding.
            measured = float(((ends[0] - ends[1]) * weights).sum()) / (2.0 * step)
            worst = max(worst, abs(measured - float((slope * direction).sum())))
    return worst / max(size, _SMALLEST)


def _apart(found: Array, expected: Array) -> float:
    if found.shape != np.shape(expected):
        return float("inf")
    size = float(np.abs(expected).max(initial=0.0))
    return float(np.abs(found - expected).max(initial=0.0)) / max(size, _SMALLEST)


def _tensor(array: Array) -> Tensor:
    return torch.from_numpy(np.array(array, np.float64))
