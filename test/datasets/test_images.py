from __future__ import annotations

import warnings
from pathlib import Path

import cv2
import numpy as np
import pytest

from nn_perception.datasets.images import load_image_set, read_picture
from nn_perception.errors import DatasetError

RED_BGR = (0, 0, 255)


def picture(path: Path, value: object = 200, shape: tuple[int, ...] = (6, 8)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    image = np.zeros(shape, np.uint8)
    image[:] = value
    assert cv2.imwrite(str(path), image)


@pytest.fixture
def npz(tmp_path):
    def save(**arrays: object) -> Path:
        path = tmp_path / "set.npz"
        np.savez(path, **arrays)
        return path

    return save


def test_mnist_directory_gives_its_test_split(tiny_mnist):
    assert len(load_image_set(tiny_mnist)) == 10
    assert len(load_image_set(tiny_mnist, split="train")) == 20


def test_folder_gives_classes_in_natural_order(tmp_path):
    for name in ("10", "9", "1"):
        picture(tmp_path / "set" / name / "a.png", value=int(name))
    loaded = load_image_set(tmp_path / "set")
    assert loaded.class_names == ("1", "9", "10")
    assert loaded.labels.tolist() == [0, 1, 2]
    assert loaded.images[:, 0, 0, 0].tolist() == [1, 9, 10]
    assert loaded.source == "set"
    assert loaded.skipped == ()


@pytest.mark.parametrize("suffix", ["png", "jpg", "bmp", "tif", "PNG"])
def test_folder_reads_common_formats(tmp_path, suffix):
    picture(tmp_path / "a" / f"x.{suffix}")
    assert load_image_set(tmp_path).images.shape == (1, 6, 8, 1)


def test_folder_reads_colour_as_rgb_and_mixes_grey_into_it(tmp_path):
    picture(tmp_path / "a" / "colour.png", RED_BGR, (6, 8, 3))
    assert load_image_set(tmp_path).images[0, 0, 0].tolist() == [255, 0, 0]
    picture(tmp_path / "a" / "grey.png", 7)
    assert load_image_set(tmp_path).images[:, 0, 0].tolist() == [[255, 0, 0], [7, 7, 7]]
    assert load_image_set(tmp_path, channels=1).images[:, 0, 0].tolist() == [[76], [7]]


def test_folder_reduces_16_bit(tmp_path):
    (tmp_path / "a").mkdir()
    cv2.imwrite(str(tmp_path / "a" / "deep.png"), np.full((6, 8), 0x8000, np.uint16))
    assert load_image_set(tmp_path).images[0, 0, 0, 0] == 128


def test_mixed_sizes_need_a_size(tmp_path):
    picture(tmp_path / "a" / "1.png", shape=(6, 8))
    picture(tmp_path / "b" / "1.png", shape=(12, 16))
    with pytest.raises(DatasetError, match="2 sizes, from 8x6 to 16x12"):
        load_image_set(tmp_path)
    assert load_image_set(tmp_path, size=(3, 4)).images.shape == (2, 3, 4, 1)


def test_shrinking_averages_over_area(npz):
    image = np.zeros((1, 4, 4), np.uint8)
    image[0, :, ::2] = 200
    path = npz(images=image, labels=np.array([0]))
    assert load_image_set(path, size=(2, 2)).images.ravel().tolist() == [100] * 4


def test_unreadable_pictures_are_skipped_counted_and_named(tmp_path):
    picture(tmp_path / "a" / "good.png")
    (tmp_path / "a" / "bad.png").write_bytes(b"no picture")
    (tmp_path / "a" / "empty.jpg").write_bytes(b"")
    (tmp_path / "a" / "notes.txt").write_text("not a picture file: not counted")
    with pytest.warns(UserWarning, match=r"2 of 3 pictures cannot be read.*a/bad\.png"):
        loaded = load_image_set(tmp_path)
    assert loaded.skipped == ("a/bad.png", "a/empty.jpg")
    assert len(loaded) == 1


@pytest.mark.parametrize("suffix", ["png", "jpg"])
@pytest.mark.parametrize("keep", [30, 1000, -2])
def test_a_truncated_picture_is_skipped(tmp_path, suffix, keep):
    draw = np.random.default_rng(0)
    (tmp_path / "a").mkdir()
    image = draw.integers(0, 256, (40, 40), dtype=np.uint8)
    cv2.imwrite(str(tmp_path / "a" / f"1.{suffix}"), image)
    data = (tmp_path / "a" / f"1.{suffix}").read_bytes()
    end = -6 if (suffix, keep) == ("png", -2) else keep  # PNG: the mark is before a checksum
    (tmp_path / "a" / f"2.{suffix}").write_bytes(data[:end])
    with pytest.warns(UserWarning, match="1 of 2"):
        assert len(load_image_set(tmp_path)) == 1


def test_nothing_readable_is_an_error(tmp_path):
    (tmp_path / "a").mkdir()
    with pytest.raises(DatasetError, match="no picture"):
        load_image_set(tmp_path)
    (tmp_path / "a" / "bad.png").write_bytes(b"no picture")
    with pytest.raises(DatasetError, match="1 pictures, none can be read"):
        load_image_set(tmp_path)


def test_train_and_test_folders_above_the_classes(tmp_path):
    picture(tmp_path / "train" / "a" / "1.png", 1)
    picture(tmp_path / "test" / "a" / "1.png", 2)
    assert load_image_set(tmp_path).images.max() == 2
    assert load_image_set(tmp_path, split="train").images.max() == 1


def test_class_names_set_the_order_and_may_be_more(tmp_path):
    picture(tmp_path / "car" / "1.png", 1)
    picture(tmp_path / "truck" / "1.png", 2)
    loaded = load_image_set(tmp_path, class_names=("truck", "bus", "car"))
    assert loaded.class_names == ("truck", "bus", "car")
    assert loaded.labels.tolist() == [2, 0]


def test_an_unknown_class_names_the_nearest(tmp_path):
    picture(tmp_path / "trucks" / "1.png")
    with pytest.raises(DatasetError, match=r"'trucks' is not known.*did you mean 'truck'"):
        load_image_set(tmp_path, class_names=("truck", "car"))


@pytest.mark.parametrize(
    ("shape", "expected"), [((3, 4, 5), 1), ((3, 4, 5, 1), 1), ((3, 4, 5, 3), 3)]
)
def test_npz_with_and_without_channels(npz, shape, expected):
    loaded = load_image_set(npz(images=np.ones(shape, np.uint8), labels=np.array([0, 2, 1])))
    assert loaded.images.shape == (3, 4, 5, expected)
    assert loaded.class_names == ("0", "1", "2")
    assert loaded.source == "set.npz"


def test_npz_with_parts_gives_the_test_part(npz):
    path = npz(
        train_images=np.ones((2, 4, 4, 3), np.uint8),
        train_labels=np.array([0, 1], np.uint8),
        test_images=np.full((1, 4, 4, 3), 9, np.uint8),
        test_labels=np.array([1], np.uint8),
        class_names=np.array(["pedestrian", "car"]),
    )
    loaded = load_image_set(path)
    assert loaded.images.max() == 9
    assert loaded.class_names == ("pedestrian", "car")
    assert len(load_image_set(path, split="train")) == 2
    turned = load_image_set(path, class_names=("car", "pedestrian"))
    assert turned.labels.tolist() == [0]


def test_npz_without_names_takes_the_given_ones(npz):
    path = npz(images=np.ones((2, 4, 4), np.uint8), labels=np.array([0, 1]))
    assert load_image_set(path, class_names=("x", "y", "z")).labels.tolist() == [0, 1]
    with pytest.raises(DatasetError, match="labels run from 0 to 1, expected 0 to 0"):
        load_image_set(path, class_names=("x",))


GOOD = np.ones((2, 4, 4), np.uint8)


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({"images": GOOD}, r"holds \['images'\]"),
        ({}, "holds nothing"),
        ({"images": GOOD / 255.0, "labels": np.array([0, 1])}, "float64, expected uint8"),
        ({"images": GOOD, "labels": np.array([0.0, 1.0])}, "'labels' is float64"),
        ({"images": GOOD, "labels": np.array([0, -1])}, "from -1"),
        ({"images": GOOD, "labels": np.array([0])}, "2 images but 1 labels"),
        ({"images": GOOD, "labels": np.array([0, 10**9])}, "highest label is 1000000000"),
        ({"images": GOOD[0], "labels": np.array([0, 1])}, "expected .N, H, W."),
        ({"images": GOOD[:0], "labels": np.zeros(0, int)}, "nothing in it"),
        (
            {"images": GOOD, "labels": np.array([0, 1]), "class_names": np.array(["one"])},
            "expected 0 to 0",
        ),
        (
            {"images": GOOD, "labels": np.array([{}, {}], dtype=object)},
            "pickled objects are never loaded",
        ),
    ],
)
def test_npz_that_does_not_fit_is_refused(npz, arrays, words):
    with pytest.raises(DatasetError, match=words):
        load_image_set(npz(**arrays))


