"""One step of the Kalman filter: start, prediction, linearisation, measurement, features."""

import numpy as np
import pytest

import nn_perception.rotations as rot
from nn_perception.inertial.filter import (
    FEATURES,
    NOISES,
    Block,
    State,
    features,
    initial_state,
    predict,
    step,
)

NOISE = np.array([[1.0, 3e-4, 0.02, 1e-3, 5e-3, 3e-5]])
SIGMAS = np.array([0.1, 0.3, 0.01])
UP = np.array([0.0, 0.0, 1.0])


def draw_state(seed, count=1):
    draw = np.random.RandomState(seed)
    root = draw.standard_normal((count, 9, 9)) * ([0.05] * 3 + [0.3] * 3 + [0.01] * 3)
    return State(
        rot.quat_random((count,), draw),
        draw.standard_normal((count, 3)),
        0.02 * draw.standard_normal((count, 3)),
        draw.standard_normal((count, 3)),
        np.swapaxes(root, 1, 2) @ root + 1e-8 * np.eye(9),
    )


def draw_block(seed, count=1, unknown=0.0):
    draw = np.random.RandomState(seed)
    rate = draw.standard_normal((count, 3))
    return Block(
        rot.quat_exp(0.04 * rate),
        0.04 * (draw.standard_normal((count, 3)) * 2.0 + [0.0, 0.0, 9.8]),
        rate,
        np.full((count, 1), 0.04),
        np.full((count, 1), unknown),
    )


def test_the_first_covariance_is_as_told():
    state = initial_state(np.array([[0.0, 3.0, 9.0]]), SIGMAS)
    expected = np.diag([0.1**2] * 2 + [1e-6] + [0.3**2] * 3 + [0.01**2] * 3)
    np.testing.assert_allclose(state.covariance[0], expected, atol=1e-15)
    assert not state.velocity_m_s.any()
    assert not state.gyro_bias_rad_s.any()


def test_predict_against_a_fine_integration():
    """Bias taken off half before and half after: as if off every sample, to second order."""
    draw = np.random.RandomState(1)
    rate, bias = np.array([1.0, -2.0, 1.5]), np.array([0.01, 0.02, -0.015])
    start = rot.quat_random((1,), draw)
    block = Block(rot.quat_exp(0.04 * rate)[None], np.zeros((1, 3)), rate[None],
                  np.array([[0.04]]), np.zeros((1, 1)))  # fmt: skip
    state = draw_state(0)._replace(orientation_xyzw=start, gyro_bias_rad_s=bias[None])
    exact = rot.quat_multiply(start, rot.quat_exp(0.04 * (rate - bias)))
    motion = predict(state, block)
    assert rot.quat_distance(motion.orientation_xyzw, exact)[0] < 1e-6
    np.testing.assert_allclose(motion.rate_rad_s[0], rate - bias, atol=1e-15)
    fall = state.velocity_m_s - 0.04 * 9.81 * UP
    np.testing.assert_allclose(motion.velocity_m_s, fall, atol=1e-14)


def moved(state, index, size):
    """The state with an error: of rotation about the earth's axes, velocity, or bias."""
    error = np.zeros((1, 9))
    error[0, index] = size
    return state._replace(
        orientation_xyzw=rot.quat_multiply(rot.quat_exp(error[:, :3]), state.orientation_xyzw),
        velocity_m_s=state.velocity_m_s + error[:, 3:6],
        gyro_bias_rad_s=state.gyro_bias_rad_s + error[:, 6:],
    )


def difference(one, other):
    turned = rot.quat_multiply(one[0], rot.quat_conjugate(other[0]))
    return np.concatenate([rot.quat_log(turned)[0], (one[1] - other[1])[0], (one[2] - other[2])[0]])


def by_differences(end_of, state, size=1e-5):
    """Columns (9, 9): how errors at the start become those at the end."""
    columns = [
        difference(end_of(moved(state, i, size)), end_of(moved(state, i, -size))) / (2.0 * size)
        for i in range(9)
    ]
    return np.stack(columns, 1)


def propagated(state, block):
    """The covariance before any measurement: the velocity's and the bias' noise is endless."""
    blind = np.array([[1e9, 0.0, 0.0, 0.0, 1e9, 0.0]])
    return step(state, block, predict(state, block), blind).covariance


def transition(state, block):
    """The filter's own matrix, column by column: F e e' F' of each unit vector e."""
    columns = []
    for unit in np.eye(9):
        outer = propagated(state._replace(covariance=np.outer(unit, unit)[None]), block)[0]
        index = int(unit.argmax())
        columns.append(outer[:, index] / np.sqrt(outer[index, index]))  # F's diagonal is 1
    return np.stack(columns, 1)


