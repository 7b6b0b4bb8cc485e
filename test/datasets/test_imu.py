from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.spatial.transform import Rotation, Slerp

from nn_perception.datasets.imu import ImuSequence, interpolate
from nn_perception.errors import DatasetError

N = 200
TIME_S = np.arange(N) / 100.0
DRAW = np.random.default_rng(5)
GYRO = DRAW.standard_normal((N, 3))
ACCEL = DRAW.standard_normal((N, 3)) + np.array([0.0, 0.0, 9.8])
QUAT = Rotation.from_rotvec(np.cumsum(0.05 * DRAW.standard_normal((N, 3)), axis=0)).as_quat()
MOUNTING = Rotation.from_euler("xyz", [20.0, -50.0, 130.0], degrees=True)


def make(**changes) -> ImuSequence:
    fields = {
        "name": "trial",
        "time_s": TIME_S,
        "gyro_rad_s": GYRO,
        "accel_m_s2": ACCEL,
        "source": "made up",
        "mag_ut": GYRO * 10.0,
        "orientation_xyzw": QUAT,
        "position_m": ACCEL,
        "gyro_bias_rad_s": GYRO / 100.0,
        "movement": TIME_S > 1.0,
    }
    return ImuSequence(**{**fields, **changes})


def holed(array: np.ndarray, *rows: int) -> np.ndarray:
    array = np.array(array, np.float64)
    array[list(rows)] = np.nan
    return array


def degrees_between(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    return np.degrees((Rotation.from_quat(left).inv() * Rotation.from_quat(right)).magnitude())


def test_arrays_are_float64_and_rate_and_duration_follow_from_the_times():
    made = make(gyro_rad_s=GYRO.astype(np.float32), time_s=TIME_S + 7.0)
    assert made.gyro_rad_s.dtype == np.float64
    assert made.rate_hz == pytest.approx(100.0)
    assert made.duration_s == pytest.approx((N - 1) / 100.0)
    assert len(made) == N


def test_truth_is_known_where_it_is_not_nan():
    known = make(orientation_xyzw=holed(QUAT, 3, 4)).has_truth
    assert np.flatnonzero(~known).tolist() == [3, 4]
    assert not make(orientation_xyzw=None).has_truth.any()


def test_quaternions_become_exactly_unit():
    made = make(orientation_xyzw=QUAT.astype(np.float32) * 1.0005)
    assert np.abs(np.linalg.norm(made.orientation_xyzw, axis=1) - 1.0).max() < 1e-15


def test_the_hash_follows_the_content_only():
    base = make()
    assert make(name="other", source="elsewhere").sha256 == base.sha256
    others = [
        make(gyro_rad_s=GYRO + 1e-9),
        make(mag_ut=None),
        make(movement=TIME_S > 1.1),
        make(position_m=None, velocity_m_s=ACCEL),
    ]
    assert len({base.sha256, *(other.sha256 for other in others)}) == 5


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"time_s": TIME_S[:-1]}, r"gyro_rad_s has the shape \(200, 3\), expected \(199, 3\)"),
        ({"time_s": TIME_S[::-1]}, "of sample 1 does not come after"),
        ({"time_s": np.where(TIME_S == 0.5, 0.49, TIME_S)}, "0.49 s of sample 50"),
        ({"time_s": np.where(TIME_S == 0.5, np.nan, TIME_S)}, "of sample 50"),
        ({"time_s": np.append(TIME_S[:-1], np.inf)}, "finite"),
        ({"time_s": TIME_S[:, np.newaxis]}, r"\(200, 1\)"),
        ({"gyro_rad_s": GYRO[:, :2]}, r"\(200, 2\)"),
        ({"gyro_rad_s": holed(GYRO, 9)}, "gyro_rad_s of sample 9 .* finite values;"),
        ({"accel_m_s2": ACCEL + np.inf}, "accel_m_s2 of sample 0"),
        ({"mag_ut": holed(GYRO, 9)}, "mag_ut of sample 9"),
        ({"orientation_xyzw": GYRO}, r"expected \(200, 4\)"),
        ({"orientation_xyzw": QUAT * 1.01}, "row 0 has the norm 1.01"),
        ({"orientation_xyzw": QUAT * 0.0}, "row 0 has the norm 0"),
        (
            {"position_m": np.where(np.isclose(ACCEL, ACCEL.max()), np.nan, ACCEL)},
            "position_m of sample .* a whole row of NaN",
        ),
        ({"sensor_delay_s": np.nan}, "sensor_delay_s is nan"),
        ({"movement": TIME_S[1:] > 1.0}, r"movement has the shape \(199,\)"),
    ],
)
def test_what_does_not_fit_is_refused(changes, words):
    with pytest.raises(DatasetError, match=words) as caught:
        make(**changes)
    assert "made up/trial" in str(caught.value)


def test_slice_keeps_rows_together():
    part = make(velocity_m_s=None).slice(10, -20)
    assert part.time_s.tolist() == TIME_S[10:-20].tolist()
    assert np.array_equal(part.gyro_rad_s, GYRO[10:-20])
    assert np.array_equal(part.movement, (TIME_S > 1.0)[10:-20])
    assert part.velocity_m_s is None
    with pytest.raises(DatasetError, match="2 or more"):
        make().slice(5, 6)


