"""Learning from arrays: one step of the loop against NumPy, and what is refused."""

import dataclasses

import numpy as np
import pytest
import torch

from nn_perception.errors import ConfigError, DatasetError
from nn_perception.training.array_learning import ArrayLearning, Examples
from nn_perception.training.augment import AugmentConfig
from nn_perception.training.loop import Trainer

DRAW = np.random.RandomState(3)
INPUTS = DRAW.normal(size=(12, 2))
CLASSES = np.tile([0, 1, 2], 4)
RATE, DECAY = 0.3, 0.05


BASE = dataclasses.replace(
    ArrayLearning.recipe(),
    network_arguments={"hidden": (3,), "activation": "tanh"},
    epochs=1,
    batch_size=0,
    optimizer="sgd",
    learning_rate=RATE,
    schedule="constant",
    keep="last",
    device="cpu",
    seed=5,
)


def config(**changes):
    return dataclasses.replace(BASE, **changes)


def sigmoid(z):
    return 1 / (1 + np.exp(-z))


def softmax_error(z):
    powers = np.exp(z - z.max(1, keepdims=True))
    return powers / powers.sum(1, keepdims=True) - np.eye(3)[CLASSES]


def perceptron_error(z):
    """Column of dE/dz by the perceptron's rule: -1 or 1 where the answer is wrong, else 0."""
    truth = CLASSES[:, None] % 2
    return np.where((z > 0) == truth, 0.0, np.where(truth, -1.0, 1.0))


VALUES = DRAW.normal(size=(12, 2))
BINARY = CLASSES % 2
CASES = {
    "softmax": (CLASSES, {}, softmax_error),
    "regression": (VALUES, {}, lambda z: z - VALUES),
    "sigmoid": (BINARY, {"one_output": True}, lambda z: sigmoid(z) - BINARY[:, None]),
    "bce": (BINARY, {"loss": "bce"}, lambda z: sigmoid(z) - np.eye(2)[BINARY]),
    "perceptron": (BINARY, {"loss": "perceptron", "one_output": True}, perceptron_error),
}


@pytest.mark.parametrize("name", CASES)
def test_a_step_is_that_of_back_propagation_by_hand(name):
    targets, options, error = CASES[name]
    examples = Examples(INPUTS, targets)
    learning = ArrayLearning(config(weight_decay=DECAY), examples, examples, **options)
    torch.manual_seed(5)
    w1, b1, w2, b2 = (p.detach().double().numpy() for p in learning.build_network().parameters())
    hidden = np.tanh(INPUTS @ w1.T + b1)
    delta2 = error(hidden @ w2.T + b2) / len(INPUTS)
    assert np.abs(delta2).max() > 0.01  # otherwise the step shows nothing
    delta1 = (delta2 @ w2) * (1 - hidden**2)
    expected = (
        w1 - RATE * (delta1.T @ INPUTS + DECAY * w1),
        b1 - RATE * delta1.sum(0),
        w2 - RATE * (delta2.T @ hidden + DECAY * w2),
        b2 - RATE * delta2.sum(0),
    )
    for got, want in zip(Trainer(learning).fit().network.parameters(), expected, strict=True):
        np.testing.assert_allclose(got.detach().numpy(), want, atol=2e-6)


def answers(values):
    """A prediction function that gives these outputs, whatever the inputs."""
    return lambda inputs: torch.tensor(values)


def test_figures_of_a_classification_with_one_output():
    examples = Examples(np.eye(2), np.array([0, 1]))
    learning = ArrayLearning(config(), examples, examples, one_output=True)
    figures = learning.validate(answers([[1.0], [2.0]]))
    expected = -(np.log(1 - sigmoid(1.0)) + np.log(sigmoid(2.0))) / 2
    assert figures == pytest.approx({"loss": expected, "accuracy": 0.5})
    assert (learning.metric, learning.higher_is_better, learning.outputs) == ("accuracy", True, 1)


def test_figures_of_a_regression():
    train = Examples(np.eye(2), np.zeros((2, 2)))
    validation = Examples(np.eye(2), np.array([[1.0, 0.0], [0.0, 3.0]]))
    learning = ArrayLearning(config(), train, validation)
    outputs = answers([[0.0, 0.0], [0.0, 1.0]])
    assert learning.validate(outputs) == pytest.approx({"loss": 5 / 4, "mse": 5 / 4})
    assert learning.training_figures(outputs)["mse"] == pytest.approx(1 / 4)
    assert (learning.metric, learning.higher_is_better, learning.outputs) == ("mse", False, 2)


