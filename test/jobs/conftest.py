"""Small pictures with a held-out part, on which something is learned in a moment."""

import numpy as np
import pytest


def write_digits(path, *, count=200, seed=0, parts=("train", "test")):
    """Write an .npz of 28x28 pictures, each class a bright square at a place of its own."""
    random = np.random.default_rng(seed)
    arrays = {}
    for part in parts:
        labels = np.arange(count, dtype=np.int64) % 10
        images = random.integers(0, 60, (count, 28, 28), dtype=np.uint8)
        for image, label in zip(images, labels, strict=True):
            row, column = divmod(int(label), 4)
            image[2 + 8 * row : 9 + 8 * row, 1 + 7 * column : 7 + 7 * column] += 150
        prefix = f"{part}_" if part else ""
        arrays |= {f"{prefix}images": images, f"{prefix}labels": labels}
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez(path, **arrays)
    return path


@pytest.fixture
def digits(tmp_path):
    """Pictures in a training and a test part."""
    return write_digits(tmp_path / "data" / "digits.npz")
