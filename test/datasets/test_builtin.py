from __future__ import annotations

import numpy as np
import pytest

from nn_perception.datasets.builtin import cubic_weights, enlarge, load_builtin_digits
from nn_perception.datasets.mnist import load_mnist
from nn_perception.errors import DatasetError

pytest.importorskip("sklearn")


def test_split_is_fixed_stratified_and_without_overlap():
    train, test = load_builtin_digits("train"), load_builtin_digits("test")
    assert len(train) == 1438
    assert len(test) == 359
    assert min(test.counts) == 35
    assert max(test.counts) == 37
    assert test.labels[:12].tolist() == load_builtin_digits("test").labels[:12].tolist()
    pixels = {image.tobytes() for image in train.images}
    assert not [image for image in test.images if image.tobytes() in pixels]


def test_digits_have_the_form_of_mnist():
    images = load_builtin_digits("train").images
    assert images.shape[1:] == (28, 28, 1)
    assert images.dtype == np.uint8
    assert images[:, 0].max() == 0  # black border
    assert np.median(images.max(axis=(1, 2, 3))) == 255
    rows = np.arange(28) - 13.5
    mass = images[..., 0].astype(float)
    centre = (mass.sum(axis=2) @ rows) / mass.sum(axis=(1, 2))
    assert np.abs(centre).max() <= 0.51


def test_enlarge_keeps_orientation_and_ink():
    small = np.zeros((1, 8, 8))
    small[0, 1:7, 2] = 16  # an upright stroke with a foot to the right
    small[0, 6, 2:6] = 16
    large = enlarge(small)[0].astype(int)
    rows, columns = np.nonzero(large > 128)
    assert np.ptp(rows) > np.ptp(columns)
    assert large[rows.max()].sum() > 2 * large[rows.min()].sum()
    weak = enlarge(small / 2)[0].astype(int)
    assert np.abs(weak * 2 - large)[large < 250].max() <= 3


def test_enlarge_of_nothing_is_black():
    assert enlarge(np.zeros((2, 8, 8))).max() == 0


def test_cubic_weights_keep_a_constant_and_a_line():
    weights = cubic_weights(8, 20)
    assert np.allclose(weights.sum(axis=1), 1.0)
    inner = (weights @ np.arange(8.0))[5:15]
    assert np.allclose(inner, ((np.arange(20) + 0.5) * 8 / 20 - 0.5)[5:15], atol=0.1)


def test_an_unknown_split_is_refused():
    with pytest.raises(DatasetError, match="'all'"):
        load_builtin_digits("all")


@pytest.mark.mnist
def test_ink_is_like_that_of_mnist(real_mnist):
    ours = load_builtin_digits("train").images
    theirs = load_mnist(real_mnist, "test").images
    assert ours.mean() == pytest.approx(theirs.mean(), rel=0.25)
    assert ours.std() == pytest.approx(theirs.std(), rel=0.1)
