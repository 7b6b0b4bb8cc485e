"""A multi-layer perceptron in NumPy, written as its formulas stand in a lecture.

It is not fast and no network of a robot runs on it: it is what the networks in torch are compared
with (``nn-perception bench gradients``), and what a student can read from top to bottom.

A batch is a matrix with one sample a row. A layer computes

    Z = A_before W^T + b        weighted sums, (N, outputs)
    A = sigma(Z)                what the next layer gets, (N, outputs)

with the weights W of shape (outputs, inputs), w_ji from input i to unit j as in
``torch.nn.Linear``, and one bias b_j for each unit. The last A is the prediction Yhat.

Losses are means over the N samples of sums over the outputs. Back-propagation (Rumelhart, Hinton
and Williams 1986) then is, with delta the derivatives of the loss by the weighted sums:

    delta_k = (yhat_k - y_k) / N                          last layer, matched pairs (`MATCHED`)
    delta_j = sigma'(z_j) sum_k delta_k w_kj              hidden layers
    dE/dw_ji = sum_n delta_nj x_ni,  dE/db_j = sum_n delta_nj
    w_ji <- w_ji - eta dE/dw_ji                           a step of gradient descent
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from nn_perception.errors import ConfigError, nearest
from nn_perception.networks.reference_activations import (
    ACTIVATIONS,
    Array,
    activate,
    activate_back,
    softplus,
)

MATCHED = {("identity", "mse"), ("sigmoid", "bce"), ("softmax", "cross_entropy")}
"""Last activations with the loss whose derivative by Z is Yhat - Y."""
PROBABILITIES = ("sigmoid", "softmax")
"""Activations whose outputs lie between 0 and 1, as BCE and CE need them."""


@dataclass(frozen=True)
class Loss:
    """How wrong predictions are: a sum over outputs, a mean over samples.

    Attributes:
        value: E of each sample, (N,), from predictions and targets (N, K).
        slope: dE/dYhat of each sample and output, (N, K).
    """

    value: Callable[[Array, Array], Array]
    slope: Callable[[Array, Array], Array]


def _times_log(factor: Array, probability: Array) -> Array:
    """Return factor ln(probability), 0 where the factor is 0 whatever the probability."""
    with np.errstate(divide="ignore"):
        return np.asarray(factor * np.log(np.where(factor == 0, 1.0, probability)))


LOSSES: dict[str, Loss] = {
    # E = 1/2 sum_k (yhat_k - y_k)^2
    "mse": Loss(lambda p, y: 0.5 * ((p - y) ** 2).sum(1), lambda p, y: p - y),
    # E = -sum_k (y_k ln yhat_k + (1 - y_k) ln(1 - yhat_k))
    "bce": Loss(
        lambda p, y: -(_times_log(y, p) + _times_log(1 - y, 1 - p)).sum(1),
        lambda p, y: (p - y) / (p * (1 - p)),
    ),
    # E = -sum_k y_k ln yhat_k
    "cross_entropy": Loss(lambda p, y: -_times_log(y, p).sum(1), lambda p, y: -y / p),
}


@dataclass
class Layer:
    """One layer of units.

    Attributes:
        weights: (outputs, inputs).
        bias: (outputs,).
        activation: one of `ACTIVATIONS`.
    """

    weights: Array
    bias: Array
    activation: str = "sigmoid"

    def __post_init__(self) -> None:
        """Check the shapes.

        Raises:
            ConfigError: they do not fit, or the activation is unknown.
        """
        self.weights = np.array(self.weights, np.float64)
        self.bias = np.array(self.bias, np.float64)
        if self.weights.ndim != 2 or self.bias.shape != self.weights.shape[:1]:
            raise ConfigError(
                f"weights {self.weights.shape} and bias {self.bias.shape}: expected (outputs, "
                "inputs) and (outputs,)"
            )
        _known("activation", self.activation, ACTIVATIONS)


@dataclass(frozen=True)
class LayerGradient:
    """Derivatives of the loss by one layer's weights (outputs, inputs) and bias (outputs,)."""

    weights: Array
    bias: Array