def test_the_loop_chooses_the_epoch_with_the_smallest_error_of_a_regression():
    x = np.linspace(-1, 1, 20)[:, None]
    examples = Examples(x, 2 * x + 1)
    line = config(
        network_arguments={"hidden": ()}, epochs=60, batch_size=5, learning_rate=0.1, keep="best"
    )
    fit = Trainer(ArrayLearning(line, examples, examples)).fit()
    errors = [record["validation_mse"] for record in fit.history]
    assert fit.best_epoch == 60 - int(np.argmin(errors[::-1]))
    weight, bias = (p.item() for p in fit.network.parameters())
    assert (weight, bias) == pytest.approx((2.0, 1.0), abs=1e-3)


def test_the_data_id_tells_data_shape_and_loss_apart():
    base = Examples(np.arange(8.0).reshape(4, 2), np.array([0, 1, 0, 1]))
    moved = Examples(base.inputs + 1, base.targets)
    other = Examples(base.inputs, 1 - base.targets)
    # The same bytes in other shapes.
    wide = Examples(np.arange(8.0).reshape(2, 4), np.arange(4.0).reshape(2, 2))
    tall = Examples(np.arange(8.0).reshape(4, 2), np.arange(4.0).reshape(4, 1))
    assert ArrayLearning(config(), base, other).data_id == (
        ArrayLearning(config(), dataclasses.replace(base), other).data_id
    )
    ids = {
        ArrayLearning(config(), base, base).data_id,
        ArrayLearning(config(), moved, base).data_id,
        ArrayLearning(config(), other, base).data_id,
        ArrayLearning(config(), base, other).data_id,
        ArrayLearning(config(), wide, wide).data_id,
        ArrayLearning(config(), tall, tall).data_id,
        ArrayLearning(config(), base, base, "bce").data_id,
        ArrayLearning(config(), base, base, one_output=True).data_id,
    }
    assert len(ids) == 8


@pytest.mark.parametrize(
    ("inputs", "targets", "part"),
    [
        (np.zeros(4), np.zeros(4, int), "expected rows of features"),
        (np.zeros((4, 2)), np.zeros(3, int), "as many targets"),
        (np.zeros((0, 2)), np.zeros(0, int), "expected rows of features"),
        (np.zeros((4, 2)), np.array([0.0, 1.0, 0.0, 1.0]), "expected integers from 0"),
        (np.zeros((4, 2)), np.array([0, 1, -1, 0]), "int64 from -1"),
        (np.zeros((4, 2)), np.zeros((4, 1, 1)), "values \\(N, K\\)"),
        (np.full((2, 2), np.nan), np.array([0, 1]), "not finite"),
        (np.full((2, 2), 1e39), np.array([0, 1]), "not finite in float32"),
        (np.zeros((2, 2)), np.full((2, 1), np.inf), "not finite"),
    ],
)
def test_arrays_that_are_no_examples_are_refused(inputs, targets, part):
    with pytest.raises(DatasetError, match=part):
        Examples(inputs, targets)


def test_parts_that_do_not_fit_together_are_refused():
    base = Examples(INPUTS, CLASSES)
    for other in (Examples(INPUTS[:, :1], CLASSES), Examples(INPUTS, VALUES)):
        with pytest.raises(DatasetError, match="but for the number of rows"):
            ArrayLearning(config(), base, other)
    alone = Examples(INPUTS, np.zeros(12, int))
    with pytest.raises(DatasetError, match="all targets are class 0"):
        ArrayLearning(config(), alone, alone)


def test_what_arrays_have_not_is_refused():
    base = Examples(INPUTS, CLASSES)
    with pytest.raises(ConfigError, match="not augmented"):
        ArrayLearning(config(augment=AugmentConfig(shift_px=1.0)), base, base)
    with pytest.raises(ConfigError, match="the loss is an argument"):
        ArrayLearning(config(task_arguments={"loss": "bce"}), base, base)
    with pytest.raises(ConfigError, match="got 3 classes"):
        ArrayLearning(config(), base, base, one_output=True)
    two = Examples(INPUTS, BINARY)
    with pytest.raises(ConfigError, match="the loss mse, expected two classes and one of"):
        ArrayLearning(config(), two, two, "mse", one_output=True)
