"""Points in a plane: where each class lies, symmetries, seeds."""

import numpy as np
import pytest

from nn_perception.datasets.points_2d import KINDS, MARGIN, TURNS, Points, best_line, draw_points
from nn_perception.errors import DatasetError

SQUARE_CORNER = np.sqrt(2.0)
CENTRE = np.array([0.3, 0.15])
"""Of a moon is at minus this."""


def parts(kind, count=400, noise=0.0, seed=1):
    drawn = draw_points(kind, count, noise, seed)
    return drawn.points[drawn.classes == 0], drawn.points[drawn.classes == 1]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("count", [2, 7, 100])
def test_both_classes_are_equally_many_and_in_turn(kind, count):
    drawn = draw_points(kind, count, 0.1, 0)
    assert drawn.points.shape == (count, 2)
    assert drawn.classes.tolist() == [n % 2 for n in range(count)]


@pytest.mark.parametrize("kind", KINDS)
def test_a_seed_gives_the_same_points_and_another_seed_others(kind):
    first, second, other = (draw_points(kind, 50, 0.1, seed).points for seed in (4, 4, 5))
    assert np.array_equal(first, second)
    assert not np.isclose(first, other).any(axis=1).any()


def test_kinds_draw_independently_of_each_other():
    linear, xor = (draw_points(kind, 50, 0.0, 4).points for kind in ("linear", "xor"))
    assert not np.isclose(linear[:, None], xor[None]).all(axis=2).any()


@pytest.mark.parametrize("kind", KINDS)
def test_without_noise_all_is_within_the_square_and_fills_it(kind):
    points = np.concatenate(parts(kind))
    assert np.abs(points).max() <= 1.0
    assert np.abs(points).max() > 0.8


@pytest.mark.parametrize("kind", KINDS)
def test_noise_moves_points_by_its_standard_deviation(kind):
    still, noisy = (draw_points(kind, 4000, noise, 2).points for noise in (0.0, 0.25))
    assert (noisy - still).std(axis=0) == pytest.approx([0.25, 0.25], rel=0.05)
    assert (noisy - still).mean(axis=0) == pytest.approx([0.0, 0.0], abs=0.02)


def test_linear_has_a_line_between_its_classes():
    zero, one = parts("linear")
    assert zero.sum(axis=1).max() <= -MARGIN * SQUARE_CORNER
    assert one.sum(axis=1).min() >= MARGIN * SQUARE_CORNER


def test_xor_has_classes_by_signs_in_all_quadrants():
    zero, one = parts("xor")
    assert (zero.prod(axis=1) > 0).all()
    assert (one.prod(axis=1) < 0).all()
    assert min(np.abs(zero).min(), np.abs(one).min()) >= MARGIN
    for part in (zero, one):  # both quadrants of a class
        assert 0.35 < (part[:, 0] > 0).mean() < 0.65


def test_circle_is_round_and_has_its_classes_by_radius():
    outer, inner = (np.hypot(*part.T) for part in parts("circle"))
    assert (inner <= 0.5).all()
    assert (outer >= 0.5 + 2 * MARGIN).all()
    angles = np.arctan2(*parts("circle", 4000)[1].T)
    assert np.histogram(angles, 8, (-np.pi, np.pi))[0] == pytest.approx(250, rel=0.3)


def test_spirals_are_archimedean_and_each_the_other_turned():
    zero, one = parts("spirals")
    for arm, turn in ((zero, 0.0), (one, np.pi)):
        radius = np.hypot(*arm.T)
        angle = np.arctan2(arm[:, 1], arm[:, 0])
        difference = angle - (2 * np.pi * TURNS * radius + turn)
        assert np.cos(difference) == pytest.approx(1.0)


def test_moons_are_half_circles_each_the_other_turned():
    zero, one = parts("moons")
    for arc in (zero, -one):
        assert np.hypot(*(arc + CENTRE).T) == pytest.approx(0.6)
        assert (arc[:, 1] >= -0.15).all()


CORNERS = np.array([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])


@pytest.mark.parametrize(
    ("classes", "share"),
    [((0, 0, 0, 1), 1.0), ((1, 0, 0, 0), 1.0), ((0, 1, 1, 0), 0.75), ((1, 0, 0, 1), 0.75)],
)
def test_no_line_has_more_than_three_rows_of_xor_right(classes, share):
    assert best_line(Points(CORNERS, np.array(classes))) == share


def test_the_best_line_is_that_of_trying_all_pairs_of_points():
    drawn = draw_points("moons", 40, 0.1, 3)
    best = 0.0
    for first in drawn.points:
        for second in drawn.points:
            normal = np.array((-1.0, 1.0)) * (second - first)[::-1]
            for shift in (-1e-9, 1e-9):
                above = (drawn.points - first) @ normal > shift
                right = (above == drawn.classes).mean()
                best = max(best, right, 1 - right)
    assert best_line(drawn, 2000) == pytest.approx(best)
    assert best < 1


@pytest.mark.parametrize(
    ("kind", "count", "noise", "part"),
    [
        ("spiral", 10, 0.0, "did you mean 'spirals'"),
        ("xor", 1, 0.0, "expected 2 or more"),
        ("xor", 10, -0.1, "noise of 0 or more"),
        ("xor", 10, float("nan"), "noise of 0 or more"),
    ],
)
def test_bad_arguments_are_refused(kind, count, noise, part):
    with pytest.raises(DatasetError, match=part):
        draw_points(kind, count, noise, 0)
