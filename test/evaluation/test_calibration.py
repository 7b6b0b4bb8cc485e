import numpy as np
import pytest

from nn_perception.evaluation.calibration import fit_temperature
from nn_perception.tasks.classification import softmax


def sample(temperature, n=20_000):
    """Labels drawn from softmax(logits / temperature): that temperature is the right one."""
    draws = np.random.default_rng(0)
    logits = draws.normal(0, 3, (n, 5))
    cumulative = softmax(logits, temperature).cumsum(axis=1)
    return logits, (draws.random((n, 1)) > cumulative).sum(axis=1)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
def test_the_temperature_that_made_the_labels_is_found(temperature):
    logits, labels = sample(temperature)
    assert fit_temperature(logits, labels) == pytest.approx(temperature, rel=0.05)


def test_it_is_the_minimum_of_the_likelihood():
    logits, labels = sample(2.0, 500)

    def loss(temperature):
        return -np.log(softmax(logits, temperature)[np.arange(500), labels]).mean()

    best = fit_temperature(logits, labels)
    assert loss(best) <= min(loss(best * 1.05), loss(best / 1.05))


def test_nothing_to_learn_from_leaves_the_network_as_it_is():
    assert fit_temperature(np.empty((0, 3)), np.empty(0, int)) == 1.0
    assert fit_temperature(np.eye(3) * 5, np.arange(3)) == 1.0  # no errors: any T -> 0 is "best"
