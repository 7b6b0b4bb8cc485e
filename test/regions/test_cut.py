from __future__ import annotations

import cv2
import numpy as np
import pytest

from nn_perception.regions.cut import cut_ink, place


def ellipse(height, width, angle=0.0, level=100):
    ink = np.zeros((height, width), np.uint8)
    cv2.ellipse(ink, (width // 2, height // 2), (width // 3, height // 3), angle, 0, 360, level, 4)
    return ink


@pytest.mark.parametrize(("height", "width"), [(60, 60), (90, 45), (30, 60), (24, 18)])
def test_the_longer_side_becomes_20_and_the_aspect_ratio_stays(height, width):
    ink = ellipse(height, width)
    cut, box = cut_ink(ink, ink)
    left, top, w, h = cv2.boundingRect(ink)
    assert box == (left, top, w, h)
    assert max(cut.shape) == 20
    assert cut.shape[1] / cut.shape[0] == pytest.approx(w / h, rel=0.08)


@pytest.mark.parametrize("level", [12, 60, 250])
def test_contrast_is_full_whatever_the_ink(level):
    ink = ellipse(80, 60, level=level)
    cut, _ = cut_ink(ink, ink)
    reference, _ = cut_ink(ellipse(80, 60, level=200), ellipse(80, 60, level=200))
    assert place([cut]).max() == 255
    assert np.abs(cut.astype(int) - reference).max() <= 12


def test_shade_and_noise_below_a_third_of_the_contrast_are_black():
    ring = ellipse(80, 60)
    noisy = np.where(ring > 0, ring, np.random.default_rng(0).integers(0, 30, ring.shape))
    cut, box = cut_ink(noisy.astype(np.uint8), ring)
    clean, clean_box = cut_ink(ring, ring)
    assert box == clean_box
    np.testing.assert_array_equal(cut, clean)


def test_a_tilt_is_turned_back():
    bar = np.zeros((100, 100), np.uint8)
    bar[20:80, 46:54] = 200
    straight, _ = cut_ink(bar, bar)
    for degrees in (-25, 10, 25):
        # What stands on a line that falls to the right by an angle is turned clockwise by it.
        turn = cv2.getRotationMatrix2D((49.5, 49.5), -degrees, 1.0)
        tilted = cv2.warpAffine(bar, turn, (100, 100))
        cut, _ = cut_ink(tilted, tilted, np.deg2rad(degrees))
        assert cut.shape[0] == 20
        assert cut.shape[1] == pytest.approx(straight.shape[1], abs=1)


def test_no_ink_is_none_and_black():
    empty = np.zeros((30, 20), np.uint8)
    cut, box = cut_ink(empty, np.full_like(empty, 255))
    assert cut is None
    assert box == (0, 0, 20, 30)
    assert not place([None]).any()
    assert place([]).shape == (0, 28, 28)


def test_the_centre_of_mass_lies_at_pixel_14():
    draw = np.random.default_rng(0)
    digits = [
        cv2.GaussianBlur((draw.random(size) > 0.7).astype(np.uint8) * 255, (3, 3), 0)
        for size in [(20, 20), (20, 13), (11, 20), (20, 3), (2, 20)]
    ]
    for crop, digit in zip(place(digits).astype(float), digits, strict=True):
        assert (crop > 0).sum() == (digit > 0).sum()
        assert abs(crop.sum(1) @ np.arange(28) / crop.sum() - 14.0) <= 0.5 + 1e-6
        assert abs(crop.sum(0) @ np.arange(28) / crop.sum() - 14.0) <= 0.5 + 1e-6


@pytest.mark.parametrize("corner", [(0, 0), (0, 19), (19, 0), (19, 19)])
def test_a_lopsided_digit_stays_inside(corner):
    digit = np.zeros((20, 20), np.uint8)
    digit[corner] = 255
    crop = place([digit])[0]
    assert crop.sum() == 255
