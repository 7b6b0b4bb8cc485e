"""Optimisers, learning-rate schedules and penalties."""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.optim import SGD, Adam, AdamW, Optimizer, RMSprop

from nn_perception.training.config import TrainingConfig


def make_optimizer(network: nn.Module, config: TrainingConfig) -> Optimizer:
    """Build the optimiser; the L2 penalty applies to weights, not to biases and norm layers.

    With g the gradient: ``sgd`` w -= lr g; ``momentum`` v = m v + g, w -= lr v (heavy ball, Polyak
    1964); ``nesterov`` w -= lr (g + m v) with the same v (Sutskever 2013); ``rmsprop`` (Hinton
    2012), with ``momentum`` of its steps; ``adam`` (Kingma and Ba 2015); ``adamw`` (Loshchilov and
    Hutter 2019), whose L2 penalty is no part of g.
    """
    weights, others = split_parameters(network)
    groups = [
        {"params": weights, "weight_decay": config.weight_decay},
        {"params": others, "weight_decay": 0.0},
    ]
    groups = [group for group in groups if group["params"]]
    rate, fused = config.learning_rate, _fuses(network)
    if config.optimizer in ("adam", "adamw"):
        kind = Adam if config.optimizer == "adam" else AdamW
        return kind(groups, lr=rate, betas=(config.momentum, 0.999), fused=fused)
    if config.optimizer == "rmsprop":
        return RMSprop(groups, lr=rate, momentum=config.momentum)
    if config.optimizer in ("momentum", "nesterov"):
        nesterov = config.optimizer == "nesterov" and config.momentum > 0
        return SGD(groups, lr=rate, momentum=config.momentum, nesterov=nesterov, fused=fused)
    return SGD(groups, lr=rate)


def _fuses(network: nn.Module) -> bool | None:
    """Tell whether the optimiser works in one C++ loop; None leaves the choice to torch.

    On a CPU a step of AdamW for 784-30-10 takes 60 us so, instead of 155. That loop goes through
    memory, whatever its layout, so that convolutions, which lie in channels_last, are left out.
    """
    small = all(p.ndim <= 2 and p.device.type == "cpu" for p in network.parameters())
    return True if small else None


def split_parameters(network: nn.Module) -> tuple[list[nn.Parameter], list[nn.Parameter]]:
    """Return (weights of linear and convolution layers, all other parameters)."""
    weights: list[nn.Parameter] = []
    others: list[nn.Parameter] = []
    for parameter in network.parameters():
        if parameter.requires_grad:
            (weights if parameter.ndim > 1 else others).append(parameter)
    return weights, others


def rate_factor(config: TrainingConfig, step: int, total_steps: int, steps_per_epoch: int) -> float:
    """Return the factor of the learning rate at a step, 0 to 1.

    One cycle after Smith and Topin 2018 with cosine flanks; cosine after Loshchilov and Hutter
    2017.
    """
    if config.schedule == "constant":
        return 1.0
    if config.schedule == "step":
        return float(config.step_factor ** (step // (steps_per_epoch * config.step_epochs)))
    warmup = config.warmup_fraction * total_steps
    if step < warmup:
        progress = (step + 1) / (warmup + 1)
        if config.schedule == "cosine":
            return progress
        return 0.04 + 0.96 * 0.5 * (1 - math.cos(math.pi * progress))
    progress = (step - warmup) / max(1.0, total_steps - warmup)
    return max(1e-4, 0.5 * (1 + math.cos(math.pi * progress)))


def set_rate(optimizer: Optimizer, rate: float) -> None:
    """Set the learning rate of every group."""
    for group in optimizer.param_groups:
        group["lr"] = rate


@torch.no_grad()
def shrink(optimizer: Optimizer, weights: Iterable[nn.Parameter], penalty: float) -> None:
    """Take the proximal step of ``penalty * sum |w|``, behind a step of the optimiser.

    Each weight is drawn towards 0 by the penalty times its step size, and what would cross 0
    becomes 0 exactly (iterative shrinkage and thresholding: Daubechies, Defrise and De Mol 2004;
    Parikh and Boyd, Proximal Algorithms, 2014, 4.2 and 6.5.2). The penalty's gradient,
    ``penalty * sign(w)``, would make weights small, and hardly one 0. The size is what a lasting
    gradient of 1 moves the weight by: lr of ``sgd``, lr / (1 - momentum) where steps add up,
    divided by the root of the mean square where an optimiser does so (Yun, Lozano and Yang 2021).
    So all of them rest where the error's gradient is no larger than the penalty.
    """
    for weight in weights:
        amount = penalty * _step_size(optimizer, weight)
        weight.copy_(weight.sign() * (weight.abs() - amount).clamp_(min=0.0))


def _step_size(optimizer: Optimizer, weight: nn.Parameter) -> Tensor | float:
    group, state = optimizer.param_groups[0], optimizer.state.get(weight, {})
    rate = float(group["lr"])
    if isinstance(optimizer, (Adam, AdamW)):
        if "exp_avg_sq" not in state:  # no step of it was taken
            return 0.0
        square = state["exp_avg_sq"] / (1.0 - group["betas"][1] ** float(state["step"]))
        root: Tensor = square.sqrt_() + group["eps"]
        return rate / root
    rate /= 1.0 - float(group["momentum"])
    if not isinstance(optimizer, RMSprop):
        return rate
    if "square_avg" not in state:
        return 0.0
    root = state["square_avg"].sqrt() + group["eps"]
    return rate / root


def zero_share(weights: Iterable[Tensor]) -> float:
    """Return the share of weights that are exactly 0."""
    counts = [(tensor.numel() - int(tensor.count_nonzero()), tensor.numel()) for tensor in weights]
    return sum(zeros for zeros, _ in counts) / max(1, sum(total for _, total in counts))


class WeightAverage:
    """Exponential moving average of a network's parameters and buffers.

    The decay grows with the number of steps, ``min(decay, (1 + n) / (10 + n))``, so that early
    averages are not dominated by the initial weights.
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        self.decay = decay
        self.steps = 0
        values = network.state_dict()
        self.state = {name: value.detach().clone() for name, value in values.items()}
        # Pairs of (average, live value): the live tensors stay the same objects while training.
        pairs = [(self.state[name], value) for name, value in values.items()]
        self._averages = [average for average, value in pairs if value.is_floating_point()]
        self._currents = [value for _, value in pairs if value.is_floating_point()]
        self._counters = [pair for pair in pairs if not pair[1].is_floating_point()]

    @torch.no_grad()
    def update(self) -> None:
        """Take one step of the average towards the network's present weights."""
        self.steps += 1
        weight = 1 - min(self.decay, (1 + self.steps) / (10 + self.steps))
        torch._foreach_lerp_(self._averages, self._currents, weight)
        for average, value in self._counters:
            average.copy_(value)

    def load(self, state: dict[str, torch.Tensor], steps: int) -> None:
        """Restore a saved average."""
        self.steps = steps
        for name, value in state.items():
            self.state[name].copy_(value)