def test_mounting_turns_the_sensor_and_not_the_world():
    base = make()
    turned = base.rotate_mounting(MOUNTING.as_quat())
    assert np.allclose(turned.gyro_rad_s, MOUNTING.apply(GYRO))
    for field in ("accel_m_s2", "mag_ut"):
        before = Rotation.from_quat(QUAT).apply(getattr(base, field))
        after = Rotation.from_quat(turned.orientation_xyzw).apply(getattr(turned, field))
        assert np.allclose(before, after)
    assert np.allclose(turned.gyro_bias_rad_s, MOUNTING.apply(GYRO) / 100.0)
    assert np.array_equal(turned.position_m, base.position_m)
    back = turned.rotate_mounting(MOUNTING.inv().as_quat())
    assert np.allclose(back.gyro_rad_s, GYRO)
    assert degrees_between(back.orientation_xyzw, QUAT).max() < 1e-6


@pytest.mark.parametrize("mounting", [[0, 0, 0, 0], [1, 1, 0, 0], [0, 0, 1], [np.nan, 0, 0, 1]])
def test_mounting_refuses_what_is_no_unit_quaternion(mounting):
    with pytest.raises(DatasetError, match="mounting"):
        make().rotate_mounting(mounting)


def test_the_delay_of_the_sensor_is_kept():
    late = make(sensor_delay_s=0.004)
    assert make().sensor_delay_s == 0.0
    changed = (late.slice(5, 50), late.resample(60.0), late.rotate_mounting(MOUNTING.as_quat()))
    assert [sequence.sensor_delay_s for sequence in changed] == [0.004] * 3


def test_resample_up_draws_lines_and_slerps():
    up = make().resample(370.0)
    assert up.rate_hz == pytest.approx(370.0)
    for axis in range(3):
        assert np.allclose(up.gyro_rad_s[:, axis], np.interp(up.time_s, TIME_S, GYRO[:, axis]))
    expected = Slerp(TIME_S, Rotation.from_quat(QUAT))(up.time_s).as_quat()
    assert degrees_between(up.orientation_xyzw, expected).max() < 1e-5
    assert np.array_equal(up.movement[::37], (TIME_S > 1.0)[::10])


def test_resample_to_the_same_rate_changes_nothing():
    same = make().resample(100.0)
    assert len(same) == N
    assert np.allclose(same.gyro_rad_s, GYRO)
    assert degrees_between(same.orientation_xyzw, QUAT).max() < 1e-6


def test_resample_down_keeps_the_turned_angle():
    down = make().resample(30.0)
    inner = slice(1, -1)
    turned = np.sum(down.gyro_rad_s[inner], axis=0) / 30.0
    fine_s = np.linspace(0.5 / 30.0, down.time_s[-1] - 0.5 / 30.0, 200_001)
    fine = np.stack([np.interp(fine_s, TIME_S, GYRO[:, axis]) for axis in range(3)], axis=1)
    integral = (fine[1:] + fine[:-1]).sum(axis=0) / 2.0 * (fine_s[1] - fine_s[0])
    assert np.allclose(turned, integral, atol=1e-6)


def test_resample_down_has_no_aliases():
    tone = np.sin(2 * np.pi * 40.0 * TIME_S)[:, np.newaxis] * np.ones(3)
    assert np.abs(make(gyro_rad_s=tone).resample(20.0).gyro_rad_s[1:-1]).max() < 0.02


def test_resample_makes_nothing_up_across_gaps():
    kept = (TIME_S < 0.5) | (TIME_S >= 1.0)
    base = make()
    fields = {name: getattr(base, name)[kept] for name in ("time_s", "gyro_rad_s", "accel_m_s2")}
    gap = ImuSequence(name="gap", source="made up", orientation_xyzw=QUAT[kept], **fields)
    for rate_hz in (60.0, 250.0):
        new = gap.resample(rate_hz)
        assert not ((new.time_s > 0.4901) & (new.time_s < 0.9999)).any()
        assert new.has_truth.all()
        assert np.diff(new.time_s).max() > 0.5
    bridged = gap.resample(250.0, max_gap_s=1.0)
    assert np.diff(bridged.time_s).max() == pytest.approx(1 / 250.0)


def test_resample_keeps_missing_truth_missing():
    new = make(orientation_xyzw=holed(QUAT, *range(50, 60))).resample(250.0)
    inside = (new.time_s > 0.4901) & (new.time_s < 0.5999)
    assert not new.has_truth[inside].any()
    assert new.has_truth[~inside].all()


def test_interpolation_is_nan_outside():
    new = interpolate(np.array([-0.1, 0.0, 1.99, 2.0]), TIME_S, GYRO, 0.1, turn=False)
    assert np.isnan(new[:, 0]).tolist() == [True, False, False, True]


def test_slerp_takes_the_short_way():
    flipped = QUAT.copy()
    flipped[::2] *= -1.0
    left, right = (make(orientation_xyzw=quat).resample(333.0) for quat in (QUAT, flipped))
    assert degrees_between(left.orientation_xyzw, right.orientation_xyzw).max() < 1e-5


@pytest.mark.parametrize("rate_hz", [0.0, -1.0, np.nan, np.inf])
def test_resample_refuses_a_rate_that_is_none(rate_hz):
    with pytest.raises(DatasetError, match="above 0"):
        make().resample(rate_hz)


def test_a_changed_copy_is_checked_too():
    with pytest.raises(DatasetError, match="shape"):
        replace(make(), gyro_rad_s=GYRO[:-1])
