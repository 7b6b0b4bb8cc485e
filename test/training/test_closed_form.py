"""The normal equations against gradient descent, NumPy and scikit-learn, and what is refused."""

import dataclasses

import numpy as np
import pytest
import torch
from torch import nn

from nn_perception.errors import ConfigError
from nn_perception.tasks.digits.learning import DigitLearning
from nn_perception.training.array_learning import ArrayLearning, Examples
from nn_perception.training.augment import AugmentConfig
from nn_perception.training.closed_form import ROWS, solve
from nn_perception.training.config import TrainingConfig
from nn_perception.training.loop import Trainer

DECAY = 0.1
CONFIG = TrainingConfig(
    network="mlp",
    network_arguments={"hidden": []},
    optimizer="closed_form",
    weight_decay=DECAY,
    epochs=7,
    schedule="constant",
    keep="last",
    device="cpu",
)


def values(n=60):
    draw = np.random.RandomState(0)
    inputs = draw.normal(size=(n, 4)) @ np.diag([1.0, 0.8, 1.3, 1.0]) + [0.0, 0.5, 0.0, -0.5]
    targets = inputs @ draw.normal(size=(4, 2)) + 0.3 * draw.normal(size=(n, 2)) + [5.0, -2.0]
    return Examples(inputs, targets)


def fit(data=None, **changes):
    data = data or values()
    return Trainer(ArrayLearning(dataclasses.replace(CONFIG, **changes), data, data)).fit()


def parameters(trained):
    layer = trained.network.layers[-1]
    return layer.weight.detach().double().numpy(), layer.bias.detach().double().numpy()


@pytest.mark.parametrize("decay", [0.0, DECAY, 3.0])
def test_it_is_the_minimum_that_numpy_finds(decay):
    """The penalty as further rows: sqrt(n decay) on the diagonal, and not for the bias."""
    data = values()
    ones = np.ones((len(data.inputs), 1))
    rows = np.concatenate((data.inputs, ones), 1)
    penalty = np.sqrt(len(rows) * decay) * np.eye(4, 5)
    stacked = np.concatenate((rows, penalty))
    targets = np.concatenate((data.targets, np.zeros((4, 2))))
    theta = np.linalg.lstsq(stacked, targets, rcond=None)[0]
    weight, bias = parameters(fit(data, weight_decay=decay))
    np.testing.assert_allclose(weight, theta[:4].T, atol=1e-5)
    np.testing.assert_allclose(bias, theta[4], atol=1e-5)


@pytest.mark.parametrize("optimizer", ["sgd", "momentum", "nesterov"])
def test_full_batch_gradient_descent_converges_to_it(optimizer):
    closed = parameters(fit())
    steps = {"optimizer": optimizer, "batch_size": 0, "epochs": 150, "learning_rate": 0.3}
    for got, expected in zip(parameters(fit(**steps, momentum=0.5)), closed, strict=True):
        np.testing.assert_allclose(got, expected, atol=2e-4)


def test_it_takes_one_epoch_and_reports_the_loss_of_its_minimum():
    trained = fit()
    assert [record["epoch"] for record in trained.history] == [1]
    data, (weight, bias) = values(), parameters(trained)
    error = data.inputs @ weight.T + bias - data.targets
    expected = 0.5 * (error**2).sum(1).mean()
    assert trained.history[0]["train_loss"] == pytest.approx(expected, rel=1e-5)
    assert trained.history[0]["validation_loss"] == pytest.approx(expected, rel=1e-5)


def test_more_rows_than_are_held_at_a_time_and_no_bias():
    class NoBias(ArrayLearning):
        def build_network(self):
            return nn.Sequential(nn.Flatten(), nn.Linear(4, 2, bias=False))

    data = values(ROWS + 17)
    trained = Trainer(NoBias(CONFIG, data, data)).fit()
    gram = data.inputs.T @ data.inputs / len(data.inputs) + DECAY * np.eye(4)
    expected = np.linalg.solve(gram, data.inputs.T @ data.targets / len(data.inputs))
    np.testing.assert_allclose(trained.network[1].weight.detach().T, expected, atol=1e-5)


