from functools import partial

import numpy as np
import pytest

from nn_perception.errors import ConfigError
from nn_perception.studies import batch_size
from nn_perception.studies.batch_size import checked_sizes, gradient_noise
from nn_perception.studies.batch_size_figures import LOSS, BatchSizes
from nn_perception.studies.sweep import Outcome
from nn_perception.training.array_learning import ArrayLearning, Examples
from nn_perception.training.config import TrainingConfig
from nn_perception.training.loop import Trainer

COUNT = 30


def learning(size):
    draw = np.random.RandomState(0)
    inputs, targets = draw.normal(size=(COUNT, 3)), draw.normal(size=(COUNT, 1))
    data = Examples(inputs, targets)
    config = TrainingConfig(
        network="mlp", network_arguments={"hidden": []}, initialisation="zeros", epochs=1,
        optimizer="sgd", batch_size=size, learning_rate=1e-9, compile="off", device="cpu",
    )  # fmt: skip
    return ArrayLearning(config, data, data), inputs, targets


@pytest.mark.parametrize("size", [1, 7, 29])
def test_the_noise_is_that_of_drawing_without_putting_back(size, monkeypatch):
    monkeypatch.setattr(batch_size, "DRAWS", 800)
    made, inputs, targets = learning(size)
    found = gradient_noise(Trainer(made).fit(), made)
    # Weights and biases are zero: the gradient of (z - y)^2 / 2 is -y (x, 1).
    each = -targets * np.hstack([inputs, np.ones((COUNT, 1))])
    whole = each.mean(0)
    spread = np.sum((each - whole) ** 2) / COUNT
    expected = np.sqrt(spread * (COUNT - size) / (size * (COUNT - 1))) / np.linalg.norm(whole)
    assert found["gradient_noise"] == pytest.approx(expected, rel=0.06)
    assert (found["batch"], found["steps_per_epoch"]) == (size, COUNT // size)


def test_the_full_batch_has_no_noise():
    made, *_ = learning(0)
    found = gradient_noise(Trainer(made).fit(), made)
    assert found["gradient_noise"] == 0.0
    assert (found["batch"], found["steps_per_epoch"]) == (COUNT, 1)


def test_sizes_come_in_rising_order_and_the_full_batch_last():
    assert checked_sizes(["full", "512", "1"]) == [1, 512, 0]


@pytest.mark.parametrize("texts", [["0"], ["1", "1"], ["-3"], ["1.5"], ["all"], ["full", "full"]])
def test_sizes_that_cannot_be_meant_are_refused(texts):
    with pytest.raises(ConfigError, match="--sizes: got"):
        checked_sizes(texts)


def outcome(size, seed, accuracies, noise, seconds):
    steps = 100 // (size or 100)
    history = [
        {
            "epoch": n, "step": n * steps, "seconds": seconds, LOSS: 1.0, "validation_loss": 1.0,
            "validation_accuracy": accuracy,
        }
        for n, accuracy in enumerate(accuracies, 1)
    ]  # fmt: skip
    found = {
        "batch": size or 100, "train_size": 100, "steps_per_epoch": steps, "gradient_noise": noise
    }  # fmt: skip
    return Outcome((("batch_size", size), ("seed", seed)), history, "", found)


@pytest.fixture
def result():
    noise = {size: 3.0 * np.sqrt((100 - size) / size) for size in (1, 25)}
    curves = {1: [0.85, 0.91], 25: [0.8, 0.92, 0.93], 0: [0.5, 0.6, 0.89]}
    seconds = {1: 4.0, 25: 1.0, 0: 0.5}
    make = partial(outcome)
    return BatchSizes.of(
        [
            make(size, seed, curves[size], noise.get(size, 0.0), seconds[size])
            for size in (1, 25, 0)
            for seed in (0, 1)
        ]
    )


def test_what_is_first_depends_on_what_is_counted(result):
    one, some, full = result.to_dict()["sizes"]
    reached = [
        [size[f"{unit}_to_level"]["mean"] for unit in ("epochs", "steps", "seconds")]
        for size in (one, some, full)
    ]
    assert reached == [[2, 200, 8.0], [2, 8, 2.0], [None] * 3]
    assert result.to_dict()["best_batch_size"] == 25
    assert full["batch_size"] == "full"


def test_the_slope_of_the_noise_is_that_of_independent_pictures(result):
    assert result.noise_slope == pytest.approx(-0.5)
    assert BatchSizes(result.sizes[1:]).noise_slope is None
