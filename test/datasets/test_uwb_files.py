from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest

from nn_perception.datasets.uwb_files import (
    POSE_PAUSE_S,
    is_uwb_file,
    load_uwb_file,
    stem,
)
from nn_perception.errors import DatasetError
from nn_perception.rotations import quat_rotate

LEVER = np.array([0.3, -0.2, 0.1])
ANCHORS = {4: [5.0, 0.0, 1.0], 9: [0.0, 5.0, 2.0], 11: [-4.0, -4.0, 0.5]}
PLACES = ["tag_x", "tag_y", "tag_z", "tag_qw", "tag_qx", "tag_qy", "tag_qz"]
HEAD = ["t", "tag", "anchor", "range", *PLACES, "anc_x", "anc_y", "anc_z"]


def turned(time_s: float) -> np.ndarray:
    """x, y, z, w of a turn about a tilted axis."""
    axis = np.array([0.36, 0.48, 0.8])
    return np.append(axis * np.sin(time_s / 2.0), np.cos(time_s / 2.0))


def flight(tags=(1, 2), rows=120) -> dict[str, list]:
    """Columns of a flight on a circle: tag 1 is the body, tag 2 sits on an arm."""
    table: dict[str, list] = {name: [] for name in (*HEAD, "range_true")}
    for row in range(rows):
        t, tag = row * 0.01, tags[row % len(tags)]
        anchor = list(ANCHORS)[row // len(tags) % len(ANCHORS)]
        quat = turned(t)
        body = np.array([np.cos(t), np.sin(t), 1.0 + 0.2 * t])
        place = body + (quat_rotate(quat, LEVER) if tag == tags[-1] and len(tags) > 1 else 0.0)
        true = np.linalg.norm(place - ANCHORS[anchor])
        values = [t, tag, anchor, true + 0.1, *place, *np.roll(quat, 1), *ANCHORS[anchor], true]
        for column, value in zip(table.values(), values, strict=True):
            column.append(value)
    return table


def write(path: Path, table: dict[str, list]) -> Path:
    rows = [",".join(map(str, row)) for row in zip(*table.values(), strict=True)]
    text = "\n".join([",".join(table), *rows]) + "\n"
    path.write_bytes(gzip.compress(text.encode()) if path.suffix == ".gz" else text.encode())
    return path


@pytest.mark.parametrize("name", ["rig_flight.csv.gz", "rig_flight.csv"])
def test_scalar_last_lever_arm_and_true_ranges(tmp_path, name):
    found = load_uwb_file(write(tmp_path / name, flight()))
    assert (found.name, found.source, len(found)) == ("rig_flight", "rig", 120)
    assert (list(found.tags), list(found.anchors)) == (
        ["tag1", "tag2"],
        ["anchor4", "anchor9", "anchor11"],
    )
    expected = np.array([turned(t) for t in found.time_s])
    np.testing.assert_allclose(found.orientation_xyzw, expected, atol=1e-12)
    assert found.tags["tag1"] == (0.0, 0.0, 0.0)
    np.testing.assert_allclose(found.tags["tag2"], LEVER, atol=1e-4)
    body = np.column_stack([np.cos(found.time_s), np.sin(found.time_s), 1 + 0.2 * found.time_s])
    np.testing.assert_allclose(found.position_m, body, atol=2e-4)
    np.testing.assert_allclose(found.error_m, 0.1, atol=1e-9)
    assert found.anchors["anchor9"].position_m == (0.0, 5.0, 2.0)
    assert found.anchors["anchor9"].orientation_xyzw is None
    assert found.rx_power_dbm is None
    assert not found.outlier.any()


def test_columns_in_any_order_and_unknown_ones(tmp_path):
    table = flight()
    given = load_uwb_file(write(tmp_path / "a.csv", table))
    table["remark"] = ["much text"] * 120
    other = dict(sorted(table.items(), reverse=True))
    assert load_uwb_file(write(tmp_path / "b.csv", other)).sha256 == given.sha256


def test_optional_columns(tmp_path):
    table = flight(tags=(0,))
    table["rx_power"] = [-60.0] * 119 + [""]
    table["outlier"] = [0] * 119 + [1]
    for name, value in zip(["anc_qw", "anc_qx", "anc_qy", "anc_qz"], [0.8, 0.6, 0, 0], strict=True):
        table[name] = [value] * 120
    table["range"][7] = "nan"
    found = load_uwb_file(write(tmp_path / "a.csv", table))
    assert found.anchors["anchor4"].orientation_xyzw == pytest.approx((0.6, 0.0, 0.0, 0.8))
    assert np.flatnonzero(np.isnan(found.rx_power_dbm)).tolist() == [119]
    assert np.flatnonzero(found.outlier).tolist() == [119]
    assert np.isnan(found.range_m[7])
    del table["outlier"]
    assert np.flatnonzero(load_uwb_file(write(tmp_path / "b.csv", table)).outlier).tolist() == [7]


def test_rows_without_truth(tmp_path):
    table = flight()
    for name in (*PLACES, "range_true"):
        table[name][50:60] = [""] * 10
    found = load_uwb_file(write(tmp_path / "a.csv", table))
    assert np.flatnonzero(~found.has_truth).tolist() == list(range(50, 60))
    assert np.isnan(found.range_true_m[50:60]).all()
    assert np.isfinite(found.range_m).all()
    assert not found.outlier.any()
    np.testing.assert_allclose(found.tags["tag2"], LEVER, atol=1e-4)


def test_poses_are_laid_one_after_another(tmp_path):
    table = flight(tags=(0,), rows=90)
    table["pose"] = np.repeat([0, 1, 5], 30).tolist()
    table["t"] = np.tile(np.arange(30) * 3.0, 3).tolist()
    found = load_uwb_file(write(tmp_path / "a.csv", table))
    assert found.segment.tolist() == np.repeat([0, 1, 2], 30).tolist()
    steps = np.diff(found.time_s)
    assert steps[[29, 59]].tolist() == [POSE_PAUSE_S] * 2
    np.testing.assert_allclose(np.delete(steps, [29, 59]), 3.0)
    table["pose"][40] = 0
    with pytest.raises(DatasetError, match=r"line 42, column 'pose': 0, expected pose by pose"):
        load_uwb_file(write(tmp_path / "b.csv", table))


def test_a_pause_ends_a_segment(tmp_path):
    table = flight(tags=(0,))
    table["t"] = [t + 1.9 * (row >= 40) + 2.0 * (row >= 70) for row, t in enumerate(table["t"])]
    found = load_uwb_file(write(tmp_path / "a.csv", table))
    assert found.segment.tolist() == [0] * 70 + [1] * 50


def damaged(column: str, row: int, value):
    def change(table):
        table[column][row] = value

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda table: table.pop("tag_qw"), r"no column 'tag_qw', expected rows of t, tag"),
        (damaged("range", 3, "far"), r"line 5, column 'range': 'far', expected a number"),
        (damaged("t", 3, ""), r"line 5, column 't': nan, expected a finite number"),
        (damaged("t", 3, 9.0), r"line 6, column 't': 0.04, expected times that do not decrease"),
        (damaged("anchor", 3, 4.5), r"line 5, column 'anchor': 4.5, expected a whole number"),
        (damaged("tag", 3, -1), r"line 5, column 'tag': -1, expected a whole number"),
        (damaged("anc_y", 119, 5.1), r"line 121: anchor\d+ is not where line \d has it"),
        (damaged("tag_x", 3, ""), r"pose of row 3 is .* make it NaN; or copy or export"),
        (damaged("tag_qw", 3, 1.5), r"orientation of row 3 has the norm"),
        (damaged("range_true", 3, 1.0), r"line 5, column 'range_true': 1, .* within 2 mm"),
        (damaged("range", 3, "1,2"), r"line 5 has 16 columns, expected 15"),
    ],
)
def test_damage_is_named(tmp_path, change, message):
    table = flight()
    change(table)
    with pytest.raises(DatasetError, match=rf"a\.csv\.gz: .*{message}"):
        load_uwb_file(write(tmp_path / "a.csv.gz", table))


