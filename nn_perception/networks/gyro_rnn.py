"""A recurrent network that corrects a gyroscope; the contract is that of `GyroTcn`."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nn_perception.networks.checks import fraction
from nn_perception.networks.gyro_tcn import SAMPLE
from nn_perception.networks.recurrent import Recurrence


class GyroRnn(nn.Module):
    """Recurrent layers whose hidden state is the cache: a sample costs the same at any time.

    One graph serves training, replay (many samples) and a live node (one). What the state knows
    reaches back as far as training taught it to; zeros are a past of nothing.

    Args:
        cell: ``elman`` or ``gru``, see `Recurrence`.
        hidden: width of the state of each layer.
        layers: recurrent layers.
        reach_rad_s: largest correction.
        dropout: in training, of each layer's output.
        input_mean: (6,) taken off the samples.
        input_std: (6,) that samples are divided by.

    Raises:
        ConfigError: a value that is out of its range.
    """

    def __init__(
        self,
        cell: str = "gru",
        hidden: int = 32,
        layers: int = 1,
        reach_rad_s: float = math.radians(0.5),
        dropout: float = 0.1,
        input_mean: Sequence[float] = (0.0,) * 3 + (0.0, 0.0, 9.81),
        input_std: Sequence[float] = (0.3,) * 3 + (1.0,) * 3,
    ) -> None:
        super().__init__()
        self.reach_rad_s, self.dropout = reach_rad_s, fraction("dropout", dropout)
        self.past = Recurrence(cell, SAMPLE, hidden, layers, dropout)
        self.correct = nn.Linear(hidden, 3)
        nn.init.zeros_(self.correct.weight)
        nn.init.zeros_(self.correct.bias)
        self.register_buffer("mean", torch.tensor(input_mean, dtype=torch.float32))
        self.register_buffer("scale", 1.0 / torch.tensor(input_std, dtype=torch.float32))
        self.cache_size = self.past.state_size

    def forward(self, samples: Tensor, cache: Tensor) -> tuple[Tensor, Tensor]:
        """Return corrections (N, T, 3) in rad/s and the next cache (N, cache_size).

        Args:
            samples: (N, T, 6) rate and specific force.
            cache: (N, cache_size); zeros at the start.
        """
        mean: Tensor = self.mean  # type: ignore[assignment]
        scale: Tensor = self.scale  # type: ignore[assignment]
        states, after = self.past((samples - mean) * scale, cache)
        states = F.dropout(states, self.dropout, self.training)
        return self.reach_rad_s * torch.tanh(self.correct(states)), after
