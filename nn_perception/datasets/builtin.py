"""The digits that come with scikit-learn, made to look like MNIST: no download, no file.

Source: E. Alpaydin, C. Kaynak, "Optical Recognition of Handwritten Digits", UCI Machine Learning
Repository (1998), test part, as in ``sklearn.datasets.load_digits``: 1797 scans reduced to 8x8
with values from 0 to 16, written by other people, with other pens, than MNIST.
"""

from __future__ import annotations

import importlib
from functools import lru_cache
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from nn_perception.datasets.arrays import ImageSet, UInt8Array, stratified_split
from nn_perception.datasets.test_guard import check_test_part
from nn_perception.errors import DatasetError

BUILTIN = "builtin"
"""Stands for a path wherever digits are asked for."""

SIZE_PX = 28
BOX_PX = 20
TEST_FRACTION = 0.2
SPLIT_SEED = 0


def load_builtin_digits(split: Literal["train", "test"]) -> ImageSet:
    """Return the built-in digits as (N, 28, 28, 1) uint8, bright ink on black.

    The split is fixed: a fifth of every class (359 images) is the test part, drawn once with
    ``stratified_split(labels, 0.2, seed=0)``; 1438 images remain for training.

    Raises:
        DatasetError: the split has another name, or scikit-learn is not installed.
    """
    if split not in ("train", "test"):
        raise DatasetError(f"split is {split!r}, expected 'train' or 'test'")
    if split == "test":
        check_test_part("the test part of the built-in digits")
    images, labels = _all_digits()
    train, test = stratified_split(labels, TEST_FRACTION, SPLIT_SEED)
    chosen = train if split == "train" else test
    names = [str(digit) for digit in range(10)]
    return ImageSet.create(
        images[chosen], labels[chosen], names, f"scikit-learn digits enlarged to 28x28/{split}"
    )


@lru_cache(maxsize=1)
def _all_digits() -> tuple[UInt8Array, NDArray[Any]]:
    try:
        sklearn_datasets = importlib.import_module("sklearn.datasets")
    except ImportError as error:
        raise DatasetError(
            "the built-in digits come with scikit-learn, which is not installed; "
            "pip install scikit-learn, or give MNIST with --data DIR"
        ) from error
    digits = sklearn_datasets.load_digits()
    return enlarge(digits.images), np.asarray(digits.target, dtype=np.int64)


def enlarge(images_0_16: NDArray[Any]) -> UInt8Array:
    """Turn (N, 8, 8) values from 0 to 16 into (N, 28, 28) uint8 in the manner of MNIST.

    As MNIST was made: the digit in a 20x20 box, its centre of mass at the centre of 28x28. The
    enlargement is bicubic: next to MNIST, linear looks washed out, and sharper (a steeper edge)
    gains nothing: a nearest-neighbour classifier of MNIST knows 80 % of sharpened ones, 81 % of
    these, and 71 % where the centre of mass is left where it was.
    """
    weights = cubic_weights(images_0_16.shape[1], BOX_PX)
    box = weights @ (images_0_16.astype(np.float64) / 16.0) @ weights.T
    margin = (SIZE_PX - BOX_PX) // 2
    ink = np.zeros((len(box), SIZE_PX, SIZE_PX))
    ink[:, margin:-margin, margin:-margin] = np.clip(box, 0.0, 1.0)
    positions = np.arange(SIZE_PX) - (SIZE_PX - 1) / 2
    mass = ink.sum(axis=(1, 2))
    mass[mass == 0.0] = 1.0
    # No further than the margin: np.roll brings back on the other side what leaves on one.
    down = np.clip(-np.rint(ink.sum(axis=2) @ positions / mass), -margin, margin).astype(int)
    right = np.clip(-np.rint(ink.sum(axis=1) @ positions / mass), -margin, margin).astype(int)
    steps = zip(ink, down.tolist(), right.tolist(), strict=True)
    centred = [np.roll(image, (dy, dx), axis=(0, 1)) for image, dy, dx in steps]
    return np.rint(255.0 * np.asarray(centred)).astype(np.uint8)


def cubic_weights(size: int, new_size: int) -> NDArray[np.float64]:
    """Return the (new_size, size) matrix of cubic convolution with pixel centres aligned.

    Our own few lines instead of OpenCV's ``INTER_CUBIC``, so that no version of it changes the
    data. The border pixel is repeated outside.

    Source: R. Keys, "Cubic convolution interpolation for digital image processing", IEEE Trans.
    ASSP 29(6), 1981, eq. 15 is a = -1/2; a = -3/4 here, sharper, as OpenCV has it.
    """
    a = -0.75
    weights = np.zeros((new_size, size))
    for row in range(new_size):
        x = (row + 0.5) * size / new_size - 0.5
        first = int(np.floor(x)) - 1
        for column in range(first, first + 4):
            d = abs(x - column)
            near = (a + 2) * d**3 - (a + 3) * d**2 + 1
            far = a * d**3 - 5 * a * d**2 + 8 * a * d - 4 * a
            weights[row, min(max(column, 0), size - 1)] += near if d <= 1 else far
    return weights
