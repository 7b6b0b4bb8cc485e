"""Negatives made by rule: their format, that they repeat, and that look-alikes are left out."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from nn_perception.datasets import negatives_textures as textures
from nn_perception.datasets.mnist import find_mnist, load_mnist
from nn_perception.datasets.negatives import digit_negatives, picture_negatives, scrambled
from nn_perception.datasets.negatives_digits import FOREIGN_CHARACTERS, SCRIPT_CHARACTERS
from nn_perception.datasets.negatives_ink import DIGIT_LOOKALIKES, fit_ink, is_bar, warp_ink


@pytest.fixture(scope="module")
def digits() -> np.ndarray:
    return digit_negatives(1500, 3)


@pytest.fixture(scope="module")
def pictures() -> np.ndarray:
    return picture_negatives(400, 3, 32)


def photographs(count: int = 30) -> np.ndarray:
    """Stand-ins for photographs: smooth noise with a hard-edged square, each of its own colour."""
    rng = np.random.default_rng(8)
    noise = rng.integers(0, 256, (count, 8, 8, 3)).astype(np.uint8)
    images = np.stack([cv2.resize(image, (32, 32)) for image in noise])
    images[:, 8:24, 10:20] = rng.integers(0, 256, (count, 1, 1, 3))
    return images


def test_digit_negatives_have_mnists_format(digits: np.ndarray) -> None:
    assert digits.shape == (1500, 28, 28)
    assert digits.dtype == np.uint8
    border = np.concatenate(
        [digits[:, 0], digits[:, -1], digits[:, :, 0], digits[:, :, -1]], axis=1
    )
    black = digits.max(axis=(1, 2)) == 0
    assert black.mean() < 0.01  # a covered lens, and no drawing that came out empty
    ink = digits[(border.max(axis=1) == 0) & ~black].astype(np.float64)
    assert len(ink) > 0.5 * len(digits)  # most are ink on black, and not whole frames
    mass = ink.sum(axis=(1, 2))
    axis = np.arange(28.0)
    x, y = ink.sum(axis=1) @ axis / mass, ink.sum(axis=2) @ axis / mass
    centred = np.hypot(x - 13.5, y - 13.5) < 1.0
    assert 0.6 < centred.mean() < 0.98  # mostly centred, and not all
    longest = np.maximum((ink.max(axis=1) > 0).sum(axis=1), (ink.max(axis=2) > 0).sum(axis=1))
    assert np.isin(longest, (19, 20, 21, 22)).mean() > 0.5


def test_pictures_repeat_with_their_seed_and_start_alike() -> None:
    np.testing.assert_array_equal(digit_negatives(60, 1), digit_negatives(90, 1)[:60])
    np.testing.assert_array_equal(picture_negatives(30, 1, 24), picture_negatives(40, 1, 24)[:30])
    assert (digit_negatives(60, 1) != digit_negatives(60, 2)).any(axis=(1, 2)).mean() > 0.95
    photos = photographs()
    np.testing.assert_array_equal(scrambled(photos, 5), scrambled(photos, 5))


def test_pictures_differ_and_are_not_empty(digits: np.ndarray, pictures: np.ndarray) -> None:
    for images, distinct in ((digits, 0.97), (pictures, 0.99)):
        assert len(np.unique(images.reshape(len(images), -1), axis=0)) > distinct * len(images)
    assert (digits.max(axis=(1, 2)) > 30).mean() > 0.95  # an even dark grey may be among them
    contrast = pictures.reshape(len(pictures), -1).std(axis=1)
    assert (contrast > 5).mean() > 0.85
    colour = np.ptp(pictures.astype(np.int64), axis=3).mean(axis=(1, 2))
    assert 0.5 < (colour > 5).mean() < 1.0  # colour, and grey too


def test_no_upright_bar_is_a_negative(digits: np.ndarray) -> None:
    assert not any(is_bar(picture) for picture in digits)


@pytest.mark.parametrize("lean_deg", [-40, -15, 0, 15, 40])
def test_a_one_is_a_bar_however_it_leans(lean_deg: float) -> None:
    ink = np.zeros((90, 90), np.uint8)
    reach = 30 * np.array([np.sin(np.deg2rad(lean_deg)), -np.cos(np.deg2rad(lean_deg))])
    ends = np.round([45 - reach, 45 + reach]).astype(int).tolist()
    cv2.line(ink, ends[0], ends[1], 255, 9, cv2.LINE_AA)
    assert is_bar(fit_ink(ink))
    assert not is_bar(fit_ink(np.ascontiguousarray(ink.T)))  # a dash, unless it leans by 45
    cv2.line(ink, (15, 45), (75, 45), 255, 9)
    assert not is_bar(fit_ink(ink))  # a cross


def test_no_bar_where_there_is_no_ink() -> None:
    assert not is_bar(np.zeros((28, 28), np.uint8))


def test_lookalikes_are_not_among_the_characters() -> None:
    """What is left out for every digit, named again by hand."""
    assert set(DIGIT_LOOKALIKES) == set("0123456789")
    for alike in "OoQDIlSsZzBbgqGT":
        assert alike not in FOREIGN_CHARACTERS + SCRIPT_CHARACTERS
    assert not set("0123456789") & set(FOREIGN_CHARACTERS)
    assert set("AEHKMNRWX") < set(FOREIGN_CHARACTERS)
    assert set(SCRIPT_CHARACTERS) < set(FOREIGN_CHARACTERS)


@pytest.mark.parametrize(("height", "width"), [(60, 30), (11, 44), (20, 20), (1, 1)])
def test_ink_is_fitted_as_mnists_makers_did(height: int, width: int) -> None:
    """A full rectangle: its longer side 20, the other in proportion, its middle in the middle."""
    ink = np.zeros((100, 100), np.uint8)
    ink[7 : 7 + height, 50 : 50 + width] = 200
    picture = fit_ink(ink)
    rows, columns = np.flatnonzero(picture.any(axis=1)), np.flatnonzero(picture.any(axis=0))
    scale = 20 / max(height, width)
    assert len(rows) == round(height * scale)
    assert len(columns) == round(width * scale)
    for found in (rows, columns):
        assert abs((found[0] + found[-1]) / 2 - 13.5) <= 0.5
    assert picture.max() == 200


def test_lopsided_ink_stays_inside() -> None:
    """All mass in one corner: the box would leave the picture, and is held at its edge."""
    ink = np.zeros((40, 40), np.uint8)
    ink[:, 0] = ink[0] = 1
    ink[:3, :3] = 255
    assert (fit_ink(ink) > 0).any(axis=1).sum() == 20


def test_warp_moves_ink_and_keeps_its_amount() -> None:
    ink = np.zeros((84, 84), np.uint8)
    cv2.putText(ink, "K", (25, 60), 0, 1.5, 255, 5)
    warped = warp_ink(np.random.default_rng(0), ink)
    assert 0.5 < warped.sum(dtype=float) / ink.sum(dtype=float) < 1.6
    assert np.mean(warped != ink) > 0.05
    still = warp_ink(np.random.default_rng(0), ink, turn_deg=0.0, elastic=0.0)
    assert still.shape == ink.shape


@pytest.mark.parametrize("texture", textures.TEXTURES, ids=lambda texture: texture.__name__)
def test_textures_are_pictures(texture: textures.Texture) -> None:
    for seed in range(5):
        picture = texture(np.random.default_rng(seed), 32)
        assert picture.shape == (32, 32)
        assert picture.dtype == np.float32
        assert np.isfinite(picture).all()
        assert picture.min() >= -1e-6
        assert picture.max() <= 1 + 1e-6


@pytest.mark.parametrize("exponent", [0.0, 1.0, 2.0])
def test_noise_has_the_spectrum_that_it_names(exponent: float) -> None:
    """The slope of log amplitude over log frequency, fitted over many pictures."""
    rng = np.random.default_rng(0)
    noise = np.stack([textures.power_noise(rng, 64, exponent) for _ in range(40)])
    power = (np.abs(np.fft.rfft2(noise - noise.mean(axis=(1, 2), keepdims=True))) ** 2).mean(axis=0)
    frequency = np.hypot(np.fft.fftfreq(64)[:, None], np.fft.rfftfreq(64)[None])
    middle = (frequency > 0.05) & (frequency < 0.4)
    slope = np.polyfit(np.log(frequency[middle]), 0.5 * np.log(power[middle]), 1)[0]
    assert slope == pytest.approx(-exponent, abs=0.1)


def test_scrambled_pictures_keep_colour_and_lose_the_thing() -> None:
    photos = photographs(200)
    changed = scrambled(photos, 0)
    assert changed.shape == photos.shape
    assert changed.dtype == np.uint8
    before, after = photos.mean(axis=(1, 2)), changed.mean(axis=(1, 2))
    assert np.corrcoef(before.ravel(), after.ravel())[0, 1] > 0.6
    flat = [images.reshape(len(images), -1).astype(np.float64) for images in (photos, changed)]
    likeness = [np.corrcoef(a, b)[0, 1] for a, b in zip(*flat, strict=True) if b.std() > 0]
    assert np.median(likeness) < 0.6
    assert (changed != photos).any(axis=(1, 2, 3)).all()


def test_scrambled_takes_grey_and_odd_sizes() -> None:
    grey = photographs(20)[:, :28, :31, 0]
    assert scrambled(np.ascontiguousarray(grey), 0).shape == (20, 28, 31)


@pytest.mark.mnist
def test_most_of_mnists_ones_are_bars_and_few_others() -> None:
    directory = find_mnist(None)
    if directory is None:
        pytest.skip("no MNIST: set NN_PERCEPTION_DATA")
    data = load_mnist(directory, "train")
    images, labels = data.images[:5000, :, :, 0], data.labels[:5000]
    bars = np.array([is_bar(image) for image in images])
    assert bars[labels == 1].mean() > 0.93
    assert bars[labels != 1].mean() < 0.03
