from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.transform import Rotation, Slerp

from nn_perception.datasets import imu_files
from nn_perception.datasets.imu_files import (
    BROAD_FOLDS,
    broad_trial,
    load_broad,
    load_euroc_tumvi,
    load_imu_directory,
    select,
)
from nn_perception.errors import DatasetError

N = 50
DRAW = np.random.default_rng(2)
VECTORS = DRAW.standard_normal((N, 3)).astype(np.float32)
ROTATIONS = Rotation.from_rotvec(np.linspace([0.0, 0.1, 0.2], [1.0, -0.5, 2.0], N))
WXYZ = np.roll(ROTATIONS.as_quat(), 1, axis=1).astype(np.float32)
VALID = np.arange(N) > 4


def holed(array: np.ndarray) -> np.ndarray:
    return np.where(VALID[:, np.newaxis], array, np.nan).astype(np.float32)


def broad(**changes) -> dict:
    arrays = {"gyr": VECTORS, "acc": VECTORS + 1, "mag": VECTORS + 2, "quat": holed(WXYZ)}
    more = {"pos": holed(VECTORS), "movement": VALID, "fs": np.float64(100.0)}
    return {**arrays, **more, **changes}


def euroc(**changes) -> dict:
    arrays = {"t": np.arange(N) / 200.0, "t0_ns": np.int64(7), "gyr": VECTORS, "acc": VECTORS + 1}
    truth = {"valid": VALID, "quat": holed(WXYZ), "pos": holed(VECTORS), "vel": holed(VECTORS)}
    return {**arrays, **truth, "vel_source": np.array("source"), **changes}


def alternative() -> dict:
    """A truth of its own: each tenth sample, turned by a quarter."""
    quat = (Rotation.from_euler("z", 90.0, degrees=True) * ROTATIONS).as_quat()
    vectors = {f"alt_{name}": VECTORS[::10] for name in ("pos", "vel", "bias_gyr", "bias_acc")}
    wxyz = np.roll(quat, 1, axis=1)[::10].astype(np.float32)
    return {"alt_t": np.arange(0, N, 10) / 200.0, "alt_quat": wxyz, **vectors}


@pytest.fixture
def save(tmp_path):
    def write(name: str, arrays: dict) -> Path:
        path = tmp_path / f"{name}.npz"
        np.savez_compressed(path, **arrays)
        return path

    return write


def test_broad_becomes_xyzw_with_times_and_units(save):
    trial = load_broad(save("01_slow", broad()))
    assert (trial.name, trial.source) == ("01_slow", "broad")
    assert np.allclose(trial.time_s, np.arange(N) / 100.0)
    assert np.allclose(trial.orientation_xyzw[VALID], ROTATIONS.as_quat()[VALID], atol=1e-6)
    assert np.array_equal(trial.has_truth, VALID)
    assert np.array_equal(trial.gyro_rad_s, VECTORS)
    assert np.array_equal(trial.mag_ut, VECTORS + 2)
    assert np.array_equal(trial.movement, VALID)


def test_euroc_keeps_truth_where_it_is_valid_and_biases_where_they_are(save):
    biases = {"bias_gyr": holed(VECTORS), "bias_acc": holed(VECTORS)}
    sequence = load_euroc_tumvi(save("euroc_x", euroc(**biases, quat=WXYZ)))
    assert (sequence.source, sequence.start_ns) == ("euroc", 7)
    assert np.array_equal(sequence.has_truth, VALID)
    assert np.allclose(sequence.orientation_xyzw[VALID], ROTATIONS.as_quat()[VALID], atol=1e-6)
    assert np.array_equal(sequence.gyro_bias_rad_s[VALID], VECTORS[VALID])
    bare = load_euroc_tumvi(save("tumvi_x", euroc()))
    assert bare.source == "tumvi"
    assert bare.gyro_bias_rad_s is None


def test_a_recomputed_truth_replaces_the_original_unless_told(save):
    path = save("euroc_v", euroc(**alternative()))
    original, recomputed = load_euroc_tumvi(path, "original"), load_euroc_tumvi(path)
    assert np.array_equal(original.has_truth, VALID)
    assert np.flatnonzero(recomputed.has_truth).tolist() == list(range(41))
    turned = Rotation.from_euler("z", 90.0, degrees=True) * ROTATIONS
    expected = Slerp(np.arange(0, N, 10), turned[::10])(np.arange(41))
    found = Rotation.from_quat(recomputed.orientation_xyzw[:41])
    assert (expected.inv() * found).magnitude().max() < 1e-6
    assert np.allclose(recomputed.position_m[5], (VECTORS[0] + VECTORS[10]) / 2.0)
    with pytest.raises(DatasetError, match="expected 'recomputed' or 'original'"):
        load_euroc_tumvi(path, "best")


def test_a_recomputed_truth_is_not_drawn_across_a_gap(save):
    change = alternative()
    change["alt_t"] = change["alt_t"] * np.array([1, 1, 4, 4, 4])  # 0.05 s, then 0.35 s later
    time_s = np.arange(N) / 60.0
    sequence = load_euroc_tumvi(save("euroc_v", euroc(**change, t=time_s)))
    assert not sequence.has_truth[(time_s > 0.06) & (time_s < 0.39)].any()


