from __future__ import annotations

from functools import lru_cache

import numpy as np
import pytest

from nn_perception.datasets.uwb import UwbSequence
from nn_perception.datasets.uwb_simulated import (
    PATTERN_RMS_M,
    ROOM_M,
    TEST_SEEDS,
    TRAINING_SEEDS,
    RangeErrors,
    pattern_bias_m,
    simulate_uwb,
    simulated_site,
    simulated_uwb,
)
from nn_perception.datasets.uwb_text import geometry_problem
from nn_perception.errors import DatasetError
from nn_perception.rotations import quat_conjugate, quat_rotate


@lru_cache(maxsize=1)
def flight() -> UwbSequence:
    return simulate_uwb(7, tags=2)


def directions(seed: int, count: int = 100_000) -> np.ndarray:
    rows = np.random.default_rng(seed).standard_normal((count, 3))
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def pattern_of(given: UwbSequence) -> np.ndarray:
    away = given.anchor_position_m - given.tag_position_m
    away /= np.linalg.norm(away, axis=1, keepdims=True)
    turns = np.array([anchor.orientation_xyzw for anchor in given.anchors.values()])
    in_tag = quat_rotate(quat_conjugate(given.orientation_xyzw), away)
    return pattern_bias_m(in_tag, quat_rotate(quat_conjugate(turns[given.anchor]), -away))


def test_it_flies_smoothly_within_the_room():
    given = flight()
    assert (given.name, given.source) == ("simulated_7", "simulated")
    assert given.has_truth.all()
    assert not given.planar
    assert (given.tag_position_m > 0.0).all()
    assert (given.tag_position_m < ROOM_M).all()
    assert (np.ptp(given.position_m, axis=0) > [3.0, 2.0, 1.0]).all()
    speed_m_s = np.linalg.norm(np.diff(given.position_m, axis=0), axis=1) / np.diff(given.time_s)
    assert speed_m_s.max() < 4.0
    assert speed_m_s.mean() > 0.5
    assert abs(np.diff(speed_m_s)).max() < 0.05
    up = quat_rotate(given.orientation_xyzw, np.array([0.0, 0.0, 1.0]))[:, 2]
    tilt_deg = np.degrees(np.arccos(up))
    assert 5.0 < tilt_deg.max() < 35.0


def test_each_pair_is_ranged_twenty_times_a_second():
    given = flight()
    assert given.duration_s == pytest.approx(120.0, abs=0.05)
    pairs = given.tag * 6 + given.anchor
    assert np.bincount(pairs).tolist() == [2400] * 12
    np.testing.assert_allclose(np.diff(given.time_s[pairs == 5]), 0.05)


def test_anchors_hang_on_the_walls_and_face_inwards():
    for site in range(20):
        anchors = simulated_site(site)[0]
        places = np.array([anchor.position_m for anchor in anchors.values()])
        on_wall = (places[:, :2] == 0.0) | (places[:, :2] == ROOM_M[:2])
        assert (on_wall.sum(axis=1) == 1).all()
        assert (places >= 0.0).all()
        assert (places <= ROOM_M).all()
        assert geometry_problem(places[:4]) == ""
        quats = np.array([anchor.orientation_xyzw for anchor in anchors.values()])
        facing = quat_rotate(quats, np.array([1.0, 0.0, 0.0]))
        middle = np.array(ROOM_M) / 2.0 - places
        inwards = np.where(on_wall, np.sign(middle[:, :2]), 0.0)
        assert (np.sum(facing[:, :2] * inwards, axis=1) > 0.85).all()


def test_without_errors_ranges_are_exact_and_each_error_is_what_it_says():
    exact = simulate_uwb(3, duration_s=20.0, errors=RangeErrors.none())
    np.testing.assert_allclose(exact.error_m, 0.0, atol=1e-12)
    only = RangeErrors(constant_m=0.0, constant_std_m=0.0, noise_m=0.0, nlos_share=0.0,
                       failure_share=0.0)  # fmt: skip
    given = simulate_uwb(3, duration_s=20.0, errors=only)
    np.testing.assert_allclose(given.error_m, pattern_of(given), atol=1e-12)
    np.testing.assert_array_equal(given.position_m, exact.position_m)


