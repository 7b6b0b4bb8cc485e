"""What comes back through time: the derivative of a recurrent network's last state by earlier ones.

S. Hochreiter (1991); R. Pascanu, T. Mikolov and Y. Bengio, "On the difficulty of training recurrent
neural networks", ICML 2013.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor

from nn_perception.studies.probing import probe_batch, starting_network
from nn_perception.tasks.digits.learning import DigitLearning

if TYPE_CHECKING:
    from nn_perception.networks.recurrent import ElmanRnn, Recurrence
    from nn_perception.training.config import TrainingConfig
    from nn_perception.training.learning import Learning, Predict
    from nn_perception.training.loop import Fit

PICTURES = 32
"""On which gradients are looked at."""


class DelayedDigits(DigitLearning):
    """Digits with black rows below, so that the answer comes later than what it is about."""

    def __init__(self, config: TrainingConfig, data: Path | None, blank_rows: int) -> None:
        super().__init__(config, data)
        self.blank_rows = blank_rows

    def batch(
        self, indices: Tensor, generator: torch.Generator, share: slice
    ) -> tuple[tuple[Tensor, ...], Tensor]:
        """See `Learning.batch`."""
        (images, *others), targets = super().batch(indices, generator, share)
        return (self._delayed(images), *others), targets

    def validate(self, predict: Predict) -> dict[str, float]:
        """See `Learning.validate`."""
        return super().validate(lambda images: predict(self._delayed(images)))

    def _delayed(self, images: Tensor) -> Tensor:
        return F.pad(images, (0, 0, 0, self.blank_rows))


def gradient_norms(recurrence: Recurrence, sequence: Tensor) -> Tensor:
    """Return by how much a change of the state after each step t changes the last one, (T,).

    It is the Frobenius norm of dh_T/dh_t over the root of the number of units, mean of the
    sequences: the root mean square of the change over all directions of a step of length 1. It is 1
    for t = T; it fades with T - t where gradients vanish, and grows where they explode.

    Args:
        recurrence: its own state, all layers.
        sequence: (N, T, F).
    """
    state = sequence.new_zeros(sequence.shape[0], recurrence.state_size, requires_grad=True)
    states = []
    for step in torch.split(sequence, 1, 1):
        _, state = recurrence(step, state)
        states.append(state)
    # The rows of all sequences do not know of each other, so that they share each backward pass.
    squares = torch.zeros(len(states), sequence.shape[0], dtype=sequence.dtype)
    for unit in range(recurrence.state_size):
        rows = torch.autograd.grad(state[:, unit].sum(), states, retain_graph=True)
        squares += torch.stack(rows).square().sum(-1)
    return (squares / recurrence.state_size).sqrt().mean(1)


def after_training(fit: Fit, learning: Learning) -> dict[str, Any]:
    """Return the `gradient_norms` of a trained network, for `nn_perception.studies.sweep.Job`."""
    network: Any = fit.network
    return {"through_time": _norms(network, learning)}


def before_training(learning: Learning, gain: float = 1.0) -> list[float]:
    """Return the same of what a training begins with.

    Args:
        learning: whose network and pictures are taken.
        gain: factor of the weights from state to state, which begin orthogonal.
    """
    network: Any = starting_network(learning)
    with torch.no_grad():
        for name, weight in network.rows.named_parameters():
            if "weight_hh" in name:
                weight *= gain
    return _norms(network, learning)


def _norms(network: ElmanRnn, learning: Learning) -> list[float]:
    images, _ = probe_batch(learning, PICTURES)
    network.eval()
    found: list[float] = gradient_norms(network.rows, network.sequence(images)).tolist()
    return found
