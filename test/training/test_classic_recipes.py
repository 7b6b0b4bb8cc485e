"""The classic models: their recipes make what their names say, and learn."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from nn_perception.config import from_mapping
from nn_perception.networks import build_network
from nn_perception.tasks.digits.learning import DigitLearning
from nn_perception.training.config import TrainingConfig
from nn_perception.training.loop import Trainer
from nn_perception.training.randomness import generator

ONE_LAYER, MLP_30, LENET = 7_850, 23_860, 61_706
# What they reach on the digits of scikit-learn: parameters, accuracy, and what shortens the test.
CLASSIC = {
    "linear_regression": (ONE_LAYER, 0.90, {}),
    "logistic_regression": (ONE_LAYER, 0.92, {"batch_size": 32}),
    "softmax_regression": (ONE_LAYER, 0.92, {"batch_size": 32}),
    "perceptron": (ONE_LAYER, 0.90, {"ema_decay": 0.99}),
    "mlp_30": (MLP_30, 0.85, {"epochs": 10}),
    "mlp_30_modern": (MLP_30, 0.93, {"batch_size": 32, "epochs": 15}),
    "lenet": (LENET, 0.93, {"batch_size": 64, "epochs": 6}),
}
FOLDER = Path(__file__).parents[2] / "nn_perception" / "tasks" / "digits" / "recipes"


@pytest.fixture(autouse=True)
def no_mnist_around(monkeypatch, tmp_path):
    monkeypatch.delenv("NN_PERCEPTION_DATA", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.mark.parametrize("name", CLASSIC)
def test_recipe_says_what_it_is_and_has_the_parameters_of_its_model(name):
    text = (FOLDER / f"{name}.yaml").read_text(encoding="utf-8")
    assert text.startswith("# ")
    config = from_mapping(TrainingConfig, yaml.safe_load(text))
    network = build_network(config.network, config.network_arguments)
    assert sum(parameter.numel() for parameter in network.parameters()) == CLASSIC[name][0]


@pytest.mark.parametrize("name", CLASSIC)
def test_it_learns(name):
    _, accuracy, changes = CLASSIC[name]
    config = dataclasses.replace(DigitLearning.recipe(name), device="cpu", **changes)
    config = dataclasses.replace(config, validation_fraction=0.2)
    fit = Trainer(DigitLearning(config, "builtin")).fit()
    assert max(record["validation_accuracy"] for record in fit.history) > accuracy


def test_cross_entropy_is_a_key_of_the_same_network():
    config = DigitLearning.recipe("mlp_30")
    changed = from_mapping(
        TrainingConfig,
        {"task_arguments": {"loss": "bce"}, "learning_rate": 0.5, "epochs": 10},
        base=config,
    )
    fit = Trainer(DigitLearning(changed, "builtin")).fit()
    assert fit.history[-1]["validation_accuracy"] > 0.85


def sigmoid(z):
    return 1 / (1 + np.exp(-z))


def test_mlp_30_takes_the_steps_of_nielsens_network():
    """His algorithm in NumPy: delta of the quadratic cost, steps of eta / m times the sums."""
    recipe = DigitLearning.recipe("mlp_30")
    config = dataclasses.replace(recipe, epochs=1, keep="last", device="cpu")
    learning = DigitLearning(config, "builtin")
    torch.manual_seed(config.seed)
    start = learning.build_network()
    layers = [m for m in start.modules() if isinstance(m, torch.nn.Linear)]
    with torch.no_grad():
        for layer in layers:
            layer.weight.normal_()
            layer.bias.normal_()
    w1, b1, w2, b2 = (p.detach().double().numpy() for x in layers for p in (x.weight, x.bias))
    pictures, labels = (part.numpy() for part in learning._train)
    x, y = pictures.reshape(len(pictures), -1) / 255.0, np.eye(10)[labels]
    order = torch.randperm(len(x), generator=generator(config.seed, 0, 1)).numpy()
    for first in range(0, len(x) - 9, 10):
        chosen = order[first : first + 10]
        a0, target = x[chosen], y[chosen]
        a1 = sigmoid(a0 @ w1.T + b1)
        a2 = sigmoid(a1 @ w2.T + b2)
        delta2 = (a2 - target) * a2 * (1 - a2)
        delta1 = delta2 @ w2 * a1 * (1 - a1)
        w2, b2 = w2 - 3.0 / 10 * delta2.T @ a1, b2 - 3.0 / 10 * delta2.sum(0)
        w1, b1 = w1 - 3.0 / 10 * delta1.T @ a0, b1 - 3.0 / 10 * delta1.sum(0)
    trained = Trainer(learning).fit().network
    got = [m for m in trained.modules() if isinstance(m, torch.nn.Linear)]
    for layer, weight, bias in zip(got, (w1, w2), (b1, b2), strict=True):
        np.testing.assert_allclose(layer.weight.detach().numpy(), weight, atol=1e-3)
        np.testing.assert_allclose(layer.bias.detach().numpy(), bias, atol=1e-3)
