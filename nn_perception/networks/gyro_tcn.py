"""Dilated causal convolutions that correct a gyroscope (Brossard, Bonnabel and Barrau 2020).

"Denoising IMU gyroscopes with deep learning for open-loop attitude estimation", RA-L 5(3): the
network sees the last seconds of rate and specific force, and gives a small correction of the rate.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

SAMPLE = 6
"""Rate (rad/s) and specific force (m/s2)."""


class GyroTcn(nn.Module):
    """Causal convolutions with the past in a cache, so that a sample costs the same at any time.

    One graph serves training (whole recordings), replay (many samples) and a live node (one): the
    cache holds what the convolutions need of the past, and zeros are a past of nothing.

    Args:
        channels: outputs of each convolution.
        dilations: of each convolution.
        kernel: taps of each convolution.
        reach_rad_s: largest correction.
        dropout: in training, of each convolution's output.
        input_mean: (6,) taken off the samples.
        input_std: (6,) that samples are divided by.
    """

    def __init__(
        self,
        channels: Sequence[int] = (8, 16, 16, 16),
        dilations: Sequence[int] = (1, 4, 16, 64),
        kernel: int = 7,
        reach_rad_s: float = math.radians(0.5),
        dropout: float = 0.1,
        input_mean: Sequence[float] = (0.0,) * 3 + (0.0, 0.0, 9.81),
        input_std: Sequence[float] = (0.3,) * 3 + (1.0,) * 3,
    ) -> None:
        super().__init__()
        if len(channels) != len(dilations):
            raise ValueError(f"{len(channels)} channels for {len(dilations)} dilations")
        widths = [SAMPLE, *channels]
        self.layers = nn.ModuleList(
            nn.Conv1d(before, after, kernel, dilation=dilation)
            for before, after, dilation in zip(widths, channels, dilations, strict=False)
        )
        self.correct = nn.Conv1d(widths[-1], 3, 1)
        nn.init.zeros_(self.correct.weight)
        nn.init.zeros_(self.correct.bias)  # type: ignore[arg-type]
        self.reach_rad_s, self.dropout = reach_rad_s, dropout
        self.register_buffer("mean", torch.tensor(input_mean, dtype=torch.float32))
        self.register_buffer("scale", 1.0 / torch.tensor(input_std, dtype=torch.float32))
        self.past = [
            (width, (kernel - 1) * dilation)
            for width, dilation in zip(widths, dilations, strict=False)
        ]
        self.cache_size = sum(width * samples for width, samples in self.past)
        self.receptive_field = 1 + sum(samples for _, samples in self.past)

    def forward(self, samples: Tensor, cache: Tensor) -> tuple[Tensor, Tensor]:
        """Return corrections (N, T, 3) in rad/s and the next cache (N, cache_size).

        Args:
            samples: (N, T, 6) rate and specific force.
            cache: (N, cache_size); zeros at the start.
        """
        hidden = self._normalised(samples).transpose(1, 2)
        sizes = [width * count for width, count in self.past]
        caches = []
        parts = torch.split(cache, sizes, dim=1)
        for layer, (width, count), old in zip(self.layers, self.past, parts, strict=True):
            extended = torch.cat([old.reshape(-1, width, count), hidden], 2)
            caches.append(extended[:, :, -count:].flatten(1))
            hidden = F.gelu(layer(extended))
            hidden = F.dropout(hidden, self.dropout, self.training)
        correction = self.reach_rad_s * torch.tanh(self.correct(hidden))
        return correction.transpose(1, 2), torch.cat(caches, 1)

    def _normalised(self, samples: Tensor) -> Tensor:
        mean: Tensor = self.mean  # type: ignore[assignment]
        scale: Tensor = self.scale  # type: ignore[assignment]
        return (samples - mean) * scale
