"""Steps of optimisers: those that training builds are the formulas, and the formulas descend."""

import dataclasses
from typing import get_args, get_type_hints

import numpy as np
import pytest

from nn_perception.errors import ConfigError
from nn_perception.networks.reference_optimisers import (
    OPTIMISERS,
    make_reference_optimiser,
    soft_threshold,
)

torch = pytest.importorskip("torch")

from nn_perception.training.closed_form import CLOSED_FORM  # noqa: E402
from nn_perception.training.config import TrainingConfig  # noqa: E402
from nn_perception.training.optimisers import (  # noqa: E402
    make_optimizer,
    set_rate,
    shrink,
)

CONFIG = TrainingConfig(network="mlp", learning_rate=0.05, momentum=0.8, weight_decay=0.3)
STEPS = 20


def test_every_optimiser_of_the_configuration_has_a_formula():
    names = set(get_args(get_type_hints(TrainingConfig)["optimizer"]))
    assert names - {CLOSED_FORM} == set(OPTIMISERS)


@pytest.mark.parametrize("weight_decay", [0.0, 0.3])
@pytest.mark.parametrize("name", OPTIMISERS)
def test_training_takes_the_steps_of_the_formulas(name, weight_decay):
    """Weights with a penalty, biases without; the rate changes in between, as schedules do."""
    config = dataclasses.replace(CONFIG, optimizer=name, weight_decay=weight_decay)
    random = np.random.default_rng(0)
    torch.manual_seed(0)
    layer = torch.nn.Linear(3, 2).double()
    optimizer = make_optimizer(layer, config)
    ours = {
        "weight": make_reference_optimiser(name, 0.05, 0.8, weight_decay),
        "bias": make_reference_optimiser(name, 0.05, 0.8),
    }
    values = {key: value.detach().numpy().copy() for key, value in layer.named_parameters()}
    for step in range(STEPS):
        rate = 0.05 / (1 + step)
        set_rate(optimizer, rate)
        for key, parameter in layer.named_parameters():
            gradient = random.standard_normal(tuple(parameter.shape))
            parameter.grad = torch.from_numpy(gradient)
            ours[key].eta = rate
            values[key] = ours[key].step(values[key], gradient)
        optimizer.step()
        for key, parameter in layer.named_parameters():
            np.testing.assert_allclose(parameter.detach().numpy(), values[key], atol=1e-12)


@pytest.mark.parametrize("name", OPTIMISERS)
def test_formulas_find_the_bottom_of_a_bowl(name):
    optimiser = make_reference_optimiser(name, 0.01 if name == "rmsprop" else 0.05, 0.5)
    w = np.array([3.0, -2.0])
    for _ in range(400):
        w = optimiser.step(w, np.array([1.0, 4.0]) * w)
    np.testing.assert_allclose(w, 0.0, atol=0.02)


def test_momentum_is_the_lecture_equation():
    """v = beta v + g, w = w - eta v, by hand for two steps."""
    optimiser = make_reference_optimiser("momentum", 0.1, 0.5)
    first = optimiser.step(np.array([1.0]), np.array([2.0]))
    np.testing.assert_allclose(first, [0.8])
    np.testing.assert_allclose(optimiser.step(first, np.array([1.0])), [0.8 - 0.1 * 2.0])


def test_the_first_step_of_adam_has_the_size_of_the_rate():
    optimiser = make_reference_optimiser("adam", 0.1)
    stepped = optimiser.step(np.zeros(3), np.array([1e-3, -5.0, 200.0]))
    np.testing.assert_allclose(stepped, [-0.1, 0.1, -0.1], rtol=1e-4)


@pytest.mark.parametrize("name", OPTIMISERS)
def test_training_shrinks_weights_by_the_formula(name):
    """The proximal step of L1 behind each step, of the size that the optimiser's steps have."""
    torch.manual_seed(0)
    layer = torch.nn.Linear(3, 2, bias=False).double()
    config = dataclasses.replace(CONFIG, optimizer=name, weight_decay=0.0)
    zeros = 0
    optimizer = make_optimizer(layer, config)
    optimiser = make_reference_optimiser(name, 0.05, 0.8)
    random = np.random.default_rng(0)
    values = layer.weight.detach().numpy().copy()
    for _ in range(STEPS):
        gradient = random.standard_normal((2, 3))
        layer.weight.grad = torch.from_numpy(gradient)
        optimizer.step()
        with torch.no_grad():
            shrink(optimizer, [layer.weight], 1.0)
        values = soft_threshold(optimiser.step(values, gradient), optimiser.step_size())
        np.testing.assert_allclose(layer.weight.detach().numpy(), values, atol=1e-12)
        zeros += int((values == 0).sum())
    assert zeros


def test_soft_threshold_is_the_least_of_its_sum():
    tried = np.linspace(-3, 3, 6001)
    for w in (-2.0, -0.3, 0.0, 0.49, 0.51, 1.7):
        best = tried[(0.5 * (tried - w) ** 2 + 0.5 * np.abs(tried)).argmin()]
        assert soft_threshold(np.array(w), 0.5) == pytest.approx(best, abs=1e-3)


def test_unknown_optimiser_names_the_nearest():
    with pytest.raises(ConfigError, match="did you mean 'adam'"):
        make_reference_optimiser("adamm", 0.1)
