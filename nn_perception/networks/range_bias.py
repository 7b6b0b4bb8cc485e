"""The error of a UWB range and how sure that is, from geometry."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from nn_perception.errors import ConfigError, nearest
from nn_perception.networks.checks import whole_number, whole_numbers
from nn_perception.networks.mlp import ACTIVATIONS

_SCALE = (0.1, 1.0)
"""What an output of 1 means: errors of ranges are some centimetres."""
_OFFSET = (0.0, -3.0)


class RangeBias(nn.Module):
    """Multi-layer perceptron of the size of Zhao 2020: 14-30-30-30, about 2,300 parameters.

    Args:
        inputs: number of features and traits.
        hidden: width of each hidden layer.
        activation: one of `ACTIVATIONS`.
        input_mean: (inputs,) taken off the inputs; empty: nothing.
        input_std: (inputs,) that they are divided by; empty: nothing.

    Raises:
        ConfigError: a value that is out of its range.
    """

    def __init__(
        self,
        inputs: int = 14,
        hidden: Sequence[int] = (30, 30, 30),
        activation: str = "relu",
        input_mean: Sequence[float] = (),
        input_std: Sequence[float] = (),
    ) -> None:
        super().__init__()
        if activation not in ACTIVATIONS:
            raise ConfigError(
                f"activation: got {activation!r}{nearest(str(activation), ACTIVATIONS)} "
                f"(expected one of: {', '.join(ACTIVATIONS)})"
            )
        size = whole_number("inputs", inputs, 1)
        for name, values in (("input_mean", input_mean), ("input_std", input_std)):
            if len(values) not in (0, size):
                raise ConfigError(f"{name}: got {len(values)} numbers, expected {size} or none")
        self.register_buffer("mean", torch.tensor([*input_mean] or [0.0] * size))
        self.register_buffer("scale", 1.0 / torch.tensor([*input_std] or [1.0] * size))
        # One product and one sum of both outputs: taken apart and put together again they were
        # half of the graph's operations, and a third of the time of a single range.
        self.register_buffer("output_scale", torch.tensor(_SCALE), persistent=False)
        self.register_buffer("output_offset", torch.tensor(_OFFSET), persistent=False)
        layers: list[nn.Module] = []
        for units in whole_numbers("hidden", hidden):
            layers += [nn.Linear(size, units), ACTIVATIONS[activation]()]
            size = units
        last = nn.Linear(size, 2)
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)
        self.layers = nn.Sequential(*layers, last)

    def forward(self, rows: Tensor) -> Tensor:
        """Return (N, 2): bias in metres, and the logarithm of its standard deviation in metres.

        Args:
            rows: (N, inputs).
        """
        mean: Tensor = self.mean  # type: ignore[assignment]
        scale: Tensor = self.scale  # type: ignore[assignment]
        output_scale: Tensor = self.output_scale  # type: ignore[assignment]
        output_offset: Tensor = self.output_offset  # type: ignore[assignment]
        found: Tensor = self.layers((rows - mean) * scale)
        return found * output_scale + output_offset
