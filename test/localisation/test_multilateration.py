"""Fixes: exact without noise, near with outliers, and in words where there is none."""

import math

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from nn_perception.localisation.multilateration import multilaterate

ROOM = np.array([[x, y, z] for x in (0.0, 8.0) for y in (0.0, 6.0) for z in (0.2, 2.8)])
CEILING = ROOM[1::2]


def ranges_to(position, anchors, levers=0.0):
    return np.linalg.norm(position + levers - anchors, axis=-1)


def no_levers(anchors):
    return np.zeros((len(anchors), 3))


@settings(max_examples=150, deadline=None)
@given(seed=st.integers(0, 2**31), count=st.integers(5, 10))
def test_exact_without_noise(seed, count):
    draw = np.random.default_rng(seed)
    anchors, levers = draw.uniform(-5, 5, (count, 3)), draw.uniform(-0.3, 0.3, (count, 3))
    sizes = np.linalg.svd((anchors - levers) - (anchors - levers).mean(0), compute_uv=False)
    assume(sizes[2] > 0.3 * sizes[0])
    truth = draw.uniform(-6, 6, 3)
    fix = multilaterate(anchors, levers, ranges_to(truth, anchors, levers))
    assert not fix.problem
    assert fix.converged
    np.testing.assert_allclose(fix.position_m, truth, atol=1e-6)
    assert fix.residual_rms_m < 1e-6


@settings(max_examples=150, deadline=None)
@given(seed=st.integers(0, 2**31), count=st.integers(3, 8))
def test_exact_without_noise_planar(seed, count):
    draw = np.random.default_rng(seed)
    anchors, levers = draw.uniform(-5, 5, (count, 3)), draw.uniform(-0.3, 0.3, (count, 3))
    seen = (anchors - levers)[:, :2]
    sizes = np.linalg.svd(seen - seen.mean(0), compute_uv=False)
    assume(sizes[1] > 0.2 * sizes[0])
    truth = draw.uniform(-6, 6, 3)
    ranges = ranges_to(truth, anchors, levers)
    # Anchors overhead leave more than one place, and a local minimum costs little.
    assume((ranges_to(truth[:2], seen) > 0.5).all())
    fix = multilaterate(anchors, levers, ranges, height_m=truth[2])
    np.testing.assert_allclose(fix.position_m, truth, atol=1e-6)
    assert not fix.covariance[2].any()


def test_four_anchors_in_space():
    anchors = np.array([[0.0, 0.0, 0.0], [5.0, 0.0, 3.0], [0.0, 5.0, 1.0], [5.0, 5.0, 2.0]])
    truth = np.array([2.0, 1.0, 1.5])
    fix = multilaterate(anchors, no_levers(anchors), ranges_to(truth, anchors))
    np.testing.assert_allclose(fix.position_m, truth, atol=1e-6)


@pytest.mark.parametrize("anchors", [CEILING, CEILING[:3]])
def test_anchors_in_a_plane_leave_two_sides(anchors):
    below, above = np.array([3.0, 2.0, 1.0]), np.array([3.0, 2.0, 4.6])
    levers, ranges = no_levers(anchors), ranges_to(below, anchors)
    np.testing.assert_allclose(multilaterate(anchors, levers, ranges).position_m, below, atol=1e-6)
    for start, expected in ((below + 0.3, below), (above + 0.3, above)):
        fix = multilaterate(anchors, levers, ranges, start_m=start)
        np.testing.assert_allclose(fix.position_m, expected, atol=1e-6)
    unknown = multilaterate(anchors, levers, ranges, start_m=np.full(3, math.nan))
    np.testing.assert_allclose(unknown.position_m, below, atol=1e-6)


def test_an_upright_plane_has_no_lower_side():
    wall = CEILING[:, [0, 2, 1]]
    truth = np.array([3.0, 1.0, 2.0])
    fix = multilaterate(wall, no_levers(wall), ranges_to(truth, wall))
    assert "upright plane" in fix.problem
    assert np.isnan(fix.position_m).all()
    fix = multilaterate(wall, no_levers(wall), ranges_to(truth, wall), start_m=truth + 0.5)
    np.testing.assert_allclose(fix.position_m, truth, atol=1e-6)


@pytest.mark.parametrize("height_m", [None, 1.0])
@pytest.mark.parametrize(
    ("anchors", "words"),
    [
        (np.empty((0, 3)), "0 different anchors"),
        (ROOM[:2], "expected 3 or more"),
        (np.repeat(ROOM[:1], 6, axis=0), "1 different anchors"),
        (np.linspace([0.0, 0.0, 1.0], [4.0, 2.0, 3.0], 6), "on one line"),
    ],
)
def test_too_little_is_said(height_m, anchors, words):
    ranges = ranges_to(np.ones(3), anchors)
    fix = multilaterate(anchors, no_levers(anchors), ranges, height_m=height_m)
    assert words in fix.problem or "different anchors as seen from above" in fix.problem
    assert ("from above" in fix.problem) == (height_m is not None)
    assert np.isnan(fix.position_m).all()
    assert np.isnan(fix.covariance).all()
    assert math.isnan(fix.residual_rms_m)
    assert not fix.converged


def test_one_above_the_other_is_no_help_in_the_plane():
    fix = multilaterate(ROOM[:4], no_levers(ROOM[:4]), np.ones(4), height_m=1.0)
    assert "2 different anchors as seen from above" in fix.problem


def test_bad_ranges_are_left_out():
    truth = np.array([3.0, 2.0, 1.0])
    ranges = ranges_to(truth, ROOM)
    ranges[:3] = [math.nan, -1.0, math.inf]
    fix = multilaterate(ROOM, no_levers(ROOM), ranges)
    np.testing.assert_allclose(fix.position_m, truth, atol=1e-6)
    ranges[:6] = 0.0
    assert "2 different anchors" in multilaterate(ROOM, no_levers(ROOM), ranges).problem


@pytest.mark.parametrize("height_m", [None, 1.0])
def test_outliers_among_eight(height_m):
    """Two or three of eight ranges too long by up to 5 m, noise of 5 cm on all."""
    draw, errors = np.random.default_rng(0), []
    for _ in range(200):
        truth = draw.uniform([1.0, 1.0, 0.5], [7.0, 5.0, 2.0])
        truth[2] = height_m or truth[2]
        ranges = ranges_to(truth, ROOM) + 0.05 * draw.standard_normal(8)
        wrong = draw.permutation(8)[: draw.integers(2, 4)]
        ranges[wrong] += draw.uniform(0.5, 5.0, len(wrong))
        fix = multilaterate(ROOM, no_levers(ROOM), ranges, height_m=height_m)
        errors.append(np.linalg.norm(fix.position_m - truth))
    assert np.median(errors) < (0.2 if height_m is None else 0.08)
    assert np.mean(np.array(errors) < 0.5) > (0.65 if height_m is None else 0.85)


def test_the_covariance_fits_the_errors():
    draw, scaled = np.random.default_rng(1), []
    for _ in range(300):
        truth = draw.uniform([1.0, 1.0, 0.5], [7.0, 5.0, 2.0])
        ranges = ranges_to(truth, ROOM) + 0.1 * draw.standard_normal(8)
        fix = multilaterate(ROOM, no_levers(ROOM), ranges)
        error = fix.position_m - truth
        scaled.append(error @ np.linalg.solve(fix.covariance, error) / 3.0)
    assert 0.7 < np.mean(scaled) < 1.5
