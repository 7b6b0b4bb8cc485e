"""Sizes of batches, modes of layers: what the loop makes of a training method's name."""

import dataclasses

import numpy as np
import pytest
import torch
from torch import nn

from nn_perception.errors import DivergedError
from nn_perception.networks import build_network
from nn_perception.training.array_learning import ArrayLearning, Examples
from nn_perception.training.config import TrainingConfig
from nn_perception.training.loop import Trainer

CONFIG = TrainingConfig(
    network="mlp",
    network_arguments={"hidden": [8]},
    epochs=2,
    batch_size=10,
    optimizer="sgd",
    learning_rate=0.1,
    schedule="constant",
    keep="last",
    device="cpu",
)


def examples(n=53):
    inputs = np.random.RandomState(0).normal(size=(n, 2))
    return Examples(inputs, (inputs[:, 0] > 0).astype(np.int64))


class Watched(ArrayLearning):
    """Writes down which examples each batch has, and the mode that the network is in."""

    def __init__(self, config, train=None):
        super().__init__(config, train or examples(), examples(20))
        self.batches, self.modes = [], []

    def build_network(self):
        self.network = super().build_network()
        return self.network

    def batch(self, indices, generator, share):
        self.batches.append(indices.tolist())
        return super().batch(indices, generator, share)

    def loss(self, outputs, targets):
        self.modes.append(("loss", self.network.training, torch.is_grad_enabled()))
        return super().loss(outputs, targets)

    def validate(self, predict):
        def watched(*inputs):
            outputs = predict(*inputs)
            self.modes.append(("validation", self.network.training, outputs.requires_grad))
            return outputs

        return super().validate(watched)


def train(**changes):
    learning = Watched(dataclasses.replace(CONFIG, **changes))
    fit = Trainer(learning).fit()
    return fit, learning


@pytest.mark.parametrize(
    ("batch_size", "sizes"),
    [(0, [53]), (1, 53 * [1]), (10, 5 * [10]), (1000, [53])],
)
def test_full_batch_stochastic_and_mini_batch(batch_size, sizes):
    """Every example at most once in an epoch, in another order each time; a rest is left out."""
    fit, learning = train(batch_size=batch_size)
    batches = learning.batches[1:]  # the first is the loop's look at the size of the work
    steps = len(sizes)
    assert [len(batch) for batch in batches] == 2 * sizes
    assert fit.history[-1]["step"] == 2 * steps
    first, second = ([i for b in batches[k : k + steps] for i in b] for k in (0, steps))
    assert len(set(first)) == len(first) == sum(sizes)
    assert first != second
    assert set(first) <= set(range(53))


def test_full_batch_takes_one_step_along_the_mean_gradient():
    _, learning = train(batch_size=0, epochs=1)
    torch.manual_seed(CONFIG.seed)
    start = ArrayLearning.build_network(learning)
    inputs = torch.from_numpy(examples().inputs).float()[:, :, None, None]
    loss = nn.functional.cross_entropy(start(inputs), torch.from_numpy(examples().targets))
    gradients = torch.autograd.grad(loss, list(start.parameters()))
    for before, gradient, after in zip(
        start.parameters(), gradients, learning.network.parameters(), strict=True
    ):
        torch.testing.assert_close(after, before - 0.1 * gradient)


def test_training_is_in_training_mode_and_validation_in_evaluation_mode():
    arguments = {"hidden": [8], "dropout": 0.5, "batch_norm": True}
    fit, learning = train(network_arguments=arguments)
    assert learning.modes == 2 * (5 * [("loss", True, True)] + [("validation", False, False)])
    assert not fit.network.training
    # The figures are those of the kept network, in which nothing is drawn and no batch counts.
    again = learning.validate(lambda inputs: fit.network(inputs).detach())
    assert again["loss"] == fit.history[-1]["validation_loss"]


def test_dropout_scales_what_it_keeps_so_that_evaluation_changes_nothing():
    """A unit is kept with probability 1 - p and divided by it: the mean stays."""
    torch.manual_seed(0)
    rate, values = 0.4, torch.rand(200_000) + 1.0
    network = build_network("mlp", {"hidden": [8], "dropout": rate})
    layer = next(m for m in network.modules() if isinstance(m, nn.Dropout))
    dropped = layer.train()(values)
    kept = dropped != 0
    assert kept.float().mean().item() == pytest.approx(1 - rate, abs=5e-3)
    torch.testing.assert_close(dropped[kept], values[kept] / (1 - rate))
    assert dropped.mean().item() == pytest.approx(values.mean().item(), rel=5e-3)
    assert torch.equal(layer.eval()(values), values)


def test_batch_norm_takes_the_batch_in_training_and_running_figures_in_evaluation():
    network = build_network("mlp", {"hidden": [8], "batch_norm": True})
    norm = next(m for m in network.modules() if isinstance(m, nn.BatchNorm1d))
    torch.manual_seed(1)
    rows = 3.0 * torch.randn(40, 8) + 5.0
    trained = norm.train()(rows)
    mean, variance = rows.mean(0), rows.var(0, unbiased=False)
    torch.testing.assert_close(trained, (rows - mean) / (variance + norm.eps).sqrt())
    torch.testing.assert_close(norm.running_mean, 0.1 * mean)
    torch.testing.assert_close(norm.running_var, 0.9 + 0.1 * rows.var(0))
    evaluated = norm.eval()(rows)
    expected = (rows - norm.running_mean) / (norm.running_var + norm.eps).sqrt()
    torch.testing.assert_close(evaluated, expected)
    # In evaluation the answer to an example does not depend on those beside it.
    torch.testing.assert_close(norm(rows[:1]), evaluated[:1])


def test_a_rate_that_diverges_is_told_with_the_step_and_the_rate():
    inputs = np.random.RandomState(0).normal(size=(50, 3))
    data = Examples(inputs, inputs[:, :1])
    config = dataclasses.replace(
        CONFIG, network_arguments={"hidden": []}, learning_rate=30.0, epochs=100
    )
    with pytest.raises(DivergedError, match=r"step \d+ .*learning_rate \(now 30\)"):
        Trainer(ArrayLearning(config, data, data)).fit()