@pytest.mark.parametrize("keep", [0, 20, -30, -200])
def test_a_truncated_npz_is_refused(npz, keep):
    path = npz(images=GOOD, labels=np.array([0, 1]))
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(DatasetError, match=r"cannot be read as \.npz"):
        load_image_set(path)


def test_flipped_bits_in_npz_are_found(npz):
    path = npz(images=GOOD, labels=np.array([0, 1]))
    data = bytearray(path.read_bytes())
    data[data.index(GOOD.tobytes()) + 3] ^= 8
    path.write_bytes(data)
    with pytest.raises(DatasetError, match=r"cannot be read as \.npz"):
        load_image_set(path)


def test_a_bare_array_is_refused(tmp_path):
    path = tmp_path / "bare.npz"
    with path.open("wb") as out:
        np.save(out, GOOD)
    with pytest.raises(DatasetError, match="one bare array"):
        load_image_set(path)


def test_missing_empty_and_flat_directories_are_refused(tmp_path):
    with pytest.raises(DatasetError, match="does not exist"):
        load_image_set(tmp_path / "gone")
    with pytest.raises(DatasetError, match="no sub-folders"):
        load_image_set(tmp_path)
    picture(tmp_path / "1.png")
    with pytest.raises(DatasetError, match="no sub-folders"):
        load_image_set(tmp_path)


