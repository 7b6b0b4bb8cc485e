from __future__ import annotations

import cv2
import numpy as np

from nn_perception.regions.broken import join_broken
from nn_perception.regions.components import find_components, is_digit_like
from nn_perception.regions.digits import DigitFinder
from nn_perception.regions.settings import DigitFinderSettings

EMPTY = np.zeros((200, 300), np.uint8)


def five(mask, x, y):
    """A five of 40 x 60 whose bar does not touch."""
    cv2.rectangle(mask, (x + 18, y), (x + 40, y + 5), 255, -1)
    cv2.ellipse(mask, (x + 10, y + 42), (16, 16), 0, -110, 130, 255, 5)
    cv2.line(mask, (x + 6, y + 12), (x + 6, y + 28), 255, 5)


def one(mask, x, y, height=60):
    cv2.line(mask, (x, y), (x, y + height), 255, 5)


def whole(digits, strokes):
    everything, kept = join_broken(digits, strokes)
    return everything.take(kept)


def joined(mask):
    strokes = find_components(mask, EMPTY, EMPTY.shape, longest=150)
    digits = strokes.take(is_digit_like(strokes, DigitFinderSettings()))
    return whole(digits, strokes)


def test_a_bar_is_joined_with_its_five():
    mask = EMPTY.copy()
    five(mask, 40, 50)
    assert joined(mask).boxes.tolist() == [list(cv2.boundingRect(mask))]


def test_with_neighbours_too_and_they_stay_alone():
    mask = EMPTY.copy()
    five(mask, 100, 50)
    for x in (40, 70, 170, 200):
        one(mask, x, 50)
    assert len(joined(mask).boxes) == 5


def test_digits_side_by_side_or_of_the_next_line_are_not_joined():
    mask = EMPTY.copy()
    for x in range(40, 260, 12):
        one(mask, x, 30)
        one(mask, x, 100)
    assert len(joined(mask).boxes) == 2 * len(range(40, 260, 12))


def test_ink_is_not_joined_with_chalk():
    body, bar = EMPTY.copy(), EMPTY.copy()
    one(body, 50, 60, 40)
    cv2.rectangle(bar, (46, 48), (70, 53), 255, -1)
    strokes = find_components(body, bar, EMPTY.shape, longest=150)
    digits = strokes.take(np.array([True, False]))
    assert whole(digits, strokes).boxes.tolist() == digits.boxes.tolist()
    strokes = find_components(body | bar, EMPTY, EMPTY.shape, longest=150)
    body_first = strokes.take(np.argsort(-strokes.sizes))
    assert len(whole(body_first.take(np.array([True, False])), body_first).boxes) == 1


def test_the_crop_holds_both_parts(page):
    mask = np.zeros((480, 640), np.uint8)
    five(mask, 300, 200)
    found = DigitFinder()(np.where(mask > 0, 60, page()).astype(np.uint8))
    assert len(found.crops) == 1
    np.testing.assert_allclose(found.boxes_xywh[0], cv2.boundingRect(mask), atol=1)
    crop = found.crops[0]
    assert cv2.connectedComponents((crop > 80).astype(np.uint8))[0] == 3  # ground and two parts
