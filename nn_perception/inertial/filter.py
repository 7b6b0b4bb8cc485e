"""A Kalman filter for inclination, gyroscope bias and heading whose noise is told from outside.

An error-state filter (Solà 2017, section 7, error in the earth frame) over orientation, velocity
and gyroscope bias. Two pseudo-measurements correct it: the velocity is about zero (over a time, a
hand, a drone or a robot does not run away), and the gyroscope at rest shows its bias. How much to
trust either, and how noisy the sensors are, is decided for every step by whoever calls: a
network, as in AI-IMU dead-reckoning (Brossard, Barrau and Bonnabel 2020).

Velocity as a state is what makes the accelerometer useful in motion: its mean over seconds is
gravity, since the velocity stays bounded, and the filter knows how well that holds after what time.

Nothing here depends on how the sensor is mounted or on where north is: rotate all samples, and the
estimate is rotated, exactly.

Written once for NumPy (a node) and torch (training): only functions that both have by the same name
are used. Quaternions are x, y, z, w, sensor to earth; all arrays have the leading axis N.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from nn_perception.inertial.small import (
    GRAVITY_M_S2,
    apply,
    cross_matrix,
    diagonal,
    exp,
    matrix,
    module_of,
    multiply,
    pick,
)
from nn_perception.rotations import Array

FEATURES = 8
"""Columns of `features`."""
NOISES = ("velocity_m_s", "gyro_rad_s_rthz", "accel_m_s2_rthz", "scale", "rest_rad_s", "bias_walk")
"""Columns of the noise: standard deviations; see `step`."""
REST_GAIN = 10.0
"""Growth of the rest noise with the rate: a gyroscope that turns says little about its bias."""
UNKNOWN_RATE_RAD_S = 0.5
UNKNOWN_ACCEL_M_S2 = 3.0
"""What the motion may have been in a gap, or while a sensor was saturated or frozen."""
_SLOW_S = 0.3


class State(NamedTuple):
    """What the filter knows of N sensors.

    Attributes:
        orientation_xyzw: (N, 4) unit.
        velocity_m_s: (N, 3) earth frame.
        gyro_bias_rad_s: (N, 3) sensor frame.
        slow_rate_rad_s: (N, 3) low-passed rate without bias, for `features`.
        covariance: (N, 9, 9) of the errors: rotation about the earth's axes, velocity, bias.
    """

    orientation_xyzw: Array
    velocity_m_s: Array
    gyro_bias_rad_s: Array
    slow_rate_rad_s: Array
    covariance: Array


class Block(NamedTuple):
    """Samples of a short time, pre-integrated; see `nn_perception.inertial.blocks`.

    Attributes:
        turn_xyzw: (N, 4) rotation over the block as the gyroscope shows it, bias included.
        velocity_m_s: (N, 3) specific force integrated, in the sensor frame at the block's start.
        rate_rad_s: (N, 3) mean rate.
        duration_s: (N, 1).
        unknown_s: (N, 1) seconds of it without usable samples.
    """

    turn_xyzw: Array
    velocity_m_s: Array
    rate_rad_s: Array
    duration_s: Array
    unknown_s: Array


def initial_state(specific_force_m_s2: Array, sigmas: Array) -> State:
    """Return the state of sensors that seem at rest: level by gravity, heading zero.

    Args:
        specific_force_m_s2: (N, 3) first accelerations, sensor frame.
        sigmas: (3,) standard deviations of tilt in rad, velocity in m/s, bias in rad/s.
    """
    xp = module_of(specific_force_m_s2)
    zeros = 0.0 * specific_force_m_s2
    ones = zeros[:, :1] + 1.0
    tilt, velocity, bias = (ones * sigmas[i] ** 2 for i in range(3))
    variances = xp.concatenate([tilt, tilt, 1e-6 * ones] + [velocity] * 3 + [bias] * 3, -1)
    return State(level(specific_force_m_s2), zeros, zeros, zeros, diagonal(variances))


def level(specific_force_m_s2: Array) -> Array:
    """Return the orientations (N, 4) that turn (N, 3) to point up by the shortest way."""
    xp = module_of(specific_force_m_s2)
    length = xp.sqrt((specific_force_m_s2**2).sum(-1) + 1e-12)
    x, y, z = (specific_force_m_s2[:, i] / length for i in range(3))
    # Upside down every horizontal axis will do: the offset chooses one.
    quat = xp.stack([y + 1e-9, -x, 0.0 * x, 1.0 + z], -1)
    return quat / xp.sqrt((quat**2).sum(-1))[:, None]


class Motion(NamedTuple):
    """What a block of samples did, before anything is measured.

    Attributes:
        orientation_xyzw: (N, 4) at the block's end.
        velocity_m_s: (N, 3) at the block's end.
        acceleration_m_s2: (N, 3) mean over the block, earth frame.
        gained_m_s: (N, 3) integrated specific force, earth frame.
        rate_rad_s: (N, 3) mean rate without bias, sensor frame.
    """

    orientation_xyzw: Array
    velocity_m_s: Array
    acceleration_m_s2: Array
    gained_m_s: Array
    rate_rad_s: Array


def predict(state: State, block: Block) -> Motion:
    """Integrate a block.

    The bias is taken off half before and half after the turn, which is right to second order.
    """
    dt = block.duration_s
    half = exp(-0.5 * dt * state.gyro_bias_rad_s)
    start = state.orientation_xyzw
    end = multiply(multiply(start, half), multiply(block.turn_xyzw, half))
    gained = apply(matrix(start), block.velocity_m_s)
    acceleration = gained / dt - pick("gravity", dt)
    velocity = state.velocity_m_s + acceleration * dt
    return Motion(end, velocity, acceleration, gained, block.rate_rad_s - state.gyro_bias_rad_s)


def features(state: State, block: Block, motion: Motion) -> Array:
    """Return (N, `FEATURES`) numbers of order one that tell the kind of motion.

    They are lengths and angles, so that no mounting and no heading shows in them: rate, change of
    the rate, horizontal acceleration, horizontal and vertical velocity, tilt uncertainty,
    deviation of the specific force from gravity, and whether the velocity grows.
    """
    xp = module_of(block.duration_s)
    rate, acceleration, velocity = motion.rate_rad_s, motion.acceleration_m_s2, motion.velocity_m_s
    vectors = [rate, rate - state.slow_rate_rad_s, acceleration, velocity]
    squares = (xp.concatenate(vectors, -1) ** 2) @ pick("lengths", rate)
    tilt = state.covariance[:, :1, 0] + state.covariance[:, 1:2, 1]
    force = (block.velocity_m_s**2).sum(-1)[:, None]
    lengths = xp.sqrt(xp.concatenate([squares, tilt, force], -1) + 1e-12)
    off_gravity = abs(lengths[:, 6:] / block.duration_s - GRAVITY_M_S2)
    # From 0.001 to 100 they span decades: brought to -1 to 2.4.
    sizes = 0.3 * xp.log(xp.concatenate([lengths[:, :6], off_gravity], -1) + 1e-3) + 1.0
    outward = (acceleration[:, :2] * velocity[:, :2]).sum(-1)[:, None]
    return xp.concatenate([sizes, outward / (lengths[:, 2:3] * lengths[:, 3:4] + 1e-2)], -1)


def step(state: State, block: Block, motion: Motion, noise: Array) -> State:
    """Return the state after a block.

    Args:
        state: before it.
        block: its samples.
        motion: of `predict`.
        noise: (N, 6) standard deviations as `NOISES` names them: of the velocity's distance from
            zero; of the gyroscope (rad/s per root hertz); of the accelerometer (likewise); of a
            gyroscope error in proportion to the rate (per root second); of the gyroscope's
            distance from its bias at rest; of the bias' random walk (rad/s per root second).
    """
    xp = module_of(block.duration_s)
    rate, variances = motion.rate_rad_s, noise**2
    rate_squared = (rate**2).sum(-1)[:, None]
    covariance = _propagate(xp, state, block, motion, variances, rate_squared)
    blind = block.unknown_s / block.duration_s
    rest = variances[:, 4:5] + REST_GAIN**2 * rate_squared + blind**2
    measured = xp.concatenate([variances[:, :1], rest], -1) @ pick("each_of_two", rate)
    innovation = xp.concatenate([-motion.velocity_m_s, rate], -1)
    seen = covariance[:, 3:, :]
    gain = xp.swapaxes(xp.linalg.solve(seen[:, :, 3:] + diagonal(measured), seen), -1, -2)
    change = apply(gain, innovation)
    covariance = covariance - gain @ seen
    turned = multiply(exp(change[:, :3]), motion.orientation_xyzw)
    mix = xp.clip(block.duration_s / _SLOW_S, 0.0, 1.0)
    return State(
        turned / xp.sqrt((turned**2).sum(-1))[:, None],
        motion.velocity_m_s + change[:, 3:6],
        state.gyro_bias_rad_s + change[:, 6:],
        state.slow_rate_rad_s + mix * (rate - state.slow_rate_rad_s),
        0.5 * (covariance + xp.swapaxes(covariance, -1, -2)),
    )


def _propagate(
    xp: Any, state: State, block: Block, motion: Motion, variances: Array, rate_squared: Array
) -> Array:
    """Return the covariance (N, 9, 9) before the measurements: F P F' + Q."""
    dt = block.duration_s
    turned = matrix(motion.orientation_xyzw) * dt[:, :, None]
    lever = cross_matrix(motion.gained_m_s)
    transition = _transition(xp, turned, lever)
    unknown = block.unknown_s**2
    added = [
        dt * (variances[:, 1:2] + variances[:, 3:4] * rate_squared)
        + unknown * (UNKNOWN_RATE_RAD_S**2 + 0.25 * rate_squared),
        dt * variances[:, 2:3] + unknown * UNKNOWN_ACCEL_M_S2**2,
        dt * variances[:, 5:6],
    ]
    spread = transition @ state.covariance @ xp.swapaxes(transition, -1, -2)
    return spread + diagonal(xp.concatenate(added, -1) @ pick("each_of_three", dt))


def _transition(xp: Any, turned: Array, lever: Array) -> Array:
    """Return (N, 9, 9): how errors of angle, velocity and bias become those at the block's end."""
    parts = [turned, lever, lever @ turned]
    if xp is np:  # few calls for a live filter
        flat = np.concatenate([part.reshape(-1, 9) for part in parts], -1)
        placed = (flat @ pick("transition", flat)).reshape(-1, 9, 9)
        return placed + pick("identity", flat)
    identity, zero = 0.0 * turned + pick("identity", turned)[:3, :3], 0.0 * turned
    rows = [
        [identity, zero, -turned],
        [-lever, identity, 0.5 * parts[2]],
        [zero, zero, identity],
    ]
    return xp.concatenate([xp.concatenate(row, -1) for row in rows], -2)
