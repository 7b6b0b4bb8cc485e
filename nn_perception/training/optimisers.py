"""Optimisers, learning-rate schedules and penalties."""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch
from torch import nn
from torch.optim import SGD, Adam, AdamW, Optimizer, RMSprop

from nn_perception.training.config import TrainingConfig


def make_optimizer(network: nn.Module, config: TrainingConfig) -> Optimizer:
    """Build the optimiser; the L2 penalty applies to weights, not to biases and norm layers."""
    weights, others = split_parameters(network)
    groups = [
        {"params": weights, "weight_decay": config.weight_decay},
        {"params": others, "weight_decay": 0.0},
    ]
    groups = [group for group in groups if group["params"]]
    rate = config.learning_rate
    if config.optimizer in ("adam", "adamw"):
        kind = Adam if config.optimizer == "adam" else AdamW
        return kind(groups, lr=rate, betas=(config.momentum, 0.999))
    if config.optimizer == "rmsprop":
        return RMSprop(groups, lr=rate, momentum=config.momentum)
    if config.optimizer in ("momentum", "nesterov"):
        nesterov = config.optimizer == "nesterov" and config.momentum > 0
        return SGD(groups, lr=rate, momentum=config.momentum, nesterov=nesterov)
    return SGD(groups, lr=rate)


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
def add_l1_gradient(weights: Iterable[nn.Parameter], penalty: float) -> None:
    """Add the gradient of ``penalty * sum(|w|)``, which is ``penalty * sign(w)``."""
    for weight in weights:
        if weight.grad is not None:
            weight.grad.add_(torch.sign(weight), alpha=penalty)


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
