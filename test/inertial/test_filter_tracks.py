"""The Kalman filter over recordings: levelling, convergence, symmetries, a sound covariance."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import nn_perception.rotations as rot
from nn_perception.datasets.imu_simulator import Motion, SensorErrors, simulate_imu
from nn_perception.inertial.blocks import cut_into_blocks
from nn_perception.inertial.filter import Block, initial_state, level, predict, step

NOISE = np.array([[1.0, 3e-4, 0.02, 1e-3, 5e-3, 3e-5]])
SIGMAS = np.array([0.1, 0.3, 0.01])
UP = np.array([0.0, 0.0, 1.0])


@pytest.mark.parametrize(
    "force",
    [
        (0.0, 0.0, 9.81),
        (0.0, 0.0, -9.81),
        (9.81, 0.0, 0.0),
        (0.0, -9.81, 0.0),
        (1.0, 2.0, -3.0),
        (1e-7, 0.0, -9.81),
        (0.0, -1e-7, -9.81),
        (3.0, -4.0, 1e-3),
    ],
)
def test_level_turns_the_force_up(force):
    (quat,) = level(np.array([force]))
    assert np.linalg.norm(quat) == pytest.approx(1.0, abs=1e-14)
    length = np.linalg.norm(force)
    np.testing.assert_allclose(rot.quat_rotate(quat, np.array(force)) / length, UP, atol=2e-5)


@settings(derandomize=True, deadline=None, max_examples=60, database=None)
@given(st.integers(0, 2**32 - 1), st.floats(0.01, 1000.0))
def test_level_goes_the_shortest_way(seed, length):
    force = length * rot.quat_rotate(rot.quat_random((), np.random.RandomState(seed)), UP)
    (quat,) = level(force[None])
    angle = np.arccos(np.clip(force[2] / length, -1.0, 1.0))
    assert rot.quat_distance(quat, np.array([0.0, 0.0, 0.0, 1.0])) == pytest.approx(angle, abs=1e-6)
    assert abs(quat[2]) == 0.0  # no turn about the vertical


def test_level_of_free_fall_is_some_orientation():
    (quat,) = level(np.zeros((1, 3)))
    assert np.linalg.norm(quat) == pytest.approx(1.0, abs=1e-14)


def blocks_of(sequence):
    parts = cut_into_blocks(sequence.time_s, sequence.gyro_rad_s, sequence.accel_m_s2)
    ends = parts.pop("end").astype(int)
    zero = np.zeros((1, 1))
    rows = [parts[key] for key in ("turn", "velocity", "rate", "duration")]
    return [Block(*(r[k : k + 1] for r in rows), zero) for k in range(len(ends))], ends


def track(state, blocks, noise=NOISE):
    states = []
    for block in blocks:
        state = step(state, block, predict(state, block), noise)
        states.append(state)
    return states


def stacked(states, name):
    return np.concatenate([getattr(state, name) for state in states])


def symmetric_and_positive(covariance):
    np.testing.assert_array_equal(covariance, np.swapaxes(covariance, -1, -2))
    return np.linalg.eigvalsh(covariance).min() > 0.0


@pytest.mark.parametrize("noise", [NOISE, NOISE * 1e-3, NOISE * 100.0])
def test_covariance_stays_symmetric_and_positive(noise):
    """Three minutes of blocks: rest, and motion that no filter can follow."""
    draw = np.random.RandomState(0)
    state = initial_state(np.array([[0.0, 0.0, 9.81]]), SIGMAS)
    rates = draw.standard_normal((50, 1, 3))
    forces = draw.standard_normal((50, 1, 3)) * 2.0 + [0.0, 0.0, 9.8]
    dt, zero = np.array([[0.04]]), np.zeros((1, 1))
    wild = [
        Block(rot.quat_exp(0.04 * rate), 0.04 * force, rate, dt, zero)
        for rate, force in zip(rates, forces, strict=True)
    ]
    still = np.zeros((1, 3))
    calm = Block(np.array([[0.0, 0.0, 0.0, 1.0]]), 0.04 * forces[0], still, dt, zero)
    for k in range(5_000):
        block = calm if (k // 500) % 2 else wild[draw.randint(50)]
        state = step(state, block, predict(state, block), noise)
        if k % 250 == 249:
            assert symmetric_and_positive(state.covariance)
    assert np.isfinite(np.concatenate([part.ravel() for part in state])).all()


def simulated(seed, motion=None, errors=None, hz=200.0):
    return simulate_imu(hz, seed, motion or Motion(duration_s=40.0), errors or SensorErrors())


@pytest.mark.parametrize("seed", range(3))
def test_inclination_converges(seed):
    """From level, with a bias of 0.6 deg/s and noise: within two degrees RMS after ten seconds."""
    sequence = simulated(seed)
    blocks, ends = blocks_of(sequence)
    states = track(initial_state(sequence.accel_m_s2[:1], SIGMAS), blocks)
    truth = sequence.orientation_xyzw[ends]
    errors = rot.attitude_errors(stacked(states, "orientation_xyzw"), truth).inclination_rad
    assert np.degrees(errors[250:]).max() < 4.0
    assert np.degrees(np.sqrt((errors[250:] ** 2).mean())) < 2.0


def test_a_wrong_start_is_corrected_at_rest():
    """Levelled by a knock: ten degrees off, within half a degree after ten seconds."""
    rest = Motion(duration_s=20.0, rate_rms_rad_s=0.0, accel_rms_m_s2=0.0)
    errors = SensorErrors(accel_bias_std_m_s2=0.0, scale_std=0.0, misalignment_std_rad=0.0)
    sequence = simulated(1, rest, errors)
    knocked = rot.quat_rotate(rot.quat_exp(np.array([0.12, 0.12, 0.0])), sequence.accel_m_s2[:1])
    blocks, ends = blocks_of(sequence)
    states = track(initial_state(knocked, SIGMAS), blocks)
    truth = sequence.orientation_xyzw[ends]
    errors = rot.attitude_errors(stacked(states, "orientation_xyzw"), truth).inclination_rad
    assert np.degrees(errors[0]) > 5.0
    assert np.degrees(errors[250:]).max() < 0.5


def test_bias_is_found_at_rest():
    rest = Motion(duration_s=20.0, rate_rms_rad_s=0.0, accel_rms_m_s2=0.0)
    sequence = simulated(2, rest)
    blocks, ends = blocks_of(sequence)
    states = track(initial_state(sequence.accel_m_s2[:1], SIGMAS), blocks)
    error = stacked(states, "gyro_bias_rad_s") - sequence.gyro_bias_rad_s[ends]
    assert np.linalg.norm(sequence.gyro_bias_rad_s[0]) > 0.01
    assert abs(error[250:]).max() < 6e-4
    deviations = np.sqrt(np.diagonal(states[-1].covariance, 0, 1, 2))
    assert deviations[0, 6:].max() < 1e-3


@pytest.mark.parametrize("seed", range(3))
def test_another_mounting_turns_the_estimate_exactly(seed):
    """All samples turned: the same orientation of the body, velocity and covariance."""
    sequence = simulated(seed)
    mounting = rot.quat_random((), np.random.RandomState(seed))
    start = initial_state(sequence.accel_m_s2[:1], SIGMAS)
    back = rot.quat_conjugate(mounting)
    turned = start._replace(orientation_xyzw=rot.quat_multiply(start.orientation_xyzw, back))
    one = track(start, blocks_of(sequence)[0])
    other = track(turned, blocks_of(sequence.rotate_mounting(mounting))[0])
    expected = rot.quat_multiply(stacked(one, "orientation_xyzw"), back)
    assert rot.quat_distance(stacked(other, "orientation_xyzw"), expected).max() < 1e-9
    np.testing.assert_allclose(
        stacked(other, "velocity_m_s"), stacked(one, "velocity_m_s"), atol=1e-9
    )
    biases = rot.quat_rotate(mounting, stacked(one, "gyro_bias_rad_s"))
    np.testing.assert_allclose(stacked(other, "gyro_bias_rad_s"), biases, atol=1e-9)
    tilt = stacked(one, "covariance")[:, :6, :6]
    np.testing.assert_allclose(stacked(other, "covariance")[:, :6, :6], tilt, atol=1e-9)


def test_levelling_differs_by_a_heading_between_mountings():
    force = simulated(0).accel_m_s2[:1]
    mounting = rot.quat_random((), np.random.RandomState(1))
    other = rot.quat_multiply(level(rot.quat_rotate(mounting, force)), mounting)
    between = rot.quat_multiply(other, rot.quat_conjugate(level(force)))
    np.testing.assert_allclose(between[:, :2], 0.0, atol=1e-8)


def test_another_heading_turns_the_estimate_exactly():
    sequence = simulated(4)
    blocks, _ = blocks_of(sequence)
    start = initial_state(sequence.accel_m_s2[:1], SIGMAS)
    north = rot.quat_exp(np.array([0.0, 0.0, 2.3]))
    turned = start._replace(orientation_xyzw=rot.quat_multiply(north, start.orientation_xyzw))
    one, other = track(start, blocks), track(turned, blocks)
    expected = rot.quat_multiply(north, stacked(one, "orientation_xyzw"))
    assert rot.quat_distance(stacked(other, "orientation_xyzw"), expected).max() < 1e-9
    np.testing.assert_allclose(
        stacked(other, "velocity_m_s"), rot.quat_rotate(north, stacked(one, "velocity_m_s")),
        atol=1e-9,
    )  # fmt: skip
    np.testing.assert_allclose(
        stacked(other, "gyro_bias_rad_s"), stacked(one, "gyro_bias_rad_s"), atol=1e-9
    )
