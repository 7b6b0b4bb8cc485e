import dataclasses

import numpy as np
import pytest
import torch

from nn_perception.studies.optimisers import MOMENTUM, OPTIMIZERS
from nn_perception.studies.surfaces import HOLD, LEVEL, STARTS, SURFACES, best_rate, descend
from nn_perception.training.config import TrainingConfig

BOWL = dataclasses.replace(
    SURFACES["ravine"], height=lambda p: 0.5 * (p[..., 0] ** 2 + 9 * p[..., 1] ** 2)
)


def config(optimizer, rate, momentum=0.0):
    return TrainingConfig(network="mlp", optimizer=optimizer, learning_rate=rate, momentum=momentum)


@pytest.mark.parametrize("name", SURFACES)
def test_minima_are_minima(name):
    surface = SURFACES[name]
    for minimum in surface.minima:
        place = torch.tensor(minimum, dtype=torch.float64, requires_grad=True)
        height = surface.height(place)
        (slope,) = torch.autograd.grad(height, place)
        assert abs(height.item()) < 1e-12
        assert slope.abs().max() < 1e-12
    draw = np.random.RandomState(0).uniform(*np.array(surface.view).reshape(2, 2).T, (500, 2))
    assert (surface.height(torch.from_numpy(draw)) > 0).all()
    start = surface.height(torch.tensor(surface.start, dtype=torch.float64)).item()
    assert surface.level == pytest.approx(LEVEL * start)
    assert not surface.is_lost(surface.starts())
    assert surface.starts()[0] == pytest.approx(surface.start)
    assert len(surface.starts()) == STARTS


def test_the_ravine_is_fifty_times_as_steep_across():
    place = torch.zeros(2, dtype=torch.float64)
    hessian = torch.autograd.functional.hessian(SURFACES["ravine"].height, place)
    assert torch.linalg.eigvalsh(hessian).tolist() == pytest.approx([1.0, 50.0])


def steps_of(optimizer, rate, count):
    """Return the path on the bowl by the formulas, in NumPy."""
    scale, place = np.array([1.0, 9.0]), np.array(BOWL.start)
    m, v, path = np.zeros(2), np.zeros(2), [place]
    for step in range(1, count + 1):
        g = scale * place
        if optimizer == "sgd":
            move = g
        elif optimizer in ("momentum", "nesterov"):
            m = 0.9 * m + g
            move = m if optimizer == "momentum" else g + 0.9 * m
        elif optimizer == "rmsprop":
            v = 0.99 * v + 0.01 * g**2
            move = g / (np.sqrt(v) + 1e-8)
        else:
            m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g**2
            move = m / (1 - 0.9**step) / (np.sqrt(v / (1 - 0.999**step)) + 1e-8)
        place = place - rate * move
        path.append(place)
    return np.array(path)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_paths_are_those_of_the_formulas(optimizer):
    found = descend(BOWL, config(optimizer, 0.02, MOMENTUM.get(optimizer, 0.0)), 20)
    assert len(found.points) == 21
    assert found.points == pytest.approx(steps_of(optimizer, 0.02, 20), rel=1e-9, abs=1e-12)
    assert found.heights == pytest.approx(0.5 * found.points**2 @ np.array([1.0, 9.0]))


def test_arriving_is_staying_at_the_level_from_every_start():
    found = descend(BOWL, config("sgd", 0.1), 100)
    # x falls by 0.9 and y by 0.1 a step: from each start to LEVEL of the surface's own start.
    for start, steps in zip(BOWL.starts(), found.arrived, strict=True):
        heights = [
            0.5 * ((0.9**n * start[0]) ** 2 + 9 * (0.1**n * start[1]) ** 2) for n in range(100)
        ]
        assert steps == next(n for n, height in enumerate(heights) if height <= BOWL.level)
    assert found.steps == np.mean(found.arrived)
    assert len(found.heights) == max(found.arrived) + HOLD + 1
    too_few = descend(BOWL, config("sgd", 0.1), max(found.arrived) - 1)
    assert (too_few.arrived, too_few.steps, too_few.lost) == ((), None, False)


def test_a_path_that_leaves_is_lost_and_one_that_jumps_across_has_not_arrived():
    away = descend(BOWL, config("sgd", 0.3), 100)
    assert (away.arrived, away.lost) == ((), True)
    assert len(away.heights) < 100
    swung = descend(BOWL, config("momentum", 0.05, 0.9), 400)
    arrived = swung.arrived[0]
    assert swung.heights[arrived:].max() <= BOWL.level < swung.heights[arrived - 1]
    assert (swung.heights[:arrived] <= BOWL.level).any()
    # 2 / 9 is the largest stable rate: just below, y changes sign for long, at about its height.
    swinging = descend(BOWL, config("sgd", 2 / 9 - 1e-9), 100)
    assert (swinging.arrived, swinging.lost) == ((), False)


def test_the_best_rate_arrives_first_and_else_ends_lowest():
    rates = (1e-4, 1e-3, 0.3)
    runs = {rate: descend(BOWL, config("sgd", rate), 50) for rate in (*rates, 0.05, 0.1)}
    assert best_rate(list(runs.items()))[0] == 0.1
    assert best_rate([(rate, runs[rate]) for rate in rates])[0] == 1e-3