def test_inputs_that_do_not_tell_apart_give_the_shortest_solution():
    """Two inputs alike, one constant: gradient descent from zero stays among their sums."""
    data = values()
    inputs = np.concatenate((data.inputs, data.inputs[:, :1], np.ones((60, 1))), 1)
    data = Examples(inputs, data.targets)
    weight, bias = parameters(fit(data, weight_decay=0.0))
    np.testing.assert_allclose(weight[:, 0], weight[:, 4], rtol=1e-4)
    np.testing.assert_allclose(weight[:, 5], bias, rtol=1e-4)


def digits(monkeypatch, **changes):
    monkeypatch.delenv("NN_PERCEPTION_DATA", raising=False)
    arguments = {"loss": "squared_error", **changes.pop("task_arguments", {})}
    config = dataclasses.replace(
        CONFIG, validation_fraction=0.2, task_arguments=arguments, **changes
    )
    learning = DigitLearning(config, "builtin")
    return Trainer(learning).fit(), learning


def test_digits_are_as_accurate_as_by_gradient_descent(monkeypatch):
    closed, _ = digits(monkeypatch)
    steps = {"optimizer": "momentum", "batch_size": 0, "learning_rate": 2e-3, "epochs": 150}
    descended, _ = digits(monkeypatch, **steps)
    a, b = (trained.history[-1] for trained in (closed, descended))
    assert a["validation_accuracy"] > 0.9
    assert a["validation_accuracy"] == pytest.approx(b["validation_accuracy"], abs=0.01)
    assert a["train_loss"] < b["train_loss"] < 1.2 * a["train_loss"]


def test_class_weights_and_label_smoothing_count(monkeypatch):
    """At the minimum the gradient of the task's own loss, penalty added, is 0."""
    trained, learning = digits(
        monkeypatch, task_arguments={"class_weights": "balanced"}, label_smoothing=0.2
    )
    layer = trained.network.layers[-1]
    (images,), targets = learning.batch(
        torch.arange(learning.train_size), torch.Generator(), slice(None)
    )
    loss = learning.loss(trained.network(images), targets)
    weight, bias = torch.autograd.grad(loss, (layer.weight, layer.bias))
    assert (weight + DECAY * layer.weight).abs().max() < 1e-5
    assert bias.abs().max() < 1e-5


class Doubled(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(4, 2)

    def forward(self, inputs):
        return 2.0 * self.layer(inputs.flatten(1))


def test_a_network_that_changes_its_layers_outputs_is_refused():
    class Other(ArrayLearning):
        def build_network(self):
            return Doubled()

    with pytest.raises(ConfigError, match=r"does more with them.*sgd"):
        Trainer(Other(CONFIG, values(), values())).fit()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"network_arguments": {"hidden": [3]}}, r"'mlp' with Linear, Linear.*hidden=\[\]"),
        ({"l1": 0.1}, "no l1"),
        ({"ema_decay": 0.9, "l1": 0.1}, "no l1 and no ema_decay"),
        ({"network": "lecture_cnn", "network_arguments": {}}, "Conv2d, Linear, Linear"),
    ],
)
def test_what_has_no_closed_form_is_refused(changes, message):
    class Pictures(ArrayLearning):
        def network_arguments(self):
            return {**self.config.network_arguments, "input_shape": (1, 8, 8), "classes": 2}

        def batch(self, indices, generator, share):
            return (torch.zeros(len(indices), 1, 8, 8),), self._train[1][indices]

    kind = Pictures if "network" in changes else ArrayLearning
    with pytest.raises(ConfigError, match=message):
        Trainer(kind(dataclasses.replace(CONFIG, **changes), values(), values())).fit()


@pytest.mark.parametrize("loss", ["cross_entropy", "bce", "mse", "perceptron"])
def test_other_losses_are_refused(monkeypatch, loss):
    with pytest.raises(ConfigError, match=r"squared error.*task_arguments\.loss=squared_error"):
        digits(monkeypatch, task_arguments={"loss": loss, "samples": 200})


def test_augmentation_is_refused(monkeypatch):
    with pytest.raises(ConfigError, match="no augment"):
        digits(monkeypatch, augment=AugmentConfig(shift_px=1.0))


def test_solve_leaves_no_hook_behind():
    learning = ArrayLearning(CONFIG, values(), values())
    network = learning.build_network()
    for _ in range(2):
        solve(network, learning, torch.arange(60))
    assert not network.layers[-1]._forward_hooks
