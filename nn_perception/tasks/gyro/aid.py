"""The rest of a gyroscope's bias, found from gravity while it moves.

What calibration, memory and convolutions leave of the bias turns the integrated up-vector away from
gravity. The filter of `nn_perception.inertial.filter` sees that, with fixed noise: the velocity
stays bounded, the rest follows. It learns little about the bias around the vertical, and keeps
what it is told there. Only the bias is taken from it: the corrected rate stays a rate, and is not
pulled towards gravity.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from nn_perception.inertial.blocks import is_full
from nn_perception.inertial.filter import Block, initial_state, predict, step
from nn_perception.inertial.small import apply, matrix
from nn_perception.rotations import quat_exp

_NOISE = np.array([[16.0, 1e-3, 0.1, 1e-3, 1e3, 1e-5]])
"""As `NOISES` of the filter: chosen on left-out training recordings of EuRoC. Velocities of many
m/s pass, and rest is left to the memory, which knows what of it to trust."""
_TILT_RAD, _VELOCITY_M_S = 0.1, 0.3
_ZERO: Sequence[float] = (0.0, 0.0, 0.0)


class GravityAid:
    """Follows a sensor at about 25 Hz; between, samples are only summed.

    Args:
        bias_rad_s: standard deviation of the bias that is left; 0 keeps the aid out.
    """

    def __init__(self, bias_rad_s: float) -> None:
        self._sigmas = np.array([_TILT_RAD, _VELOCITY_M_S, bias_rad_s])
        self._on = bias_rad_s > 0.0
        self._angle = self._gained = self._bias = _ZERO
        self._duration_s = self._unknown_s = 0.0
        self.begin((0.0, 0.0, 1.0))

    def begin(self, accel_m_s2: Sequence[float]) -> None:
        """Start anew, level by a specific force (3,)."""
        self._state = initial_state(np.array([accel_m_s2]), self._sigmas)
        self._bias = _ZERO
        self._clear()

    def follow(
        self,
        rate_rad_s: Sequence[float],
        accel_m_s2: Sequence[float],
        dt_s: float,
        unknown_s: float,
    ) -> Sequence[float]:
        """Return the bias (3,) left in a further sample.

        Args:
            rate_rad_s: (3,) corrected rate.
            accel_m_s2: (3,) specific force.
            dt_s: time since the sample before.
            unknown_s: part of it without usable samples.
        """
        if not self._on:
            return self._bias
        self.settle()
        self._angle = [
            sum_ + dt_s * rate for sum_, rate in zip(self._angle, rate_rad_s, strict=True)
        ]
        self._gained = [
            sum_ + dt_s * force for sum_, force in zip(self._gained, accel_m_s2, strict=True)
        ]
        self._duration_s += dt_s
        self._unknown_s += unknown_s
        return self._bias

    def settle(self) -> None:
        """Make the correction that is due; else the next sample does, in which it shows."""
        if is_full(self._duration_s):
            self._correct()

    def _correct(self) -> None:
        angle, duration = np.array([self._angle]), self._duration_s
        # Short enough a block to turn about one axis: the force acts in the middle of the turn.
        gained = apply(matrix(quat_exp(0.5 * angle)), np.array([self._gained]))
        block = Block(
            quat_exp(angle),
            gained,
            angle / duration,
            np.array([[duration]]),
            np.array([[self._unknown_s]]),
        )
        after = step(self._state, block, predict(self._state, block), _NOISE)
        if not all(np.isfinite(part).all() for part in after):
            self.begin([force / duration for force in self._gained])
            return
        self._state, self._bias = after, after.gyro_bias_rad_s[0].tolist()
        self._clear()

    def _clear(self) -> None:
        self._angle = self._gained = _ZERO
        self._duration_s = self._unknown_s = 0.0