class ReferenceMlp:
    """Layers, a loss, and gradient descent on it.

    Args:
        layers: from the first to the last; each has as many inputs as the one before has outputs.
        loss: one of `LOSSES`; BCE and CE need a last layer of `PROBABILITIES`.
        l1: lambda of the penalty lambda sum |w|; biases are not penalised.
        l2: lambda of the penalty lambda / 2 sum w^2, ``weight_decay`` of a configuration.

    Raises:
        ConfigError: layers, activation and loss that do not go together.
    """

    def __init__(
        self, layers: Sequence[Layer], loss: str = "mse", l1: float = 0.0, l2: float = 0.0
    ) -> None:
        _known("loss", loss, LOSSES)
        if not layers:
            raise ConfigError("layers: got none, expected one or more")
        for before, after in itertools.pairwise(layers):
            if after.weights.shape[1] != len(before.bias):
                raise ConfigError(
                    f"a layer of {len(before.bias)} units before one with "
                    f"{after.weights.shape[1]} inputs: expected as many"
                )
        last = layers[-1].activation
        if loss != "mse" and last not in PROBABILITIES:
            raise ConfigError(
                f"loss '{loss}' after '{last}': it takes probabilities; end with one of: "
                f"{', '.join(PROBABILITIES)}"
            )
        self.layers, self.loss_name, self.l1, self.l2 = list(layers), loss, l1, l2

    def forward(self, inputs: Any) -> Array:
        """Return the predictions Yhat (N, K) for inputs (N, F)."""
        return self._pass(inputs)[1][-1]

    def loss(self, inputs: Any, targets: Any) -> float:
        """Return the mean loss of a batch and the penalties, for targets Y (N, K)."""
        sums, outputs = self._pass(inputs)
        each = self._each(sums[-1], outputs[-1], self._targets(targets, outputs[-1]))
        return float(each.mean()) + self.penalty()

    def penalty(self) -> float:
        """Return l1 sum |w| + l2 / 2 sum w^2 over the weights of all layers."""
        weights = np.concatenate([layer.weights.ravel() for layer in self.layers])
        return float(self.l1 * np.abs(weights).sum() + 0.5 * self.l2 * (weights**2).sum())

    def gradients(self, inputs: Any, targets: Any) -> list[LayerGradient]:
        """Return the derivatives of `loss` by weights and biases, layer by layer.

        Raises:
            ConfigError: a layer is a step function, which has no slope to follow.
        """
        if any(layer.activation == "step" for layer in self.layers):
            raise ConfigError(
                "the activation 'step' has no gradient; use 'sigmoid', its smooth form"
            )
        sums, outputs = self._pass(inputs)
        delta = self._last_delta(sums[-1], outputs[-1], self._targets(targets, outputs[-1]))
        found = []
        for index in reversed(range(len(self.layers))):
            layer = self.layers[index]
            # dE/dw_ji = sum_n delta_nj x_ni, and what the penalties add
            weights = delta.T @ outputs[index]
            weights = weights + self.l1 * np.sign(layer.weights) + self.l2 * layer.weights
            found.append(LayerGradient(weights, delta.sum(0)))
            if index:
                # delta_j = sigma'(z_j) sum_k delta_k w_kj
                before = self.layers[index - 1].activation
                delta = activate_back(before, delta @ layer.weights, sums[index - 1])
        return found[::-1]

    def step(
        self, inputs: Any, targets: Any, learning_rate: float, train_bias: bool = True
    ) -> list[LayerGradient]:
        """Take one step of gradient descent, w <- w - eta dE/dw, and return the gradients."""
        found = self.gradients(inputs, targets)
        for layer, gradient in zip(self.layers, found, strict=True):
            layer.weights = layer.weights - learning_rate * gradient.weights
            if train_bias:
                layer.bias = layer.bias - learning_rate * gradient.bias
        return found

    def _pass(self, inputs: Any) -> tuple[list[Array], list[Array]]:
        """Return the weighted sums Z of all layers, and their outputs A after the inputs."""
        sums: list[Array] = []
        outputs = [_rows(inputs)]
        for layer in self.layers:
            sums.append(outputs[-1] @ layer.weights.T + layer.bias)
            outputs.append(activate(layer.activation, sums[-1]))
        return sums, outputs

    def _targets(self, targets: Any, predictions: Array) -> Array:
        """Return targets (N, K) as numbers, once they are what the loss is defined for."""
        rows = _rows(targets)
        if rows.shape != predictions.shape:
            raise ConfigError(
                f"targets {rows.shape} for predictions {predictions.shape}: expected the same shape"
            )
        # Only where sum_k y_k = 1 is softmax with CE a matched pair.
        if self.loss_name == "cross_entropy" and not np.allclose(rows.sum(1), 1.0):
            raise ConfigError(
                "targets of 'cross_entropy' are probabilities: expected rows of sum 1"
            )
        return rows

    def _each(self, z: Array, predictions: Array, targets: Array) -> Array:
        """Return the loss of each sample; logarithms of probabilities that round to 0 from Z."""
        matched = (self.layers[-1].activation, self.loss_name) in MATCHED
        if matched and self.loss_name == "bce":  # -ln sigmoid(z) = softplus(-z)
            return np.asarray((softplus(z) - targets * z).sum(1))
        if matched and self.loss_name == "cross_entropy":  # ln softmax(z) = z - ln sum exp z
            shifted = z - z.max(1, keepdims=True)
            logs = shifted - np.log(np.exp(shifted).sum(1, keepdims=True))
            return np.asarray(-(targets * logs).sum(1))
        return LOSSES[self.loss_name].value(predictions, targets)

    def _last_delta(self, z: Array, predictions: Array, targets: Array) -> Array:
        """Return dE/dZ of the last layer."""
        last = self.layers[-1].activation
        if (last, self.loss_name) in MATCHED:  # dZ = Yhat - Y
            return (predictions - targets) / len(z)
        change = LOSSES[self.loss_name].slope(predictions, targets)
        return activate_back(last, change, z) / len(z)


def _rows(values: Any) -> Array:
    rows: Array = np.asarray(values, np.float64)
    if rows.ndim != 2 or not len(rows):
        raise ConfigError(f"got an array of shape {rows.shape}, expected (N, values) with rows")
    return rows


def _known(what: str, name: str, names: Any) -> None:
    if name not in names:
        raise ConfigError(
            f"unknown {what} '{name}'{nearest(name, names)} (there are: {', '.join(names)})"
        )
