"""The shifts do what they say, and accuracy under them is counted right."""

import cv2
import numpy as np
import pytest

from nn_perception.datasets.arrays import ImageSet
from nn_perception.evaluation import shifts
from nn_perception.evaluation.shifts import SHIFTS, evaluate_shifts


@pytest.fixture
def images():
    """8 smooth random pictures of 32 x 40, RGB."""
    rng = np.random.default_rng(0)
    small = rng.integers(0, 256, (8, 5, 6, 3), dtype=np.uint8)
    return np.stack([cv2.resize(image, (40, 32)) for image in small])


@pytest.mark.parametrize("name", SHIFTS)
@pytest.mark.parametrize("channels", [1, 3])
def test_shape_type_and_input_are_kept_and_nothing_is_drawn(name, channels, images):
    given = np.ascontiguousarray(images[..., :channels])
    before = given.copy()
    changed = SHIFTS[name](given)
    assert changed.shape == given.shape
    assert changed.dtype == np.uint8
    assert np.array_equal(given, before)
    assert np.array_equal(changed, SHIFTS[name](given))
    assert not np.array_equal(changed, given)


def test_brightness_is_added_and_stops_at_the_ends():
    grey = np.array([0, 100, 250], np.uint8).reshape(1, 1, 3, 1)
    assert shifts.brighter(grey).ravel().tolist() == [38, 138, 255]
    assert shifts.darker(grey).ravel().tolist() == [0, 62, 212]


def test_contrast_keeps_the_mean_of_each_picture(images):
    changed = shifts.less_contrast(images)
    np.testing.assert_allclose(changed.mean(axis=(1, 2)), images.mean(axis=(1, 2)), atol=0.5)
    assert changed.std() == pytest.approx(0.5 * images.std(), rel=0.3)


def test_blur_spreads_a_point_with_its_standard_deviation():
    point = np.zeros((1, 32, 32, 1), np.uint8)
    point[0, 16, 16] = 255
    weights = shifts.blurred(point)[0, :, :, 0].astype(float)
    variance = (weights.sum(axis=0) * (np.arange(32) - 16) ** 2).sum() / weights.sum()
    assert variance == pytest.approx(0.7**2, abs=0.05)


def test_half_size_averages_blocks_of_four():
    checks = np.indices((8, 8)).sum(axis=0) % 2 * 200
    changed = shifts.half_size(checks.astype(np.uint8)[None, :, :, None])
    assert (changed == 100).all()


def test_colours_are_not_exchanged_by_jpeg():
    red = np.zeros((1, 32, 32, 3), np.uint8)
    red[..., 0] = 200
    assert np.abs(shifts.jpeg(red).astype(int) - red).max() < 12


def test_off_centre_shifts_by_an_eighth_into_all_four_corners():
    image = np.zeros((4, 32, 32, 1), np.uint8)
    image[:, 14:18, 14:18] = 255
    image[:, 0] = 9
    changed = shifts.off_centre(image)
    corners = [np.argwhere(picture[..., 0] == 255).min(axis=0).tolist() for picture in changed]
    assert corners == [[18, 18], [18, 10], [10, 18], [10, 10]]
    assert (changed[0, :5] == 9).all()  # the border goes on


class Reader:
    """Answers what a picture's mean says: dark is class 0, bright class 1."""

    def classify(self, images):
        bright = images.mean(axis=(1, 2, 3)) > 127.5
        return np.stack((~bright, bright), axis=1).astype(float)


def test_accuracy_of_each_shift_and_their_mean():
    values = np.array([50, 100, 150, 200], np.uint8)
    images = np.broadcast_to(values[:, None, None, None], (4, 16, 16, 3))
    data = ImageSet.create(images, np.array([0, 0, 1, 1]), ("dark", "bright"), "made up")
    accuracies = evaluate_shifts(Reader(), data)
    mean = accuracies.pop("mean")
    assert tuple(accuracies) == tuple(SHIFTS)
    expected = dict.fromkeys(SHIFTS, 1.0) | {"brighter": 0.75, "darker": 0.75}
    assert accuracies == expected
    assert mean == pytest.approx((5 + 1.5) / 7)
