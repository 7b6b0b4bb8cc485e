from __future__ import annotations

import gzip
import logging
from pathlib import Path

import numpy as np
import pytest
import yaml

from nn_perception.cli.main import main
from nn_perception.datasets import converters, uwb_data
from nn_perception.datasets.imu_simulator import Motion, simulate_imu
from nn_perception.datasets.uwb import UwbSequence
from nn_perception.datasets.uwb_bag_writer import write_uwb_bag
from nn_perception.datasets.uwb_bags import read_uwb_bag
from nn_perception.datasets.uwb_data import load_uwb_data, training_uwb
from nn_perception.datasets.uwb_files import load_uwb_file
from nn_perception.datasets.uwb_simulated import TEST_SEEDS, TRAINING_SEEDS, simulate_uwb
from nn_perception.datasets.uwb_text import parse_anchors, parse_tags
from nn_perception.errors import DatasetError
from nn_perception.rotations import quat_to_wxyz

pytest.importorskip("rosbags")


@pytest.fixture(scope="module")
def flight() -> UwbSequence:
    return simulate_uwb(2, duration_s=3.0, tags=2)


def write_file(path: Path, given: UwbSequence) -> None:
    turns = np.array([anchor.orientation_xyzw for anchor in given.anchors.values()])
    head = "t,tag,anchor,range,tag_x,tag_y,tag_z,tag_qw,tag_qx,tag_qy,tag_qz,anc_x,anc_y,anc_z"
    columns = np.column_stack(
        [given.time_s, given.tag, given.anchor, given.range_m, given.tag_position_m,
         quat_to_wxyz(given.orientation_xyzw), given.anchor_position_m,
         quat_to_wxyz(turns[given.anchor])]
    )  # fmt: skip
    rows = [",".join(map(repr, row)) for row in columns.tolist()]
    text = "\n".join([head + ",anc_qw,anc_qx,anc_qy,anc_qz", *rows])
    path.write_bytes(gzip.compress(text.encode()) if path.suffix == ".gz" else text.encode())


@pytest.fixture
def folder(tmp_path, flight) -> Path:
    """Files, a bag and a bare MCAP file, and what is none of these."""
    data = tmp_path / "data"
    data.mkdir()
    write_file(data / "b_file.csv.gz", flight)
    write_file(data / "d_plain.csv", flight)
    write_uwb_bag(flight, data / "c_bag")
    write_uwb_bag(flight, tmp_path / "other")
    (tmp_path / "other" / "other.mcap").rename(data / "a_bare.mcap")
    (data / "README.md").write_text("about\n")
    (data / "prices.csv").write_text("name,price\n")
    (data / "pictures").mkdir()
    return data


def test_a_directory_may_hold_files_and_bags(folder, flight):
    found = load_uwb_data(folder)
    assert [given.name for given in found] == ["a_bare", "b_file", "c_bag", "d_plain"]
    for given in found:
        assert given.has_truth.all()
        np.testing.assert_allclose(given.range_m, flight.range_m, atol=1e-6)
        np.testing.assert_allclose(given.range_true_m, flight.range_true_m, atol=1e-6)


@pytest.mark.parametrize("name", ["a_bare.mcap", "b_file.csv.gz", "c_bag", "d_plain.csv"])
def test_one_recording_alone(folder, name):
    assert [given.name for given in load_uwb_data(folder / name)] == [name.split(".")[0]]


