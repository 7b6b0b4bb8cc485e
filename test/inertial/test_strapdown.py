"""The block of one sensor in plain floats against the arrays' way."""

import numpy as np
import pytest

from nn_perception.inertial.blocks import integrate, midpoints
from nn_perception.inertial.strapdown import OpenBlock
from nn_perception.rotations import quat_exp, quat_multiply


@pytest.fixture
def samples():
    draw = np.random.default_rng(5)
    return draw.normal(0.0, 3.0, (9, 6)), draw.uniform(0.002, 0.008, 9)


def filled(readings, dt, bias=(0.0, 0.0, 0.0), start=(0.0, 0.0, 0.0, 1.0)) -> OpenBlock:
    block = OpenBlock()
    block.last = readings[0].tolist()
    block.open(start, bias)
    for reading, step in zip(readings[1:], dt[1:], strict=True):
        block.add(reading.tolist(), float(step), 0.25 * float(step))
    return block


def test_sums_are_those_of_the_arrays(samples):
    readings, dt = samples
    means = midpoints(readings[None, 1:], readings[:1])
    steps = integrate(
        np.array([[0.0, 0.0, 0.0, 1.0]]), means[..., :3], means[..., 3:], dt[None, 1:]
    )
    found = filled(readings, dt).block()
    np.testing.assert_allclose(found.turn_xyzw, steps.turn_xyzw[:, -1], atol=1e-9)
    np.testing.assert_allclose(found.velocity_m_s, steps.gained_m_s, atol=1e-9)
    np.testing.assert_allclose(found.duration_s, dt[1:].sum())
    np.testing.assert_allclose(found.unknown_s, 0.25 * dt[1:].sum())
    mean = (means[0, :, :3] * dt[1:, None]).sum(0) / dt[1:].sum()
    np.testing.assert_allclose(found.rate_rad_s[0], mean, atol=1e-12)


def test_orientation_takes_the_bias_off_and_looks_ahead(samples):
    readings, dt = samples
    bias, delay = np.array([0.1, -0.2, 0.05]), 0.004
    start = quat_exp(np.array([0.3, -0.5, 1.0]))
    block = filled(readings, dt, bias.tolist(), tuple(start.tolist()))
    half = -0.5 * bias * dt[1:].sum()
    turn = filled(readings, dt).block().turn_xyzw[0]
    expected = quat_multiply(quat_multiply(start, quat_exp(half)), turn)
    now = quat_multiply(expected, quat_exp(half))
    ahead = quat_multiply(expected, quat_exp(half + delay * (readings[-1, :3] - bias)))
    np.testing.assert_allclose(block.orientation(0.0), now, atol=1e-9)
    np.testing.assert_allclose(block.orientation(delay), ahead, atol=1e-9)


def test_opening_again_forgets_the_sums_and_keeps_the_reading(samples):
    readings, dt = samples
    block = filled(readings, dt)
    block.open((0.0, 0.0, 0.0, 1.0), (0.0, 0.0, 0.0))
    assert block.duration_s == 0.0
    assert list(block.last) == readings[-1].tolist()
    assert block.orientation(0.0) == (0.0, 0.0, 0.0, 1.0)
