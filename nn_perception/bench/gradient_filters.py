"""Filters unrolled in time, and a kernel: gradients that finite differences alone can judge."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import functional_call

from nn_perception.bench.gradient_check import STEP, Arrays, Case, Tensors
from nn_perception.bench.gradient_modules import randomised
from nn_perception.inertial.blocks import BLOCK_S
from nn_perception.networks import build_network
from nn_perception.networks import reference_rotations as rotations
from nn_perception.tasks.attitude.network import FilterNetwork
from nn_perception.tasks.gyro.network import GyroNetwork
from nn_perception.tasks.uwb import kernel

_UP_M_S2 = np.array([0.0, 0.0, 9.81])
_BLOCKS = 4
_SAMPLES, _RATE_HZ = 40, 20.0
_COUNT = 2


def filter_cases() -> Iterator[Case]:
    """Yield what trains in the tasks `attitude`, `gyro` and `uwb` beside networks.

    The filters' formulas are written once for NumPy and torch, so that NumPy is no second opinion
    here.
    """
    yield _attitude()
    yield _gyro()
    yield _kernel()


def _attitude() -> Case:
    """Return blocks of moderate motion through the filter, back to all weights and inputs."""
    random = np.random.default_rng(3)
    noise = _network("imu_noise", {"hidden": 3})
    network = FilterNetwork(noise).double()
    randomised(noise.write, random)
    rate = 0.5 * random.standard_normal((_COUNT, _BLOCKS, 3))
    force = 0.8 * random.standard_normal((_COUNT, _BLOCKS, 3)) + _UP_M_S2
    arrays = {
        "turn": rotations.exponential(rate * BLOCK_S)[0],
        "velocity": force * BLOCK_S,
        "rate": rate,
    }
    duration = torch.full((_COUNT, _BLOCKS, 1), BLOCK_S, dtype=torch.float64)
    first = torch.zeros(_COUNT, 4, dtype=torch.float64)

    def inputs(tensors: Tensors) -> tuple[Tensor, ...]:
        return tensors["turn"], tensors["velocity"], tensors["rate"], duration, first

    # A longer step: the least of these derivatives are 1e-5 of the largest, near the rounding.
    return _case("attitude filter", network, arrays, inputs, step=3e-5)


def _gyro() -> Case:
    """Return a sensor that rests and then moves, back to calibration, thresholds and weights."""
    random = np.random.default_rng(4)
    tcn = _network(
        "gyro_tcn", {"channels": (3, 3), "dilations": (1, 2), "kernel": 3, "dropout": 0.0}
    )
    network = GyroNetwork(tcn, (0.01, -0.02, 0.005), _RATE_HZ).double()
    randomised(tcn.correct.double(), random)
    moving = (np.arange(_SAMPLES) >= _SAMPLES // 2)[:, None]
    rate = (0.01 + 0.3 * moving) * random.standard_normal((_COUNT, _SAMPLES, 3))
    force = (0.05 + 1.0 * moving) * random.standard_normal((_COUNT, _SAMPLES, 3))
    dt = torch.full((_COUNT, _SAMPLES, 1), 1.0 / _RATE_HZ, dtype=torch.float64)

    def inputs(tensors: Tensors) -> tuple[Tensor, ...]:
        shifted = tensors["force"] + torch.from_numpy(_UP_M_S2)
        return torch.cat([tensors["rate"], shifted], -1), dt

    return _case("gyroscope's correction", network, {"rate": rate, "force": force}, inputs)


def _network(name: str, arguments: dict[str, Any]) -> Any:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return build_network(name, arguments)


def _case(
    name: str,
    network: nn.Module,
    arrays: Arrays,
    inputs: Callable[[Tensors], tuple[Tensor, ...]],
    step: float = STEP,
) -> Case:
    weights = {key: value.detach().numpy() for key, value in network.named_parameters()}

    def run(tensors: Tensors) -> Tensor:
        state = {key: tensors[key] for key in weights}
        output: Tensor = functional_call(network, state, inputs(tensors))
        return output

    return Case(name, "filter", {**arrays, **weights}, run, None, step)


def _kernel() -> Case:
    """Return the likelihood of a kernel's values, as ranges of one room tell it."""
    random = np.random.default_rng(5)
    count = 8
    features = np.concatenate(
        [
            rotations.unit(random.standard_normal((count, 3)))[0],
            rotations.unit(random.standard_normal((count, 3)))[0],
            np.zeros((count, 6)),
            random.uniform(1.0, 5.0, (count, 1)),
        ],
        1,
    )
    tags, anchors = random.integers(0, 2, count), random.integers(0, 3, count)
    rows: Any = SimpleNamespace(
        features=features,
        count=np.ones(count),
        tag=tags,
        anchor=anchors,
        room=np.zeros(count, np.int64),
    )
    columns = kernel.Columns(rows)
    apart, target = kernel.Apart(columns, columns), 0.1 * torch.from_numpy(features[:, 0])
    start = asdict(kernel.Kernel())
    names = [name for name in start if name != "room_m"]

    def run(tensors: Tensors) -> Tensor:
        values = torch.exp(tensors["logarithms"])
        found: Any = SimpleNamespace(**start)
        found.__dict__.update(zip(names, values, strict=True))
        inside = kernel.covariance(found, apart, rooms=False)
        solved, determinant = kernel.solve(inside, found.noise_m**2 / columns.count, target)
        return 0.5 * (target * solved).sum() + determinant

    logarithms = np.log([start[name] for name in names])
    return Case("kernel of ranges", "kernel", {"logarithms": logarithms}, run, None)
