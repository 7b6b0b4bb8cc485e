"""Convolutional networks for small images."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from nn_perception.errors import ConfigError, nearest
from nn_perception.networks.checks import fraction, whole_number, whole_numbers
from nn_perception.networks.mlp import activation_layer
from nn_perception.networks.normalise import MNIST_MEAN, MNIST_STD, Normalise


class LectureCnn(nn.Module):
    """The lecture's network: 16 3x3 filters, ReLU, 2x2 max-pool, 20 hidden units, logits.

    Args:
        input_shape: (channels, height, width) of one image.
        classes: number of logits.
        filters: number of 3x3 filters.
        hidden: width of the hidden layer.
        dropout: probability with which a value before each linear layer is dropped in training.
        mean: of each channel, in 0..255 units.
        std: of each channel, in 0..255 units.

    Raises:
        ConfigError: a value that is out of its range.
    """

    def __init__(
        self,
        input_shape: Sequence[int] = (1, 28, 28),
        classes: int = 10,
        filters: int = 16,
        hidden: int = 20,
        dropout: float = 0.0,
        mean: Sequence[float] = MNIST_MEAN,
        std: Sequence[float] = MNIST_STD,
    ) -> None:
        super().__init__()
        channels, height, width = whole_numbers("input_shape", input_shape, count=3)
        _at_least("input_shape", (height, width), 4)
        whole_number("filters", filters)
        whole_number("hidden", hidden)
        rate = fraction("dropout", dropout)
        self.normalise = Normalise(mean, std)
        size = filters * ((height - 2) // 2) * ((width - 2) // 2)
        self.layers = nn.Sequential(
            nn.Conv2d(channels, filters, 3),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Flatten(),
            nn.Dropout(rate),
            nn.Linear(size, hidden),
            nn.ReLU(),
            nn.Dropout(rate),
            nn.Linear(hidden, whole_number("classes", classes, 2)),
        )

    def forward(self, images: Tensor) -> Tensor:
        """Return logits (N, classes) for raw images (N, C, H, W) in 0..255."""
        logits: Tensor = self.layers(self.normalise(images))
        return logits


class LeNet(nn.Module):
    """LeNet-5 (LeCun et al. 1998) as it is taught: 5x5 convolutions of 6 and 16 filters, 120, 84.

    The first convolution pads, so that a 28x28 picture gives the maps that the paper's 32x32 gave;
    each is followed by 2x2 pooling. Unlike in the paper, the second convolution sees all maps of
    the first, pooling has no weights, and a linear layer gives the logits.

    Args:
        input_shape: (channels, height, width) of one image, at least 12x12 pixels.
        classes: number of logits.
        activation: one of `nn_perception.networks.mlp.ACTIVATIONS`; the paper's is ``tanh``.
        pooling: ``average``, as the paper's, or ``max``.
        batch_norm: normalise the convolutions' maps before their activation.
        dropout: probability with which a unit of the two hidden layers is dropped in training.
        mean: of each channel, in 0..255 units.
        std: of each channel, in 0..255 units.

    Raises:
        ConfigError: a value that is out of its range.
    """

    def __init__(
        self,
        input_shape: Sequence[int] = (1, 28, 28),
        classes: int = 10,
        activation: str = "tanh",
        pooling: str = "average",
        batch_norm: bool = False,
        dropout: float = 0.0,
        mean: Sequence[float] = MNIST_MEAN,
        std: Sequence[float] = MNIST_STD,
    ) -> None:
        super().__init__()
        channels, height, width = whole_numbers("input_shape", input_shape, count=3)
        _at_least("input_shape", (height, width), 12)
        if pooling not in _POOLINGS:
            raise ConfigError(
                f"pooling: got {pooling!r}{nearest(str(pooling), _POOLINGS)} "
                f"(expected one of: {', '.join(_POOLINGS)})"
            )
        rate = fraction("dropout", dropout)
        self.normalise = Normalise(mean, std)
        layers: list[nn.Module] = []
        for inputs, outputs, padding in ((channels, 6, 2), (6, 16, 0)):
            layers.append(nn.Conv2d(inputs, outputs, 5, padding=padding, bias=not batch_norm))
            if batch_norm:
                layers.append(nn.BatchNorm2d(outputs))
            layers += [activation_layer(activation), _POOLINGS[pooling](2)]
        layers.append(nn.Flatten())
        size = 16 * ((height // 2 - 4) // 2) * ((width // 2 - 4) // 2)
        for units in (120, 84):
            layers += [nn.Linear(size, units), activation_layer(activation), nn.Dropout(rate)]
            size = units
        layers.append(nn.Linear(size, whole_number("classes", classes, 2)))
        self.layers = nn.Sequential(*layers)

    def forward(self, images: Tensor) -> Tensor:
        """Return logits (N, classes) for raw images (N, C, H, W) in 0..255."""
        logits: Tensor = self.layers(self.normalise(images))
        return logits


_POOLINGS: dict[str, type[nn.AvgPool2d] | type[nn.MaxPool2d]] = {
    "average": nn.AvgPool2d,
    "max": nn.MaxPool2d,
}


class DigitCnn(nn.Module):
    """A small, fast and accurate network: the shipped digit model.

    Five convolutions, each with batch normalisation and ReLU: 7x7 with stride 2, two 3x3, a 2x2
    max-pool, two 3x3; then one linear layer over all positions that are left (4x4 of 28x28). The
    stride comes first because values at full resolution would cost most of the training time.

    Args:
        input_shape: (channels, height, width) of one image, at least 16x16 pixels.
        classes: number of logits.
        channels: filters of the five convolutions.
        dropout: probability with which a value before the linear layer is dropped in training.
        mean: of each channel, in 0..255 units.
        std: of each channel, in 0..255 units.

    Raises:
        ConfigError: a value that is out of its range.
    """

    def __init__(
        self,
        input_shape: Sequence[int] = (1, 28, 28),
        classes: int = 10,
        channels: Sequence[int] = (32, 48, 48, 96, 96),
        dropout: float = 0.3,
        mean: Sequence[float] = MNIST_MEAN,
        std: Sequence[float] = MNIST_STD,
    ) -> None:
        super().__init__()
        colours, height, width = whole_numbers("input_shape", input_shape, count=3)
        _at_least("input_shape", (height, width), 16)
        c1, c2, c3, c4, c5 = whole_numbers("channels", channels, count=5)
        rate = fraction("dropout", dropout)
        self.normalise = Normalise(mean, std)
        self.features = nn.Sequential(
            *_block(colours, c1, kernel=7, padding=3, stride=2),
            *_block(c1, c2, kernel=3, padding=0),
            *_block(c2, c3, kernel=3, padding=1, pool=True),
            *_block(c3, c4, kernel=3, padding=1),
            *_block(c4, c5, kernel=3, padding=0),
        )
        rows, columns = (((side + 1) // 2 - 2) // 2 - 2 for side in (height, width))
        self.head = nn.Sequential(
            nn.Flatten(),
            nn.Dropout(rate),
            nn.Linear(c5 * rows * columns, whole_number("classes", classes, 2)),
        )

    def forward(self, images: Tensor) -> Tensor:
        """Return logits (N, classes) for raw images (N, C, H, W) in 0..255."""
        logits: Tensor = self.head(self.features(self.normalise(images)))
        return logits


def _block(
    inputs: int, outputs: int, *, kernel: int, padding: int, stride: int = 1, pool: bool = False
) -> list[nn.Module]:
    """Convolution, optional 2x2 max-pool, batch normalisation (it makes a bias useless), ReLU.

    Pooling comes first, so that the other two touch a quarter of the values.
    """
    layers: list[nn.Module] = [
        nn.Conv2d(inputs, outputs, kernel, stride=stride, padding=padding, bias=False),
    ]
    if pool:
        layers.append(nn.MaxPool2d(2))
    return [*layers, nn.BatchNorm2d(outputs), nn.ReLU()]


def _at_least(name: str, size: tuple[int, int], minimum: int) -> None:
    if min(size) < minimum:
        raise ConfigError(
            f"{name}: got {size[0]}x{size[1]} pixels, expected at least {minimum}x{minimum}"
        )
