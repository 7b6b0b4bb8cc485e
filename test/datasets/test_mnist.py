from __future__ import annotations

import gzip
import struct
from pathlib import Path

import numpy as np
import pytest

from nn_perception.datasets.mnist import find_mnist, load_mnist, read_idx
from nn_perception.errors import DatasetError

PIXELS = np.arange(2 * 3 * 4, dtype=np.uint8).reshape(2, 3, 4)
IDX = struct.pack(">4B3I", 0, 0, 8, 3, 2, 3, 4) + PIXELS.tobytes()
IMAGES = "t10k-images-idx3-ubyte.gz"
LABELS = "t10k-labels-idx1-ubyte.gz"


@pytest.fixture(autouse=True)
def _nothing_around(tmp_path, monkeypatch):
    """No data of the machine is found."""
    monkeypatch.delenv("NN_PERCEPTION_DATA", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_read_idx_plain_and_compressed_whatever_the_name(tmp_path, pack):
    path = tmp_path / "some.file"
    path.write_bytes(pack(IDX))
    array = read_idx(path)
    assert array.dtype == np.uint8
    assert np.array_equal(array, PIXELS)
    array[0, 0, 0] = 1  # writable, so that torch takes it without a copy


def test_read_idx_gives_native_byte_order(tmp_path):
    path = tmp_path / "wide"
    path.write_bytes(struct.pack(">4BI3h", 0, 0, 11, 1, 3, 1, -2, 300))
    array = read_idx(path)
    assert array.dtype == np.int16
    assert array.dtype.isnative
    assert array.tolist() == [1, -2, 300]


DAMAGE = {
    "empty": (b"", "starts with nothing"),
    "magic": (b"\x01" + IDX[1:], "starts with 01 00 08 03"),
    "type": (IDX[:2] + b"\x07" + IDX[3:], "starts with 00 00 07 03"),
    "no dimension": (IDX[:3] + b"\x00" + IDX[4:], "idx header"),
    "header cut": (IDX[:10], "ends within its header"),
    "trailing": (IDX + b"\0", "too long"),
    "not gzip": (b"<html>not found</html>", "starts with 3c 68"),
}


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
@pytest.mark.parametrize("kind", DAMAGE)
def test_read_idx_detects_damage_and_names_file_and_repair(tmp_path, kind, pack):
    data, words = DAMAGE[kind]
    path = tmp_path / "damaged"
    path.write_bytes(pack(data))
    with pytest.raises(DatasetError, match=words) as caught:
        read_idx(path)
    assert str(path) in str(caught.value)
    assert "download mnist" in str(caught.value)


def test_read_idx_detects_missing_data(tmp_path):
    path = tmp_path / "cut"
    path.write_bytes(gzip.compress(IDX[:-1]))
    with pytest.raises(DatasetError, match=r"truncated.*24.*there are 23"):
        read_idx(path)
    path.write_bytes(IDX[:20])
    with pytest.raises(DatasetError, match="truncated"):
        read_idx(path)


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_read_idx_asks_for_no_memory_that_the_file_cannot_fill(tmp_path, pack):
    path = tmp_path / "huge"
    path.write_bytes(pack(struct.pack(">4B3I", 0, 0, 8, 3, 2**32 - 1, 2**32 - 1, 28)))
    with pytest.raises(DatasetError, match="more than it holds"):
        read_idx(path)


@pytest.mark.parametrize("cut", [3, 12, 30])
def test_read_idx_detects_a_cut_gzip_file(tmp_path, cut):
    path = tmp_path / "cut.gz"
    path.write_bytes(gzip.compress(IDX)[:-cut])
    with pytest.raises(DatasetError, match="gzip compression is damaged"):
        read_idx(path)


def test_read_idx_detects_flipped_bits(tmp_path):
    path = tmp_path / "flipped.gz"
    data = bytearray(gzip.compress(IDX, compresslevel=0))
    data[-12] ^= 4  # a pixel, found by the checksum only
    path.write_bytes(data)
    with pytest.raises(DatasetError, match="gzip compression is damaged"):
        read_idx(path)


def test_read_idx_reports_what_is_no_readable_file(tmp_path):
    for path in (tmp_path / "missing", tmp_path):
        with pytest.raises(DatasetError, match="cannot be read"):
            read_idx(path)


def test_load_mnist_reads_each_split(tiny_mnist):
    train, test = load_mnist(tiny_mnist, "train"), load_mnist(tiny_mnist, "test")
    assert train.images.shape == (20, 28, 28, 1)
    assert test.images.shape == (10, 28, 28, 1)
    assert train.class_names == tuple("0123456789")
    assert test.labels.tolist() == list(range(10))
    assert test.source == "mnist/test"


@pytest.mark.parametrize("ending", ["-idx3-ubyte", ".idx3-ubyte", ".idx3-ubyte.gz"])
def test_load_mnist_accepts_every_spelling(tiny_mnist, ending):
    before = load_mnist(tiny_mnist, "test")
    data = (tiny_mnist / IMAGES).read_bytes()
    (tiny_mnist / IMAGES).unlink()
    packed = data if ending.endswith(".gz") else gzip.decompress(data)
    (tiny_mnist / f"t10k-images{ending}").write_bytes(packed)
    assert load_mnist(tiny_mnist, "test").sha256 == before.sha256


def test_load_mnist_names_the_missing_file(tiny_mnist):
    (tiny_mnist / LABELS).unlink()
    with pytest.raises(DatasetError, match="t10k-labels-idx1-ubyte not found"):
        load_mnist(tiny_mnist, "test")


def test_load_mnist_detects_a_count_mismatch(tiny_mnist, write_idx):
    write_idx(tiny_mnist / LABELS, np.zeros(9, np.uint8))
    with pytest.raises(DatasetError, match="10 images but 9 labels"):
        load_mnist(tiny_mnist, "test")


def test_load_mnist_detects_labels_in_place_of_images(tiny_mnist):
    (tiny_mnist / IMAGES).write_bytes((tiny_mnist / LABELS).read_bytes())
    with pytest.raises(DatasetError, match=r"shape \(10,\), expected uint8 \('N', 28, 28\)"):
        load_mnist(tiny_mnist, "test")


def test_load_mnist_detects_another_image_size(tiny_mnist, write_idx):
    write_idx(tiny_mnist / IMAGES, np.zeros((10, 20, 20), np.uint8))
    with pytest.raises(DatasetError, match=r"\(10, 20, 20\)"):
        load_mnist(tiny_mnist, "test")


def test_load_mnist_detects_a_label_that_is_no_digit(tiny_mnist, write_idx):
    write_idx(tiny_mnist / LABELS, np.arange(1, 11).astype(np.uint8))
    with pytest.raises(DatasetError, match="labels run from 1 to 10"):
        load_mnist(tiny_mnist, "test")


def test_load_mnist_refuses_an_unknown_split(tiny_mnist):
    with pytest.raises(DatasetError, match="'dev'"):
        load_mnist(tiny_mnist, "dev")


def test_find_mnist_finds_nothing_where_there_is_nothing():
    assert find_mnist() is None


def test_find_mnist_prefers_argument_then_variable_then_cache(
    tmp_path, tiny_mnist, monkeypatch, write_idx
):
    def copy(to: Path) -> Path:
        to.mkdir(parents=True)
        for file in tiny_mnist.iterdir():
            (to / file.name).write_bytes(file.read_bytes())
        return to

    cached = copy(tmp_path / "cache" / "nn_perception" / "mnist")
    assert find_mnist() == cached
    named = copy(tmp_path / "data" / "digits")
    monkeypatch.setenv("NN_PERCEPTION_DATA", str(tmp_path / "data"))
    assert find_mnist() == named
    assert find_mnist(tiny_mnist) == tiny_mnist
    monkeypatch.setenv("NN_PERCEPTION_DATA", str(tiny_mnist))
    assert find_mnist() == tiny_mnist


def test_find_mnist_does_not_replace_an_explicit_directory(tmp_path, tiny_mnist, monkeypatch):
    monkeypatch.setenv("NN_PERCEPTION_DATA", str(tiny_mnist))
    with pytest.raises(DatasetError, match="no MNIST there"):
        find_mnist(tmp_path / "elsewhere")


def test_find_mnist_passes_over_a_data_directory_with_other_data(tmp_path, monkeypatch):
    monkeypatch.setenv("NN_PERCEPTION_DATA", str(tmp_path))
    assert find_mnist() is None


def test_find_mnist_reports_a_variable_that_leads_nowhere(tmp_path, monkeypatch):
    monkeypatch.setenv("NN_PERCEPTION_DATA", str(tmp_path / "gone"))
    with pytest.raises(DatasetError, match="NN_PERCEPTION_DATA"):
        find_mnist()


def test_find_mnist_reports_an_incomplete_set(tiny_mnist, monkeypatch):
    (tiny_mnist / LABELS).unlink()
    monkeypatch.setenv("NN_PERCEPTION_DATA", str(tiny_mnist))
    with pytest.raises(DatasetError, match="incomplete there, without t10k-labels"):
        find_mnist()


@pytest.mark.mnist
def test_real_mnist_is_complete(real_mnist):
    train, test = load_mnist(real_mnist, "train"), load_mnist(real_mnist, "test")
    assert train.counts == (5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949)
    assert test.counts == (980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009)
    assert train.labels[:5].tolist() == [5, 0, 4, 1, 9]
    assert int(test.images.max()) == 255
