from __future__ import annotations

import cv2
import numpy as np
import pytest

from nn_perception.regions.components import find_components
from nn_perception.regions.ink import find_ink
from nn_perception.regions.likeness import measure_likeness, odds_in_company

INK = {"max_pixels": 700_000, "min_contrast": 12, "relative_threshold": 0.4}


def measured(picture):
    maps = find_ink(picture, **INK)
    strokes = find_components(maps.dark, maps.light, maps.size, 300)
    return maps, strokes.take(strokes.sizes > 25)


def rings(picture, xs, *, ink=60, size=(14, 20), pen=6):
    for x in xs:
        cv2.ellipse(picture, (x, 200), size, 0, 0, 360, ink, pen, cv2.LINE_AA)
    return cv2.GaussianBlur(picture, (3, 3), 0)


def test_the_same_stroke_is_likelier_on_plain_ground(page):
    maps, strokes = measured(rings(page(), [150]))
    (plain,) = measure_likeness(maps, strokes).odds
    restless = page()
    noise = np.random.default_rng(0).normal(0, 30, (60, 80))
    restless[:] = np.clip(restless + cv2.resize(noise, (640, 480)), 0, 255)
    restless[178:222, 130:170] = 200
    maps, strokes = measured(rings(restless, [150]))
    ring = np.abs(strokes.boxes - (133, 177, 35, 47)).max(1) < 8
    assert ring.sum() == 1
    assert measure_likeness(maps, strokes).odds[ring][0] < plain - 2.0


@pytest.mark.parametrize("ink", [130, 90, 20])
def test_contrast_does_not_count_and_is_told(page, ink):
    maps, strokes = measured(rings(page(noise=0.0), [150], ink=ink))
    likeness = measure_likeness(maps, strokes)
    assert 0.5 * (200 - ink) < likeness.contrast[0] < 200 - ink
    maps, strokes = measured(rings(page(noise=0.0), [150], ink=60))
    assert likeness.odds[0] == pytest.approx(measure_likeness(maps, strokes).odds[0], abs=2.0)


def test_a_flat_area_with_hard_edges_is_impossible(page):
    maps, strokes = measured(rings(page(noise=0.0), [150]))
    even = maps._replace(contrast=np.where(maps.dark > 0, 80, 0).astype(np.uint8))
    assert measure_likeness(even, strokes).odds.tolist() == [-np.inf]


def company_of(picture):
    maps, strokes = measured(picture)
    order = np.argsort(strokes.boxes[:, 0])
    strokes = strokes.take(order)
    likeness = measure_likeness(maps, strokes)
    # What company adds: the rest is linear in the stroke's own odds.
    return odds_in_company(maps, strokes, likeness) - 0.77 * likeness.odds


def test_company_counts_and_more_counts_more(page):
    alone, pair, three = (
        company_of(rings(page(), xs)) for xs in ([150], [150, 200], [150, 200, 250])
    )
    assert pair[0] == pytest.approx(pair[1], abs=0.1)
    assert alone[0] + 2.0 < pair[0] < three[0] - 1.0


def test_chalk_is_no_company_of_ink(page):
    grey = page(brightness=128)
    alone = company_of(rings(grey.copy(), [150], ink=48))[0]
    both = company_of(rings(rings(grey, [150], ink=48), [200], ink=208))
    assert both[0] == pytest.approx(alone, abs=0.2)


def test_what_looks_different_or_is_far_is_no_company(page):
    alone = company_of(rings(page(), [150]))[0]
    others = {
        "far": rings(page(), [150, 400]),
        "large": rings(rings(page(), [150]), [240], size=(40, 50), pen=12),
        "pale": rings(rings(page(), [150]), [220], ink=150),
        "thin": rings(rings(page(), [150]), [220], pen=2),
    }
    for name, picture in others.items():
        assert company_of(picture)[0] == pytest.approx(alone, abs=0.2), name
