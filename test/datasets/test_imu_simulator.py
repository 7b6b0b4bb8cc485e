from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from nn_perception.datasets.imu_simulator import GRAVITY_M_S2, Motion, SensorErrors, simulate_imu
from nn_perception.errors import DatasetError

PERFECT = SensorErrors.none()
STILL = Motion(duration_s=600.0, rate_rms_rad_s=0.0, accel_rms_m_s2=0.0)


def integrate(gyro_rad_s: np.ndarray, dt_s: float) -> Rotation:
    """Orientations relative to the first, with the coning term of two samples (Magnus, order 4)."""
    left, right = gyro_rad_s[:-1], gyro_rad_s[1:]
    steps = Rotation.from_rotvec(dt_s * (left + right) / 2 + dt_s**2 / 12 * np.cross(left, right))
    quats = steps.as_quat()
    out = [Rotation.identity()]
    for quat in quats:
        out.append(out[-1] * Rotation.from_quat(quat))
    return Rotation.concatenate(out)


@pytest.fixture(scope="module")
def perfect():
    return simulate_imu(400.0, seed=3, motion=Motion(duration_s=60.0), errors=PERFECT)


def test_the_integrated_rate_is_the_true_orientation(perfect):
    truth = Rotation.from_quat(perfect.orientation_xyzw)
    integrated = truth[0] * integrate(perfect.gyro_rad_s, 1 / 400.0)
    error_deg = np.degrees((truth.inv() * integrated).magnitude())
    assert np.degrees((truth[0].inv() * truth).magnitude()).max() > 90.0
    assert error_deg.max() < 0.01


def test_the_specific_force_is_that_of_the_true_motion(perfect):
    dt_s = 1 / 400.0
    position, truth = perfect.position_m, Rotation.from_quat(perfect.orientation_xyzw)
    acceleration = (position[2:] - 2 * position[1:-1] + position[:-2]) / dt_s**2
    force = truth[1:-1].inv().apply(acceleration + np.array([0.0, 0.0, GRAVITY_M_S2]))
    assert np.abs(force - perfect.accel_m_s2[1:-1]).max() < 0.01
    velocity = (position[2:] - position[:-2]) / (2 * dt_s)
    assert np.abs(velocity - perfect.velocity_m_s[1:-1]).max() < 1e-3


def test_nothing_moves_in_rest_and_everything_in_movement(perfect):
    rest = ~perfect.movement
    assert 0.1 < rest.mean() < 0.6
    assert rest[0]
    assert not perfect.gyro_rad_s[rest].any()
    assert not perfect.velocity_m_s[rest].any()
    assert np.allclose(np.linalg.norm(perfect.accel_m_s2[rest], axis=1), GRAVITY_M_S2)
    motion = np.hstack([perfect.gyro_rad_s, perfect.velocity_m_s])
    assert (np.abs(motion[perfect.movement]).max(axis=1) > 0.0).mean() > 0.999
    first_rest_s = perfect.time_s[np.argmax(perfect.movement)]
    assert first_rest_s >= 2.0 - 1 / 400.0


def test_rest_can_be_left_out_and_movement_too():
    moving = simulate_imu(100.0, motion=Motion(duration_s=10.0, rest_s=(0.0, 0.0)))
    assert moving.movement.all()
    still = simulate_imu(100.0, motion=replace(STILL, duration_s=2.0), errors=PERFECT)
    assert not still.movement.any()
    assert not still.gyro_rad_s.any()


@pytest.mark.parametrize(("rate_rms", "accel_rms"), [(0.5, 6.0), (3.0, 1.0)])
def test_motion_has_the_size_that_was_asked_for(rate_rms, accel_rms):
    motion = Motion(duration_s=120.0, rate_rms_rad_s=rate_rms, accel_rms_m_s2=accel_rms)
    made = simulate_imu(100.0, seed=1, motion=motion, errors=PERFECT)
    rate = made.gyro_rad_s[made.movement]
    acceleration = np.diff(made.velocity_m_s, axis=0)[made.movement[1:]] * 100.0
    assert np.sqrt((rate**2).sum(axis=1).mean()) == pytest.approx(rate_rms, rel=0.15)
    assert np.sqrt((acceleration**2).sum(axis=1).mean()) == pytest.approx(accel_rms, rel=0.15)
    assert np.abs(made.position_m).max() < 3.0  # a hand's reach, not a flight


def test_the_motion_does_not_depend_on_rate_or_errors():
    slow, fast = (simulate_imu(rate, seed=4, errors=PERFECT) for rate in (50.0, 500.0))
    bad = simulate_imu(50.0, seed=4)
    assert np.allclose(slow.orientation_xyzw, fast.orientation_xyzw[::10])
    assert np.allclose(slow.gyro_rad_s, fast.gyro_rad_s[::10])
    assert np.array_equal(slow.orientation_xyzw, bad.orientation_xyzw)
    assert not np.allclose(slow.gyro_rad_s, bad.gyro_rad_s)