def constant(rate, force, state, fine=400):
    """A block of constant measured rate and force, and its end integrated in fine steps."""
    dt = 0.04 / fine
    middles = rot.quat_exp((np.arange(fine)[:, None] + 0.5) * dt * rate)
    gained = rot.quat_rotate(middles, force).sum(0) * dt
    block = Block(rot.quat_exp(0.04 * rate)[None], gained[None], rate[None],
                  np.array([[0.04]]), np.zeros((1, 1)))  # fmt: skip

    def end_of(start):
        true = rate - start.gyro_bias_rad_s[0]
        way = rot.quat_multiply(
            start.orientation_xyzw, rot.quat_exp((np.arange(fine)[:, None] + 0.5) * dt * true)
        )
        pushed = rot.quat_rotate(way, force).sum(0) * dt - 9.81 * 0.04 * UP
        end = rot.quat_multiply(start.orientation_xyzw, rot.quat_exp(0.04 * true)[None])
        return end, start.velocity_m_s + pushed, start.gyro_bias_rad_s

    return block, end_of


@pytest.mark.parametrize("seed", range(5))
def test_error_propagation_against_finite_differences(seed):
    """Of `predict`, but for what a bias does to the velocity: that against a fine integration."""
    draw = np.random.RandomState(seed)
    state = draw_state(seed)._replace(gyro_bias_rad_s=np.zeros((1, 3)))
    rate, force = draw.standard_normal(3), 2.0 * draw.standard_normal(3) + [0.0, 0.0, 9.8]
    block, end_of = constant(rate, force, state)

    def predicted(start):
        motion = predict(start, block)
        return motion.orientation_xyzw, motion.velocity_m_s, start.gyro_bias_rad_s

    found, expected = transition(state, block), by_differences(predicted, state)
    np.testing.assert_allclose(found[:, :6], expected[:, :6], atol=1e-6)
    # One matrix for the whole turn within a block: relative error about rate x 0.04 s / 2.
    np.testing.assert_allclose(found[[0, 1, 2, 6, 7, 8], 6:], expected[[0, 1, 2, 6, 7, 8], 6:],
                               atol=0.04 * 0.06)  # fmt: skip
    true = by_differences(end_of, state)
    size = abs(true[3:6, 6:]).max()
    assert 0.003 < size < 0.02
    np.testing.assert_allclose(found[3:6, 6:], true[3:6, 6:], atol=0.1 * size)


def test_what_a_bias_does_to_the_velocity_without_a_turn():
    """Half a lever: dv = 0.5 dt x (bias x dt) x force; to 1 in 10."""
    state = draw_state(3)._replace(gyro_bias_rad_s=np.zeros((1, 3)))
    block, end_of = constant(np.zeros(3), np.array([1.0, -2.0, 9.8]), state)
    found, true = transition(state, block), by_differences(end_of, state)
    np.testing.assert_allclose(found, true, atol=1e-6)


def test_an_error_of_tilt_becomes_one_of_velocity():
    """Leaning by 0.1 rad about x at rest gains 0.981 m/s2 along -y: sign and size of the lever."""
    state = initial_state(np.array([[0.0, 0.0, 9.81]]), SIGMAS)
    variances = np.zeros((9, 9))
    variances[0, 0] = 0.1**2
    state = state._replace(covariance=variances[None])
    block = Block(np.array([[0.0, 0.0, 0.0, 1.0]]), np.array([[0.0, 0.0, 0.981]]),
                  np.zeros((1, 3)), np.array([[0.1]]), np.zeros((1, 1)))  # fmt: skip
    found = propagated(state, block)[0]
    assert found[0, 4] == pytest.approx(0.1 * -0.0981, rel=1e-6)
    assert found[4, 4] == pytest.approx(0.0981**2, rel=1e-6)
    assert found[3, 3] == pytest.approx(0.0, abs=1e-12)


def test_noise_adds_what_its_table_says():
    state = draw_state(1)._replace(covariance=np.zeros((1, 9, 9)))
    block = draw_block(2)
    motion = predict(state, block)
    noise = np.array([[1e9, 2e-3, 0.05, 0.01, 1e9, 1e-4]])
    found = np.diag(step(state, block, motion, noise).covariance[0])
    rate_squared = (motion.rate_rad_s**2).sum()
    np.testing.assert_allclose(found[:3], 0.04 * (2e-3**2 + 0.01**2 * rate_squared), rtol=1e-9)
    np.testing.assert_allclose(found[3:6], 0.04 * 0.05**2, rtol=1e-9)
    np.testing.assert_allclose(found[6:], 0.04 * 1e-4**2, rtol=1e-9)