def test_a_directory_gives_both_kinds_in_order(save, tmp_path):
    save("tumvi_x", euroc())
    save("01_slow", broad())
    (tmp_path / "README.md").write_text("not data")
    found = load_imu_directory(tmp_path)
    assert [(sequence.name, sequence.source) for sequence in found] == [
        ("01_slow", "broad"),
        ("tumvi_x", "tumvi"),
    ]
    assert load_imu_directory(tmp_path / "01_slow.npz")[0].sha256 == found[0].sha256


def test_a_directory_without_data_or_with_something_else_is_refused(save, tmp_path):
    with pytest.raises(DatasetError, match=r"no \.npz file .* expected a trial of BROAD"):
        load_imu_directory(tmp_path)
    save("planes", {"points": VECTORS, "ids": np.array(["a"])})
    with pytest.raises(DatasetError, match=r"planes\.npz: holds ids, points, expected"):
        load_imu_directory(tmp_path)


@pytest.mark.parametrize("missing", sorted(broad()))
def test_a_missing_array_is_named(save, missing):
    arrays = broad()
    del arrays[missing]
    with pytest.raises(DatasetError, match=f"expected also {missing}; get the file again"):
        load_broad(save("01_slow", arrays))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"gyr": VECTORS[:, :2]}, r"gyr is float32 of shape \(50, 2\), expected .*'f'.*3\)"),
        ({"acc": VECTORS[:-1]}, r"acc is .*\(49, 3\), expected .*\(50, 3\)"),
        ({"quat": WXYZ[:, :3]}, r"quat is .*\(50, 3\)"),
        ({"valid": VALID.astype(np.int8)}, "valid is int8"),
        ({"t0_ns": np.arange(3)}, r"t0_ns is int64 of shape \(3,\)"),
        ({"gyr": VECTORS.astype(str)}, "gyr is <U"),
        ({"gyr": np.array([{}] * N)}, "gyr cannot be read .*allow_pickle"),
        ({"quat": 1.1 * WXYZ}, "norm 1.1, expected unit"),
        ({"acc": np.full_like(VECTORS, np.nan)}, "accel_m_s2 of sample 0"),
        ({"t": np.zeros(N)}, "sample 1 does not come after"),
        ({**alternative(), "alt_t": np.zeros(5)}, "alt_t does not increase"),
        ({"alt_t": np.arange(5.0)}, "expected also alt_quat"),
    ],
)
def test_an_array_of_another_kind_is_refused_with_file_and_repair(save, change, words):
    path = save("euroc_x", euroc(**change))
    with pytest.raises(DatasetError, match=words) as caught:
        load_imu_directory(path)
    assert str(path) in str(caught.value)
    assert "get the file again" in str(caught.value)


@pytest.mark.parametrize("share", [0.0, 0.3, 0.99])
def test_a_truncated_file_is_refused(save, share):
    path = save("01_slow", broad())
    data = path.read_bytes()
    path.write_bytes(data[: int(share * len(data))])
    with pytest.raises(DatasetError, match=r"01_slow\.npz: cannot be read .*get the file again"):
        load_broad(path)


def test_flipped_bits_are_found_by_the_checksum(save):
    path = save("01_slow", broad())
    data = bytearray(path.read_bytes())
    data[len(data) // 3] ^= 16
    path.write_bytes(data)
    with pytest.raises(DatasetError, match=r"01_slow\.npz: \w+ cannot be read"):
        load_broad(path)


def test_other_files_are_refused(tmp_path):
    np.save(tmp_path / "one.npy", VECTORS)
    for path in (tmp_path / "one.npy", tmp_path / "missing.npz", tmp_path):
        with pytest.raises(DatasetError, match=r"cannot be read .* complete \.npz"):
            load_broad(path)


def test_a_rate_of_zero_is_refused(save):
    with pytest.raises(DatasetError, match=r"fs is 0\.0 Hz"):
        load_broad(save("01_slow", broad(fs=np.float64(0.0))))


def test_splits_leave_nothing_in_two_parts():
    assert not set(imu_files.EUROC_TRAIN) & set(imu_files.EUROC_TEST)
    assert not set(imu_files.TUMVI_TRAIN) & set(imu_files.TUMVI_TEST)
    trials = [trial for fold in BROAD_FOLDS for trial in fold]
    assert len(trials) == len(set(trials)) == 24


def test_sequences_are_found_by_name_and_trials_by_number(save, tmp_path):
    save("01_slow", broad())
    save("02_slow", broad())
    sequences = load_imu_directory(tmp_path)
    assert [s.name for s in select(sequences, ["02_slow", "01_slow"])] == ["02_slow", "01_slow"]
    with pytest.raises(DatasetError, match=r"no sequence '03_slow'.*did you mean"):
        select(sequences, ["03_slow"])
    assert broad_trial("07_undisturbed_fast_rotation_B") == 7
    with pytest.raises(DatasetError, match="number of a BROAD trial"):
        broad_trial("euroc_MH_01_easy")


def test_nothing_of_the_machine_is_in_the_source(save):
    assert os.sep not in load_broad(save("01_slow", broad())).source