def test_noise_constants_and_outliers_are_what_they_should_be():
    given = flight()
    constants = simulated_site(7)[1]
    rest = given.error_m - pattern_of(given) - constants[given.tag, given.anchor]
    assert np.median(rest) == pytest.approx(0.0, abs=0.005)
    assert 1.4826 * np.median(abs(rest)) == pytest.approx(0.03, rel=0.08)
    failed = given.range_m <= 0.0
    assert 0.0 < failed.mean() < 0.003
    far = rest[~failed] > 0.2
    assert far.mean() == pytest.approx(0.03 * np.exp(-0.2 / 0.8), rel=0.15)
    assert rest[~failed][far].mean() == pytest.approx(1.0, rel=0.15)
    assert rest[~failed].min() > -0.2
    assert (given.outlier == (failed | (abs(given.error_m) > 1.0))).all()
    assert 0.005 < given.outlier.mean() < 0.03


def test_the_pattern_is_smooth_of_mean_zero_and_of_its_size():
    in_tag, in_anchor = directions(0), directions(1)
    bias = pattern_bias_m(in_tag, in_anchor)
    assert bias.mean() == pytest.approx(0.0, abs=2e-3)
    assert np.sqrt((bias**2).mean()) == pytest.approx(PATTERN_RMS_M, rel=0.02)
    moved = in_tag + 0.01 * directions(2)
    moved /= np.linalg.norm(moved, axis=1, keepdims=True)
    change = abs(pattern_bias_m(moved, in_anchor) - bias)
    assert 0.0 < change.max() < 0.01  # at most 1 m per radian
    # Both antennas count, each by about half.
    for pair in [
        (in_tag[:1].repeat(len(bias), 0), in_anchor),
        (in_tag, in_anchor[:1] + 0 * in_tag),
    ]:
        assert pattern_bias_m(*pair).std() == pytest.approx(PATTERN_RMS_M / 2**0.5, rel=0.03)


def test_the_pattern_is_the_same_in_all_recordings():
    for seed in (1, 2):
        given = simulate_uwb(seed, duration_s=60.0)
        pairs, use = given.anchor, ~given.outlier
        error_m = given.error_m[use] - simulated_site(seed)[1][0, pairs[use]]
        explained = pattern_of(given)[use]
        assert np.corrcoef(error_m, explained)[0, 1] > 0.5
        assert np.median(abs(error_m - explained)) < 0.5 * np.median(abs(error_m))


def test_recordings_of_one_site_share_anchors_and_constants_not_the_flight():
    one, two = (simulate_uwb(seed, site=5, duration_s=10.0) for seed in (1, 2))
    assert one.anchors == two.anchors
    assert abs(one.position_m - two.position_m).max() > 1.0
    assert simulate_uwb(1, duration_s=10.0).anchors != one.anchors
    np.testing.assert_array_equal(simulate_uwb(1, duration_s=10.0).position_m, one.position_m)
    few = simulate_uwb(1, site=5, duration_s=10.0, anchors=4)
    assert list(few.anchors.items()) == list(one.anchors.items())[:4]


def test_the_same_seed_gives_the_same_recording():
    assert simulate_uwb(4, duration_s=5.0).sha256 == simulate_uwb(4, duration_s=5.0).sha256
    assert not set(TRAINING_SEEDS) & set(TEST_SEEDS)
    made = simulated_uwb(TEST_SEEDS, duration_s=2.0)
    assert [given.name for given in made] == [f"simulated_{seed}" for seed in TEST_SEEDS]
    assert len({given.sha256 for given in made}) == len(made)
    assert {len(given.tags) for given in made} == {1, 2}


def test_arguments_out_of_range_are_refused():
    for wrong in [{"tags": 0}, {"tags": 4}, {"anchors": 9}, {"duration_s": 0.5}, {"site": -1}]:
        with pytest.raises(DatasetError, match=r"simulate_uwb\(0\) is a start"):
            simulate_uwb(0, **wrong)
    for wrong in [{"noise_m": -1.0}, {"nlos_share": 1.1}, {"constant_m": np.nan}]:
        with pytest.raises(DatasetError, match=f"RangeErrors: {next(iter(wrong))} is"):
            RangeErrors(**wrong)