def test_wrong_channels_are_refused(tmp_path):
    with pytest.raises(DatasetError, match="channels is 4"):
        load_image_set(tmp_path, channels=4)


def test_a_good_set_warns_of_nothing(tmp_path):
    picture(tmp_path / "a" / "1.png")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        load_image_set(tmp_path)


def test_convert_brings_pictures_of_all_sizes_to_one(tmp_path):
    picture(tmp_path / "a" / "1.png", 10, (6, 8))
    picture(tmp_path / "a" / "2.png", RED_BGR, (12, 16, 3))
    loaded = load_image_set(tmp_path, channels=1, convert=lambda image: image[:2, :3] + 1)
    assert loaded.images.shape == (2, 2, 3, 1)
    assert loaded.images[:, 0, 0, 0].tolist() == [11, 77]


def test_convert_applies_to_arrays_too(npz):
    path = npz(images=np.ones((2, 4, 4), np.uint8), labels=np.array([0, 1]))
    loaded = load_image_set(path, size=(2, 2), convert=lambda image: image * 5)
    assert loaded.images.ravel().tolist() == [5] * 8


def test_read_picture_gives_channels_last_or_none(tmp_path):
    picture(tmp_path / "grey.png", 9)
    picture(tmp_path / "colour.png", RED_BGR, (6, 8, 3))
    (tmp_path / "bad.png").write_bytes(b"no picture")
    assert read_picture(tmp_path / "grey.png").shape == (6, 8, 1)
    assert read_picture(tmp_path / "colour.png")[0, 0].tolist() == [255, 0, 0]
    assert read_picture(tmp_path / "bad.png") is None
    assert read_picture(tmp_path / "gone.png") is None


SOURCES = np.array(["north", "south"])


@pytest.mark.parametrize(
    "keys", [("images", "labels", "source"), ("test_images", "test_labels", "test_source")]
)
def test_npz_says_where_each_picture_is_from(npz, keys):
    values = (np.zeros((2, 4, 4), np.uint8), np.array([1, 0]), SOURCES)
    loaded = load_image_set(npz(**dict(zip(keys, values, strict=True))), class_names=("b", "a"))
    assert loaded.sources.tolist() == ["north", "south"]
    assert loaded.labels.tolist() == [1, 0]
    resized = load_image_set(npz(**dict(zip(keys, values, strict=True))), size=(2, 2))
    assert resized.sources.tolist() == ["north", "south"]


def test_sources_change_no_hash_and_are_none_where_there_are_none(npz):
    arrays = {"images": np.zeros((2, 4, 4), np.uint8), "labels": np.array([1, 0])}
    without = load_image_set(npz(**arrays))
    assert without.sources is None
    assert load_image_set(npz(**arrays, source=SOURCES)).sha256 == without.sha256
    # One description of the whole set is not one for each picture.
    assert load_image_set(npz(**arrays, source=np.array("photographs"))).sources is None


def test_sources_must_be_as_many_as_pictures(npz):
    images, labels = np.zeros((3, 4, 4), np.uint8), np.zeros(3, np.int64)
    with pytest.raises(DatasetError, match=r"expected text \(3,\)"):
        load_image_set(npz(images=images, labels=labels, source=SOURCES))
    with pytest.raises(DatasetError, match="expected text"):
        load_image_set(npz(images=images, labels=labels, source=np.arange(3)))


def test_directory_with_one_npz_is_that_file(npz, tmp_path):
    path = npz(images=np.zeros((2, 4, 4), np.uint8), labels=np.array([1, 0]))
    (tmp_path / "README.md").write_text("what it is")
    assert load_image_set(tmp_path).sha256 == load_image_set(path).sha256
    np.savez(tmp_path / "other.npz", images=np.zeros((1, 4, 4), np.uint8), labels=np.array([0]))
    with pytest.raises(DatasetError, match="expected a directory"):
        load_image_set(tmp_path)
