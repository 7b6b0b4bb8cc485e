"""Gradients of all layers, networks and losses: against NumPy, and against finite differences."""

from typing import get_args

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402
from torch.overrides import TorchFunctionMode, resolve_name  # noqa: E402

import nn_perception.networks as networks  # noqa: E402
from nn_perception.bench import BenchSettings, gradient_cases, gradients  # noqa: E402
from nn_perception.bench.gradient_check import (  # noqa: E402
    FINITE_GOAL,
    ORACLE_GOAL,
    Case,
    check,
    spread,
)
from nn_perception.bench.gradient_filters import filter_cases  # noqa: E402
from nn_perception.bench.gradient_losses import loss_cases  # noqa: E402
from nn_perception.bench.gradient_modules import (  # noqa: E402
    OPTIONAL,
    layer_cases,
    layers_of,
    network_inputs,
)
from nn_perception.bench.gradient_networks import network_cases  # noqa: E402
from nn_perception.bench.gradient_oracles import ORACLES, oracle_of  # noqa: E402
from nn_perception.errors import ConfigError  # noqa: E402
from nn_perception.networks import build_network, network_names, register_network  # noqa: E402
from nn_perception.networks.mlp import ACTIVATIONS  # noqa: E402
from nn_perception.networks.reference_layers import linear  # noqa: E402
from nn_perception.tasks import BUILT_IN  # noqa: E402
from nn_perception.training.losses import LossName  # noqa: E402

CASES = [
    layer_cases,
    gradient_cases.option_cases,
    gradient_cases.head_cases,
    network_cases,
    gradient_cases.mlp_cases,
    loss_cases,
    filter_cases,
]

WITH_ORACLE = {
    "adaptive_avg_pool2d": nn.AdaptiveAvgPool2d,
    "avg_pool2d": nn.AvgPool2d,
    "batch_norm": nn.BatchNorm2d,
    "conv1d": nn.Conv1d,
    "conv2d": nn.Conv2d,
    "dropout": nn.Dropout,
    "gelu": nn.GELU,
    "gru": nn.GRU,
    "gru_cell": nn.GRUCell,
    "linear": nn.Linear,
    "max_pool2d": nn.MaxPool2d,
    "relu": nn.ReLU,
    "rnn_tanh": nn.RNN,
    "tanh": nn.Tanh,
}
"""Functions with parameters or bends that networks call, and the layer that has their oracle."""
ARITHMETIC = {"add", "sub", "mul", "div", "truediv", "rsub", "exp", "to", "float"}
"""In the oracles of whole networks (`network_cases`)."""
SHAPES = {
    *("cat", "chunk", "contiguous", "expand", "flatten", "getitem", "reshape", "split"),
    *("squeeze", "stack", "transpose", "unsqueeze", "view", "new_zeros", "size", "dim", "shape"),
    *("ndim", "dtype", "device"),
}
"""They move numbers, or tell about them."""


@pytest.mark.parametrize("cases", CASES, ids=lambda cases: cases.__name__)
def test_gradients_are_those_of_the_oracle_and_of_finite_differences(cases):
    count = 0
    for case in cases():
        found = check(case)
        assert found.values <= ORACLE_GOAL, case.name
        assert found.gradients <= ORACLE_GOAL, case.name
        assert found.finite <= FINITE_GOAL, case.name
        count += 1
    assert count


def test_all_cases_are_those_and_none_twice():
    names = [case.name for case in gradient_cases.all_cases()]
    assert set(names) == {case.name for cases in CASES for case in cases()}
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("network", network_names())
def test_every_layer_of_every_network_has_an_oracle(network):
    layers = layers_of(network)
    if not layers:
        assert network in OPTIONAL
        pytest.skip(f"{network} needs a package that is not installed")
    for _, layer, _ in layers:
        assert callable(oracle_of(layer))


def test_every_activation_has_an_oracle():
    assert set(ACTIVATIONS.values()) <= set(ORACLES)


def test_every_loss_has_cases():
    names = [case.name for case in loss_cases()]
    for loss in get_args(LossName):
        assert {loss, f"{loss} weighted"} <= set(names)
    assert set(get_args(LossName)) - set(gradient_cases.MLP_PAIRS) == {"perceptron"}


def test_the_loss_of_every_task_has_a_case():
    of_task = {
        "attitude": "attitude with variances",
        "digits": "cross_entropy weighted smoothed",
        "gyro": "gyroscope's increments",
        "objects": "cross_entropy weighted smoothed",
        "uwb": "range with standard deviation",
    }
    assert {task.name for task in BUILT_IN} == set(of_task)
    assert set(of_task.values()) <= {case.name for case in loss_cases()}


class Seen(TorchFunctionMode):
    """Remembers which functions of torch are called, by the last part of their names."""

    def __init__(self):
        super().__init__()
        self.names = set()

    def __torch_function__(self, function, types, args=(), kwargs=None):
        name = resolve_name(function) or getattr(function, "__name__", str(function))
        parts = [part for part in name.split(".") if part not in ("__get__", "__set__")]
        self.names.add(parts[-1].strip("_"))
        return function(*args, **(kwargs or {}))


