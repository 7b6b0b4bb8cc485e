"""Each layer of each registered network, to be compared with its oracle."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import functional_call

from nn_perception.bench.gradient_check import Case, spread
from nn_perception.bench.gradient_oracles import SEED, oracle_of
from nn_perception.errors import ConfigError
from nn_perception.networks import build_network, network_names, resolve_arguments
from nn_perception.networks.gyro_tcn import SAMPLE
from nn_perception.networks.reference_activations import Array

BATCH = 3
"""Samples of each case: an odd number, and one more than a mistake of axes would need."""
STEPS = 5
"""Length of sequences."""


def layer_cases() -> Iterator[Case]:
    """Yield a case for each layer of each registered network with its default arguments.

    In training mode, and in evaluation mode where that differs. Layers of the same kind that see
    the same shapes come once.

    Raises:
        ConfigError: a layer has no oracle, or a network no inputs here.
    """
    seen = set()
    for network in network_names():
        for name, module, shapes in layers_of(network):
            key = (repr(module), shapes)
            if key in seen:
                continue
            seen.add(key)
            modes = (True, False) if _has_modes(module) else (True,)
            for training in modes:
                title = f"{network} {name}: {type(module).__name__}"
                yield module_case(title, module.train(training), shapes)


def layers_of(network: str) -> list[tuple[str, nn.Module, tuple[tuple[int, ...], ...]]]:
    """Return the layers of a registered network: name, module, shapes of its inputs.

    A layer is a module without further modules in it. None where a network needs a package that is
    not installed.
    """
    try:
        module = build_network(network)
    except ConfigError:
        if network in OPTIONAL:
            return []
        raise
    shapes: dict[str, tuple[tuple[int, ...], ...]] = {}
    leaves = {name: part for name, part in module.named_modules() if not list(part.children())}
    for name, leaf in leaves.items():

        def remember(_: nn.Module, inputs: tuple[Tensor, ...], name: str = name) -> None:
            shapes[name] = tuple(tuple(part.shape) for part in inputs)

        leaf.register_forward_pre_hook(remember)
    with torch.no_grad():
        module(*network_inputs(network))
    return [(name, leaf, shapes[name]) for name, leaf in leaves.items() if name in shapes]


OPTIONAL = {"timm_backbone": (3, 64, 64)}
"""Networks that need a package which ours does not, with the shape of a smaller input that does."""


def network_inputs(network: str) -> tuple[Tensor, ...]:
    """Return inputs of a registered network with its default arguments.

    Raises:
        ConfigError: its inputs are not known here.
    """
    arguments = resolve_arguments(network)
    if "input_shape" in arguments:
        return (torch.zeros(BATCH, *OPTIONAL.get(network, arguments["input_shape"])),)
    module: Any = build_network(network)
    inputs: dict[str, Callable[[], tuple[Tensor, ...]]] = {
        "imu_noise": lambda: (
            torch.zeros(BATCH, module.read.in_features),
            torch.zeros(BATCH, module.hidden),
        ),
        "gyro_tcn": lambda: (
            torch.zeros(BATCH, STEPS, SAMPLE),
            torch.zeros(BATCH, module.cache_size),
        ),
        "gyro_rnn": lambda: (
            torch.zeros(BATCH, STEPS, SAMPLE),
            torch.zeros(BATCH, module.cache_size),
        ),
        "range_bias": lambda: (torch.zeros(BATCH, arguments["inputs"]),),
    }
    if network not in inputs:
        raise ConfigError(f"the inputs of network '{network}' are unknown: add them here")
    return inputs[network]()


def module_case(name: str, module: nn.Module, shapes: tuple[tuple[int, ...], ...]) -> Case:
    """Return the case of a module with random weights, and inputs of these shapes.

    Raises:
        ConfigError: its type has no oracle.
    """
    random = np.random.default_rng(0)
    module = randomised(copy.deepcopy(module).double(), random)
    oracle = oracle_of(module)
    arrays: dict[str, Array] = {"x": spread(random, *shapes[0])}
    if len(shapes) > 1:
        arrays["h"] = spread(random, *shapes[1])
    arrays.update({key: value.detach().numpy() for key, value in module.named_parameters()})

    def run(tensors: dict[str, Tensor]) -> Tensor:
        # A copy, since a layer may work in place, as those of other packages do.
        inputs = [tensors[key].clone() for key in ("x", "h") if key in tensors]
        weights = {key: value for key, value in tensors.items() if key not in ("x", "h")}
        torch.manual_seed(SEED)
        result: Any = functional_call(module, weights, tuple(inputs))
        output: Tensor = result[0] if isinstance(result, tuple) else result
        return output

    mode = "" if module.training else " (evaluation)"
    return Case(f"{name}{mode}", "layer", arrays, run, partial(oracle, module))


def _has_modes(module: nn.Module) -> bool:
    return isinstance(module, (nn.Dropout, nn.modules.batchnorm._BatchNorm))


def randomised(module: nn.Module, random: np.random.Generator) -> nn.Module:
    """Give weights and running statistics values that no mistake could hide behind."""
    with torch.no_grad():
        for parameter in module.parameters():
            # So that no layer makes its inputs much larger: over many steps that were chaos.
            fan_in = parameter[0].numel() if parameter.ndim > 1 else 4
            values = 0.7 / np.sqrt(fan_in) * random.standard_normal(tuple(parameter.shape))
            parameter.copy_(torch.from_numpy(values))
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            size = module.num_features
            module.running_mean = torch.from_numpy(random.standard_normal(size))
            module.running_var = torch.from_numpy(random.uniform(0.5, 2.0, size))
    return module
