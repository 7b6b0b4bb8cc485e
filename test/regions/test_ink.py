from __future__ import annotations

import cv2
import numpy as np
import pytest

from nn_perception.regions.ink import CELL, find_ink

INK = {"max_pixels": 700_000, "min_contrast": 12, "relative_threshold": 0.4}


def stroke(page, brightness, ink, thickness=6):
    picture = page(brightness=brightness, noise=0.0)
    cv2.line(picture, (200, 100), (200, 300), ink, thickness)
    truth = np.zeros_like(picture)
    cv2.line(truth, (200, 100), (200, 300), 255, thickness)
    return picture, truth > 0


@pytest.mark.parametrize("thickness", [4, 9])
@pytest.mark.parametrize(("brightness", "ink"), [(200, 40), (90, 60), (30, 120), (60, 240)])
def test_a_stroke_of_either_sign_is_found_to_its_edge(page, brightness, ink, thickness):
    picture, truth = stroke(page, brightness, ink, thickness)
    maps = find_ink(picture, **INK)
    found, other = (maps.dark, maps.light) if ink < brightness else (maps.light, maps.dark)
    assert not other.any()
    overlap = ((found > 0) & truth).sum() / ((found > 0) | truth).sum()
    assert overlap > (0.65 if thickness == 4 else 0.8)
    assert (found[truth] > 0).all()
    assert np.abs(maps.ground.astype(int) - brightness).max() <= 2
    assert maps.contrast[200, 200] == pytest.approx(abs(brightness - ink), abs=4)


def test_pale_ink_beside_bold_ink_keeps_its_threshold(page):
    picture = page(noise=0.0)
    cv2.line(picture, (200, 100), (200, 300), 20, 6)
    cv2.line(picture, (260, 100), (260, 300), 170, 6)
    maps = find_ink(picture, **INK)
    assert (maps.dark[110:290, 260] > 0).all()
    assert (maps.dark[110:290, 200] > 0).all()
    assert not maps.dark[:, 220:250].any()


def test_what_is_fainter_than_the_least_contrast_is_no_ink(page):
    picture, _ = stroke(page, 100, 90)
    maps = find_ink(picture, **INK)
    assert not maps.dark.any()
    assert not maps.light.any()


def test_the_edge_of_a_sheet_has_no_halo(page):
    picture = page(noise=0.0)
    picture[:, 320:] = 60
    maps = find_ink(picture, **INK)
    far = np.abs(np.arange(640) - 320) > CELL
    assert not maps.dark[:, far].any()
    assert not maps.light[:, far].any()


@pytest.mark.parametrize(
    ("height", "width", "scale"), [(480, 640, 1), (681, 557, 1), (720, 1280, 2), (1081, 1921, 2)]
)
def test_scale_and_covered_size(height, width, scale):
    grey = np.full((height, width), 128, np.uint8)
    maps = find_ink(grey, **INK)
    assert maps.scale == scale
    assert maps.size == (-(-height // scale), -(-width // scale))
    for plane in (maps.ground, maps.contrast, maps.dark, maps.light):
        assert plane.shape == maps.dark.shape
        assert all(side % CELL == 0 for side in plane.shape)
        assert all(have >= need for have, need in zip(plane.shape, maps.size, strict=True))
