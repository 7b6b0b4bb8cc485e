"""How much to trust an inertial sensor, step by step: the network inside the attitude filter."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from nn_perception.inertial.filter import FEATURES, NOISES

_START = (2.0, 3e-3, 0.1, 1e-3, 5e-3, 1e-4)
"""Noise before any training, in the order of `NOISES`: a usable filter with a MEMS sensor."""
_REACH = 6.0
"""The network can change a noise by a factor of exp(6), about 400, either way."""


class ImuNoise(nn.Module):
    """A GRU from the kind of motion to the noise of the filter's next step.

    Args:
        hidden: width of the memory.
    """

    def __init__(self, hidden: int = 24) -> None:
        super().__init__()
        self.hidden = hidden
        self.read = nn.Linear(FEATURES, hidden)
        self.memory = nn.GRUCell(hidden, hidden)
        self.write = nn.Linear(hidden, len(NOISES))
        self.log_noise = nn.Parameter(torch.tensor([math.log(value) for value in _START]))
        nn.init.zeros_(self.write.weight)
        nn.init.zeros_(self.write.bias)

    def forward(self, features: Tensor, memory: Tensor) -> tuple[Tensor, Tensor]:
        """Return noise (N, 6), see `nn_perception.inertial.filter.step`, and memory (N, hidden).

        Args:
            features: (N, 8) of `nn_perception.inertial.filter.features`.
            memory: (N, hidden); zeros at the start.
        """
        memory = self.memory(torch.tanh(self.read(features)), memory)
        change = _REACH * torch.tanh(self.write(memory) * (3.0 / _REACH))
        return torch.exp(self.log_noise + change), memory
