"""Fully connected networks."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from nn_perception.errors import ConfigError, nearest
from nn_perception.networks.checks import fraction, whole_number, whole_numbers
from nn_perception.networks.normalise import MNIST_MEAN, MNIST_STD, Normalise

ACTIVATIONS: dict[str, type[nn.Module]] = {
    "relu": nn.ReLU,
    "gelu": nn.GELU,
    "silu": nn.SiLU,
    "tanh": nn.Tanh,
    "sigmoid": nn.Sigmoid,
    "leaky_relu": nn.LeakyReLU,
    "softplus": nn.Softplus,
    "identity": nn.Identity,
}


def activation_layer(name: str) -> nn.Module:
    """Return a layer that computes an activation.

    Raises:
        ConfigError: it is none of ``ACTIVATIONS``.
    """
    if name not in ACTIVATIONS:
        raise ConfigError(
            f"activation: got {name!r}{nearest(str(name), ACTIVATIONS)} "
            f"(expected one of: {', '.join(ACTIVATIONS)})"
        )
    return ACTIVATIONS[name]()


class Mlp(nn.Module):
    """Multi-layer perceptron over the flattened image; the defaults are the lecture's 784-128-10.

    Args:
        input_shape: (channels, height, width) of one image.
        hidden: width of each hidden layer; empty makes a linear classifier.
        classes: number of logits, or of the values of a regression.
        activation: one of ``ACTIVATIONS``.
        dropout: probability with which a hidden unit is dropped in training.
        batch_norm: normalise each hidden layer before its activation.
        mean: of each channel, in 0..255 units.
        std: of each channel, in 0..255 units.

    Raises:
        ConfigError: a value that is out of its range.
    """

    def __init__(
        self,
        input_shape: Sequence[int] = (1, 28, 28),
        hidden: Sequence[int] = (128,),
        classes: int = 10,
        activation: str = "relu",
        dropout: float = 0.0,
        batch_norm: bool = False,
        mean: Sequence[float] = MNIST_MEAN,
        std: Sequence[float] = MNIST_STD,
    ) -> None:
        super().__init__()
        activation_layer(activation)  # refused even where no hidden layer has one
        channels, height, width = whole_numbers("input_shape", input_shape, count=3)
        rate = fraction("dropout", dropout)
        self.normalise = Normalise(mean, std)
        layers: list[nn.Module] = [nn.Flatten()]
        size = channels * height * width
        for units in whole_numbers("hidden", hidden):
            layers.append(nn.Linear(size, units, bias=not batch_norm))
            if batch_norm:
                layers.append(nn.BatchNorm1d(units))
            layers.append(activation_layer(activation))
            if rate > 0:
                layers.append(nn.Dropout(rate))
            size = units
        layers.append(nn.Linear(size, whole_number("classes", classes)))
        self.layers = nn.Sequential(*layers)

    def forward(self, images: Tensor) -> Tensor:
        """Return logits (N, classes) for raw images (N, C, H, W) in 0..255."""
        logits: Tensor = self.layers(self.normalise(images))
        return logits
