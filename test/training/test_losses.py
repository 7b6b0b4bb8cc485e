"""Every loss against its formula in NumPy, and its gradient where the lectures have one."""

import numpy as np
import pytest
import torch

from nn_perception.config import from_mapping
from nn_perception.datasets.builtin import load_builtin_digits
from nn_perception.errors import ConfigError
from nn_perception.tasks.digits.learning import DigitArguments, DigitLearning
from nn_perception.training.config import TrainingConfig
from nn_perception.training.losses import classification_loss

DRAW = np.random.RandomState(2)
N, K = 9, 4
Z = 3.0 * DRAW.normal(size=(N, K))
CLASSES = DRAW.randint(0, K, N)
Y = np.eye(K)[CLASSES]
WEIGHT = np.array([0.5, 2.0, 1.0, 3.0])


def sigmoid(z):
    return 1 / (1 + np.exp(-z))


def softmax(z):
    return np.exp(z) / np.exp(z).sum(1, keepdims=True)


def perceptron(z, y):
    wrong = np.where(y > 0.5, -np.inf, z).max(1)
    return np.maximum(0.0, wrong - (z * (y > 0.5)).sum(1))


EACH = {
    "cross_entropy": lambda z, y: -(y * np.log(softmax(z))).sum(1),
    "bce": lambda z, y: -(y * np.log(sigmoid(z)) + (1 - y) * np.log(1 - sigmoid(z))).sum(1),
    "mse": lambda z, y: 0.5 * ((sigmoid(z) - y) ** 2).sum(1),
    "squared_error": lambda z, y: 0.5 * ((z - y) ** 2).sum(1),
    "perceptron": perceptron,
}
SMOOTHED = [name for name in EACH if name != "perceptron"]


def loss(name, z=Z, classes=CLASSES, **more):
    return classification_loss(name, torch.from_numpy(z), torch.from_numpy(classes), **more)


@pytest.mark.parametrize("name", EACH)
def test_value_is_the_mean_of_the_formula(name):
    assert float(loss(name)) == pytest.approx(EACH[name](Z, Y).mean(), rel=1e-12)


@pytest.mark.parametrize("name", EACH)
def test_class_weights_make_a_weighted_mean(name):
    share = WEIGHT[CLASSES]
    expected = (share * EACH[name](Z, Y)).sum() / share.sum()
    assert float(loss(name, weight=torch.from_numpy(WEIGHT))) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("name", SMOOTHED)
def test_label_smoothing_spreads_probability_over_all_classes(name):
    smooth = 0.9 * Y + 0.1 / K
    got = float(loss(name, label_smoothing=0.1))
    assert got == pytest.approx(EACH[name](Z, smooth).mean(), rel=1e-12)


GRADIENTS = {
    "cross_entropy": softmax(Z) - Y,
    "bce": sigmoid(Z) - Y,
    "squared_error": Z - Y,
    "mse": (sigmoid(Z) - Y) * sigmoid(Z) * (1 - sigmoid(Z)),
}


@pytest.mark.parametrize("name", GRADIENTS)
def test_the_matched_pairs_have_the_gradient_prediction_minus_target(name):
    """And the unmatched one, sigmoid with a squared error, sigma' beside it."""
    z = torch.from_numpy(Z).requires_grad_(True)
    classification_loss(name, z, torch.from_numpy(CLASSES)).backward()
    np.testing.assert_allclose(z.grad.numpy(), GRADIENTS[name] / N, atol=1e-12)


def test_perceptron_moves_the_true_and_the_highest_wrong_output_of_mistakes_only():
    z = torch.tensor([[2.0, 1.0, 0.0], [0.0, 1.0, 3.0]], dtype=torch.float64, requires_grad=True)
    value = classification_loss("perceptron", z, torch.tensor([0, 1]))
    value.backward()
    assert value.item() == pytest.approx((0.0 + 2.0) / 2)
    np.testing.assert_allclose(z.grad.numpy(), [[0, 0, 0], [0, -0.5, 0.5]])


def test_perceptron_learns_from_outputs_that_are_all_alike():
    """Rosenblatt's rule corrects w.x <= 0, so that weights may begin with 0."""
    z = torch.zeros(1, 3, dtype=torch.float64, requires_grad=True)
    classification_loss("perceptron", z, torch.tensor([1])).backward()
    np.testing.assert_allclose(z.grad.numpy(), [[0.5, -1.0, 0.5]])


def test_large_logits_give_finite_losses():
    for name in EACH:
        assert np.isfinite(float(loss(name, 1e3 * Z))), name


def learning(monkeypatch, **arguments):
    monkeypatch.delenv("NN_PERCEPTION_DATA", raising=False)
    config = TrainingConfig(network="mlp", validation_fraction=0.2, task_arguments=arguments)
    return DigitLearning(config, "builtin")


@pytest.mark.parametrize("name", EACH)
def test_the_key_of_the_task_names_the_loss(monkeypatch, name):
    outputs, targets = torch.from_numpy(Z.repeat(3, 1)[:, :10].copy()), torch.from_numpy(CLASSES)
    made = learning(monkeypatch, loss=name, samples=200)
    assert made.loss(outputs, targets) == classification_loss(name, outputs, targets)


def test_unknown_loss_names_the_nearest():
    with pytest.raises(ConfigError, match="did you mean 'perceptron'"):
        from_mapping(DigitArguments, {"loss": "perceptrons"})


def test_samples_are_the_same_share_of_every_class_by_the_seed(monkeypatch):
    whole = np.bincount(load_builtin_digits("train").labels)
    made = learning(monkeypatch, samples=300)
    counts = np.bincount(made.data.labels, minlength=10)
    np.testing.assert_allclose(counts, 300 * whole / whole.sum(), atol=1.0)
    assert made.train_size + len(made._validation[0]) == counts.sum()
    again, all_of_them = learning(monkeypatch, samples=300), learning(monkeypatch)
    assert made.data_id == again.data_id != all_of_them.data_id
    assert len(all_of_them.data) == len(learning(monkeypatch, samples=10**6).data) == whole.sum()


@pytest.mark.parametrize("samples", [-1, 1.5])
def test_samples_that_cannot_be_are_refused(samples):
    with pytest.raises(ConfigError, match="samples"):
        from_mapping(DigitArguments, {"samples": samples})
