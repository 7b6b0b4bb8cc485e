"""Steps of every optimiser by hand, schedules, and L1's zeros."""

import dataclasses
import math

import numpy as np
import pytest
import torch
from torch import nn

from nn_perception.training.array_learning import ArrayLearning, Examples
from nn_perception.training.config import TrainingConfig
from nn_perception.training.loop import Trainer
from nn_perception.training.optimisers import (
    make_optimizer,
    rate_factor,
    set_rate,
    shrink,
    split_parameters,
    zero_share,
)

RATE, MOMENTUM, DECAY = 0.02, 0.7, 0.3
DRAW = np.random.RandomState(4)
GRADIENTS = DRAW.normal(size=(6, 5, 3))


def sgd(w, g, memory, t):
    return w - RATE * (g + DECAY * w)


def momentum(w, g, memory, t):
    """Equation 61 of the lecture: v = m v - lr g, w = w + v."""
    memory["v"] = MOMENTUM * memory.get("v", 0.0) - RATE * (g + DECAY * w)
    return w + memory["v"]


def nesterov(w, g, memory, t):
    g = g + DECAY * w
    memory["v"] = MOMENTUM * memory.get("v", 0.0) + g
    return w - RATE * (g + MOMENTUM * memory["v"])


def rmsprop(w, g, memory, t):
    g = g + DECAY * w
    memory["s"] = 0.99 * memory.get("s", 0.0) + 0.01 * g * g
    memory["v"] = MOMENTUM * memory.get("v", 0.0) + g / (np.sqrt(memory["s"]) + 1e-8)
    return w - RATE * memory["v"]


def adam(w, g, memory, t, decay=DECAY):
    g = g + decay * w
    memory["m"] = MOMENTUM * memory.get("m", 0.0) + (1 - MOMENTUM) * g
    memory["s"] = 0.999 * memory.get("s", 0.0) + 0.001 * g * g
    mean, square = memory["m"] / (1 - MOMENTUM**t), memory["s"] / (1 - 0.999**t)
    return w - RATE * mean / (np.sqrt(square) + 1e-8)


def adamw(w, g, memory, t):
    return adam((1 - RATE * DECAY) * w, g, memory, t, decay=0.0)


BY_HAND = {
    "sgd": sgd,
    "momentum": momentum,
    "nesterov": nesterov,
    "rmsprop": rmsprop,
    "adam": adam,
    "adamw": adamw,
}


def config(**changes):
    base = TrainingConfig(
        network="mlp", learning_rate=RATE, momentum=MOMENTUM, weight_decay=DECAY, device="cpu"
    )
    return dataclasses.replace(base, **changes)


def convolution():
    """Weights with strides of their own, as the loop lays them out."""
    return nn.Conv2d(5, 4, 3, bias=False).to(memory_format=torch.channels_last)


@pytest.mark.parametrize("name", BY_HAND)
@pytest.mark.parametrize("layer", [nn.Linear(3, 5, bias=False), convolution()])
def test_steps_are_those_by_hand(name, layer):
    torch.manual_seed(0)
    weight = layer.weight
    with torch.no_grad():
        weight.normal_()
    expected, memory = weight.detach().double().numpy().copy(), {}
    optimizer = make_optimizer(layer, config(optimizer=name))
    for t in range(1, 7):
        gradient = DRAW.normal(size=expected.shape)
        weight.grad = torch.from_numpy(gradient).float()  # rows behind each other, whatever w is
        optimizer.step()
        expected = BY_HAND[name](expected, gradient, memory, t)
        np.testing.assert_allclose(weight.detach().numpy(), expected, atol=2e-6)


def test_momentum_goes_on_where_the_gradient_ends():
    """A ball that was pushed once rolls lr / (1 - m) times the push in all."""
    layer = nn.Linear(1, 1, bias=False)
    start = layer.weight.item()
    optimizer = make_optimizer(layer, config(optimizer="momentum", weight_decay=0.0))
    for push in [1.0] + 80 * [0.0]:
        layer.weight.grad = torch.tensor([[push]])
        optimizer.step()
    assert start - layer.weight.item() == pytest.approx(RATE / (1 - MOMENTUM), rel=1e-4)


@pytest.mark.parametrize("name", BY_HAND)
def test_l2_acts_on_weights_and_not_on_biases_and_norm_layers(name):
    network = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3))
    before = [p.detach().clone() for p in network.parameters()]
    optimizer = make_optimizer(network, config(optimizer=name))
    for parameter in network.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    changed = [not torch.equal(*pair) for pair in zip(network.parameters(), before, strict=True)]
    assert changed == [True, False, False, False]


def factors(epochs=10, steps=20, **changes):
    made = config(epochs=epochs, **changes)
    return np.array([rate_factor(made, step, epochs * steps, steps) for step in range(200)])


def test_constant_and_step_schedules():
    assert (factors(schedule="constant") == 1.0).all()
    got = factors(schedule="step", step_epochs=4, step_factor=0.5)
    np.testing.assert_allclose(got, np.repeat([1.0, 0.5, 0.25], [80, 80, 40]))


