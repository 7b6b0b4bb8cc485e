"""Drawn pages that the tests of regions share."""

import cv2
import numpy as np
import pytest

from nn_perception.datasets.builtin import load_builtin_digits

PAPER, INK = 200, 60


@pytest.fixture(scope="session")
def tiles():
    """Handwritten digits (N, H, W), bright ink on black, the ten classes in turn."""
    digits = load_builtin_digits("train")
    images, labels = digits.images[..., 0], digits.labels
    ranked = [np.flatnonzero(labels == digit) for digit in range(10)]
    soft = np.stack([images[ranked[index % 10][index // 10]] for index in range(40)])
    # They were enlarged from 8x8 pixels: edges as a pen leaves them, boxes as MNIST has them.
    sharp = np.clip((soft.astype(np.float64) - 64.0) * 2.0, 0, 255).astype(np.uint8)
    return np.stack([_boxed(tile) for tile in sharp])


def _boxed(tile):
    """Bring the ink to a box of 20, its centre of mass to pixel 14, by other means than `cut`."""
    rows, columns = np.nonzero(tile > 90)
    top, left, bottom, right = rows.min(), columns.min(), rows.max() + 1, columns.max() + 1
    scale = 20.0 / max(bottom - top, right - left)
    y, x = np.mgrid[0:28, 0:28].astype(np.float64)
    for _ in range(3):  # sampling moves the centre of mass a little
        weight = tile.astype(np.float64)
        mean_y = (weight.sum(1) @ np.arange(28)) / weight.sum()
        mean_x = (weight.sum(0) @ np.arange(28)) / weight.sum()
        map_x = (mean_x + (x - 14.0) / scale).astype(np.float32)
        map_y = (mean_y + (y - 14.0) / scale).astype(np.float32)
        tile, scale = cv2.remap(tile, map_x, map_y, cv2.INTER_LINEAR), 1.0
    return tile


@pytest.fixture(scope="session")
def write():
    """Return a function that writes tiles on a page at given left upper corners."""

    def write_on(page, tiles, corners, side, *, ink=INK):
        page = page.astype(np.float64)
        for tile, (left, top) in zip(tiles, corners, strict=True):
            how = cv2.INTER_CUBIC if side > len(tile) else cv2.INTER_AREA
            alpha = cv2.resize(tile, (side, side), interpolation=how) / 255.0
            part = page[top : top + side, left : left + side]
            part += alpha * (ink - part)
        return np.clip(np.rint(page), 0, 255).astype(np.uint8)

    return write_on


@pytest.fixture(scope="session")
def page():
    """Return a function that makes plain paper with a little grain."""

    def make(height=480, width=640, brightness=PAPER, noise=1.5, seed=0):
        draw = np.random.default_rng(seed)
        return np.clip(draw.normal(brightness, noise, (height, width)), 0, 255).astype(np.uint8)

    return make
