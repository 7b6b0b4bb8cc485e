"""Pre-integration against exact motions, a fine-grained reference, and itself in pieces."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import nn_perception.rotations as rot
from nn_perception.datasets.imu_simulator import Motion, SensorErrors, simulate_imu
from nn_perception.inertial.blocks import BLOCK_S, cut_into_blocks, integrate, is_full, midpoints

IDENTITY = np.array([[0.0, 0.0, 0.0, 1.0]])


def samples(count, seed=0, sensors=2):
    draw = np.random.RandomState(seed)
    gyro, accel = draw.standard_normal((2, sensors, count, 3)) * [[[[2.0]]], [[[9.0]]]]
    return gyro, accel, draw.uniform(0.001, 0.02, (sensors, count))


def reference(turn, gyro, accel, dt):
    """Turn and gain by a plain loop over rotation vectors, with `rotations`."""
    turns, gained = [], np.zeros(3)
    for rate, force, step in zip(gyro, accel, dt, strict=True):
        middle = rot.quat_multiply(turn, rot.quat_exp(0.5 * step * rate))
        gained = gained + rot.quat_rotate(middle, force) * step
        turn = rot.quat_multiply(turn, rot.quat_exp(step * rate))
        turns.append(turn)
    return np.stack(turns), gained


def test_it_equals_a_plain_loop():
    gyro, accel, dt = samples(40)
    start = rot.quat_random((2,), np.random.RandomState(1))
    found = integrate(start, gyro, accel, dt)
    for i in range(2):
        turns, gained = reference(start[i], gyro[i], accel[i], dt[i])
        np.testing.assert_allclose(found.turn_xyzw[i], turns, atol=1e-12)
        np.testing.assert_allclose(found.gained_m_s[i], gained, atol=1e-12)


def test_turns_are_those_of_integrate_gyro():
    gyro, accel, dt = samples(200)
    found = integrate(np.repeat(IDENTITY, 2, 0), gyro, accel, dt)
    np.testing.assert_allclose(found.turn_xyzw, rot.integrate_gyro(gyro, dt)[:, 1:], atol=1e-11)


@pytest.mark.parametrize("scale", [1.0, 60.0, 2000.0])
def test_turns_beyond_the_reach_of_a_series(scale):
    """One interval of up to many turns, as over a bridged gap: exact, unit."""
    rate = scale * np.array([[[0.5, -0.3, 0.8]]])
    found = integrate(IDENTITY, rate, np.zeros((1, 1, 3)), np.ones((1, 1)))
    assert rot.quat_distance(found.turn_xyzw[0, 0], rot.quat_exp(rate[0, 0])) < 1e-11
    assert np.linalg.norm(found.turn_xyzw[0, 0]) == pytest.approx(1.0, abs=1e-12)


@settings(derandomize=True, deadline=None, max_examples=40, database=None)
@given(st.lists(st.integers(1, 9), min_size=1, max_size=6))
def test_in_pieces_equals_at_once(sizes):
    gyro, accel, dt = samples(sum(sizes))
    start = np.repeat(IDENTITY, 2, 0)
    whole = integrate(start, gyro, accel, dt)
    turn, gained, at = start, np.zeros((2, 3)), 0
    for size in sizes:
        piece = slice(at, at + size)
        part = integrate(turn, gyro[:, piece], accel[:, piece], dt[:, piece])
        np.testing.assert_allclose(part.turn_xyzw, whole.turn_xyzw[:, piece], atol=1e-13)
        turn, gained, at = part.turn_xyzw[:, -1], gained + part.gained_m_s, at + size
    np.testing.assert_allclose(gained, whole.gained_m_s, atol=1e-12)


def test_no_time_and_no_sensor():
    gyro, accel, _ = samples(3)
    found = integrate(np.repeat(IDENTITY, 2, 0), gyro, accel, np.zeros((2, 3)))
    np.testing.assert_array_equal(found.turn_xyzw, np.tile(IDENTITY, (2, 3, 1)))
    np.testing.assert_array_equal(found.gained_m_s, np.zeros((2, 3)))
    empty = integrate(np.zeros((0, 4)), gyro[:0], accel[:0], np.zeros((0, 3)))
    assert empty.turn_xyzw.shape == (0, 3, 4)


def test_midpoints():
    readings = np.arange(12.0).reshape(1, 4, 3) ** 2
    before = np.full((1, 3), -4.0)
    found = midpoints(readings, before)
    rows = np.concatenate([before, readings[0]])
    np.testing.assert_array_equal(found[0], (rows[1:] + rows[:-1]) / 2)


def about_one_axis(angle, rate, period_s, stop_s):
    """Greatest difference to the exact angle of a rotation about an oblique axis, as sampled."""
    axis = np.array([1.0, -2.0, 2.0]) / 3.0
    time_s = np.arange(0.0, stop_s + 1e-9, period_s)
    gyro = rate(time_s)[None, :, None] * axis
    means = midpoints(gyro[:, 1:], gyro[:, 0])
    dt = np.diff(time_s)[None]
    found = integrate(IDENTITY, means, np.zeros_like(means), dt).turn_xyzw[0]
    exact = rot.quat_exp((angle(time_s[1:]) - angle(0.0))[:, None] * axis)
    return rot.quat_distance(found, exact).max()


def test_constant_angular_acceleration_is_exact():
    """A reading held over its interval would be off by half a sample times the change of rate."""
    error = about_one_axis(lambda t: 1.5 * t**2, lambda t: 3.0 * t, 0.02, 2.0)
    assert error < 1e-12


def test_a_sine_at_50_hz_has_no_time_shift():
    """A shift by half a sample, 10 ms, would show as 10 ms x 3 rad/s = 0.03 rad."""
    turn = 2.0 * np.pi * 1.0
    error = about_one_axis(
        lambda t: 3.0 / turn * np.sin(turn * t), lambda t: 3.0 * np.cos(turn * t), 0.02, 3.0
    )
    # The trapezoid's own error: (turn x period)^2 / 12 of the amplitude.
    assert error < 1.2 * 3.0 / turn * (turn * 0.02) ** 2 / 12


def test_gain_of_velocity_against_a_fine_grained_reference():
    """Blocks of a smooth motion at 200 Hz against the same motion at 5 kHz."""
    motion = Motion(duration_s=8.0, rate_rms_rad_s=3.0, accel_rms_m_s2=4.0, rest_s=(0.0, 0.0))
    coarse, fine = (simulate_imu(hz, 5, motion, SensorErrors.none()) for hz in (200.0, 5000.0))
    blocks = cut_into_blocks(coarse.time_s, coarse.gyro_rad_s, coarse.accel_m_s2)
    ends = np.concatenate([[0], blocks["end"]]).astype(int)
    exact = rot.orientation_increments(coarse.orientation_xyzw[ends], 1)
    assert rot.quat_distance(blocks["turn"], exact).max() < 2e-4
    step = 5000 // 200
    gravity = np.array([0.0, 0.0, 9.80665])
    for j in range(0, len(blocks["turn"]), 7):
        first, last = ends[j] * step, ends[j + 1] * step
        change = fine.velocity_m_s[last] - fine.velocity_m_s[first]
        change = change + gravity * (fine.time_s[last] - fine.time_s[first])
        inverse = rot.quat_conjugate(fine.orientation_xyzw[first])
        np.testing.assert_allclose(
            blocks["velocity"][j], rot.quat_rotate(inverse, change), atol=2e-4
        )


@pytest.mark.parametrize("rate_hz", [50.0, 100.0, 200.0, 238.0, 286.0, 500.0, 1000.0])
def test_cut_into_blocks_equals_the_stream(rate_hz):
    """Sample by sample, a block closed when full: the same numbers at the same samples."""
    sequence = simulate_imu(rate_hz, 1, Motion(duration_s=3.0))
    time_s, gyro, accel = sequence.time_s, sequence.gyro_rad_s, sequence.accel_m_s2
    blocks = cut_into_blocks(time_s, gyro, accel)
    turn, gained, turned, duration, at = IDENTITY, np.zeros((1, 3)), np.zeros(3), 0.0, 0
    for k in range(1, len(time_s)):
        dt = time_s[k] - time_s[k - 1]
        rate, force = (midpoints(x[None, k : k + 1], x[k - 1 : k]) for x in (gyro, accel))
        part = integrate(turn, rate, force, np.array([[dt]]))
        turn, gained = part.turn_xyzw[:, -1], gained + part.gained_m_s
        turned, duration = turned + rate[0, 0] * dt, duration + dt
        if is_full(duration):
            assert blocks["end"][at] == k
            np.testing.assert_allclose(blocks["turn"][at], turn[0], atol=1e-12)
            np.testing.assert_allclose(blocks["velocity"][at], gained[0], atol=1e-12)
            np.testing.assert_allclose(blocks["rate"][at], turned / duration, atol=1e-12)
            assert blocks["duration"][at, 0] == pytest.approx(duration, abs=1e-12)
            turn, gained, turned, duration, at = IDENTITY, np.zeros((1, 3)), 0.0, 0.0, at + 1
    assert at == len(blocks["turn"]) == len(blocks["end"])
    assert BLOCK_S - 5e-4 <= blocks["duration"].min() <= blocks["duration"].max() < 0.06


def test_a_block_of_one_slow_sample():
    """Slower than a block: each sample closes one."""
    time_s = np.arange(10) * 0.1
    blocks = cut_into_blocks(time_s, np.ones((10, 3)), np.ones((10, 3)))
    np.testing.assert_array_equal(blocks["end"], np.arange(1, 10))
    np.testing.assert_allclose(blocks["duration"], 0.1)


def test_too_short_for_a_block():
    blocks = cut_into_blocks(np.arange(4) * 0.005, np.ones((4, 3)), np.ones((4, 3)))
    assert all(len(rows) == 0 for rows in blocks.values())
