from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from nn_perception.errors import DatasetError
from nn_perception.evaluation.imu_metrics import (
    Series,
    align_heading,
    attitude_figures,
    collect,
    integrate_open_loop,
    normalised_errors,
    predict_ahead,
    rotation_figures,
)


def turned(sequence, rotvec_deg, after: int = 0) -> np.ndarray:
    """The truth, turned in the earth frame from sample ``after`` on."""
    wrong = Rotation.from_rotvec(rotvec_deg, degrees=True) * Rotation.from_quat(
        sequence.orientation_xyzw
    )
    quat = sequence.orientation_xyzw.copy()
    quat[after:] = wrong.as_quat()[after:]
    return quat


def test_inclination_and_heading_are_told_apart(perfect):
    tilted = attitude_figures(turned(perfect, [3.0, 4.0, 0.0]), perfect)
    assert tilted["inclination_rms_deg"] == pytest.approx(5.0, abs=1e-6)
    assert tilted["heading_rms_deg"] == pytest.approx(0.0, abs=1e-6)
    adrift = attitude_figures(turned(perfect, [0.0, 0.0, 7.0]), perfect)
    assert adrift["inclination_rms_deg"] == pytest.approx(0.0, abs=1e-6)
    assert adrift["heading_rms_deg"] == pytest.approx(7.0, abs=1e-6)
    assert adrift["total_rms_deg"] == pytest.approx(7.0, abs=1e-6)


def test_only_movement_with_truth_counts(perfect):
    moves = np.flatnonzero(perfect.movement)
    wrong = turned(perfect, [5.0, 0.0, 0.0])
    wrong[perfect.movement] = perfect.orientation_xyzw[perfect.movement]
    assert attitude_figures(wrong, perfect)["total_rms_deg"] == pytest.approx(0.0, abs=1e-6)
    wrong[moves[::2]] = turned(perfect, [5.0, 0.0, 0.0])[moves[::2]]
    half = attitude_figures(wrong, perfect)["inclination_rms_deg"]
    assert half == pytest.approx(5.0 * math.sqrt(len(moves[::2]) / len(moves)), rel=1e-6)
    truth = perfect.orientation_xyzw.copy()
    truth[moves[1::2]] = np.nan
    assert attitude_figures(wrong, replace(perfect, orientation_xyzw=truth))[
        "inclination_rms_deg"
    ] == pytest.approx(5.0, rel=1e-6)
    with pytest.raises(DatasetError, match="0 samples with a true orientation"):
        attitude_figures(wrong, replace(perfect, orientation_xyzw=None))


def test_the_heading_is_aligned_at_the_first_truth_and_only_there(perfect):
    truth = perfect.orientation_xyzw.copy()
    truth[:50] = np.nan
    sequence = replace(perfect, orientation_xyzw=truth)
    estimate = turned(perfect, [0.0, 0.0, 120.0])
    estimate[1000:] = turned(perfect, [0.0, 0.0, 130.0])[1000:]
    aligned = align_heading(estimate, sequence)
    error = Rotation.from_quat(aligned) * Rotation.from_quat(perfect.orientation_xyzw).inv()
    np.testing.assert_allclose(error[:1000].as_rotvec(degrees=True), 0.0, atol=1e-6)
    expected = np.tile([0.0, 0.0, 10.0], (len(sequence) - 1000, 1))
    np.testing.assert_allclose(error[1000:].as_rotvec(degrees=True), expected, atol=1e-6)


def test_a_tilt_is_not_taken_away_with_the_heading(perfect):
    aligned = align_heading(turned(perfect, [4.0, 0.0, 60.0]), perfect)
    figures = attitude_figures(aligned, perfect)
    direct = Rotation.from_rotvec([4.0, 0.0, 60.0], degrees=True)
    up = math.degrees(math.acos(direct.as_matrix()[2, 2]))
    assert figures["inclination_rms_deg"] == pytest.approx(up, abs=1e-6)


