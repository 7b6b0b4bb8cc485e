"""Inside the lock every loader of a test part raises; training data come as ever."""

import json

import numpy as np
import pytest

from nn_perception.datasets import imu_data, recorded
from nn_perception.datasets.builtin import load_builtin_digits
from nn_perception.datasets.digit_frames import TEST_SEEDS, load_photographs, open_digit_frames
from nn_perception.datasets.images import load_image_set
from nn_perception.datasets.imu_data import load_imu_data, training_recordings
from nn_perception.datasets.imu_files import EUROC_TEST, EUROC_TRAIN, TUMVI_TEST
from nn_perception.datasets.imu_simulated import SIMULATED
from nn_perception.datasets.kept import keep_data, kept
from nn_perception.datasets.mnist import find_mnist, load_mnist
from nn_perception.datasets.recorded import open_shards
from nn_perception.datasets.recorded_images import load_recorded_images
from nn_perception.datasets.recorded_sequences import load_recorded_imu, load_recorded_uwb
from nn_perception.datasets.test_guard import are_test_parts_locked, lock_test_parts
from nn_perception.datasets.uwb_data import load_uwb_data, training_uwb
from nn_perception.errors import DatasetError, HeldOutError


@pytest.fixture(autouse=True)
def no_data_around(monkeypatch, tmp_path):
    monkeypatch.delenv("NN_PERCEPTION_DATA", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture
def npz(tmp_path):
    images, labels = np.zeros((4, 8, 8), np.uint8), np.array([0, 1, 0, 1])
    file = tmp_path / "set.npz"
    parts = {f"{part}_{what}": value for part in ("train", "test")
             for what, value in (("images", images), ("labels", labels))}  # fmt: skip
    np.savez(file, **parts)
    return file


@pytest.fixture
def folder(tmp_path):
    cv2 = pytest.importorskip("cv2")
    for part in ("train", "test"):
        for label in ("0", "1"):
            (tmp_path / "set" / part / label).mkdir(parents=True)
            cv2.imwrite(str(tmp_path / "set" / part / label / "a.png"), np.zeros((8, 8), np.uint8))
    return tmp_path / "set"


@pytest.fixture
def built(tmp_path):
    """A data set from bags, as far as the loaders look before they know which part is asked."""
    parts = {part: {"rows": 1, "files": []} for part in ("train", "validation", "test")}
    manifest = {"format": 1, "kind": "images", "sha256": "", "task": "digits", "sources": [],
                "parts": parts, "prepared": None, "classes": ["0", "1"]}  # fmt: skip
    (tmp_path / recorded.DATASET_FILE).write_text(json.dumps(manifest))
    return tmp_path


def whole(picture):
    return picture


TEST_PARTS = {
    "mnist": lambda get: load_mnist(get("tiny_mnist"), "test"),
    "builtin": lambda get: load_builtin_digits("test"),
    "pictures in npz": lambda get: load_image_set(get("npz"), split="test"),
    "pictures in folders": lambda get: load_image_set(get("folder"), split="test"),
    "pictures in MNIST's files": lambda get: load_image_set(get("tiny_mnist"), split="test"),
    "photographs": lambda get: load_photographs(get("folder") / "test" / "0", "test"),
    "digit frames": lambda get: open_digit_frames("test", TEST_SEEDS[0], get("tiny_mnist")),
    "IMU, simulated": lambda get: load_imu_data(SIMULATED),
    "IMU, recordings": lambda get: load_imu_data(get("tmp_path")),
    "UWB, simulated": lambda get: load_uwb_data(SIMULATED),
    "UWB, recordings": lambda get: load_uwb_data(get("tmp_path")),
    "built, shards": lambda get: open_shards(get("built"), "images", ("train", "test")),
    "built, pictures": lambda get: load_recorded_images(get("built"), "test", whole),
    "built, image set": lambda get: load_image_set(get("built"), split="test"),
    "built, IMU": lambda get: load_recorded_imu(retold(get("built"), "imu"), ("test",)),
    "built, UWB": lambda get: load_recorded_uwb(retold(get("built"), "uwb"), ("test",)),
}


def retold(path, kind):
    manifest = json.loads((path / recorded.DATASET_FILE).read_text())
    manifest |= {"kind": kind, "split": {"blocks": {}}}
    (path / recorded.DATASET_FILE).write_text(json.dumps(manifest))
    return path


@pytest.mark.parametrize("name", TEST_PARTS)
def test_a_test_part_is_refused_inside_the_lock_and_not_outside(name, request):
    load = TEST_PARTS[name]
    with lock_test_parts("a search"), pytest.raises(HeldOutError, match="a search must not see it"):
        load(request.getfixturevalue)
    assert not are_test_parts_locked()
    try:
        load(request.getfixturevalue)
    except HeldOutError:
        pytest.fail("the lock outlived its context")
    except (DatasetError, ValueError):
        pass  # nothing there to read


TRAINING_PARTS = {
    "mnist": lambda get: load_mnist(get("tiny_mnist"), "train"),
    "builtin": lambda get: load_builtin_digits("train"),
    "pictures in npz": lambda get: load_image_set(get("npz"), split="train"),
    "pictures in folders": lambda get: load_image_set(get("folder"), split="train"),
    "UWB, simulated": lambda get: training_uwb(SIMULATED),
}


@pytest.mark.parametrize("name", TRAINING_PARTS)
def test_training_data_are_read_inside_the_lock(name, request):
    with lock_test_parts("a search"):
        assert len(TRAINING_PARTS[name](request.getfixturevalue)) > 0


def test_a_lock_holds_until_the_last_one_is_gone():
    with lock_test_parts("one"):
        with pytest.raises(ZeroDivisionError), lock_test_parts("another"):
            raise ZeroDivisionError
        with pytest.raises(HeldOutError, match="one must not"):
            load_builtin_digits("test")
    load_builtin_digits("test")


def test_recordings_that_are_for_tests_are_not_opened_inside_the_lock(tmp_path, monkeypatch):
    opened = []

    def read(source):
        opened.append(source.stem)
        return []

    monkeypatch.setattr(imu_data, "_read", read)
    for name in (EUROC_TEST[0], TUMVI_TEST[1], EUROC_TRAIN[0]):
        (tmp_path / f"{name}.npz").touch()
    with lock_test_parts("a search"):
        training_recordings(tmp_path, ())
    assert opened == [EUROC_TRAIN[0]]
    training_recordings(tmp_path, ())
    assert len(opened) == 4


def test_mnist_is_found_without_its_test_files_where_only_training_is_asked_for(tiny_mnist):
    for file in tiny_mnist.glob("t10k*"):
        file.unlink()
    assert find_mnist(tiny_mnist, ("train",)) == tiny_mnist
    with pytest.raises(DatasetError, match="incomplete there, without t10k-images"):
        find_mnist(tiny_mnist)


def test_kept_data_are_made_once_and_forgotten_at_the_end():
    made = []

    def make():
        made.append(1)
        return len(made)

    assert [kept("key", make), kept("key", make)] == [1, 2]
    with keep_data():
        assert [kept("key", make), kept("key", make), kept("other", make)] == [3, 3, 4]
    assert kept("key", make) == 5
