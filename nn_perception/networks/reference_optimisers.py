"""Steps of optimisers in NumPy, formula by formula: what those of torch are compared with.

g is the gradient at the weights w, eta the learning rate, lambda the weight decay. All but AdamW
take the L2 penalty into the gradient, g + lambda w.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np

from nn_perception.errors import ConfigError, nearest
from nn_perception.networks.reference_activations import Array

SMALL = 1e-8
"""Keeps divisions from 0."""
SQUARES = 0.99
"""How much of the mean square RMSprop keeps."""
BETA_2 = 0.999
"""How much of it Adam keeps."""


class ReferenceOptimiser(ABC):
    """One array of weights on its way down.

    Args:
        learning_rate: eta.
        momentum: beta; beta_1 of Adam.
        weight_decay: lambda.
    """

    def __init__(
        self, learning_rate: float, momentum: float = 0.9, weight_decay: float = 0.0
    ) -> None:
        self.eta, self.beta, self.decay = learning_rate, momentum, weight_decay
        self.steps = 0
        self.velocity: Array = np.zeros(())
        self.square: Array = np.zeros(())

    def step(self, weights: Array, gradient: Array) -> Array:
        """Return the weights after a step."""
        self.steps += 1
        return self._step(weights, gradient + self.decay * weights)

    def step_size(self) -> Array:
        """Return how far a lasting gradient of 1 moves each weight in a step, by now."""
        return np.asarray(self.eta / (1.0 - self.beta))

    @abstractmethod
    def _step(self, w: Array, g: Array) -> Array:
        """Return the weights after a step along a gradient that has the penalty in it."""


class Sgd(ReferenceOptimiser):
    """Plain gradient descent: w <- w - eta g."""

    def step_size(self) -> Array:
        """Return the learning rate."""
        return np.asarray(self.eta)

    def _step(self, w: Array, g: Array) -> Array:
        return w - self.eta * g


class Momentum(ReferenceOptimiser):
    """Heavy ball (Polyak 1964; lecture eq. 61): v <- beta v + g, w <- w - eta v."""

    def _step(self, w: Array, g: Array) -> Array:
        self.velocity = self.beta * self.velocity + g
        return w - self.eta * self.velocity


class Nesterov(ReferenceOptimiser):
    """Momentum that looks ahead (Sutskever et al. 2013): w <- w - eta (g + beta v), v as before.

    In this form w is the point ahead, where the gradient is taken.
    """

    def _step(self, w: Array, g: Array) -> Array:
        self.velocity = self.beta * self.velocity + g
        return w - self.eta * (g + self.beta * self.velocity)


class RmsProp(ReferenceOptimiser):
    """Each weight at its own scale (Hinton, Coursera lecture 6e, 2012), then momentum.

    s <- alpha s + (1 - alpha) g^2, v <- beta v + g / (sqrt(s) + epsilon), w <- w - eta v.
    """

    def step_size(self) -> Array:
        """Return the step of momentum, divided by the root of the mean square."""
        return np.asarray(super().step_size() / (np.sqrt(self.square) + SMALL))

    def _step(self, w: Array, g: Array) -> Array:
        self.square = SQUARES * self.square + (1.0 - SQUARES) * g**2
        self.velocity = self.beta * self.velocity + g / (np.sqrt(self.square) + SMALL)
        return w - self.eta * self.velocity


class Adam(ReferenceOptimiser):
    """Adaptive moments (Kingma and Ba 2015, algorithm 1).

    m <- beta_1 m + (1 - beta_1) g, s <- beta_2 s + (1 - beta_2) g^2; both began at 0, and are
    divided by 1 - beta^t for it: w <- w - eta m' / (sqrt(s') + epsilon).
    """

    def step_size(self) -> Array:
        """Return the learning rate, divided by the root of the mean square."""
        square = self.square / (1.0 - BETA_2**self.steps)
        return np.asarray(self.eta / (np.sqrt(square) + SMALL))

    def _step(self, w: Array, g: Array) -> Array:
        self.velocity = self.beta * self.velocity + (1.0 - self.beta) * g
        self.square = BETA_2 * self.square + (1.0 - BETA_2) * g**2
        mean = self.velocity / (1.0 - self.beta**self.steps)
        square = self.square / (1.0 - BETA_2**self.steps)
        return w - self.eta * mean / (np.sqrt(square) + SMALL)


class AdamW(Adam):
    """Adam whose decay is no part of the gradient: w <- w - eta lambda w before each step.

    Loshchilov and Hutter 2019: in Adam a penalty in the gradient is divided by its size again.
    """

    def step(self, weights: Array, gradient: Array) -> Array:
        """Return the weights after a step."""
        self.steps += 1
        return self._step(weights * (1.0 - self.eta * self.decay), gradient)


def soft_threshold(weights: Array, amount: Array | float) -> Array:
    """Return sign(w) max(0, |w| - amount), the v of the least (v - w)^2 / 2 + amount |v|.

    The proximal step of the L1 penalty lambda |w|, amount = lambda times the step size; what would
    cross 0 becomes 0 (Parikh and Boyd, "Proximal algorithms", 2014, 6.5.2).
    """
    shrunk: Array = np.sign(weights) * np.maximum(np.abs(weights) - amount, 0.0)
    return shrunk


OPTIMISERS: dict[str, type[ReferenceOptimiser]] = {
    "sgd": Sgd,
    "momentum": Momentum,
    "nesterov": Nesterov,
    "rmsprop": RmsProp,
    "adam": Adam,
    "adamw": AdamW,
}
"""By the names of the configuration's key ``optimizer``."""


def make_reference_optimiser(
    name: str, learning_rate: float, momentum: float = 0.9, weight_decay: float = 0.0
) -> ReferenceOptimiser:
    """Return an optimiser of `OPTIMISERS` for one array of weights.

    Raises:
        ConfigError: there is none of that name.
    """
    if name not in OPTIMISERS:
        raise ConfigError(
            f"unknown optimiser '{name}'{nearest(name, OPTIMISERS)} "
            f"(there are: {', '.join(OPTIMISERS)})"
        )
    return OPTIMISERS[name](learning_rate, momentum, weight_decay)
