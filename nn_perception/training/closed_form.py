"""Linear regression in one step: the normal equations instead of gradient descent."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from nn_perception.errors import ConfigError
from nn_perception.training.augment import AugmentConfig
from nn_perception.training.config import CLOSED_FORM, TrainingConfig
from nn_perception.training.learning import Learning

ROWS = 2000
"""Samples whose features are held in double precision at a time."""


class _Quadratic(NamedTuple):
    """A loss of outputs Z (N, K): sum over n of ``share[n] / 2 * |Z[n] - target[n]|^2``."""

    share: Tensor
    target: Tensor


@torch.no_grad()
def solve(network: nn.Module, learning: Learning, order: Tensor) -> float:
    """Set a linear layer to the minimum of its squared error over all training data.

    With X the layer's inputs and a column of ones, Y the targets, S the weight of each sample in
    the mean and D the identity with 0 for the bias, ``(X'SX + weight_decay D) Theta = X'SY``
    (ridge regression; Hoerl and Kennard 1970). Where that has many solutions, as with inputs that
    never change, it is the shortest one, to which gradient descent from zero goes, too. In double
    precision; F inputs cost F^3 and N F^2 operations.

    Args:
        network: on its device, with one layer that learns, a linear one that gives the outputs.
        learning: its data and loss; the configuration's ``weight_decay`` counts.
        order: the indices of all training samples, on that device.

    Returns:
        The loss of all training data, penalty not counted.

    Raises:
        ConfigError: network, loss or configuration have no closed form; which, and what has.
    """
    config = learning.config
    _check(config)
    layer = _linear_layer(network, config)
    inputs, targets = learning.batch(order, torch.Generator().manual_seed(0), slice(None))
    network.eval()
    quadratic = _quadratic(learning, targets, (len(order), layer.out_features))
    gram, moments = _moments(network, layer, inputs, quadratic)
    penalty = torch.full_like(gram[0], config.weight_decay)
    if layer.bias is not None:
        penalty[-1] = 0.0
    theta = torch.linalg.pinv(gram + penalty.diag(), hermitian=True) @ moments
    layer.weight.copy_(theta[: layer.in_features].T)
    if layer.bias is not None:
        layer.bias.copy_(theta[-1])
    outputs = torch.cat([network.forward(*part) for part in _parts(inputs)])
    return float(learning.loss(outputs, targets))


def _check(config: TrainingConfig) -> None:
    without = {
        "l1": config.l1 == 0,
        "ema_decay": config.ema_decay == 0,
        "augment": config.augment == AugmentConfig(),
    }
    wrong = [name for name, fits in without.items() if not fits]
    if wrong:
        raise ConfigError(
            f"optimizer '{CLOSED_FORM}' solves one system of equations, in which there is no "
            f"{' and no '.join(wrong)}: leave that out, or train with sgd"
        )


def _linear_layer(network: nn.Module, config: TrainingConfig) -> nn.Linear:
    learnt = [m for m in network.modules() if any(True for _ in m.parameters(recurse=False))]
    if len(learnt) != 1 or not isinstance(learnt[0], nn.Linear):
        found = ", ".join(type(layer).__name__ for layer in learnt) or "none"
        raise ConfigError(
            f"optimizer '{CLOSED_FORM}' solves a network whose only layer that learns is a linear "
            f"one: got '{config.network}' with {found}; set network=mlp and "
            "network_arguments.hidden=[], or train with sgd"
        )
    return learnt[0]


def _quadratic(learning: Learning, targets: Tensor, shape: tuple[int, int]) -> _Quadratic:
    """Read targets and weights off the loss: the gradient of a squared error is linear in Z.

    So whatever a task makes of its targets (one-hot, label smoothing, weights of classes) counts.
    """

    def gradient(outputs: Tensor) -> Tensor:
        outputs.requires_grad_(True)
        with torch.enable_grad():
            loss = learning.loss(outputs, targets)
        return torch.autograd.grad(loss, outputs)[0]

    zeros = torch.zeros(shape, dtype=torch.float64, device=targets.device)
    offset = gradient(zeros.clone())
    slope = gradient(zeros + 1.0) - offset
    share = slope.mean(1, keepdim=True)
    # Elsewhere, and other values for each output: a loss that is not quadratic differs there.
    ramp = torch.linspace(-2.0, 3.0, zeros.numel(), dtype=torch.float64).reshape(shape)
    ramp = ramp.to(targets.device)
    expected = offset + share * ramp
    tolerance = 1e-5 * float(slope.abs().max())
    if not bool((share > 0).all()) or (gradient(ramp) - expected).abs().max() > tolerance:
        raise ConfigError(
            f"optimizer '{CLOSED_FORM}' minimises a squared error of the network's outputs, and "
            "this loss is another: for classes set task_arguments.loss=squared_error, or train "
            "with sgd"
        )
    return _Quadratic(share, -offset / share)


def _moments(
    network: nn.Module, layer: nn.Linear, inputs: tuple[Tensor, ...], quadratic: _Quadratic
) -> tuple[Tensor, Tensor]:
    """Return X'SX and X'SY of the inputs that the layer gets, in double precision."""
    seen: list[Tensor] = []
    hook = layer.register_forward_hook(lambda _, given, got: seen.extend((given[0], got)))
    size = layer.in_features + (layer.bias is not None)
    gram = quadratic.share.new_zeros(size, size)
    moments = quadratic.share.new_zeros(size, layer.out_features)
    try:
        for part, share, target in zip(
            _parts(inputs), *(torch.split(t, ROWS) for t in quadratic), strict=True
        ):
            seen.clear()
            outputs = network.forward(*part)  # as written, not compiled: the hook has to run
            if len(seen) != 2 or seen[1] is not outputs or outputs.ndim != 2:
                raise ConfigError(
                    f"optimizer '{CLOSED_FORM}' solves a network whose outputs are those of its "
                    "linear layer; this one does more with them: train with sgd"
                )
            rows = seen[0].double()
            if layer.bias is not None:
                rows = torch.cat((rows, torch.ones_like(rows[:, :1])), 1)
            weighted = (share * rows).T
            gram += weighted @ rows
            moments += weighted @ target
    finally:
        hook.remove()
    return gram, moments


def _parts(inputs: tuple[Tensor, ...]) -> list[tuple[Tensor, ...]]:
    return list(zip(*(torch.split(tensor, ROWS) for tensor in inputs), strict=True))