@pytest.mark.parametrize("network", [name for name in network_names() if name not in OPTIONAL])
def test_every_function_that_a_network_calls_has_an_oracle(network):
    module, inputs = build_network(network), network_inputs(network)
    with Seen() as seen:
        module(*inputs)
    assert seen.names - set(WITH_ORACLE) - ARITHMETIC - SHAPES == set()


def test_functions_stand_for_layers_with_an_oracle():
    assert set(WITH_ORACLE.values()) <= set(ORACLES)


class Unknown(nn.Module):
    def __init__(self, input_shape=(1, 4, 4)):
        super().__init__()
        self.layers = nn.Sequential(nn.Flatten(), nn.Linear(16, 2), nn.ELU())

    def forward(self, images):
        return torch.erf(self.layers(images))


def test_a_network_with_an_unknown_layer_is_found(monkeypatch):
    monkeypatch.setattr(networks, "_TARGETS", {})
    register_network("unknown", f"{__name__}:Unknown")
    monkeypatch.setattr(networks, "_constructor", lambda name: Unknown)
    with pytest.raises(ConfigError, match="ELU has no oracle"):
        list(layer_cases())
    with Seen() as seen:
        Unknown()(*network_inputs("unknown"))
    assert {"elu", "erf"} <= seen.names


def test_a_network_with_unknown_inputs_is_refused(monkeypatch):
    monkeypatch.setattr(networks, "_TARGETS", {})
    register_network("identity", "torch.nn:Identity")
    with pytest.raises(ConfigError, match="inputs of network 'identity' are unknown"):
        layers_of("identity")


def line(factor=1.0, bias=1.0):
    """Return a case of a linear layer whose oracle is wrong by these factors."""
    random = np.random.default_rng(0)
    arrays = {"x": spread(random, 3, 4), "weight": spread(random, 2, 4), "bias": np.ones(2)}

    def oracle(values):
        y, back = linear(values["x"], values["weight"], values["bias"])

        def wrong(change):
            found = back(change)
            return {**found, "x": factor * found["x"], "bias": bias * found["bias"]}

        return y, wrong

    def run(tensors):
        return nn.functional.linear(tensors["x"], tensors["weight"], tensors["bias"])

    return Case("line", "layer", arrays, run, oracle)


def test_a_check_finds_an_oracle_that_is_slightly_wrong():
    assert check(line()).gradients < ORACLE_GOAL
    assert check(line(factor=1 + 1e-9)).gradients > ORACLE_GOAL
    assert check(line(bias=1 - 1e-9)).gradients > ORACLE_GOAL


class WrongSquare(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x * x

    @staticmethod
    def backward(ctx, change):
        (x,) = ctx.saved_tensors
        return change * 2 * x * (1 + 1e-5)


@pytest.mark.parametrize("size", [5, 400])
def test_a_check_finds_a_gradient_of_torch_that_is_slightly_wrong(size):
    """Whether its entries are tried one by one, or all at once along directions."""
    x = {"x": spread(np.random.default_rng(0), size)}

    def oracle(values):
        return values["x"] ** 2, lambda change: {"x": change * 2 * values["x"]}

    right = check(Case("square", "layer", x, lambda t: t["x"] ** 2, oracle))
    wrong = check(Case("square", "layer", x, lambda t: WrongSquare.apply(t["x"]), oracle))
    assert right.finite < FINITE_GOAL < wrong.finite
    assert right.gradients < ORACLE_GOAL < wrong.gradients
    assert wrong.values == 0.0


def test_a_check_refuses_derivatives_of_other_names():
    case = line()
    fewer = Case("line", "layer", {"x": case.arrays["x"]}, lambda t: t["x"], case.oracle)
    with pytest.raises((ValueError, KeyError)):
        check(fewer)
    renamed = Case(
        "line", "layer", fewer.arrays, fewer.torch, lambda a: (a["x"], lambda c: {"y": c})
    )
    with pytest.raises(ValueError, match=r"expected \['x'\]"):
        check(renamed)


@pytest.mark.parametrize("count", [1, 2, 7, 30])
def test_spread_numbers_stay_away_from_zero_and_each_other(count):
    numbers = np.sort(spread(np.random.default_rng(0), count))
    assert np.abs(numbers).min() >= 1.0 / count - 1e-12
    assert (np.diff(numbers) >= 2.0 / count - 1e-12).all()
    assert np.abs(numbers).max() <= 2.0


def test_benchmark_tells_the_worst_case_and_its_name(monkeypatch):
    said = []
    monkeypatch.setattr(gradients, "all_cases", lambda: iter([line(), line(factor=1.001)]))
    oracle, finite = gradients.run(BenchSettings(work=None), said.append)
    assert not oracle.passed
    assert oracle.value == pytest.approx(1e-3, rel=0.01)
    assert finite.passed
    assert "2 layers" in oracle.detail
    assert "line" in oracle.detail
    assert any("from the oracle" in text for text in said)
