"""Activations in NumPy with their derivatives, for the reference networks.

Each works on weighted sums Z of any shape; softmax on the rows of its last axis.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import erf
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Array: TypeAlias = NDArray[Any]

LEAK = 0.01
"""Slope of leaky ReLU below 0; that of torch."""


def sigmoid(z: Array) -> Array:
    """Return 1 / (1 + exp(-z)); by the hyperbolic tangent, which does not overflow."""
    result: Array = 0.5 * (1.0 + np.tanh(0.5 * z))
    return result


def softplus(z: Array) -> Array:
    """Return ln(1 + exp(z)), the smooth ReLU."""
    return np.asarray(np.logaddexp(0.0, z))


def softmax(z: Array) -> Array:
    """Return exp(z_k) / sum_i exp(z_i) for each row; the largest is taken off before."""
    powers = np.exp(z - z.max(-1, keepdims=True))
    return np.asarray(powers / powers.sum(-1, keepdims=True))


def softmax_back(change: Array, outputs: Array) -> Array:
    """Return dE/dZ from dE/dA, both (N, K), by the Jacobian da_i/dz_j = a_i (delta_ij - a_j)."""
    result: Array = outputs * (change - (change * outputs).sum(-1, keepdims=True))
    return result


def _normal_below(z: Array) -> Array:
    """Return the probability that a standard normal variable is below z."""
    return np.asarray(0.5 * (1.0 + np.vectorize(erf, otypes=[float])(z / np.sqrt(2.0))))


@dataclass(frozen=True)
class Activation:
    """A function that works on each number alone.

    Attributes:
        value: sigma(z).
        slope: its derivative sigma'(z).
    """

    value: Callable[[Array], Array]
    slope: Callable[[Array], Array]


ELEMENTWISE: dict[str, Activation] = {
    "identity": Activation(lambda z: z, np.ones_like),
    "sigmoid": Activation(sigmoid, lambda z: sigmoid(z) * (1.0 - sigmoid(z))),
    "tanh": Activation(np.tanh, lambda z: 1.0 - np.tanh(z) ** 2),
    "relu": Activation(lambda z: np.maximum(z, 0.0), lambda z: (z > 0) * 1.0),
    "leaky_relu": Activation(
        lambda z: np.where(z > 0, z, LEAK * z), lambda z: np.where(z > 0, 1.0, LEAK)
    ),
    "softplus": Activation(softplus, sigmoid),
    "silu": Activation(
        lambda z: z * sigmoid(z), lambda z: sigmoid(z) * (1.0 + z * (1.0 - sigmoid(z)))
    ),
    "gelu": Activation(
        lambda z: z * _normal_below(z),
        lambda z: _normal_below(z) + z * np.exp(-0.5 * z * z) / np.sqrt(2.0 * np.pi),
    ),
    # The perceptron's threshold: it decides, and there is nothing to descend.
    "step": Activation(lambda z: (z >= 0) * 1.0, np.zeros_like),
}
ACTIVATIONS = (*ELEMENTWISE, "softmax")
"""Names of all activations; softmax alone looks at a whole row."""


def activate(name: str, z: Array) -> Array:
    """Return sigma(Z) for weighted sums (N, units)."""
    return softmax(z) if name == "softmax" else ELEMENTWISE[name].value(z)


def activate_back(name: str, change: Array, z: Array) -> Array:
    """Return dE/dZ from dE/dA, both (N, units): dE/dA sigma'(Z), or softmax's Jacobian."""
    if name == "softmax":
        return softmax_back(change, softmax(z))
    result: Array = change * ELEMENTWISE[name].slope(z)
    return result
