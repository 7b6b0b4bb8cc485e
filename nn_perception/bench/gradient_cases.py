"""All cases of gradients: each layer, network and loss of ours with its oracle in NumPy.

The one list of them, which ``nn-perception bench gradients`` and the tests go through.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import functional_call

from nn_perception.bench.gradient_check import Arrays, Case, Tensors, spread
from nn_perception.bench.gradient_filters import filter_cases
from nn_perception.bench.gradient_losses import loss_cases
from nn_perception.bench.gradient_modules import BATCH, STEPS, layer_cases, module_case
from nn_perception.bench.gradient_networks import network_cases
from nn_perception.networks import build_network
from nn_perception.networks import reference_rotations as rotations
from nn_perception.networks.heads import GramSchmidtHead, QuaternionHead, SvdHead
from nn_perception.networks.mlp import ACTIVATIONS
from nn_perception.networks.reference import Layer, ReferenceMlp
from nn_perception.networks.reference_activations import Array
from nn_perception.networks.reference_layers import Gradients, Result, activation
from nn_perception.training.losses import LossName, classification_loss

MLP_PAIRS: dict[LossName, tuple[str, str]] = {
    "cross_entropy": ("softmax", "cross_entropy"),
    "bce": ("sigmoid", "bce"),
    "mse": ("sigmoid", "mse"),
    "squared_error": ("identity", "mse"),
}
"""What a loss of a classifier is for `ReferenceMlp`: last activation and loss."""

_CLASSES = np.array([0, 2, 1, 2, 3, 0])
_OPTIONS: tuple[tuple[nn.Module, tuple[tuple[int, ...], ...]], ...] = (
    (nn.Linear(4, 3, bias=False), ((BATCH, STEPS, 4),)),
    (nn.Conv1d(4, 6, 3, stride=2, padding=2, dilation=2, groups=2), ((BATCH, 4, 11),)),
    (nn.Conv2d(3, 4, (3, 2), stride=(2, 1), padding=(1, 0), dilation=(1, 2)), ((BATCH, 3, 7, 8),)),
    (nn.Conv2d(4, 4, 3, padding=1, groups=4, bias=False), ((BATCH, 4, 6, 5),)),
    (nn.MaxPool2d(3, stride=2, padding=1), ((BATCH, 2, 7, 8),)),
    (nn.AvgPool2d(3, stride=2), ((BATCH, 2, 7, 8),)),
    (nn.BatchNorm1d(4), ((7, 4),)),
    (nn.BatchNorm1d(4).eval(), ((7, 4),)),
    (nn.BatchNorm1d(4), ((BATCH, 4, STEPS),)),
    (nn.ReLU(inplace=True), ((BATCH, 4),)),
    (nn.Dropout(0.4), ((BATCH, 4, STEPS),)),
    (nn.RNN(4, 3, 2, batch_first=True), ((BATCH, STEPS, 4), (2, BATCH, 3))),
    (nn.GRU(4, 3, 2, batch_first=True), ((BATCH, STEPS, 4), (2, BATCH, 3))),
)
"""Layers as no network has them by default, but by its arguments, or as a user's could."""


def all_cases() -> Iterator[Case]:
    """Yield every case: layers, networks, losses, filters."""
    yield from layer_cases()
    yield from option_cases()
    yield from head_cases()
    yield from network_cases()
    yield from mlp_cases()
    yield from loss_cases()
    yield from filter_cases()


def option_cases() -> Iterator[Case]:
    """Yield layers with other options than our networks have by default, and all activations."""
    for module, shapes in _OPTIONS:
        yield module_case(f"{module} of {shapes[0]}", module, shapes)
    for name, kind in ACTIVATIONS.items():
        yield module_case(f"activation {name}", kind(), ((BATCH, 5),))
    x = {"x": spread(np.random.default_rng(0), BATCH, 5)}

    def softmax(tensors: Tensors) -> Tensor:
        return torch.softmax(tensors["x"], 1)

    yield Case("activation softmax", "layer", x, softmax, lambda a: activation("softmax", a["x"]))


def head_cases() -> Iterator[Case]:
    """Yield the last layers of networks that answer with a rotation."""

    def quaternion_as_matrix(x: Array) -> Result:
        quaternion, unit_back = rotations.unit(x)
        matrix, back = rotations.rotation_matrix(quaternion)
        return matrix, lambda change: unit_back(back(change)["x"])

    def nearest(x: Array) -> Result:
        matrix, back = rotations.nearest_rotation(x.reshape(-1, 3, 3))
        return matrix, lambda change: {"x": back(change)["x"].reshape(x.shape)}

    heads = (
        (QuaternionHead(output="quaternion"), rotations.unit),
        (QuaternionHead(), quaternion_as_matrix),
        (GramSchmidtHead(), rotations.gram_schmidt),
        (SvdHead(), nearest),
    )
    for head, oracle in heads:
        x = {"x": np.random.default_rng(2).standard_normal((5, head.size))}

        def run(tensors: Tensors, head: nn.Module = head) -> Tensor:
            answer: Tensor = head(tensors["x"])
            return answer

        name = f"{type(head).__name__}, {head.output}"
        yield Case(name, "layer", x, run, partial(_of_x, oracle))


def _of_x(oracle: Callable[[Array], Result], arrays: Arrays) -> Result:
    return oracle(arrays["x"])


def mlp_cases() -> Iterator[Case]:
    """Yield the network `mlp` with each activation and loss, as `ReferenceMlp` has them."""
    for name in ACTIVATIONS:
        for loss in MLP_PAIRS:
            yield _mlp(name, loss)


def _mlp(hidden: str, loss: LossName) -> Case:
    random = np.random.default_rng(1)
    arguments = {
        "input_shape": (3, 1, 1),
        "hidden": (5, 4),
        "classes": 4,
        "activation": hidden,
        "mean": (0.0,) * 3,
        "std": (1.0,) * 3,
    }
    network = build_network("mlp", arguments).double()
    inputs = spread(random, len(_CLASSES), 3)
    arrays = {
        name: 0.7 * random.standard_normal(tuple(value.shape))
        for name, value in network.named_parameters()
    }
    layers = list(dict.fromkeys(name.rpartition(".")[0] for name in arrays))
    last, reference_loss = MLP_PAIRS[loss]

    def run(tensors: Tensors) -> Tensor:
        images = torch.from_numpy(inputs)[:, :, None, None]
        logits = functional_call(network, tensors, (images,))
        return classification_loss(loss, logits, torch.from_numpy(_CLASSES))

    def oracle(values: Arrays) -> Result:
        kinds = [hidden] * (len(layers) - 1) + [last]
        mlp = ReferenceMlp(
            [
                Layer(values[f"{name}.weight"], values[f"{name}.bias"], kind)
                for name, kind in zip(layers, kinds, strict=True)
            ],
            reference_loss,
        )
        targets = np.eye(4)[_CLASSES]
        found = mlp.gradients(inputs, targets)

        def back(change: Array) -> Gradients:
            return {
                f"{name}.{part}": change * getattr(gradient, own)
                for name, gradient in zip(layers, found, strict=True)
                for part, own in (("weight", "weights"), ("bias", "bias"))
            }

        return np.array(mlp.loss(inputs, targets)), back

    return Case(f"mlp of {hidden} with {loss}", "network", arrays, run, oracle)
