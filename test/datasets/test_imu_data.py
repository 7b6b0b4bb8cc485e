from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from nn_perception.datasets.imu import ImuSequence
from nn_perception.datasets.imu_bags import write_imu_bag
from nn_perception.datasets.imu_data import load_imu_data
from nn_perception.datasets.imu_simulator import Motion, simulate_imu
from nn_perception.errors import DatasetError

pytest.importorskip("rosbags")


@pytest.fixture(scope="module")
def simulated() -> ImuSequence:
    return simulate_imu(100.0, seed=4, motion=Motion(duration_s=2.0))


def write_broad(path: Path, sequence: ImuSequence) -> None:
    arrays = {name: np.zeros((len(sequence), 3), np.float32) for name in ("mag", "pos")}
    np.savez(
        path,
        gyr=sequence.gyro_rad_s,
        acc=sequence.accel_m_s2,
        quat=np.roll(sequence.orientation_xyzw, 1, axis=1),
        movement=sequence.movement,
        fs=100.0,
        **arrays,
    )


@pytest.fixture
def folder(tmp_path, simulated) -> Path:
    """A file, a bag and a bare MCAP file, and what is none of these."""
    data = tmp_path / "data"
    data.mkdir()
    write_broad(data / "b_file.npz", simulated)
    write_imu_bag(simulated, data / "c_bag")
    write_imu_bag(simulated, tmp_path / "other")
    (tmp_path / "other" / "other.mcap").rename(data / "a_bare.mcap")
    (data / "README.md").write_text("about\n")
    (data / "pictures").mkdir()
    return data


def test_a_directory_may_hold_files_and_bags(folder):
    found = load_imu_data(folder)
    assert [sequence.name for sequence in found] == ["a_bare", "b_file", "c_bag"]
    for sequence in found:
        assert sequence.has_truth.all()
        np.testing.assert_allclose(sequence.gyro_rad_s, found[0].gyro_rad_s)


@pytest.mark.parametrize("name", ["a_bare.mcap", "b_file.npz", "c_bag"])
def test_one_recording_alone(folder, name):
    assert [sequence.name for sequence in load_imu_data(folder / name)] == [Path(name).stem]


@pytest.mark.parametrize("name", ["a_bare.mcap", "b_file.npz", "c_bag/c_bag.mcap"])
def test_one_that_cannot_be_read_is_named(folder, name):
    data = (folder / name).read_bytes()
    (folder / name).write_bytes(data[: len(data) // 2])
    with pytest.raises(DatasetError, match=name.split("/")[0]):
        load_imu_data(folder)


def test_a_bag_whose_recorder_was_killed_is_named(folder):
    (folder / "c_bag" / "metadata.yaml").unlink()
    with pytest.raises(DatasetError, match=r"c_bag: holds no metadata\.yaml"):
        load_imu_data(folder)


def test_nothing_there_and_names_that_repeat(folder, tmp_path):
    with pytest.raises(DatasetError, match="does not exist"):
        load_imu_data(tmp_path / "missing")
    with pytest.raises(DatasetError, match="holds no recording"):
        load_imu_data(folder / "pictures")
    (folder / "a_bare.mcap").rename(folder / "c_bag.mcap")
    with pytest.raises(DatasetError, match="2 recordings are called 'c_bag'"):
        load_imu_data(folder)
