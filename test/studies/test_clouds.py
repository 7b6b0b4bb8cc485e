import numpy as np
import pytest

from nn_perception.datasets.point_clouds import PointClouds
from nn_perception.errors import DatasetError
from nn_perception.studies.clouds import (
    TEST_FILE,
    TRAIN_FILE,
    load_shapes,
    made_up_planes,
)


@pytest.fixture(autouse=True)
def no_data_in_the_environment(monkeypatch):
    monkeypatch.delenv("NN_PERCEPTION_DATA", raising=False)


def write(path, count, prefix):
    points = np.random.RandomState(0).standard_normal((count, 16, 3)).astype(np.float16)
    np.savez(path, points=points, ids=np.array([f"{prefix}{i}" for i in range(count)]))


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "rotation").mkdir()
    write(tmp_path / "rotation" / TRAIN_FILE, 20, "train")
    write(tmp_path / "rotation" / TEST_FILE, 5, "test")
    return tmp_path


def test_files_are_split_without_a_shape_in_common(folder):
    for data in (folder, folder / "rotation"):
        shapes = load_shapes(data)
        sets = [set(part.ids) for part in (shapes.train, shapes.validation, shapes.test)]
        assert [len(names) for names in sets] == [16, 4, 5]
        assert len(set.union(*sets)) == 25
        assert shapes.test.source == "planes_test"


def test_the_environment_names_the_directory_too(folder, monkeypatch):
    monkeypatch.setenv("NN_PERCEPTION_DATA", str(folder))
    assert len(load_shapes(None).test) == 5
    monkeypatch.setenv("NN_PERCEPTION_DATA", str(folder / "nowhere"))
    with pytest.raises(DatasetError, match="expected a directory"):
        load_shapes(None)


def test_a_directory_without_other_data_leads_to_made_up_shapes(tmp_path, monkeypatch):
    monkeypatch.setenv("NN_PERCEPTION_DATA", str(tmp_path))
    shapes = load_shapes(None)
    assert shapes.train.source == "made-up aeroplanes"
    assert (len(shapes.train), len(shapes.validation), len(shapes.test)) == (800, 200, 200)
    assert not set(shapes.train.ids) & set(shapes.test.ids)


def test_a_directory_that_was_named_and_holds_nothing_is_refused(tmp_path):
    with pytest.raises(DatasetError, match="no point clouds there, expected planes_train"):
        load_shapes(tmp_path)


def test_one_file_without_the_other_is_refused(folder):
    (folder / "rotation" / TEST_FILE).unlink()
    with pytest.raises(DatasetError, match=TEST_FILE):
        load_shapes(folder)


def test_a_test_shape_among_the_training_shapes_is_refused(folder):
    write(folder / "rotation" / TEST_FILE, 5, "train")
    with pytest.raises(DatasetError, match="5 of 20 training shapes"):
        load_shapes(folder)


def test_made_up_planes_are_like_the_real_ones():
    planes = made_up_planes(50, 512, seed=3)
    assert isinstance(planes, PointClouds)
    extent = np.ptp(planes.points, axis=1).mean(axis=0)
    assert np.allclose(extent, [0.65, 0.2, 0.65], atol=0.08)
    assert np.linalg.norm(planes.points.mean(axis=1), axis=1).max() < 0.15
    assert np.linalg.norm(planes.points, axis=2).mean() == pytest.approx(0.2, abs=0.1)


def test_made_up_planes_differ_and_repeat():
    first, again, other = (made_up_planes(3, 64, seed) for seed in (0, 0, 1))
    assert first.sha256 == again.sha256 != other.sha256
    assert np.ptp(np.ptp(first.points, axis=1), axis=0).min() > 0.01
