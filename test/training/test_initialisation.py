"""What weights begin with, and what becomes of weights that begin with zeros."""

import dataclasses
import typing

import numpy as np
import pytest
import torch
from torch import nn

from nn_perception.training.array_learning import ArrayLearning, Examples
from nn_perception.training.config import TrainingConfig
from nn_perception.training.initialisation import initialise
from nn_perception.training.loop import Trainer

NAMES = typing.get_args(typing.get_type_hints(TrainingConfig)["initialisation"])


def linear(name, inputs=400, outputs=300):
    torch.manual_seed(0)
    layer = nn.Linear(inputs, outputs)
    initialise(layer, name)
    return layer.weight.detach().numpy(), layer.bias.detach().numpy()


@pytest.mark.parametrize(
    ("name", "variance", "uniform"),
    [
        ("zeros", 0.0, True),
        ("normal", 1.0, False),
        ("xavier", 2 / (400 + 300), True),
        ("he", 2 / 400, True),
    ],
)
def test_weights_have_the_variance_of_the_papers(name, variance, uniform):
    weight, bias = linear(name)
    assert abs(weight.mean()) < 4 * np.sqrt(variance / weight.size) + 1e-12
    assert weight.var() == pytest.approx(variance, rel=0.02)
    bound = np.sqrt(3 * variance)  # of a uniform distribution
    assert (np.abs(weight).max() <= bound * (1 + 1e-6)) == uniform
    assert (bias == 0).all() == (name != "normal")


def test_convolutions_count_their_window_as_inputs():
    torch.manual_seed(0)
    layer = nn.Conv2d(16, 64, 5)
    initialise(layer, "he")
    assert layer.weight.var().item() == pytest.approx(2 / (16 * 25), rel=0.03)
    assert not layer.bias.any()


def test_default_and_layers_of_other_kinds_stay():
    for name in NAMES:
        torch.manual_seed(0)
        network = nn.Sequential(nn.Linear(3, 4, bias=False), nn.BatchNorm1d(4))
        before = [value.clone() for value in network.state_dict().values()]
        initialise(network, name)
        after = list(network.state_dict().values())
        assert torch.equal(after[0], before[0]) == (name == "default"), name
        assert all(map(torch.equal, after[1:], before[1:])), name


def test_variance_of_a_deep_network_is_kept_by_the_right_one():
    """Xavier keeps it through tanh's linear part, He through ReLU; N(0, 1) blows it up."""
    torch.manual_seed(0)
    x = torch.randn(500, 256)
    spread = {}
    for name in ("xavier", "he", "normal"):
        layers = [layer for _ in range(12) for layer in (nn.Linear(256, 256), nn.ReLU())]
        network = nn.Sequential(*layers)
        initialise(network, name)
        spread[name] = network(x).square().mean().item() / x.square().mean().item()
    assert 0.2 < spread["he"] < 5
    assert spread["xavier"] < 2.0**-8
    assert spread["normal"] > 1e12


def circle(n=200):
    inputs = np.random.RandomState(0).uniform(-1, 1, (n, 2))
    return Examples(inputs, (np.hypot(*inputs.T) < 0.75).astype(np.int64))


def train(initialisation, activation):
    config = dataclasses.replace(
        TrainingConfig(network="mlp"),
        network_arguments={"hidden": [6], "activation": activation},
        initialisation=initialisation,
        epochs=50,
        batch_size=20,
        optimizer="momentum",
        learning_rate=0.3,
        schedule="constant",
        keep="last",
        device="cpu",
    )
    fit = Trainer(ArrayLearning(config, circle(), circle())).fit()
    return fit, fit.network.layers[1].weight.detach()


@pytest.mark.parametrize("activation", ["sigmoid", "tanh", "relu"])
def test_zeros_fail_since_hidden_units_stay_equal(activation):
    fit, weight = train("zeros", activation)
    # But for the rounding of sums, which grows from step to step.
    assert weight.std(0).max() <= 1e-3 * weight.abs().max()
    right = fit.history[-1]["validation_accuracy"]
    learnt, other = train("xavier", activation)
    assert other.std(0).min() > 0.3 * other.abs().max()
    assert learnt.history[-1]["validation_accuracy"] > 0.9 > right + 0.05
