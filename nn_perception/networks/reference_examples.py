"""The networks of every first lecture, with the numbers that stand there, in NumPy."""

from __future__ import annotations

import numpy as np

from nn_perception.errors import ConfigError, nearest
from nn_perception.networks.reference import Layer, ReferenceMlp
from nn_perception.networks.reference_activations import Array

EXAMPLE_INPUT = ((0.05, 0.10),)
EXAMPLE_TARGET = ((0.01, 0.99),)
EXAMPLE_RATE = 0.5
"""Learning rate alpha of the worked example."""

TRUTH_INPUTS: Array = np.array([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
"""The rows of a truth table of two inputs."""
TRUTH_TABLES: dict[str, Array] = {
    "and": np.array([[0.0], [0.0], [0.0], [1.0]]),
    "or": np.array([[0.0], [1.0], [1.0], [1.0]]),
    "xor": np.array([[0.0], [1.0], [1.0], [0.0]]),
}
"""What the gates answer to `TRUTH_INPUTS`."""


def worked_example() -> ReferenceMlp:
    """Return the 2-2-2 network of sigmoids with squared error that lectures compute by hand.

    M. Mazur, "A step by step backpropagation example", 2015; biases stay as they are. The error of
    `EXAMPLE_INPUT` with `EXAMPLE_TARGET` is 0.298371109 at first, 0.291027774 after one step at
    `EXAMPLE_RATE`, 0.0000351085 after 9,999 and 0.0000351019 after 10,000. The article prints the
    weights of that first step (0.149780716 to 0.561370121) with an error of 0.291027924: that one
    belongs to hidden weights that were changed by means of output weights already changed.
    """
    return ReferenceMlp(
        [
            Layer(np.array([[0.15, 0.20], [0.25, 0.30]]), np.array([0.35, 0.35])),
            Layer(np.array([[0.40, 0.45], [0.50, 0.55]]), np.array([0.60, 0.60])),
        ],
        loss="mse",
    )


def logic_gate(name: str) -> ReferenceMlp:
    """Return a network of threshold units that is a gate: ``and``, ``or`` or ``xor``.

    AND fires above x1 + x2 = 1.5, OR above 0.5. XOR is not linearly separable (Minsky and Papert
    1969): a hidden layer has OR and NAND, and the output is the AND of both.

    Raises:
        ConfigError: no such gate.
    """
    sum_of_both = [[1.0, 1.0]]
    gates = {
        "and": [(sum_of_both, [-1.5])],
        "or": [(sum_of_both, [-0.5])],
        "xor": [([[1.0, 1.0], [-1.0, -1.0]], [-0.5, 1.5]), (sum_of_both, [-1.5])],
    }
    if name not in gates:
        raise ConfigError(
            f"unknown gate '{name}'{nearest(name, gates)} (there are: {', '.join(gates)})"
        )
    return ReferenceMlp([Layer(np.array(w), np.array(b), "step") for w, b in gates[name]])


def xor_network(seed: int = 0) -> ReferenceMlp:
    """Return a 2-2-1 network, tanh and sigmoid with BCE, that gradient descent can teach XOR.

    With two hidden units the loss has flat regions: of the seeds 0 to 9 three (2, 5, 8) stay after
    1,000 steps of rate 1 where two of the four answers are 0.5. Another seed is the way out.

    Args:
        seed: of the weights, drawn from N(0, 1).
    """
    draw = np.random.default_rng(seed).standard_normal
    return ReferenceMlp(
        [Layer(draw((2, 2)), draw(2), "tanh"), Layer(draw((1, 2)), draw(1), "sigmoid")],
        loss="bce",
    )
