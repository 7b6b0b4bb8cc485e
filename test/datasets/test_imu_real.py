"""Real recordings against the figures that are stated beside them.

A quaternion taken in the other order or the other direction, another unit or a wrong rate fails
here by a wide margin.
"""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from nn_perception.datasets.imu import ImuSequence
from nn_perception.datasets.imu_delay import estimate_sensor_delay
from nn_perception.datasets.imu_files import (
    BROAD_FOLDS,
    BROAD_SENSOR_DELAY_S,
    EUROC_TEST,
    EUROC_TRAIN,
    TUMVI_TEST,
    TUMVI_TRAIN,
    broad_trial,
    load_euroc_tumvi,
    load_imu_directory,
    select,
)

CONSTANT_BIAS_RAD_S = [-0.00227, 0.02232, 0.07834]  # mean of the six training sequences


def shared(folder: str, example: str) -> Path:
    """Where files like ``example`` are, or a visible skip."""
    variable = os.environ.get("NN_PERCEPTION_DATA")
    beside = Path(__file__).resolve().parents[2].parent / "shared" / "data"
    for root in ([Path(variable)] if variable else []) + [beside]:
        for directory in (root / folder, root):
            if (directory / example).is_file():
                return directory
    pytest.skip(f"no {example} in $NN_PERCEPTION_DATA or ../shared/data/{folder}")


@pytest.fixture(scope="module")
def broad() -> list[ImuSequence]:
    return load_imu_directory(shared("attitude", "01_undisturbed_slow_rotation_A.npz"))


@pytest.fixture(scope="module")
def flights() -> list[ImuSequence]:
    return load_imu_directory(shared("imu", "euroc_MH_01_easy.npz"))


def second_errors_deg(sequence: ImuSequence, bias_rad_s: np.ndarray | float = 0.0) -> np.ndarray:
    """Error of the gyroscope integrated over windows of 1 s with truth at both ends."""
    count = round(sequence.rate_hz)
    known = np.zeros(len(sequence), dtype=bool)
    known[:-count:count] = (sequence.has_truth[count:] & sequence.has_truth[:-count])[::count]
    if sequence.movement is not None:
        known &= sequence.movement
    starts = np.flatnonzero(known)
    quats = np.nan_to_num(sequence.orientation_xyzw, nan=0.5)
    turn = Rotation.identity(len(starts))
    rate = sequence.gyro_rad_s - bias_rad_s
    for step in range(count):
        dt_s = sequence.time_s[starts + step + 1] - sequence.time_s[starts + step]
        turn = turn * Rotation.from_rotvec(rate[starts + step] * dt_s[:, np.newaxis])
    start, end = Rotation.from_quat(quats[starts]), Rotation.from_quat(quats[starts + count])
    return np.degrees(((start * turn).inv() * end).magnitude())


def open_loop_deg(sequence: ImuSequence, bias_rad_s: np.ndarray | float = 0.0) -> float:
    """RMS error of the gyroscope integrated from the first true orientation to the last."""
    known = np.flatnonzero(sequence.has_truth)
    part = sequence.slice(known[0], known[-1] + 1)
    steps = (part.gyro_rad_s[:-1] - bias_rad_s) * np.diff(part.time_s)[:, np.newaxis]
    turns = Rotation.concatenate([Rotation.identity(), Rotation.from_rotvec(steps)])
    reach = 1
    while reach < len(turns):  # prefix products, twice as long in each round
        turns = Rotation.concatenate([turns[:reach], turns[:-reach] * turns[reach:]])
        reach *= 2
    truth = Rotation.from_quat(part.orientation_xyzw[part.has_truth])
    error = truth.inv() * (truth[0] * turns[np.flatnonzero(part.has_truth)])
    return float(np.degrees(np.sqrt((error.magnitude() ** 2).mean())))


def gravity(sequence: ImuSequence, rows: np.ndarray) -> np.ndarray:
    """Mean specific force in the earth frame."""
    turned = Rotation.from_quat(sequence.orientation_xyzw[rows])
    return turned.apply(sequence.accel_m_s2[rows]).mean(axis=0)


def test_broad_is_whole(broad):
    assert sorted(broad_trial(trial.name) for trial in broad) == sorted(sum(BROAD_FOLDS, ()))
    for trial in broad:
        assert trial.rate_hz == pytest.approx(285.714, abs=1e-3)
        assert 160.0 < trial.duration_s < 215.0
        assert 0.0005 <= 1.0 - trial.has_truth.mean() < 0.09
        assert 0.45 < trial.movement.mean() < 0.67


def test_broad_at_rest_shows_gravity_up_and_the_field_north_and_down(broad):
    means, fields = [], []
    for trial in broad:
        rest = trial.has_truth & ~trial.movement
        means.append(gravity(trial, rest))
        turned = Rotation.from_quat(trial.orientation_xyzw[rest])
        fields.append(turned.apply(trial.mag_ut[rest]).mean(axis=0))
    assert np.allclose(np.mean(means, axis=0), [0.0, 0.0, 9.84], atol=0.02)
    assert all(9.80 < mean[2] < 9.91 for mean in means)
    assert np.allclose(np.median(fields, axis=0), [0.0, 15.0, -41.0], atol=3.0)


