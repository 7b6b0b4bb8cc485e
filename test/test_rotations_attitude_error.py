"""Total, heading and inclination error: BROAD's own formulas, and figures that must come out."""

import functools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import nn_perception.rotations as rot

assert_close = functools.partial(np.testing.assert_allclose, rtol=0)
properties = settings(derandomize=True, deadline=None, max_examples=60, database=None)
seeds = st.integers(0, 10_000).map(np.random.RandomState)


def broad(estimate, truth):
    """Return total, heading, inclination exactly as the paper writes them."""
    _, _, z, w = rot.quat_multiply(estimate, rot.quat_conjugate(truth)).T
    total = 2 * np.arccos(np.clip(np.abs(w), 0, 1))
    heading = 2 * np.arctan(np.abs(z / w))
    inclination = 2 * np.arccos(np.clip(np.sqrt(w**2 + z**2), 0, 1))
    return total, heading, inclination


def both(errors):
    return errors.total_rad, errors.heading_rad, errors.inclination_rad


def test_as_broad_defines_them():
    estimate, truth = rot.quat_random((2, 1000), np.random.RandomState(0))
    for ours, theirs in zip(
        both(rot.attitude_errors(estimate, truth)), broad(estimate, truth), strict=True
    ):
        assert_close(ours, theirs, atol=1e-7)


@properties
@given(seeds, st.sampled_from([1e-12, 1e-9, 1e-6, 1e-3, 1.0, 3.0]))
def test_pure_errors_come_out_at_any_size(draw, angle):
    truth = rot.quat_random((), draw)
    heading = rot.attitude_errors(
        rot.quat_multiply(rot.quat_exp(np.array([0, 0, angle])), truth), truth
    )
    assert_close(both(heading), [angle, angle, 0], atol=1e-14)
    direction = draw.uniform(0, math.tau)
    tilt = np.array([math.cos(direction), math.sin(direction), 0]) * angle
    inclination = rot.attitude_errors(rot.quat_multiply(rot.quat_exp(tilt), truth), truth)
    assert_close(both(inclination), [angle, 0, angle], atol=1e-14)


@properties
@given(seeds)
def test_inclination_is_the_angle_between_up_vectors_and_ignores_heading(draw):
    estimate, truth = rot.quat_random((2,), draw)
    errors = rot.attitude_errors(estimate, truth)
    up = np.array([0.0, 0.0, 1.0])
    ups = [rot.quat_rotate(rot.quat_conjugate(q), up) for q in (estimate, truth)]
    angle = math.atan2(np.linalg.norm(np.cross(*ups)), ups[0] @ ups[1])
    assert errors.inclination_rad == pytest.approx(angle, abs=1e-14)
    yaw = rot.quat_exp(np.array([0, 0, draw.uniform(-3, 3)]))
    turned = rot.attitude_errors(rot.quat_multiply(yaw, estimate), truth)
    assert turned.inclination_rad == pytest.approx(errors.inclination_rad, abs=1e-14)
    assert errors.total_rad == pytest.approx(rot.quat_distance(estimate, truth), abs=1e-14)
    flipped = rot.attitude_errors(-estimate, truth)
    assert_close(both(flipped), both(errors), atol=1e-14)


def test_no_error_is_zero():
    q = rot.quat_random((100,), np.random.RandomState(2))
    assert_close(both(rot.attitude_errors(q, q)), 0, atol=1e-14)


def test_rms_over_motion_without_missing_truth():
    truth = rot.quat_random((6,), np.random.RandomState(3))
    tilt = np.radians([1.0, 2.0, 3.0, 4.0, 5.0, 6.0])
    turns = rot.quat_exp(np.stack([tilt, 0 * tilt, 0 * tilt], axis=-1))
    estimate = rot.quat_multiply(turns, truth)
    truth[1] = np.nan
    moving = np.array([True, True, True, True, False, False])
    figures = rot.attitude_rms_deg(estimate, truth, moving)
    expected = math.sqrt((1 + 9 + 16) / 3)
    assert figures.inclination_deg == pytest.approx(expected)
    assert figures.total_deg == pytest.approx(expected)
    assert figures.heading_deg == pytest.approx(0, abs=1e-13)
    everything = rot.attitude_rms_deg(estimate[None], truth[None])
    assert everything.total_deg == pytest.approx([math.sqrt((1 + 9 + 16 + 25 + 36) / 5)])


def test_rms_of_nothing_is_nan():
    values = np.array([[1.0, np.nan], [np.nan, np.nan], [3.0, 4.0]])
    result = rot.rms_ignoring_nan(values)
    assert_close(result[[0, 2]], [1.0, math.sqrt(12.5)])
    assert np.isnan(result[1])
    assert np.isnan(rot.rms_ignoring_nan(values[2], np.array([False, False])))
    assert rot.rms_ignoring_nan(values.astype(np.float32)).dtype == np.float32


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: rot.attitude_errors(np.zeros((2, 4)), np.zeros((3, 4))), "leading axes"),
        (lambda: rot.attitude_errors(np.zeros(3), np.zeros(4)), r"expected \(\.\.\., 4\)"),
        (lambda: rot.rms_ignoring_nan(np.zeros(3), np.ones(3)), "array of bool"),
        (lambda: rot.rms_ignoring_nan(np.zeros(3), np.ones(4, bool)), "leading axes"),
        (lambda: rot.rms_ignoring_nan(np.float64(1)), "scalar"),
    ],
)
def test_errors_say_what_was_expected(call, message):
    with pytest.raises(rot.RotationError, match=message):
        call()
