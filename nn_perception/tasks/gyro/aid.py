"""The rest of a gyroscope's bias, found from gravity while it moves.

What calibration, memory and convolutions leave of the bias turns the integrated up-vector away from
gravity. The filter of `nn_perception.inertial.filter` sees that, with fixed noise: the velocity
stays bounded, the rest follows. It learns little about the bias around the vertical, and keeps
what it is told there. Only the bias is taken from it: the corrected rate stays a rate, and is not
pulled towards gravity.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from nn_perception.inertial.blocks import is_full
from nn_perception.inertial.filter import Block, State, initial_state, predict, step
from nn_perception.inertial.small import matrix
from nn_perception.rotations import quat_exp

Float64Array = NDArray[np.float64]

_NOISE = np.array([[16.0, 1e-3, 0.1, 1e-3, 1e3, 1e-5]])
"""As `NOISES` of the filter: chosen on left-out training recordings of EuRoC. Velocities of many
m/s pass, and rest is left to the memory, which knows what of it to trust."""
_TILT_RAD, _VELOCITY_M_S = 0.1, 0.3


class GravityAid:
    """Follows N sensors at about 25 Hz; between, samples are only summed.

    Args:
        bias_rad_s: standard deviation of the bias that is left; 0 keeps the aid out.
    """

    def __init__(self, bias_rad_s: float) -> None:
        self._sigmas = np.array([_TILT_RAD, _VELOCITY_M_S, bias_rad_s])
        self._on = bias_rad_s > 0.0
        self._state = initial_state(np.zeros((0, 3)), self._sigmas)
        self._sums = np.zeros((0, 8))  # angle, velocity gain, duration, unknown

    def add_sensor(self) -> None:
        """Make room for one more sensor."""
        new = initial_state(np.array([[0.0, 0.0, 1.0]]), self._sigmas)
        self._state = State(*(np.concatenate(p) for p in zip(self._state, new, strict=True)))
        self._sums = np.concatenate([self._sums, np.zeros((1, 8))])

    def begin(self, row: int, accel_m_s2: Float64Array) -> None:
        """Start a sensor anew, level by a specific force (3,)."""
        new = initial_state(accel_m_s2[None], self._sigmas)
        for whole, part in zip(self._state, new, strict=True):
            whole[row] = part[0]
        self._sums[row] = 0.0

    def follow(
        self,
        row: int,
        rate_rad_s: Float64Array,
        accel_m_s2: Float64Array,
        dt_s: Float64Array,
        unknown_s: Float64Array,
    ) -> Float64Array:
        """Return the bias (K, 3) left in each of K further samples of a sensor.

        Args:
            row: the sensor.
            rate_rad_s: (K, 3) corrected rates.
            accel_m_s2: (K, 3) specific forces.
            dt_s: (K,) time since the sample before.
            unknown_s: (K,) part of it without usable samples.
        """
        count = len(rate_rad_s)
        if not self._on:
            return np.zeros((count, 3))
        biases = np.empty((count, 3))
        steps = np.concatenate(
            [rate_rad_s * dt_s[:, None], accel_m_s2 * dt_s[:, None], dt_s[:, None]], -1
        )
        at = 0
        durations = dt_s.tolist()
        elapsed = float(self._sums[row, 6])
        for k in range(count):
            elapsed += durations[k]
            if not is_full(elapsed):
                continue
            self._sums[row, :7] += steps[at : k + 1].sum(0)
            self._sums[row, 7] += unknown_s[at : k + 1].sum()
            biases[at:k] = self._state.gyro_bias_rad_s[row]
            self._correct(row)
            biases[k] = self._state.gyro_bias_rad_s[row]
            at, elapsed = k + 1, 0.0
        self._sums[row, :7] += steps[at:].sum(0)
        self._sums[row, 7] += unknown_s[at:].sum()
        biases[at:] = self._state.gyro_bias_rad_s[row]
        return biases

    def _correct(self, row: int) -> None:
        sums = self._sums[row : row + 1]
        angle, duration = sums[:, :3], sums[:, 6:7]
        # Short enough a block to turn about one axis: the force acts in the middle of the turn.
        gained = (matrix(quat_exp(0.5 * angle)) @ sums[:, 3:6, None])[:, :, 0]
        block = Block(quat_exp(angle), gained, angle / duration, duration, sums[:, 7:8].copy())
        state = State(*(part[row : row + 1] for part in self._state))
        after = step(state, block, predict(state, block), _NOISE)
        if not all(np.isfinite(part).all() for part in after):
            self.begin(row, sums[0, 3:6] / duration[0])
            return
        for whole, part in zip(self._state, after, strict=True):
            whole[row] = part[0]
        self._sums[row] = 0.0