def test_one_is_calibrated(perfect):
    draw = np.random.default_rng(3)
    std_rad = np.array([0.01, 0.02, 0.03])
    noise = Rotation.from_rotvec(draw.standard_normal((len(perfect), 3)) * std_rad)
    estimate = (noise * Rotation.from_quat(perfect.orientation_xyzw)).as_quat()
    variance = np.tile(std_rad**2, (len(perfect), 1))
    ratio = normalised_errors(estimate, variance, perfect)
    assert ratio["inclination"] == pytest.approx(1.0, abs=0.06)
    assert ratio["heading"] == pytest.approx(1.0, abs=0.06)
    boast = normalised_errors(estimate, variance / 4.0, perfect)
    assert boast["inclination"] == pytest.approx(4.0 * ratio["inclination"])
    nothing = normalised_errors(estimate, variance * [1.0, 1.0, 0.0], perfect)
    assert math.isnan(nothing["heading"])


def test_a_rate_without_errors_leads_along_the_truth(perfect):
    truth = perfect.orientation_xyzw.copy()
    truth[:500] = np.nan
    late = replace(perfect, orientation_xyzw=truth)
    orientation = integrate_open_loop(perfect.gyro_rad_s, late)
    assert np.isnan(orientation[:500]).all()
    np.testing.assert_array_equal(orientation[500], truth[500])
    figures = rotation_figures(orientation, late)
    assert max(figures.values()) < 0.7  # each reading holds for 5 ms


def test_a_constant_bias_shows_in_relative_errors_by_its_size(perfect):
    still = replace(perfect, gyro_rad_s=np.zeros_like(perfect.gyro_rad_s))
    still = replace(still, orientation_xyzw=np.tile([0.0, 0.0, 0.0, 1.0], (len(still), 1)))
    bias = np.deg2rad([0.0, 0.3, 0.4])
    figures = rotation_figures(integrate_open_loop(still.gyro_rad_s + bias, still), still)
    assert figures["relative_1s_rms_deg"] == pytest.approx(0.5, rel=1e-6)
    assert figures["relative_10s_rms_deg"] == pytest.approx(5.0, rel=1e-6)
    assert figures["orientation_rms_deg"] == pytest.approx(0.5 * 20.0 / math.sqrt(3.0), rel=1e-3)


def test_windows_do_not_reach_across_gaps(perfect):
    kept = np.r_[0:1000, 3001:4001]
    names = ("time_s", "gyro_rad_s", "accel_m_s2", "orientation_xyzw")
    rows = {name: getattr(perfect, name)[kept] for name in names}
    rest = dict.fromkeys(("position_m", "velocity_m_s", "movement"))
    biases = dict.fromkeys(("gyro_bias_rad_s", "accel_bias_m_s2"))
    gap = replace(perfect, **rows, **rest, **biases)
    wrong = gap.orientation_xyzw.copy()
    wrong[1000:] = turned(gap, [0.0, 0.0, 90.0])[1000:]
    figures = rotation_figures(wrong, gap)
    assert figures["relative_1s_rms_deg"] == pytest.approx(0.0, abs=1e-5)
    assert math.isnan(figures["relative_10s_rms_deg"])
    assert figures["orientation_rms_deg"] > 60.0


def test_prediction_ahead_makes_up_for_a_delay(perfect):
    shift = 2
    early = perfect.orientation_xyzw[:-shift]
    later = predict_ahead(early, perfect.gyro_rad_s[:-shift], shift / 200.0)
    truth = Rotation.from_quat(perfect.orientation_xyzw[shift:])
    before = (truth.inv() * Rotation.from_quat(early)).magnitude()
    after = (truth.inv() * Rotation.from_quat(later)).magnitude()
    assert after.max() < before.max() / 5.0


def test_series_by_figure():
    series = collect({"a": {"x": 1.0}, "b": {"x": 3.0, "y": math.nan}})
    assert series["x"] == Series({"a": 1.0, "b": 3.0})
    assert series["x"].to_dict() == {"mean": 2.0, "per_sequence": {"a": 1.0, "b": 3.0}}
    assert math.isnan(series["y"].mean)
