"""The oracle of each type of layer that our networks are made of."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import nn

from nn_perception.bench.gradient_check import Arrays
from nn_perception.errors import ConfigError
from nn_perception.networks.mlp import ACTIVATIONS
from nn_perception.networks.normalise import Normalise
from nn_perception.networks.reference_activations import ELEMENTWISE, Array
from nn_perception.networks.reference_layers import (
    Gradients,
    Result,
    activation,
    average_pool,
    batch_norm,
    convolution,
    dropout,
    flatten,
    global_average_pool,
    linear,
    max_pool,
    normalise,
)
from nn_perception.networks.reference_recurrent import elman_step, gru_step, stacked

ModuleOracle: TypeAlias = Callable[[Any, Arrays], Result]
"""Of a module and its input ``x`` (and ``h``) and parameters, all by name."""

SEED = 7
"""Of torch before a module runs, so that the mask of a dropout can be drawn twice."""
_CELL = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")


def oracle_of(module: nn.Module) -> ModuleOracle:
    """Return the oracle of a module's type.

    Raises:
        ConfigError: there is none.
    """
    kind = type(module)
    if kind not in ORACLES:
        raise ConfigError(
            f"{kind.__name__} has no oracle: write one in NumPy (networks/reference_layers.py) and "
            "name it in bench/gradient_oracles.py: ORACLES"
        )
    return ORACLES[kind]


def _activation(name: str, _: nn.Module, arrays: Arrays) -> Result:
    return activation(name, arrays["x"])


def _linear(_: nn.Module, arrays: Arrays) -> Result:
    return linear(arrays["x"], arrays["weight"], arrays.get("bias"))


def _convolution(module: Any, arrays: Arrays) -> Result:
    return convolution(
        arrays["x"],
        arrays["weight"],
        arrays.get("bias"),
        stride=module.stride,
        padding=module.padding,
        dilation=module.dilation,
        groups=module.groups,
    )


def _max_pool(module: Any, arrays: Arrays) -> Result:
    kernel, stride, padding = map(_pair, (module.kernel_size, module.stride, module.padding))
    if _pair(module.dilation) != (1, 1):
        raise ConfigError(f"the oracle of pools has no dilation: got {module.dilation}")
    return max_pool(arrays["x"], kernel=kernel, stride=stride, padding=padding)


def _average_pool(module: Any, arrays: Arrays) -> Result:
    if _pair(module.padding) != (0, 0):
        raise ConfigError(f"the oracle of average pools has no padding: got {module.padding}")
    kernel, stride = _pair(module.kernel_size), _pair(module.stride)
    return average_pool(arrays["x"], kernel=kernel, stride=stride)


def _pair(value: Any) -> tuple[int, int]:
    return (value[0], value[1]) if isinstance(value, tuple) else (value, value)


def _global_average_pool(module: Any, arrays: Arrays) -> Result:
    if module.output_size not in (1, (1, 1)):
        raise ConfigError(f"the oracle of average pools has one position: got {module.output_size}")
    return global_average_pool(arrays["x"])


def _batch_norm(module: Any, arrays: Arrays) -> Result:
    running = None if module.training else (module.running_mean.numpy(), module.running_var.numpy())
    return batch_norm(arrays["x"], arrays["weight"], arrays["bias"], module.eps, running)


def _dropout(module: Any, arrays: Arrays) -> Result:
    x = arrays["x"]
    if not module.training:
        return dropout(x, np.ones(x.shape), 0.0)
    torch.manual_seed(SEED)
    kept = module(torch.ones(x.shape, dtype=torch.float64)).numpy() > 0
    return dropout(x, kept, module.p)


def _gru_cell(_: nn.Module, arrays: Arrays) -> Result:
    names = ("w_x", "w_h", "b_x", "b_h")
    weights = (arrays[name] for name in _CELL)
    y, back = gru_step(arrays["x"], arrays["h"], *weights)
    renamed = dict(zip(names, _CELL, strict=True))
    return y, lambda change: {renamed.get(k, k): value for k, value in back(change).items()}


def _recurrent(module: Any, arrays: Arrays) -> Result:
    """Layers of ``nn.RNN`` or ``nn.GRU``; ``x`` is (N, T, F), ``h`` (layers, N, H)."""
    layers = range(module.num_layers)
    weights = [[arrays[f"{name}_l{layer}"] for name in _CELL] for layer in layers]
    elman = isinstance(module, nn.RNN)
    steps: list[Any] = [
        partial(elman_step, w_x=w_x, w_h=w_h, b_h=b_x + b_h)
        if elman
        else partial(gru_step, w_x=w_x, w_h=w_h, b_x=b_x, b_h=b_h)
        for w_x, w_h, b_x, b_h in weights
    ]
    y, back = stacked(arrays["x"], list(arrays["h"]), steps)
    ours = ("w_x", "w_h", "b_h" if elman else "b_x", "b_h")  # Elman's two biases add up to one

    def back_by_name(change: Array) -> Gradients:
        found = back(change)
        by_name = {
            f"{name}_l{layer}": found[f"{layer}.{own}"]
            for layer in layers
            for name, own in zip(_CELL, ours, strict=True)
        }
        return {"x": found["x"], "h": np.stack([found[f"{k}.h"] for k in layers]), **by_name}

    return y, back_by_name


def _normalise(module: Any, arrays: Arrays) -> Result:
    return normalise(arrays["x"], module.mean.numpy(), module.std.numpy())


ORACLES: dict[type[nn.Module], ModuleOracle] = {
    nn.Linear: _linear,
    nn.Conv1d: _convolution,
    nn.Conv2d: _convolution,
    nn.MaxPool2d: _max_pool,
    nn.AvgPool2d: _average_pool,
    nn.AdaptiveAvgPool2d: _global_average_pool,
    nn.BatchNorm1d: _batch_norm,
    nn.BatchNorm2d: _batch_norm,
    nn.Dropout: _dropout,
    nn.Flatten: lambda _, arrays: flatten(arrays["x"]),
    nn.GRUCell: _gru_cell,
    nn.RNN: _recurrent,
    nn.GRU: _recurrent,
    Normalise: _normalise,
    **{
        kind: partial(_activation, name)
        for name, kind in ACTIVATIONS.items()
        if name in ELEMENTWISE
    },
}
"""By type; a layer of a registered network whose type is missing here is an error."""