def test_a_quaternion_in_another_order_is_no_rigid_body(tmp_path):
    table = flight(rows=600)
    names = ["tag_qw", "tag_qx", "tag_qy", "tag_qz"]
    values = [table[name] for name in names]
    table.update(zip(names, values[1:] + values[:1], strict=True))
    with pytest.raises(DatasetError, match=r"tag2 moves by .* expected a rigid body"):
        load_uwb_file(write(tmp_path / "a.csv", table))


def test_tags_never_seen_together_are_not_on_one_body(tmp_path):
    table = flight()
    table["tag"] = [1] * 60 + [2] * 60
    table["t"] = [t + (row >= 60) for row, t in enumerate(table["t"])]
    with pytest.raises(DatasetError, match=r"tag1 and tag2 are never seen within 0.2 s"):
        load_uwb_file(write(tmp_path / "a.csv", table))


def test_files_that_cannot_be_read(tmp_path):
    whole = write(tmp_path / "a.csv.gz", flight()).read_bytes()
    for name, data in [
        ("cut.csv.gz", whole[: len(whole) // 2]),
        ("foreign.csv.gz", b"PK" + whole),
        ("none.csv.gz", b""),
        ("binary.csv", b"\xff\xfe\x00"),
        ("missing.csv", None),
    ]:
        if data is not None:
            (tmp_path / name).write_bytes(data)
        with pytest.raises(DatasetError, match=f"{name}: "):
            load_uwb_file(tmp_path / name)
    (tmp_path / "head.csv").write_text(",".join(HEAD) + "\n")
    with pytest.raises(DatasetError, match=r"head\.csv: no rows, expected rows of t, tag, anchor"):
        load_uwb_file(tmp_path / "head.csv")


def test_which_files_are_recordings(tmp_path):
    assert is_uwb_file(write(tmp_path / "a.csv.gz", flight()))
    assert is_uwb_file(write(tmp_path / "a.csv", flight()))
    (tmp_path / "prices.csv").write_text("name,price\n")
    assert not is_uwb_file(tmp_path / "prices.csv")
    assert not is_uwb_file(write(tmp_path / "a.txt", flight()))
    (tmp_path / "cut.csv.gz").write_bytes(b"\x1f\x8b\x08")
    assert is_uwb_file(tmp_path / "cut.csv.gz")  # to be refused by name
    assert [stem(Path(name)) for name in ("a.b.csv.gz", "a.csv", "a.b")] == ["a.b", "a", "a"]