def test_the_seed_makes_the_recording():
    motion = Motion(duration_s=5.0)
    hashes = [simulate_imu(100.0, seed, motion).sha256 for seed in (0, 0, 1)]
    assert hashes[0] == hashes[1] != hashes[2]


def test_turns_reach_every_direction():
    starts = [
        simulate_imu(10.0, seed, Motion(duration_s=1.0)).orientation_xyzw[0] for seed in range(200)
    ]
    up = Rotation.from_quat(starts).apply([0.0, 0.0, 1.0])
    assert np.abs(up.mean(axis=0)).max() < 0.2
    assert np.allclose((up**2).mean(axis=0), 1 / 3, atol=0.1)


def test_white_noise_has_the_density_at_every_averaging_time():
    densities = {"gyro_noise_rad_s_rthz": 3e-3, "accel_noise_m_s2_rthz": 2e-2}
    made = simulate_imu(200.0, seed=2, motion=STILL, errors=replace(PERFECT, **densities))
    for samples, density in ((made.gyro_rad_s, 3e-3), (made.accel_m_s2, 2e-2)):
        for averaging_s in (0.005, 0.1, 1.0):  # Allan deviation = density / sqrt(time)
            count = round(averaging_s * 200.0)
            usable = len(samples) // count * count
            means = samples[:usable].reshape(-1, count, 3).mean(axis=1)
            allan = np.sqrt((np.diff(means, axis=0) ** 2).mean() / 2.0)
            assert allan * np.sqrt(averaging_s) == pytest.approx(density, rel=0.06)


def test_the_variance_of_the_bias_grows_linearly():
    walks = {"gyro_walk_rad_s2_rthz": 1e-3, "accel_walk_m_s3_rthz": 1e-2}
    made = simulate_imu(50.0, seed=5, motion=STILL, errors=replace(PERFECT, **walks))
    for bias, walk in ((made.gyro_bias_rad_s, 1e-3), (made.accel_bias_m_s2, 1e-2)):
        for lag_s in (0.1, 1.0, 4.0):
            lag = round(lag_s * 50.0)
            variance = ((bias[lag:] - bias[:-lag]) ** 2).mean()
            assert variance / lag_s == pytest.approx(walk**2, rel=0.2)
    assert np.allclose(made.gyro_rad_s, made.gyro_bias_rad_s)
    assert not made.gyro_bias_rad_s[0].any()


def test_scale_misalignment_and_bias_are_constant_per_recording():
    errors = replace(PERFECT, scale_std=0.1, misalignment_std_rad=0.05, gyro_bias_std_rad_s=0.2)
    motion = Motion(duration_s=20.0)
    true = simulate_imu(100.0, seed=6, motion=motion, errors=PERFECT)
    made = simulate_imu(100.0, seed=6, motion=motion, errors=errors)
    rows = np.hstack([true.gyro_rad_s, np.ones((len(true), 1))])
    fit, residual, *_ = np.linalg.lstsq(rows, made.gyro_rad_s, rcond=None)
    assert residual.max() < 1e-20
    assert np.allclose(fit[3], made.gyro_bias_rad_s)
    mixing = fit[:3].T - np.eye(3)
    assert 0.01 < np.abs(np.diag(mixing)).max() < 0.4
    assert 0.005 < np.abs(mixing - np.diag(np.diag(mixing))).max() < 0.2


def test_a_sensor_saturates():
    errors = replace(PERFECT, gyro_range_rad_s=1.0, accel_range_m_s2=8.0)
    made = simulate_imu(100.0, seed=7, errors=errors)
    assert np.abs(made.gyro_rad_s).max() == 1.0
    assert np.abs(made.accel_m_s2).max() == 8.0


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        (Motion, {"duration_s": 0.0}),
        (Motion, {"knot_s": -0.1}),
        (Motion, {"move_s": (5.0, 2.0)}),
        (Motion, {"intensity": (0.0, 1.0)}),
        (Motion, {"rate_rms_rad_s": float("nan")}),
        (SensorErrors, {"scale_std": -1.0}),
    ],
)
def test_values_out_of_range_are_refused(kind, values):
    with pytest.raises(DatasetError, match=f"{kind.__name__}: {next(iter(values))}"):
        kind(**values)


@pytest.mark.parametrize(("rate_hz", "seed"), [(0.0, 0), (float("nan"), 0), (1e-3, 0), (10.0, -1)])
def test_a_recording_of_nothing_is_refused(rate_hz, seed):
    with pytest.raises(DatasetError, match="at least 2 samples"):
        simulate_imu(rate_hz, seed)
