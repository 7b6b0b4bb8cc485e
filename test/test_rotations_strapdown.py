"""Integration of angular rate: the scan against a plain loop and against exact motions."""

import functools
import math

import numpy as np
import pytest

import nn_perception.rotations as rot

assert_close = functools.partial(np.testing.assert_allclose, rtol=0)


def loop(gyro, dt, initial):
    """Return what the scan must give, sample by sample, written another way (matrices)."""
    dt = np.broadcast_to(dt, gyro.shape[:1])
    q = [initial]
    for rate, step in zip(gyro, dt, strict=True):
        q.append(rot.quat_multiply(q[-1], rot.quat_exp(rate * step)))
        q[-1] = q[-1] / np.linalg.norm(q[-1])
    return np.stack(q)


@pytest.fixture(scope="module")
def motion():
    draw = np.random.RandomState(0)
    gyro = np.cumsum(draw.standard_normal((5000, 3)), axis=0) * 0.05
    return gyro, draw.uniform(0.002, 0.008, 5000), rot.quat_random((), draw)


@pytest.mark.parametrize("samples", [0, 1, 2, 15, 16, 17, 255, 256, 257, 4097, 5000])
def test_the_scan_equals_the_loop(motion, samples):
    gyro, dt, initial = (motion[0][:samples], motion[1][:samples], motion[2])
    result = rot.integrate_gyro(gyro, dt, initial)
    assert result.shape == (samples + 1, 4)
    # The same quaternion, not only the same rotation: its sign does not jump either.
    assert_close(result, loop(gyro, dt, initial), atol=1e-12)
    assert_close(np.linalg.norm(result, axis=-1), 1, atol=1e-14)


def test_ten_minutes_at_200_hz(motion):
    gyro = np.tile(motion[0], (24, 1))
    result = rot.integrate_gyro(gyro, 0.005)
    expected = loop(gyro, 0.005, np.array([0.0, 0.0, 0.0, 1.0]))
    assert rot.quat_distance(result, expected).max() < 1e-9


def test_a_constant_rate_is_exact():
    rate = np.array([0.3, -2.0, 1.1])
    result = rot.integrate_gyro(np.tile(rate, (1000, 1)), 0.01)
    expected = rot.quat_exp(rate * (np.arange(1001) * 0.01)[:, None])
    assert rot.quat_distance(result, expected).max() < 1e-13


def test_rates_are_those_of_the_body():
    """Yaw by a quarter, then roll by a quarter: the roll is about the turned x axis."""
    gyro = np.array([[0, 0, math.pi / 2], [math.pi / 2, 0, 0]])
    end = rot.integrate_gyro(gyro, 1.0)[-1]
    assert_close(rot.quat_rotate(end, np.array([0.0, 1.0, 0.0])), [0, 0, 1], atol=1e-14)
    assert_close(rot.quat_rotate(end, np.array([1.0, 0.0, 0.0])), [0, 1, 0], atol=1e-14)


def test_batches_broadcast(motion):
    gyro = motion[0][:120].reshape(2, 3, 20, 3)
    initial = rot.quat_random((3,), np.random.RandomState(1))
    dt = np.linspace(0.001, 0.01, 20)
    result = rot.integrate_gyro(gyro, dt, initial)
    assert result.shape == (2, 3, 21, 4)
    for i in range(2):
        for j in range(3):
            assert_close(result[i, j], loop(gyro[i, j], dt, initial[j]), atol=1e-14)
    assert rot.integrate_gyro(gyro[0, 0], 0.005, initial).shape == (3, 21, 4)
    assert rot.integrate_gyro(np.zeros((0, 30, 3)), 0.005).shape == (0, 31, 4)


def test_one_sample_at_a_time_equals_the_whole(motion):
    gyro, dt, q = (motion[0][:500], motion[1][:500], motion[2])
    whole = rot.integrate_gyro(gyro, dt, q)
    for k in range(500):
        q = rot.integrate_step(q, gyro[k], dt[k])
    assert rot.quat_distance(q, whole[-1]) < 1e-13
    many = rot.integrate_step(whole[:-1], gyro, dt)
    assert rot.quat_distance(many, whole[1:]).max() < 1e-14


@pytest.mark.parametrize("window", [1, 2, 3, 16, 31, 32, 500])
def test_increments_equal_those_of_the_orientations(motion, window):
    gyro, dt, initial = (motion[0][:500], motion[1][:500], motion[2])
    result = rot.gyro_increments(gyro, dt, window)
    expected = rot.orientation_increments(rot.integrate_gyro(gyro, dt, initial), window)
    assert result.shape == expected.shape == (500 // window, 4)
    assert rot.quat_distance(result, expected).max() < 1e-14


def test_a_window_longer_than_the_data_gives_nothing(motion):
    assert rot.gyro_increments(motion[0][:10], 0.005, 16).shape == (0, 4)
    assert rot.orientation_increments(np.zeros((11, 4)), 16).shape == (0, 4)


def test_float32_stays_float32_and_close(motion):
    gyro, dt, initial = motion
    exact = rot.integrate_gyro(gyro, dt, initial)
    single = [value.astype(np.float32) for value in motion]
    result = rot.integrate_gyro(*single)
    assert result.dtype == np.float32
    assert rot.quat_distance(result.astype(np.float64), exact).max() < 1e-4
    assert_close(np.linalg.norm(result, axis=-1), 1, atol=3e-7)
    assert rot.integrate_gyro(single[0][:3], 0.005).dtype == np.float32
    assert rot.integrate_step(single[2], single[0][0], 0.005).dtype == np.float32
    assert rot.gyro_increments(single[0], 0.005, 16).dtype == np.float32


def test_a_nan_sample_spoils_what_follows_and_nothing_before(motion):
    gyro = motion[0][:200].copy()
    gyro[100] = np.nan
    result = rot.integrate_gyro(gyro, 0.005)
    assert np.isfinite(result[:101]).all()
    assert np.isnan(result[101:]).all()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: rot.integrate_gyro(np.zeros(3), 0.005), "integrate_step"),
        (lambda: rot.integrate_gyro(np.zeros((5, 4)), 0.005), r"expected \(\.\.\., 3\)"),
        (lambda: rot.integrate_gyro(np.zeros((5, 3)), np.zeros(4)), "leading axes"),
        (lambda: rot.integrate_gyro(np.zeros((2, 5, 3)), 0.1, np.ones((3, 4))), "leading axes"),
        (lambda: rot.integrate_step(np.zeros(4), np.zeros(4), 0.005), r"expected \(\.\.\., 3\)"),
        (lambda: rot.gyro_increments(np.zeros((5, 3)), 0.005, 0), "window is 0"),
        (lambda: rot.orientation_increments(np.zeros((5, 4)), -1), "window is -1"),
        (lambda: rot.orientation_increments(np.zeros(4), 1), r"expected \(\.\.\., N, 4\)"),
    ],
)
def test_errors_say_what_was_expected(call, message):
    with pytest.raises(rot.RotationError, match=message):
        call()
