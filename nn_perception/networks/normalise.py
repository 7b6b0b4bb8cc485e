"""The first layer of every image network: raw pixels to zero mean and unit variance."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from nn_perception.errors import ConfigError

MNIST_MEAN = (33.318,)
"""Mean of the 60,000 MNIST training images, in 0..255 units."""
MNIST_STD = (78.567,)
"""Standard deviation of the 60,000 MNIST training images, in 0..255 units."""
ROAD4_MEAN = (120.069, 118.574, 115.476)
"""Mean red, green and blue of the 7,077 training images of road objects, in 0..255 units."""
ROAD4_STD = (59.206, 60.105, 60.478)
"""Their standard deviations, in 0..255 units."""
IMAGENET_MEAN = (123.675, 116.28, 103.53)
"""Mean red, green and blue that most networks trained on ImageNet expect, in 0..255 units."""
IMAGENET_STD = (58.395, 57.12, 57.375)
"""The standard deviations that they expect, in 0..255 units."""


class Normalise(nn.Module):
    """Compute ``(x - mean) / std`` for each channel.

    It is part of the network, so that an exported network takes raw images and no caller can
    forget or mismatch it. ``mean`` and ``std`` are buffers: they are saved with the weights and
    never trained.

    Args:
        mean: one value for each channel, in 0..255 units.
        std: one value for each channel, in 0..255 units, above 0.

    Raises:
        ConfigError: lengths differ, a value is not finite, or a standard deviation is not above 0.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        if len(mean) != len(std) or not mean:
            raise ConfigError(
                f"mean and std: got {len(mean)} and {len(std)} values, expected one per channel"
            )
        if not all(math.isfinite(value) for value in (*mean, *std)) or min(std) <= 0:
            raise ConfigError(
                f"mean and std: got {tuple(mean)} and {tuple(std)}, expected finite numbers and "
                f"std above 0"
            )
        shape = (1, len(mean), 1, 1)
        self.register_buffer("mean", torch.tensor(mean, dtype=torch.float32).reshape(shape))
        self.register_buffer("std", torch.tensor(std, dtype=torch.float32).reshape(shape))

    def forward(self, images: Tensor) -> Tensor:
        """Normalise a batch (N, C, H, W), uint8 or float in 0..255, of any memory format.

        Raises:
            ConfigError: the channel count is not that of ``mean``; broadcasting would hide it.
        """
        if images.ndim != 4 or images.shape[1] != self.mean.shape[1]:
            raise ConfigError(
                f"images: got shape {tuple(images.shape)}, expected (N, {self.mean.shape[1]}, H, W)"
            )
        return (images.to(self.mean.dtype) - self.mean) / self.std
