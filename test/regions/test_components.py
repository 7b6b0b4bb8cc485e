from __future__ import annotations

import cv2
import numpy as np
import pytest

from nn_perception.errors import ConfigError
from nn_perception.regions.components import find_components, is_digit_like
from nn_perception.regions.settings import DigitFinderSettings

EMPTY = np.zeros((120, 160), np.uint8)


def blobs(seed):
    noise = np.random.default_rng(seed).normal(size=EMPTY.shape).astype(np.float32)
    return np.where(cv2.GaussianBlur(noise, (0, 0), 3) > 0.05, 255, 0).astype(np.uint8)


@pytest.mark.parametrize("seed", range(4))
def test_areas_boxes_and_holes_are_those_of_labelled_pixels(seed):
    mask = blobs(seed)
    found = find_components(mask, EMPTY, EMPTY.shape, longest=200)
    count, labels, stats, _ = cv2.connectedComponentsWithStats(mask, connectivity=8)
    assert len(found.boxes) > 3
    for box, seeds, area, holes in zip(
        found.boxes, found.seeds, found.areas, found.holes, strict=True
    ):
        label = labels[seeds[0, 1], seeds[0, 0]]
        assert label > 0
        np.testing.assert_array_equal(box, stats[label, :4])
        assert area == stats[label, 4]
        background = np.pad((labels != label).astype(np.uint8), 1, constant_values=1)
        assert holes == cv2.connectedComponents(background, connectivity=4)[0] - 2
    inside = (stats[1:, :2] > 0).all(1) & (stats[1:, :2] + stats[1:, 2:4] < (160, 120)).all(1)
    large = stats[1:, 2:4].max(1) >= 4
    assert len(found.boxes) == (inside & large).sum()
    assert count - 1 >= len(found.boxes)


def test_holes_are_counted_and_are_no_area():
    mask = EMPTY.copy()
    mask[20:60, 30:55] = 255
    mask[26:35, 36:49] = 0
    mask[41:54, 36:49] = 0
    mask[45:48, 41:44] = 255  # a speck in a hole belongs to nobody
    found = find_components(mask, EMPTY, EMPTY.shape, longest=100)
    assert found.areas.tolist() == [40 * 25 - 9 * 13 - 13 * 13]
    assert found.holes.tolist() == [2]


def test_a_stroke_inside_a_ring_is_found():
    mask = EMPTY.copy()
    cv2.rectangle(mask, (20, 20), (100, 100), 255, 2)
    cv2.line(mask, (60, 40), (60, 80), 255, 3)
    found = find_components(mask, EMPTY, EMPTY.shape, longest=200)
    line = cv2.boundingRect(np.ascontiguousarray(mask[30:90, 30:90]))
    assert (line[0] + 30, line[1] + 30, *line[2:]) in [tuple(box) for box in found.boxes.tolist()]
    assert len(found.boxes) == 2


def test_light_ink_comes_behind_dark_ink():
    dark, light = EMPTY.copy(), EMPTY.copy()
    dark[10:30, 10:14] = 255
    light[50:70, 40:44] = 255
    found = find_components(dark, light, EMPTY.shape, longest=200)
    assert found.boxes.tolist() == [[10, 10, 4, 20], [40, 50, 4, 20]]
    assert found.light.tolist() == [False, True]
    assert found.outlines.tolist() == [44, 44]


def test_edges_specks_and_giants_are_left_out():
    mask = EMPTY.copy()
    mask[0:20, 30:34] = 255  # cut by the upper edge
    mask[40:60, 96:100] = 255  # by the right edge of what the frame covers
    mask[80:82, 40:42] = 255  # a speck
    mask[30:110, 60:64] = 255  # too long
    assert len(find_components(mask, EMPTY, (120, 100), longest=60).boxes) == 0
    assert len(find_components(mask, EMPTY, (120, 160), longest=90).boxes) == 2


@pytest.mark.parametrize(
    ("width", "height", "stroke", "is_like"),
    [
        (24, 36, 5, True),
        (8, 36, 8, True),
        (4, 8, 2, False),
        (60, 20, 4, False),
        (30, 30, 15, False),
    ],
)
def test_gates(width, height, stroke, is_like):
    mask = EMPTY.copy()
    mask[20 : 20 + height, 20 : 20 + width] = 255
    mask[20 + stroke : 20 + height - stroke, 20 + stroke : 20 + width - stroke] = 0
    found = find_components(mask, EMPTY, EMPTY.shape, longest=100)
    assert is_digit_like(found, DigitFinderSettings()).tolist() == [is_like]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("max_regions", 0),
        ("max_pixels", 10),
        ("min_contrast", 0),
        ("relative_threshold", 1.0),
        ("max_tilt_deg", 50.0),
        ("max_aspect", float("nan")),
        ("max_size_fraction", 1.2),
    ],
)
def test_settings_out_of_range_are_refused(name, value):
    with pytest.raises(ConfigError, match=f"{name} is .*expected"):
        DigitFinderSettings(**{name: value})
