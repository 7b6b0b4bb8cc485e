from __future__ import annotations

import numpy as np
import pytest

from nn_perception.regions.lines import group_lines

LIMITS = {"max_tilt_deg": 32.0, "max_gap": 3.5}
LENGTHS = (5, 4, 5, 1, 3)


def text(degrees, *, pitch=1.6, gap=1.4, size=40.0, seed=0, trapezium=0.0):
    """Boxes of lines turned about the origin, their line numbers, and the tilt of each."""
    draw = np.random.default_rng(seed)
    rows, centres = [], []
    for line, length in enumerate(LENGTHS):
        for place in range(length):
            rows.append(line)
            x = gap * place * (1.0 + trapezium * line)
            centres.append((x, pitch * line + trapezium * 0.1 * x))
    centres = np.array(centres) * size + draw.normal(0, 0.06 * size, (len(rows), 2))
    turn = np.deg2rad(degrees)
    turned = centres @ np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]])
    sides = size * np.stack(
        [draw.uniform(0.3, 0.8, len(rows)), draw.uniform(0.85, 1, len(rows))], 1
    )
    return np.concatenate([turned + 300 - 0.5 * sides, sides], 1), np.array(rows)


@pytest.mark.parametrize("degrees", [-28, -20, -10, 0, 5, 15, 25])
@pytest.mark.parametrize("seed", range(3))
def test_lines_and_order_are_found_whatever_the_order_of_regions(degrees, seed):
    boxes, rows = text(degrees, seed=seed)
    shuffle = np.random.default_rng(seed).permutation(len(rows))
    lines = group_lines(boxes[shuffle], **LIMITS)
    np.testing.assert_array_equal(shuffle[lines.order], np.arange(len(rows)))
    np.testing.assert_array_equal(lines.lines, rows)
    assert np.rad2deg(np.median(lines.angles_rad)) == pytest.approx(degrees, abs=4)


def test_a_square_grid_is_read_by_rows():
    x, y = np.meshgrid(np.arange(6) * 60.0, np.arange(5) * 60.0)
    boxes = np.stack([x.ravel(), y.ravel(), np.full(30, 30.0), np.full(30, 40.0)], 1)
    lines = group_lines(boxes, **LIMITS)
    np.testing.assert_array_equal(lines.order, np.arange(30))
    np.testing.assert_array_equal(lines.lines, np.repeat(np.arange(5), 6))
    np.testing.assert_allclose(lines.angles_rad, 0.0, atol=0.02)


def test_lines_that_spread_under_perspective_have_tilts_of_their_own():
    x = np.tile(np.arange(6) * 60.0, 2)
    y = np.concatenate([np.arange(6) * -4.0, 90.0 + np.arange(6) * 4.0])
    boxes = np.stack([x, y, np.full(12, 30.0), np.full(12, 40.0)], 1)
    lines = group_lines(boxes, **LIMITS)
    np.testing.assert_array_equal(lines.lines, np.repeat([0, 1], 6))
    tilt = np.arctan2(4.0, 60.0)
    np.testing.assert_allclose(lines.angles_rad, np.repeat([-tilt, tilt], 6), atol=1e-6)


def test_what_is_far_or_of_another_size_is_another_line():
    boxes = [[0, 0, 30, 40], [50, 0, 30, 40], [400, 0, 30, 40], [100, -30, 80, 100]]
    lines = group_lines(np.array(boxes, float), **LIMITS)
    assert len(set(lines.lines.tolist())) == 3
    assert lines.lines[list(lines.order).index(0)] == lines.lines[list(lines.order).index(1)]


@pytest.mark.parametrize("count", [0, 1, 2])
def test_few_regions(count):
    lines = group_lines(np.array([[0, 0, 30, 40], [50, 5, 30, 40]], float)[:count], **LIMITS)
    assert lines.order.tolist() == list(range(count))
    assert lines.lines.tolist() == [0] * count
    assert len(lines.angles_rad) == count


def test_regions_at_one_place_do_not_disturb():
    lines = group_lines(np.full((5, 4), 20.0), **LIMITS)
    assert sorted(lines.order.tolist()) == list(range(5))
    assert np.isfinite(lines.angles_rad).all()
