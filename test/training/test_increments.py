"""Rotations over stretches of samples against `rotations`, and their gradients."""

import numpy as np
import pytest
import torch

import nn_perception.rotations as rot
from nn_perception.training.increments import rate_increments, relative_turns


def motion(count, seed=0, batch=2):
    draw = np.random.RandomState(seed)
    rate = 2.0 * draw.standard_normal((batch, count, 3))
    dt = draw.uniform(0.004, 0.006, (batch, count, 1))
    return rate, dt


@pytest.mark.parametrize("count", [2, 3, 33, 64, 65, 100, 257])
def test_increments_are_those_of_gyro_increments(count):
    rate, dt = motion(count)
    found = rate_increments(torch.from_numpy(rate), torch.from_numpy(dt), (2, 16, 32))
    assert set(found) == {2, 16, 32}
    means = 0.5 * (rate[:, 1:] + rate[:, :-1])
    for length, turns in found.items():
        expected = rot.gyro_increments(means, dt[:, 1:, 0], length)
        assert turns.shape == (2, (count - 1) // length, 4)
        assert (rot.quat_distance(turns.numpy(), expected) < 1e-12).all()


def test_the_first_dt_is_not_used():
    rate, dt = map(torch.from_numpy, motion(17))
    other = dt.clone()
    other[:, 0] = 1e6
    one, two = rate_increments(rate, dt, (16,)), rate_increments(rate, other, (16,))
    assert torch.equal(one[16], two[16])


@pytest.mark.parametrize("length", [1, 16, 32])
@pytest.mark.parametrize("count", [10, 17, 64, 65])
def test_turns_are_those_of_orientation_increments(length, count):
    rate, dt = motion(count)
    quat = rot.integrate_gyro(rate[:, 1:], dt[:, 1:, 0])
    known = torch.ones(quat.shape[:2], dtype=torch.bool)
    found, there = relative_turns(torch.from_numpy(quat), known, length)
    expected = rot.orientation_increments(quat, length)
    assert found.shape == expected.shape
    assert (rot.quat_distance(found.numpy(), expected) < 1e-12).all()
    assert there.shape == found.shape[:2]
    assert there.all()


def test_a_turn_is_known_where_both_its_ends_are():
    known = torch.ones(1, 49, dtype=torch.bool)
    known[0, 16] = False
    known[0, 40] = False  # between two ends: not looked at
    _, there = relative_turns(torch.ones(1, 49, 4), known, 16)
    assert there.tolist() == [[False, False, True]]


@pytest.mark.parametrize("length", [16, 32])
def test_integrated_rates_equal_the_truth_they_come_from(length):
    """Both cut at the same samples: the loss of a perfect sensor is zero."""
    rate, dt = motion(200)
    means = 0.5 * (rate[:, 1:] + rate[:, :-1])
    truth = torch.from_numpy(rot.integrate_gyro(means, dt[:, 1:, 0]))
    turned = rate_increments(torch.from_numpy(rate), torch.from_numpy(dt), (length,))[length]
    true, _ = relative_turns(truth, torch.ones(2, 200, dtype=torch.bool), length)
    assert turned.shape == true.shape
    assert rot.quat_distance(turned, true).max() < 1e-12


def test_gradients():
    rate, dt = (torch.from_numpy(part) for part in motion(9, batch=1))
    rate.requires_grad_()
    assert torch.autograd.gradcheck(lambda r: rate_increments(r, dt, (4,))[4], (rate,))
    still = torch.zeros(1, 9, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda r: rate_increments(r, dt, (2, 8))[8], (still,))
