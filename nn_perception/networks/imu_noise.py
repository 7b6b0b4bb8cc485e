"""How much to trust an inertial sensor, step by step: the network inside the attitude filter."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from nn_perception.inertial.filter import FEATURES, NOISES

_START = (2.0, 3e-3, 0.1, 1e-3, 5e-3, 1e-4)
"""Noise before any training, in the order of `NOISES`: a usable filter with a MEMS sensor."""
_SPEED = 10.0
"""The noise itself learns faster than the weights: it has decades to go, they have not."""


class ImuNoise(nn.Module):
    """A GRU from the kind of motion to the noise of the filter's next step.

    Args:
        hidden: width of the memory.
        reach: the network can change a noise by a factor of exp(reach) either way. A wide one fits
            the training recordings better and others worse.
    """

    def __init__(self, hidden: int = 16, reach: float = 1.0) -> None:
        super().__init__()
        self.hidden, self.reach = hidden, reach
        self.read = nn.Linear(FEATURES, hidden)
        self.memory = nn.GRUCell(hidden, hidden)
        self.write = nn.Linear(hidden, len(NOISES))
        self.register_buffer("start", torch.tensor([math.log(value) for value in _START]))
        self.change = nn.Parameter(torch.zeros(len(NOISES)))
        nn.init.zeros_(self.write.weight)
        nn.init.zeros_(self.write.bias)

    def forward(self, features: Tensor, memory: Tensor) -> tuple[Tensor, Tensor]:
        """Return noise (N, 6), see `nn_perception.inertial.filter.step`, and memory (N, hidden).

        Args:
            features: (N, 8) of `nn_perception.inertial.filter.features`.
            memory: (N, hidden); zeros at the start.
        """
        memory = self.memory(torch.tanh(self.read(features)), memory)
        now = self.reach * torch.tanh(self.write(memory) / self.reach)
        start: Tensor = self.start  # type: ignore[assignment]
        return torch.exp(start + _SPEED * self.change + now), memory
