"""What weights begin with."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

_FILLS: dict[str, Callable[[Tensor], object]] = {
    "zeros": nn.init.zeros_,
    "normal": nn.init.normal_,
    "small_normal": lambda weight: nn.init.normal_(weight, std=0.01),
    "xavier": nn.init.xavier_uniform_,
    "he": lambda weight: nn.init.kaiming_uniform_(weight, nonlinearity="relu"),
}


def initialise(network: nn.Module, name: str) -> None:
    """Fill the weights of linear and convolution layers.

    ``zeros``: weights and biases 0. ``normal``: both drawn from N(0, 1), as the first networks of
    M. Nielsen's book begin. ``small_normal``: weights drawn from N(0, 0.01^2), biases 0.
    ``xavier`` (Glorot and Bengio 2010): uniform with the variance 2 / (fan_in + fan_out), biases 0.
    ``he`` (He et al. 2015): uniform with the variance 2 / fan_in, biases 0. ``default``: nothing is
    changed.

    Args:
        network: changed in place; draws from torch's own generator.
        name: one of the names above.
    """
    if name == "default":
        return
    with torch.no_grad():
        for layer in network.modules():
            if isinstance(layer, (nn.Linear, nn.modules.conv._ConvNd)):
                _FILLS[name](layer.weight)
                if layer.bias is not None:
                    (nn.init.normal_ if name == "normal" else nn.init.zeros_)(layer.bias)