@pytest.mark.parametrize("name", ["a_bare.mcap", "b_file.csv.gz", "c_bag/c_bag.mcap"])
def test_one_that_cannot_be_read_is_named(folder, name):
    data = (folder / name).read_bytes()
    (folder / name).write_bytes(data[: len(data) // 2])
    with pytest.raises(DatasetError, match=name.split("/")[0]):
        load_uwb_data(folder)


def test_nothing_there_and_names_that_repeat(folder, tmp_path):
    with pytest.raises(DatasetError, match="does not exist, expected UWB ranges as"):
        load_uwb_data(tmp_path / "missing")
    with pytest.raises(DatasetError, match="holds no recording"):
        load_uwb_data(folder / "pictures")
    with pytest.raises(DatasetError, match=r"README\.md: is no recording by its name"):
        load_uwb_data(folder / "README.md")
    (folder / "c_bag" / "metadata.yaml").unlink()
    with pytest.raises(DatasetError, match=r"c_bag: holds no metadata\.yaml"):
        load_uwb_data(folder)
    (folder / "c_bag" / "c_bag.mcap").unlink()
    (folder / "d_plain.csv").rename(folder / "b_file.csv")
    with pytest.raises(DatasetError, match="2 recordings are called 'b_file'"):
        load_uwb_data(folder)


def test_the_word_simulated():
    found = load_uwb_data(Path("simulated"))
    assert [given.name for given in found] == [f"simulated_{seed}" for seed in TEST_SEEDS]


def test_what_to_train_on(folder, tmp_path, monkeypatch, caplog):
    names = ["a_bare", "b_file", "c_bag", "d_plain"]
    assert [given.name for given in training_uwb(folder)] == names
    folder.rename(tmp_path / "uwb")
    assert [given.name for given in training_uwb(tmp_path)] == names
    monkeypatch.setenv("NN_PERCEPTION_DATA", str(tmp_path))
    assert [given.name for given in training_uwb(None)] == names
    assert not caplog.records
    monkeypatch.setenv("NN_PERCEPTION_DATA", "")
    monkeypatch.setattr(uwb_data, "simulated_uwb", lambda seeds: seeds)
    with caplog.at_level(logging.WARNING):
        assert training_uwb(None) is TRAINING_SEEDS
    assert "NN_PERCEPTION_DATA): training on simulated ranges" in caplog.text


def parameters(bag: Path) -> dict:
    return yaml.safe_load((bag / "uwb_anchors.yaml").read_text())["/**"]["ros__parameters"]


def test_convert_makes_bags_with_their_parameters(folder, tmp_path, flight, capsys):
    out = tmp_path / "bags"
    assert main(["convert", str(folder), str(out)]) == 0
    assert f"b_file.csv.gz -> {out / 'b_file'}  {len(flight)} messages" in capsys.readouterr().out
    given, found = load_uwb_file(folder / "b_file.csv.gz"), read_uwb_bag(out / "b_file")
    np.testing.assert_array_equal(found.range_m, given.range_m.astype(np.float32))
    np.testing.assert_allclose(found.range_true_m, given.range_true_m, atol=1e-9)
    written = parameters(out / "b_file")
    assert set(written) == {"anchors", "tags"}
    assert parse_anchors(written["anchors"]) == found.anchors
    assert parse_tags(written["tags"]) == found.tags
    assert [given.name for given in load_uwb_data(out)] == ["b_file"]


def test_kinds_may_lie_side_by_side(folder, tmp_path):
    made = simulate_imu(100.0, seed=1, motion=Motion(duration_s=2.0))
    np.savez(
        folder / "imu.walk.npz",
        gyr=made.gyro_rad_s, acc=made.accel_m_s2, mag=made.accel_m_s2, pos=made.position_m,
        quat=quat_to_wxyz(made.orientation_xyzw), movement=made.movement, fs=100.0,
    )  # fmt: skip
    done = converters.convert_to_bags(folder, tmp_path / "bags")
    assert [bag.name for _, bag, _ in done] == ["b_file", "imu.walk"]


def test_a_table_of_something_else_is_refused(tmp_path, capsys):
    (tmp_path / "prices.csv.gz").write_bytes(gzip.compress(b"name,price\n"))
    assert main(["convert", str(tmp_path / "prices.csv.gz"), str(tmp_path / "bag")]) != 0
    assert "prices.csv.gz: is of no kind that can be converted" in capsys.readouterr().err
    assert not (tmp_path / "bag").exists()


def test_the_word_simulated_uwb(tmp_path, monkeypatch):
    monkeypatch.setattr(converters.uwb_simulated, "TEST_SEEDS", range(100, 102))
    made = converters.uwb_simulated.simulated_uwb
    monkeypatch.setattr(converters.uwb_simulated, "simulated_uwb", lambda seeds: made(seeds, 2.0))
    assert main(["convert", "simulated-uwb", str(tmp_path / "bags")]) == 0
    found = load_uwb_data(tmp_path / "bags")
    assert [given.name for given in found] == ["simulated_100", "simulated_101"]
    assert parse_tags(parameters(tmp_path / "bags" / "simulated_101")["tags"]) == found[1].tags
