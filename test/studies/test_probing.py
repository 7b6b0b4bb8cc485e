import dataclasses

import numpy as np
import pytest
import torch

from nn_perception.networks import build_network
from nn_perception.networks.mlp import ACTIVATIONS
from nn_perception.studies.probing import (
    first_sums,
    first_weights,
    gradient_sizes,
    hidden_layers,
    probe_batch,
    slopes_of,
    starting_network,
    validation_accuracy,
)
from nn_perception.training.array_learning import ArrayLearning, Examples
from nn_perception.training.config import TrainingConfig
from nn_perception.training.loop import Trainer

CONFIG = TrainingConfig(
    network="mlp",
    network_arguments={"hidden": (7, 6), "activation": "tanh"},
    epochs=1,
    batch_size=10,
    optimizer="sgd",
    schedule="constant",
    initialisation="xavier",
    device="cpu",
    compile="off",
    seed=3,
)


def learning(**changes):
    draw = np.random.RandomState(0)
    inputs = draw.standard_normal((60, 5))
    targets = np.arange(60) % 3
    examples = Examples(inputs, targets)
    return ArrayLearning(dataclasses.replace(CONFIG, **changes), examples, examples)


def weights_of(network):
    return [parameter.detach().double().numpy() for parameter in network.parameters()]


@pytest.mark.parametrize("name", ["default", "normal", "xavier", "zeros"])
def test_the_starting_network_is_the_one_that_training_begins_with(name):
    untouched = learning(learning_rate=0.0, initialisation=name)
    trained = Trainer(untouched).fit().network
    started = starting_network(learning(initialisation=name))
    for mine, its in zip(weights_of(started), weights_of(trained), strict=True):
        assert np.array_equal(mine, its)


def test_hidden_layers_are_those_of_a_forward_pass_in_numpy():
    task = learning()
    network = starting_network(task)
    inputs, _ = probe_batch(task, 40)
    first, second = hidden_layers(network, inputs)
    w1, b1, w2, b2, *_ = weights_of(network)
    x = inputs.flatten(1).double().numpy()
    a1 = x @ w1.T + b1
    a2 = np.tanh(a1) @ w2.T + b2
    for layer, sums in ((first, a1), (second, a2)):
        assert np.allclose(layer.sums, sums, atol=1e-5)
        assert np.allclose(layer.answers, np.tanh(sums), atol=1e-5)
        assert np.allclose(layer.slopes, 1 - np.tanh(sums) ** 2, atol=1e-5)
    assert first.answers.shape == (40, 7)
    assert network.training  # as it was
    assert not network.layers[2]._forward_hooks


def test_gradient_sizes_are_those_of_back_propagation_in_numpy():
    task = learning()
    network = starting_network(task)
    inputs, targets = probe_batch(task)
    x, y = inputs.flatten(1).double().numpy(), np.eye(3)[targets.numpy()]
    w1, b1, w2, b2, w3, b3 = weights_of(network)
    h1 = np.tanh(x @ w1.T + b1)
    h2 = np.tanh(h1 @ w2.T + b2)
    z = h2 @ w3.T + b3
    p = np.exp(z) / np.exp(z).sum(1, keepdims=True)
    d3 = (p - y) / len(x)
    d2 = (1 - h2**2) * (d3 @ w3)
    d1 = (1 - h1**2) * (d2 @ w2)
    expected = [np.sqrt(np.mean((d.T @ h) ** 2)) for d, h in ((d1, x), (d2, h1), (d3, h2))]
    assert gradient_sizes(task, network) == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("name", sorted(ACTIVATIONS))
def test_slopes_are_those_of_finite_differences(name):
    at = torch.tensor([-3.1, -0.7, -0.2, 0.3, 1.9], dtype=torch.float64)
    activation = ACTIVATIONS[name]()
    step = 1e-6
    expected = (activation(at + step) - activation(at - step)) / (2 * step)
    assert torch.allclose(slopes_of(activation, at), expected, atol=1e-8)
    assert not at.requires_grad


def test_units_that_never_answer_are_stuck():
    arguments = {"hidden": (8,), "activation": "relu"}
    task = learning(network_arguments=arguments)
    network = starting_network(task)
    inputs, _ = probe_batch(task)
    with torch.no_grad():
        network.layers[1].bias[:3] = -100.0
    layer = hidden_layers(network, inputs)[0]
    assert layer.stuck == 3 / 8
    assert np.all(layer.slopes[:, 3:].min(axis=0) == 0)  # the others are flat now and then
    network.layers[2] = torch.nn.LeakyReLU()
    assert hidden_layers(network, inputs)[0].stuck == 0.0


def test_accuracy_after_a_change_of_the_pictures():
    task = learning()
    network = starting_network(task).eval()
    images, targets = probe_batch(task)
    expected = float((network(-images).argmax(1) == targets).double().mean())
    assert validation_accuracy(task, network, torch.neg) == pytest.approx(expected)


def test_what_the_first_layer_sees():
    torch.manual_seed(0)
    picture = torch.randint(0, 256, (1, 1, 28, 28), dtype=torch.uint8)
    for name, padding in (("lecture_cnn", 0), ("lenet", 2)):
        network = build_network(name)
        layer = next(m for m in network.modules() if isinstance(m, torch.nn.Conv2d))
        sums = first_sums(network, picture)
        given = network.normalise(picture)
        expected = torch.nn.functional.conv2d(given, layer.weight, layer.bias, padding=padding)
        assert np.allclose(sums, expected[0].detach().numpy(), atol=1e-5)
        assert np.array_equal(first_weights(network, (28, 28)), layer.weight.detach()[:, 0].numpy())
        assert not layer._forward_hooks
    network = build_network("mlp")
    weights, sums = first_weights(network, (28, 28)), first_sums(network, picture)
    flat = network.normalise(picture).double().numpy().ravel()
    bias = network.layers[1].bias.detach().double().numpy()
    assert weights.shape == (128, 28, 28)
    assert np.allclose(sums, weights.reshape(128, -1) @ flat + bias, atol=1e-4)