def test_the_measurement_is_that_of_the_textbook():
    """Mean and covariance of a Gaussian conditioned on velocity and rate, by inverses."""
    state, block = draw_state(3), draw_block(4)
    motion = predict(state, block)
    before = propagated(state, block)[0] + np.diag(
        0.04
        * np.repeat(
            [NOISE[0, 1] ** 2 + NOISE[0, 3] ** 2 * (motion.rate_rad_s**2).sum(),
             NOISE[0, 2] ** 2, NOISE[0, 5] ** 2], 3,
        )
    )  # fmt: skip
    rest = NOISE[0, 4] ** 2 + 100.0 * (motion.rate_rad_s**2).sum()
    information = np.linalg.inv(before)
    information[3:, 3:] += np.diag([NOISE[0, 0] ** -2] * 3 + [1.0 / rest] * 3)
    after = np.linalg.inv(information)
    innovation = np.concatenate([-motion.velocity_m_s[0], motion.rate_rad_s[0]])
    weights = np.diag([NOISE[0, 0] ** -2] * 3 + [1.0 / rest] * 3)
    change = after[:, 3:] @ weights @ innovation
    found = step(state, block, motion, NOISE)
    np.testing.assert_allclose(found.covariance[0], after, rtol=1e-5, atol=1e-9)
    turned = rot.quat_multiply(rot.quat_exp(change[None, :3]), motion.orientation_xyzw)
    assert rot.quat_distance(found.orientation_xyzw, turned)[0] < 1e-7
    np.testing.assert_allclose(found.velocity_m_s[0], motion.velocity_m_s[0] + change[3:6], 1e-6)
    np.testing.assert_allclose(
        found.gyro_bias_rad_s[0], state.gyro_bias_rad_s[0] + change[6:], atol=1e-8
    )


@pytest.mark.parametrize("unknown", [0.01, 0.04])
def test_unknown_time_raises_the_covariance(unknown):
    state = draw_state(5)
    sure, unsure = (
        step(state, block, predict(state, block), NOISE).covariance[0]
        for block in (draw_block(6), draw_block(6, unknown=unknown))
    )
    assert (np.diag(unsure)[:3] > np.diag(sure)[:3] + (0.4 * unknown) ** 2).all()
    assert (np.diag(unsure) > np.diag(sure)).all()


def test_features_show_neither_mounting_nor_heading():
    state, block = draw_state(7, 20), draw_block(8, 20)
    seen = features(state, block, predict(state, block))
    assert seen.shape == (20, FEATURES)
    assert abs(seen).max() < 5.0
    mounting = rot.quat_random((20,), np.random.RandomState(9))
    north = rot.quat_exp(np.array([0.0, 0.0, 1.1]))
    back = rot.quat_conjugate(mounting)
    matrix = np.kron(np.eye(2), rot.quat_to_matrix(north))
    full = np.zeros((20, 9, 9))
    full[:, :6, :6] = matrix
    full[:, 6:, 6:] = rot.quat_to_matrix(mounting)
    other = State(
        rot.quat_multiply(rot.quat_multiply(north, state.orientation_xyzw), back),
        rot.quat_rotate(north, state.velocity_m_s),
        rot.quat_rotate(mounting, state.gyro_bias_rad_s),
        rot.quat_rotate(mounting, state.slow_rate_rad_s),
        full @ state.covariance @ np.swapaxes(full, 1, 2),
    )
    turned = block._replace(
        turn_xyzw=rot.quat_multiply(rot.quat_multiply(mounting, block.turn_xyzw), back),
        velocity_m_s=rot.quat_rotate(mounting, block.velocity_m_s),
        rate_rad_s=rot.quat_rotate(mounting, block.rate_rad_s),
    )
    np.testing.assert_allclose(features(other, turned, predict(other, turned)), seen, atol=1e-9)


def test_rows_do_not_know_of_each_other():
    state, block = draw_state(10, 6), draw_block(11, 6, 0.01)
    noise = NOISE * np.linspace(0.5, 2.0, 6)[:, None]
    whole = step(state, block, predict(state, block), noise)
    for i in range(6):
        row = slice(i, i + 1)
        one, part = State(*(x[row] for x in state)), Block(*(x[row] for x in block))
        alone = step(one, part, predict(one, part), noise[row])
        for found, expected in zip(alone, whole, strict=True):
            np.testing.assert_allclose(found, expected[row], atol=1e-13)


def test_torch_gives_the_same():
    torch = pytest.importorskip("torch")
    state, block = draw_state(12, 5), draw_block(13, 5, 0.02)
    noise = np.repeat(NOISE, 5, 0)
    assert noise.shape[1] == len(NOISES)
    torches = State(*map(torch.from_numpy, state)), Block(*map(torch.from_numpy, block))
    motion, other = predict(state, block), predict(*torches)
    for found, expected in zip(other, motion, strict=True):
        np.testing.assert_allclose(found.numpy(), expected, atol=1e-12)
    seen = features(*torches, other)
    np.testing.assert_allclose(seen.numpy(), features(state, block, motion), atol=1e-12)
    after = step(*torches, other, torch.from_numpy(noise))
    for found, expected in zip(after, step(state, block, motion, noise), strict=True):
        np.testing.assert_allclose(found.numpy(), expected, atol=1e-12)
    first = initial_state(torch.from_numpy(block.velocity_m_s), torch.from_numpy(SIGMAS))
    for found, expected in zip(first, initial_state(block.velocity_m_s, SIGMAS), strict=True):
        np.testing.assert_allclose(found.numpy(), expected, atol=1e-12)
