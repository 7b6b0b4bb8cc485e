from __future__ import annotations

import numpy as np
import pytest

from nn_perception.datasets.arrays import ImageSet, stratified_split
from nn_perception.errors import DatasetError

IMAGES = np.arange(6 * 4 * 5, dtype=np.uint8).reshape(6, 4, 5)
LABELS = np.array([0, 1, 2, 0, 1, 2])
NAMES = ("a", "b", "c")


def make(images=IMAGES, labels=LABELS, names=NAMES) -> ImageSet:
    return ImageSet.create(images, labels, names, "made up")


def test_create_adds_channel_widens_labels_and_counts():
    made = make(labels=LABELS.astype(np.uint8))
    assert made.images.shape == (6, 4, 5, 1)
    assert made.labels.dtype == np.int64
    assert made.shape_hwc == (4, 5, 1)
    assert made.counts == (2, 2, 2)
    assert len(made) == 6


def test_hash_follows_the_content():
    other = IMAGES.copy()
    other[3, 2, 1] ^= 1
    hashes = {
        make().sha256,
        make(images=other).sha256,
        make(labels=LABELS[::-1]).sha256,
        make(names=("a", "b", "d")).sha256,
        make(images=IMAGES.reshape(6, 5, 4)).sha256,
    }
    assert len(hashes) == 5
    assert make().sha256 == make(images=IMAGES[..., np.newaxis]).sha256


def test_hash_does_not_depend_on_memory_layout():
    assert make(images=np.asfortranarray(IMAGES)).sha256 == make().sha256


def test_subset_takes_images_with_their_labels():
    part = make().subset(np.array([4, 2]))
    assert part.labels.tolist() == [1, 2]
    assert np.array_equal(part.images[..., 0], IMAGES[[4, 2]])
    assert part.class_names == NAMES


def test_subset_takes_sources_along():
    sources = np.array(["x", "y", "z", "x", "y", "z"])
    made = ImageSet.create(IMAGES, LABELS, NAMES, "made up", sources=sources)
    assert made.sha256 == make().sha256
    assert made.subset(np.array([4, 2])).sources.tolist() == ["y", "z"]
    assert make().subset(np.array([4, 2])).sources is None
    with pytest.raises(DatasetError, match=r"expected text \(6,\)"):
        ImageSet.create(IMAGES, LABELS, NAMES, "made up", sources=sources[:5])


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"images": IMAGES.astype(np.float32)}, "float32"),
        ({"images": IMAGES[0]}, r"\(4, 5\)"),
        ({"images": np.zeros((6, 4, 5, 2), np.uint8)}, r"\(6, 4, 5, 2\)"),
        ({"images": np.zeros((0, 4, 5), np.uint8), "labels": LABELS[:0]}, "nothing in it"),
        ({"labels": LABELS[:5]}, "6 images but 5 labels"),
        ({"labels": LABELS + 1}, "from 1 to 3, expected 0 to 2"),
        ({"labels": LABELS - 1}, "from -1 to 1"),
        ({"labels": LABELS.astype(np.float64)}, "float64"),
        ({"labels": LABELS[:, np.newaxis]}, r"\(6, 1\)"),
        ({"names": ("a", "b", "a")}, "not unique"),
    ],
)
def test_what_does_not_fit_is_refused(change, words):
    with pytest.raises(DatasetError, match=words):
        make(**change)


def test_a_wrong_hash_text_is_refused():
    with pytest.raises(DatasetError, match="64 lower-case hex"):
        ImageSet(IMAGES[..., np.newaxis], LABELS.astype(np.int64), NAMES, "made up", "abc")


def test_split_keeps_the_share_of_each_class():
    labels = np.repeat([0, 1, 2], [100, 50, 10])
    large, small = stratified_split(labels, 0.2, seed=3)
    assert np.bincount(labels[small]).tolist() == [20, 10, 2]
    assert np.array_equal(np.sort(np.concatenate([large, small])), np.arange(160))


def test_split_is_made_by_the_seed():
    labels = np.repeat([0, 1], 50)
    first = stratified_split(labels, 0.1, seed=1)[1]
    assert np.array_equal(first, stratified_split(labels, 0.1, seed=1)[1])
    assert not np.array_equal(first, stratified_split(labels, 0.1, seed=2)[1])


def test_split_of_few_items_leaves_some_on_both_sides():
    labels = np.array([0, 0, 1, 1, 2])
    for fraction in (0.01, 0.99):
        large, small = stratified_split(labels, fraction, seed=0)
        assert np.bincount(labels[small]).tolist() == [1, 1]
        assert np.bincount(labels[large]).tolist() == [1, 1, 1]


@pytest.mark.parametrize("fraction", [0.0, 1.0, -0.1, float("nan")])
def test_split_refuses_a_fraction_out_of_range(fraction):
    with pytest.raises(DatasetError, match="fraction"):
        stratified_split(np.array([0, 0]), fraction, seed=0)


def test_split_refuses_what_cannot_be_split():
    with pytest.raises(DatasetError, match="cannot be split"):
        stratified_split(np.array([0, 1]), 0.5, seed=0)