@pytest.mark.parametrize("schedule", ["cosine", "one_cycle"])
def test_rising_then_a_half_cosine_to_nearly_zero(schedule):
    got = factors(schedule=schedule, warmup_fraction=0.25)
    assert (np.diff(got[:50]) > 0).all()
    assert (np.diff(got[50:]) <= 0).all()
    assert got[50] == got.max() == 1.0
    assert 0 < got[-1] < 1e-3
    assert got[50 + 75] == pytest.approx(0.5)  # half of the way down
    assert got[0] == pytest.approx(1 / 51 if schedule == "cosine" else 0.0409, abs=1e-3)


def test_cosine_without_warmup_begins_at_the_peak():
    got = factors(schedule="cosine", warmup_fraction=0.0)
    expected = [0.5 * (1 + math.cos(math.pi * step / 200)) for step in range(200)]
    np.testing.assert_allclose(got, np.maximum(expected, 1e-4))


def test_the_rate_reaches_every_group():
    optimizer = make_optimizer(nn.Linear(2, 2), config())
    set_rate(optimizer, 0.125)
    assert [group["lr"] for group in optimizer.param_groups] == [0.125, 0.125]


def test_shrinking_is_the_proximal_step():
    """It minimises ``(v - w)^2 / (2 lr) + penalty |v|``: no value of a fine grid is better."""
    weights = torch.tensor([[-2.0, -0.3, -0.1], [0.0, 0.2, 1.0]])
    parameter = nn.Parameter(weights.clone())
    shrink(torch.optim.SGD([parameter], lr=0.5), [parameter], 0.5)
    grid = np.linspace(-3, 3, 60_001)
    cost = (grid - weights.numpy()[..., None]) ** 2 / (2 * 0.5) + 0.5 * np.abs(grid)
    np.testing.assert_allclose(parameter.detach().numpy(), grid[cost.argmin(-1)], atol=1e-4)
    assert zero_share([parameter]) == pytest.approx(3 / 6)


@pytest.mark.parametrize("name", BY_HAND)
def test_a_weight_that_got_no_gradient_and_one_that_got_it_shrink_without_an_error(name):
    used, unused = nn.Linear(2, 2), nn.Linear(2, 2)
    optimizer = make_optimizer(nn.Sequential(used, unused), config(optimizer=name))
    used(torch.ones(1, 2)).sum().backward()
    optimizer.step()
    shrink(optimizer, [used.weight, unused.weight], 1e-6)
    assert torch.isfinite(used.weight).all()
    assert unused.weight.abs().min() > 0


def test_zero_share_counts_over_all_tensors():
    assert zero_share([torch.tensor([0.0, -0.0, 1e-30, 2.0]), torch.zeros(4)]) == 6 / 8
    assert zero_share([]) == 0.0


def relevant(n=300, features=12):
    """Values that three of the inputs decide; the others are noise."""
    draw = np.random.RandomState(1)
    inputs = draw.normal(size=(n, features))
    true = np.zeros((features, 1))
    true[[1, 4, 7], 0] = [1.0, -2.0, 0.5]
    return Examples(inputs, inputs @ true + 0.1 * draw.normal(size=(n, 1))), true[:, 0]


def lasso(l1, **changes):
    examples, true = relevant()
    made = TrainingConfig(
        network="mlp",
        network_arguments={"hidden": []},
        epochs=200,
        batch_size=0,
        optimizer="sgd",
        learning_rate=0.3,
        schedule="constant",
        l1=l1,
        keep="last",
        device="cpu",
    )
    made = dataclasses.replace(made, **changes)
    fit = Trainer(ArrayLearning(made, examples, examples)).fit()
    return fit, fit.network.layers[-1].weight.detach()[0].numpy().astype(float), true


def test_l1_makes_exact_zeros_of_what_does_not_matter_and_counts_them():
    fit, weight, true = lasso(0.05)
    np.testing.assert_array_equal(weight != 0, true != 0)
    assert fit.history[-1]["zero_weights"] == pytest.approx(9 / 12)
    fit, weight, _ = lasso(0.0)
    assert (weight != 0).all()
    assert "zero_weights" not in fit.history[-1]


@pytest.mark.parametrize("optimizer", BY_HAND)
def test_l1_converges_to_the_lasso_solution_with_every_optimiser(optimizer):
    """At the minimum the gradient is -l1 sign(w) where w is not 0, and no larger where it is 0."""
    rate = {"sgd": 0.3, "momentum": 0.05, "nesterov": 0.05}.get(optimizer, 0.05)
    fit, weight, true = lasso(0.2, optimizer=optimizer, learning_rate=rate, schedule="cosine")
    examples, _ = relevant()
    bias = fit.network.layers[-1].bias.item()
    error = examples.inputs @ weight + bias - examples.targets[:, 0]
    gradient = examples.inputs.T @ error / len(error)
    active = weight != 0
    np.testing.assert_array_equal(active, true != 0)
    np.testing.assert_allclose(gradient[active], -0.2 * np.sign(weight[active]), atol=0.01)
    assert (np.abs(gradient[~active]) <= 0.2 + 1e-6).all()
    assert abs(error.mean()) < 0.01  # the bias is not penalised


def test_weights_are_those_of_layers_and_no_biases():
    network = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Linear(3, 4))
    weights, others = split_parameters(network)
    assert [tuple(w.shape) for w in weights] == [(2, 1, 3, 3), (4, 3)]
    assert len(others) == 4
