"""A residual network for small pictures."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn

from nn_perception.errors import ConfigError
from nn_perception.networks.checks import fraction, whole_number, whole_numbers
from nn_perception.networks.normalise import ROAD4_MEAN, ROAD4_STD, Normalise

MINIMUM_PX = 16


class ResidualCnn(nn.Module):
    """A residual network with pre-activation (He et al. 2016), for pictures of any size.

    One convolution, 5x5 with stride 2 or 3x3 without; stages of residual blocks, each stage after
    the first at half the resolution of the one before; the mean over all positions and one linear
    layer.

    Args:
        input_shape: (channels, height, width) of one image, at least 16x16 pixels.
        classes: number of logits.
        channels: filters of each stage.
        blocks: residual blocks of each stage.
        stem_stride: 2, or 1 for a first stage at full resolution, which costs four times as much.
        dropout: probability with which a value before the linear layer is dropped in training.
        mean: of each channel, in 0..255 units.
        std: of each channel, in 0..255 units.

    Raises:
        ConfigError: a value that is out of its range.
    """

    def __init__(
        self,
        input_shape: Sequence[int] = (3, 32, 32),
        classes: int = 4,
        channels: Sequence[int] = (16, 32, 64, 128),
        blocks: Sequence[int] = (1, 1, 1, 1),
        stem_stride: int = 1,
        dropout: float = 0.1,
        mean: Sequence[float] = ROAD4_MEAN,
        std: Sequence[float] = ROAD4_STD,
    ) -> None:
        super().__init__()
        colours, height, width = whole_numbers("input_shape", input_shape, count=3)
        if min(height, width) < MINIMUM_PX:
            raise ConfigError(
                f"input_shape: got {height}x{width} pixels, expected at least "
                f"{MINIMUM_PX}x{MINIMUM_PX}"
            )
        widths = whole_numbers("channels", channels)
        if not widths:
            raise ConfigError("channels: got none, expected one number for each stage")
        depths = whole_numbers("blocks", blocks, count=len(widths))
        rate = fraction("dropout", dropout)
        self.normalise = Normalise(mean, std)
        if stem_stride not in (1, 2):
            raise ConfigError(f"stem_stride: got {stem_stride!r}, expected 1 or 2")
        side = 2 * stem_stride + 1
        self.stem = nn.Conv2d(
            colours, widths[0], side, stride=stem_stride, padding=stem_stride, bias=False
        )
        self.stages = nn.Sequential(*_blocks(widths, depths))
        self.head = nn.Sequential(
            nn.BatchNorm2d(widths[-1]),
            nn.ReLU(),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Dropout(rate),
            nn.Linear(widths[-1], whole_number("classes", classes, 2)),
        )

    def forward(self, images: Tensor) -> Tensor:
        """Return logits (N, classes) for raw images (N, C, H, W) in 0..255."""
        logits: Tensor = self.head(self.stages(self.stem(self.normalise(images))))
        return logits


def _blocks(widths: Sequence[int], depths: Sequence[int]) -> Iterator[nn.Module]:
    """Make the blocks of all stages; each but the first stage begins with a stride of 2."""
    inputs = widths[0]
    for stage, (outputs, depth) in enumerate(zip(widths, depths, strict=True)):
        for block in range(depth):
            stride = 2 if stage > 0 and block == 0 else 1
            yield ResidualBlock(inputs, outputs, stride)
            inputs = outputs


class ResidualBlock(nn.Module):
    """``x + f(x)``, f: twice batch normalisation, ReLU and a 3x3 convolution.

    Where the number of channels or the resolution changes, x passes a 1x1 convolution.
    """

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.norm1 = nn.BatchNorm2d(inputs)
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        changes = stride > 1 or inputs != outputs
        self.shortcut = nn.Conv2d(inputs, outputs, 1, stride, bias=False) if changes else None

    def forward(self, values: Tensor) -> Tensor:
        """Map (N, inputs, H, W) to (N, outputs, H / stride, W / stride), rounded up."""
        active = torch.relu(self.norm1(values))
        kept = values if self.shortcut is None else self.shortcut(active)
        inner = torch.relu(self.norm2(self.conv1(active)))
        result: Tensor = kept + self.conv2(inner)
        return result