def test_broad_gyroscope_agrees_with_the_truth_over_one_second(broad):
    errors_deg = np.mean([np.median(second_errors_deg(trial)) for trial in broad])
    assert errors_deg == pytest.approx(1.2, abs=0.15)


def test_the_gyroscope_of_broad_is_late_and_those_of_the_flights_are_not(broad, flights):
    delays_s = [estimate_sensor_delay(trial) for trial in broad[::6]]
    assert np.allclose(delays_s, BROAD_SENSOR_DELAY_S, atol=0.0005)
    assert {trial.sensor_delay_s for trial in broad} == {BROAD_SENSOR_DELAY_S}
    for sequence in select(flights, ["euroc_MH_03_medium", "tumvi_room3"]):
        assert estimate_sensor_delay(sequence) == pytest.approx(0.0, abs=0.0003)
        assert sequence.sensor_delay_s == 0.0


def test_flights_are_the_usual_ones(flights):
    here = {sequence.name for sequence in flights}
    assert len(select(flights, EUROC_TRAIN)) == 6
    assert here <= {*EUROC_TRAIN, *EUROC_TEST, *TUMVI_TRAIN, *TUMVI_TEST}
    for sequence in flights:
        rate_hz = 200.0 if sequence.source == "euroc" else 199.4
        assert sequence.rate_hz == pytest.approx(rate_hz, abs=0.05)


def test_flights_show_gravity_up(flights):
    for sequence in flights:
        mean = gravity(sequence, sequence.has_truth)
        assert mean[2] == pytest.approx(9.77, abs=0.05)
        assert np.abs(mean[:2]).max() < 0.2


def test_a_flight_without_its_accelerometer_bias_shows_exact_gravity(flights):
    for sequence in flights:
        if sequence.accel_bias_m_s2 is None:
            continue
        rows = sequence.has_truth & np.isfinite(sequence.accel_bias_m_s2[:, 0])
        force = (sequence.accel_m_s2 - np.nan_to_num(sequence.accel_bias_m_s2))[rows]
        mean = Rotation.from_quat(sequence.orientation_xyzw[rows]).apply(force).mean(axis=0)
        assert 9.80 < mean[2] < 9.815


def test_flight_gyroscopes_agree_with_the_truth_over_one_second(flights):
    for sequence in flights:
        bias = CONSTANT_BIAS_RAD_S if sequence.source == "euroc" else 0.0
        assert np.median(second_errors_deg(sequence, np.array(bias))) < 0.8


@pytest.mark.parametrize(
    ("name", "bias", "expected_deg"),
    [
        ("euroc_MH_01_easy", CONSTANT_BIAS_RAD_S, 8.26),
        ("euroc_V2_02_medium", CONSTANT_BIAS_RAD_S, 4.57),
        ("euroc_V1_01_easy", CONSTANT_BIAS_RAD_S, 6.5),  # against the recomputed truth
        ("euroc_V2_02_medium", [0.0, 0.0, 0.0], 116.9),
        ("tumvi_room1", [0.0, 0.0, 0.0], 1.5),
        ("tumvi_room4", [0.0, 0.0, 0.0], 1.7),
    ],
)
def test_the_open_loop_error_is_the_one_written_down(flights, name, bias, expected_deg):
    sequence = select(flights, [name])[0]
    assert open_loop_deg(sequence, np.array(bias)) == pytest.approx(expected_deg, rel=0.04)


def test_the_recomputed_truth_is_the_better_one(flights):
    path = shared("imu", "euroc_V1_01_easy.npz") / "euroc_V1_01_easy.npz"
    recomputed = select(flights, ["euroc_V1_01_easy"])[0]
    original = load_euroc_tumvi(path, "original")
    both = original.has_truth & recomputed.has_truth
    left, right = (
        Rotation.from_quat(sequence.orientation_xyzw[both]) for sequence in (original, recomputed)
    )
    assert np.degrees((left.inv() * right).magnitude()).mean() == pytest.approx(5.5, abs=0.3)
    bias = np.nanmean(recomputed.gyro_bias_rad_s, axis=0)
    errors = [np.median(second_errors_deg(s, bias)) for s in (recomputed, original)]
    assert errors[0] == pytest.approx(0.10, abs=0.04)
    assert errors[1] == pytest.approx(0.34, abs=0.05)


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("the other order", lambda quat: np.roll(quat, 1, axis=1)),
        ("the other direction", lambda quat: quat * [-1.0, -1.0, -1.0, 1.0]),
    ],
)
def test_these_checks_find_a_wrong_convention(broad, name, wrong):
    trial = replace(broad[0], orientation_xyzw=wrong(broad[0].orientation_xyzw))
    rows = trial.has_truth & trial.movement
    assert np.median(second_errors_deg(trial)) > 10.0, name
    assert np.abs(gravity(broad[0], rows) - [0.0, 0.0, 9.84]).max() < 0.1
    assert np.abs(gravity(trial, rows) - [0.0, 0.0, 9.84]).max() > 2.0
