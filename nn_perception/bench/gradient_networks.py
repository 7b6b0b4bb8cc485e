"""Whole networks of ours, to be compared with what NumPy makes of their layers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any, TypeAlias

import numpy as np
from torch import Tensor, nn
from torch.func import functional_call

from nn_perception.bench.gradient_check import STEP, Arrays, Case, spread
from nn_perception.bench.gradient_modules import BATCH, STEPS, randomised
from nn_perception.bench.gradient_oracles import oracle_of
from nn_perception.networks import build_network
from nn_perception.networks.gyro_tcn import SAMPLE
from nn_perception.networks.reference_activations import Array
from nn_perception.networks.reference_layers import Gradients, Result, activation, chain
from nn_perception.networks.residual import ResidualBlock

Layers: TypeAlias = dict[str, Callable[[Array], Result]]

_KINKED_STEP = 1e-7
"""Where thousands of ReLUs could change sides within a step."""
_SHAPE = (1, 16, 16)


def network_cases() -> Iterator[Case]:
    """Yield a case for each architecture of ours, small and without dropout, in training mode."""
    plain: dict[str, dict[str, Any]] = {
        "mlp": {"hidden": (6, 5), "batch_norm": True, "activation": "gelu"},
        "lecture_cnn": {"filters": 3, "hidden": 5},
        "lenet": {},
        "digit_cnn": {"channels": (3, 4, 4, 5, 5), "dropout": 0.0},
    }
    for name, arguments in plain.items():
        network = _pictures(name, arguments)
        yield _case(name, network, {"x": _picture()}, partial(_in_a_row, network))
    for name in ("elman_rnn", "gru"):
        network = _pictures(name, {"hidden": 6, "layers": 2})
        yield _case(name, network, {"x": _picture()}, partial(_over_rows, network))
    for stride, outputs in ((1, 4), (2, 6)):
        block = _ready(ResidualBlock(4, outputs, stride))
        name = f"residual block with stride {stride}"
        yield _case(
            name, block, {"x": spread(_random(), BATCH, 4, 6, 6)}, partial(_residual, block)
        )
    yield _imu_noise()
    yield _gyro("gyro_tcn", {"channels": (4, 3), "dilations": (1, 2), "kernel": 3}, _tcn_states)
    yield _gyro("gyro_rnn", {"hidden": 4}, _rnn_states)
    network = _network("range_bias", {"hidden": (6, 5), "activation": "silu"})
    rows = spread(_random(), BATCH, network.layers[0].in_features)
    yield _case("range_bias", network, {"x": rows}, partial(_range_bias, network))


def _case(
    name: str, network: nn.Module, inputs: Arrays, oracle: Callable[[Arrays], Result]
) -> Case:
    weights = {key: value.detach().numpy() for key, value in network.named_parameters()}

    def run(tensors: dict[str, Tensor]) -> Tensor:
        given = tuple(tensors[key] for key in inputs)
        state = {key: value for key, value in tensors.items() if key not in inputs}
        result: Any = functional_call(network, state, given)
        output: Tensor = result[0] if isinstance(result, tuple) else result
        return output

    kinks = any(isinstance(part, (nn.ReLU, ResidualBlock)) for part in network.modules())
    step = _KINKED_STEP if kinks else STEP
    return Case(f"network {name}", "network", {**inputs, **weights}, run, oracle, step)


def _in_a_row(network: nn.Module, arrays: Arrays) -> Result:
    """Layers one after the other, in the order in which the network has them."""
    parts = {name: part for name, part in network.named_modules() if not list(part.children())}
    return chain(arrays["x"], {name: _layer(part, name, arrays) for name, part in parts.items()})


def _over_rows(network: Any, arrays: Arrays) -> Result:
    """Rows of a picture (N, 1, H, W) as steps; the last state is read out."""
    cells = network.rows.cells
    start = np.zeros((cells.num_layers, BATCH, cells.hidden_size))
    layers: Layers = {
        "normalise": _layer(network.normalise, "normalise", arrays),
        "steps": lambda x: (x[:, 0], lambda change: {"x": change[:, None]}),
        "rows.cells": _layer(cells, "rows.cells", arrays, h=start),
        "last": _last_step,
        "readout": _layer(network.readout, "readout", arrays),
    }
    return _without(chain(arrays["x"], layers), "rows.cells.h")


def _last_step(x: Array) -> Result:
    def back(change: Array) -> Gradients:
        by_x = np.zeros(x.shape)
        by_x[:, -1] = change
        return {"x": by_x}

    return x[:, -1], back


def _residual(block: Any, arrays: Arrays) -> Result:
    """Y = kept + f(x): the derivative goes through both, and adds up."""
    active, active_back = chain(
        arrays["x"],
        {"norm1": _layer(block.norm1, "norm1", arrays), "relu": partial(activation, "relu")},
    )
    inner, inner_back = chain(
        active,
        {
            "conv1": _layer(block.conv1, "conv1", arrays),
            "norm2": _layer(block.norm2, "norm2", arrays),
            "relu": partial(activation, "relu"),
            "conv2": _layer(block.conv2, "conv2", arrays),
        },
    )
    kept, kept_back = arrays["x"], None
    if block.shortcut is not None:
        kept, kept_back = chain(active, {"shortcut": _layer(block.shortcut, "shortcut", arrays)})

    def back(change: Array) -> Gradients:
        by_inner = inner_back(change)
        by_active = by_inner.pop("x")
        by_kept = {} if kept_back is None else kept_back(change)
        by_first = active_back(by_active + by_kept.pop("x", np.zeros(active.shape)))
        by_x = by_first.pop("x") + (change if kept_back is None else 0.0)
        return {"x": by_x, **by_first, **by_inner, **by_kept}

    return kept + inner, back


def _imu_noise() -> Case:
    network = _network("imu_noise", {"hidden": 4})

    def oracle(arrays: Arrays) -> Result:
        layers: Layers = {
            "read": _layer(network.read, "read", arrays),
            "tanh": partial(activation, "tanh"),
            "memory": _layer(network.memory, "memory", arrays, h=arrays["h"]),
            "write": _layer(network.write, "write", arrays),
            "shrink": partial(_scaled, 1.0 / network.reach),
            "limit": partial(activation, "tanh"),
            "grow": partial(_scaled, network.reach),
            "start": partial(_shifted, network.start.numpy()),
            "change": partial(_learnt_shift, 10.0, arrays["change"]),
            "exp": _exponential,
        }
        return _renamed(chain(arrays["x"], layers), {"memory.h": "h", "change.shift": "change"})

    random = _random()
    inputs = {
        "x": spread(random, BATCH, network.read.in_features),
        "h": spread(random, BATCH, network.hidden),
    }
    return _case("imu_noise", network, inputs, oracle)


def _gyro(
    name: str, arguments: Mapping[str, Any], states: Callable[[Any, Arrays], tuple[Layers, Any]]
) -> Case:
    """Return the case of a network that corrects a gyroscope, its cache an input (``h``)."""
    network = _network(name, {"dropout": 0.0, "reach_rad_s": 0.7, **arguments})

    def oracle(arrays: Arrays) -> Result:
        inner, cache_of = states(network, arrays)
        layers: Layers = {
            "mean": partial(_shifted, -network.mean.numpy()),
            "scale": partial(_scaled, network.scale.numpy()),
            **inner,
            "limit": partial(activation, "tanh"),
            "reach": partial(_scaled, network.reach_rad_s),
            **({"time": _transposed} if name == "gyro_tcn" else {}),
        }
        y, back = chain(arrays["x"], layers)

        def back_to_cache(change: Array) -> Gradients:
            found = back(change)
            return {"h": cache_of(found), **found}

        return y, back_to_cache

    random = _random()
    inputs = {
        "x": spread(random, BATCH, STEPS, SAMPLE),
        "h": spread(random, BATCH, network.cache_size),
    }
    return _case(name, network, inputs, oracle)


def _tcn_states(network: Any, arrays: Arrays) -> tuple[Layers, Any]:
    """Dilated convolutions; what each saw before comes from the cache."""
    sizes = np.cumsum([width * count for width, count in network.past])[:-1]
    layers: Layers = {"channels": _transposed}
    parts = np.split(arrays["h"], sizes, 1)
    for index, (layer, (width, _), old) in enumerate(
        zip(network.layers, network.past, parts, strict=True)
    ):
        past = old.reshape(BATCH, width, -1)
        layers[f"cache{index}"] = partial(_after, past)
        layers[f"layers.{index}"] = _layer(layer, f"layers.{index}", arrays)
        layers[f"gelu{index}"] = partial(activation, "gelu")
    layers["correct"] = _layer(network.correct, "correct", arrays)

    def cache_of(found: Gradients) -> Array:
        each = [found.pop(f"cache{index}.past") for index in range(len(parts))]
        return np.concatenate([part.reshape(BATCH, -1) for part in each], 1)

    return layers, cache_of


def _rnn_states(network: Any, arrays: Arrays) -> tuple[Layers, Any]:
    name = "past.cells"
    start = arrays["h"].reshape(BATCH, network.past.depth, -1).swapaxes(0, 1)
    layers: Layers = {
        name: _layer(network.past.cells, name, arrays, h=start),
        "correct": _layer(network.correct, "correct", arrays),
    }
    return layers, lambda found: found.pop(f"{name}.h").swapaxes(0, 1).reshape(BATCH, -1)


def _range_bias(network: Any, arrays: Arrays) -> Result:
    layers = {
        f"layers.{name}": _layer(part, f"layers.{name}", arrays)
        for name, part in network.layers.named_children()
    }
    layers["output_scale"] = partial(_scaled, network.output_scale.numpy())
    layers["output_offset"] = partial(_shifted, network.output_offset.numpy())
    return chain(arrays["x"], layers)


def _layer(
    part: nn.Module, name: str, arrays: Arrays, h: Array | None = None
) -> Callable[[Array], Result]:
    """Return the oracle of a part with its weights, as a function of its input."""
    weights = {key: arrays[f"{name}.{key}"] for key, _ in part.named_parameters()}
    if h is not None:
        weights["h"] = h
    oracle = oracle_of(part)
    return lambda x: oracle(part, {"x": x, **weights})


def _scaled(factor: Any, x: Array) -> Result:
    return x * factor, lambda change: {"x": change * factor}


def _shifted(shift: Array, x: Array) -> Result:
    return x + shift, lambda change: {"x": change}


def _learnt_shift(factor: float, shift: Array, x: Array) -> Result:
    return x + factor * shift, lambda change: {"x": change, "shift": factor * change.sum(0)}


def _exponential(x: Array) -> Result:
    y = np.exp(x)
    return y, lambda change: {"x": change * y}


def _transposed(x: Array) -> Result:
    return x.swapaxes(1, 2), lambda change: {"x": change.swapaxes(1, 2)}


def _after(past: Array, x: Array) -> Result:
    count = past.shape[2]
    return np.concatenate([past, x], 2), lambda change: {
        "x": change[:, :, count:],
        "past": change[:, :, :count],
    }


def _without(result: Result, name: str) -> Result:
    y, back = result
    return y, lambda change: {k: value for k, value in back(change).items() if k != name}


def _renamed(result: Result, names: Mapping[str, str]) -> Result:
    y, back = result
    return y, lambda change: {names.get(k, k): value for k, value in back(change).items()}


def _pictures(name: str, arguments: Mapping[str, Any]) -> Any:
    return _network(name, {"input_shape": _SHAPE, "classes": 3, **arguments})


def _network(name: str, arguments: Mapping[str, Any]) -> Any:
    return _ready(build_network(name, arguments))


def _ready(network: nn.Module) -> Any:
    return randomised(network.double(), _random())


def _random() -> np.random.Generator:
    return np.random.default_rng(0)


def _picture() -> Array:
    return 128.0 + 60.0 * spread(_random(), BATCH, *_SHAPE)
