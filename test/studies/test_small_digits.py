"""Few digits: who validates, how dropout scales, and bias and variance of probabilities."""

import numpy as np
import pytest
import torch
from torch import nn

from nn_perception.networks.mlp import Mlp
from nn_perception.studies.small_digits import brier_parts, dropout_scaling, small_digits
from nn_perception.training.config import TrainingConfig


@pytest.fixture(autouse=True)
def builtin_digits(monkeypatch):
    monkeypatch.delenv("NN_PERCEPTION_DATA", raising=False)


def pictures_of(seed, count):
    learning = small_digits(count, TrainingConfig(network="mlp", seed=seed), "builtin")
    every = torch.arange(learning.train_size)
    (images,), labels = learning.batch(every, torch.Generator(), slice(None))
    rows = {bytes(image.numpy().tobytes()) for image in images}
    return rows, labels, learning.validation_data


def test_seeds_draw_their_training_pictures_and_share_the_validation():
    first, labels, (validation, truth) = pictures_of(0, 200)
    again = pictures_of(0, 200)[0]
    other, _, (same_validation, same_truth) = pictures_of(1, 200)
    assert first == again
    assert 190 <= len(first) <= 210
    assert np.bincount(labels).min() >= 17  # the same share of every class
    assert len(first & other) < len(first) / 2
    assert torch.equal(validation, same_validation)
    assert torch.equal(truth, same_truth)
    assert len(validation) == pytest.approx(1438 / 3, abs=5)
    held_out = {bytes(image.numpy().tobytes()) for image in validation}
    assert not held_out & (first | other)


def test_more_pictures_than_there_are_means_all():
    rows, _, (validation, _) = pictures_of(0, 10_000)
    assert len(rows) + len(validation) == 1438


class NotScaled(nn.Dropout):
    """Dropout as it would be without the division by 1 - p."""

    def forward(self, values):
        return super().forward(values) * ((1 - self.p) if self.training else 1)


@pytest.mark.parametrize(("kind", "ratio"), [(nn.Dropout, 1.0), (NotScaled, 0.7)])
def test_dropout_keeps_the_expected_answer(kind, ratio):
    torch.manual_seed(0)
    network = Mlp(input_shape=(1, 4, 4), hidden=(16, 8), dropout=0.3).eval()
    layers = network.layers
    for place, layer in enumerate(layers):
        if isinstance(layer, nn.Dropout):
            layers[place] = kind(0.3).eval()
    images = torch.randint(0, 256, (50, 1, 4, 4), dtype=torch.uint8)
    before = torch.random.get_rng_state()
    found = dropout_scaling(network, images, 3)
    assert torch.equal(before, torch.random.get_rng_state())
    assert not any(module.training for module in network.modules())
    assert not any(module._forward_hooks for module in network.modules())
    assert found["p"] == 0.3
    first = layers[: next(n for n, m in enumerate(layers) if isinstance(m, nn.Dropout))]
    with torch.no_grad():
        expected = first(network.normalise(images)).mean(0)
    np.testing.assert_allclose(found["evaluation"], expected, rtol=1e-5)
    used = found["evaluation"] > 0.05
    np.testing.assert_allclose(found["training"][used], ratio * expected[used], rtol=0.05)
    assert found["training"].sum() == pytest.approx(ratio * found["evaluation"].sum(), rel=0.01)


def test_bias_and_variance_make_up_the_brier_score():
    draw = np.random.RandomState(1)
    answers = draw.dirichlet(np.ones(4), size=(3, 25))
    labels = draw.randint(0, 4, 25)
    parts = brier_parts(answers, labels)
    truth = np.eye(4)[labels]
    assert parts.error == pytest.approx(((answers - truth) ** 2).sum(2).mean())


def test_bias_and_variance_are_estimated_without_bias_from_two_seeds():
    """Answers are a fixed one plus noise of known variance; the truth is at a known distance."""
    draw = np.random.RandomState(2)
    centre, labels, spread = np.array([0.5, 0.3, 0.2]), np.zeros(40_000, int), 0.2
    answers = centre + spread * draw.standard_normal((2, len(labels), 3))
    parts = brier_parts(answers, labels)
    assert parts.variance == pytest.approx(3 * spread**2, rel=0.02)
    assert parts.bias2 == pytest.approx(0.5**2 + 0.3**2 + 0.2**2, rel=0.02)
