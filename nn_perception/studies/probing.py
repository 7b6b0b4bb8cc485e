"""What goes on in a network, layer by layer: answers, slopes and gradients."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from nn_perception.networks.mlp import ACTIVATIONS
from nn_perception.training.initialisation import initialise

if TYPE_CHECKING:
    from nn_perception.training.learning import Learning

PROBES = 500
"""Training pictures on which a network is looked at."""

STUCK_SLOPE = 1e-3
"""A unit whose activation is never steeper than this, on no picture, learns next to nothing."""

FloatArray = npt.NDArray[np.float64]
Change = Callable[[Tensor], Tensor]


@dataclass(frozen=True, eq=False)
class Hidden:
    """What a hidden layer makes of N inputs.

    Attributes:
        sums: (N, units), what goes into the activation.
        answers: (N, units), what comes out of it.
        slopes: (N, units), its derivative there.
    """

    sums: FloatArray
    answers: FloatArray
    slopes: FloatArray

    @property
    def stuck(self) -> float:
        """Share of units that are flat on all inputs; of ReLU units: that are dead."""
        return float((self.slopes.max(axis=0) < STUCK_SLOPE).mean())


def starting_network(learning: Learning) -> nn.Module:
    """Return the network with the weights that a training of `learning` begins with."""
    torch.manual_seed(learning.config.seed)
    network = learning.build_network()
    initialise(network, learning.config.initialisation)
    return network


def probe_batch(learning: Learning, count: int = PROBES) -> tuple[Tensor, Tensor]:
    """Return the first training pictures (N, C, H, W) and their targets (N,)."""
    indices = torch.arange(min(count, learning.train_size))
    inputs, targets = learning.batch(indices, torch.Generator(), slice(None))
    return inputs[0], targets


def hidden_layers(network: nn.Module, inputs: Tensor) -> list[Hidden]:
    """Return what each hidden layer makes of the inputs, from the first to the last.

    A hidden layer is what ends with one of the activations of `nn_perception.networks.mlp`.
    Dropout and batch normalisation work as in evaluation.
    """
    seen: list[tuple[nn.Module, Tensor, Tensor]] = []

    def note(module: nn.Module, given: tuple[Tensor, ...], answer: Tensor) -> None:
        # A copy: an activation that works in place would overwrite it.
        seen.append((module, given[0].detach().clone(), answer.detach()))

    kinds = tuple(ACTIVATIONS.values())
    hooks = [m.register_forward_hook(note) for m in network.modules() if isinstance(m, kinds)]
    was_training = network.training
    try:
        with torch.no_grad():
            network.eval()(inputs)
    finally:
        network.train(was_training)
        for hook in hooks:
            hook.remove()
    return [
        Hidden(_rows(sums), _rows(answers), _rows(slopes_of(module, sums)))
        for module, sums, answers in seen
    ]


def slopes_of(activation: nn.Module, sums: Tensor) -> Tensor:
    """Return the derivative of an activation at each of its inputs, by autograd."""
    given = sums.detach().clone().requires_grad_()
    with torch.enable_grad():
        (slopes,) = torch.autograd.grad(activation(given).sum(), given)
    return slopes


def gradient_sizes(learning: Learning, network: nn.Module) -> list[float]:
    """Return the root mean square of dE/dw of each layer's weights, from the first to the last.

    E is the training's loss over the `probe_batch`.
    """
    inputs, targets = probe_batch(learning)
    weights = [parameter for parameter in network.parameters() if parameter.ndim > 1]
    loss = learning.loss(network.eval()(inputs).float(), targets)
    gradients = torch.autograd.grad(loss, weights)
    return [float(gradient.double().square().mean().sqrt()) for gradient in gradients]


def first_weights(network: nn.Module, size: Sequence[int]) -> FloatArray:
    """Return the first layer's weights as pictures: (filters, k, k), or (units, H, W) of linear.

    Args:
        network: takes grey pictures.
        size: (H, W) of the pictures.
    """
    weight = _first_layer(network).weight.detach()
    pictures = weight[:, 0] if weight.ndim == 4 else weight.reshape(len(weight), *size)
    return np.asarray(pictures.double().contiguous().numpy(), np.float64)


def first_sums(network: nn.Module, picture: Tensor) -> FloatArray:
    """Return what the first layer makes of a picture (1, C, H, W), before its activation.

    (filters, H, W) of a convolution, (units,) of a linear layer.
    """
    kept: list[Tensor] = []
    hook = _first_layer(network).register_forward_hook(lambda *args: kept.append(args[2]))
    try:
        with torch.no_grad():
            network.eval()(picture)
    finally:
        hook.remove()
    return np.asarray(kept[0][0].double().contiguous().numpy(), np.float64)


def _first_layer(network: nn.Module) -> nn.Linear | nn.Conv2d:
    return next(m for m in network.modules() if isinstance(m, (nn.Linear, nn.Conv2d)))


def validation_accuracy(learning: Learning, network: nn.Module, change: Change) -> float:
    """Return the accuracy on the validation pictures (N, C, H, W) after a change of them."""

    @torch.inference_mode()
    def predict(*inputs: Tensor) -> Tensor:
        outputs: Tensor = network(change(inputs[0]))
        return outputs.float()

    network.eval()
    return float(learning.validate(predict)["accuracy"])


def _rows(values: Tensor) -> FloatArray:
    return np.asarray(values.flatten(1).double().numpy(), dtype=np.float64)
