"""One sensor between two corrections of the filter: its open block, and where it points.

What `nn_perception.inertial.blocks` does to arrays, sample by sample in plain floats: a sample of
one sensor costs a few microseconds, where NumPy takes one for each operation on three numbers.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import cos, nan, sin, sqrt

import numpy as np

from nn_perception.inertial.blocks import is_full
from nn_perception.inertial.filter import Block
from nn_perception.rotations.quaternions import product

Quaternion = tuple[float, float, float, float]

IDENTITY: Quaternion = (0.0, 0.0, 0.0, 1.0)
_SMALL = 1e-8
_LARGE = 1e30
"""Squares of half angles: below, two terms of a series are exact; above, nothing is."""


class OpenBlock:
    """Samples since the last correction.

    Attributes:
        last: the latest reading: rate x, y, z, specific force x, y, z.
        duration_s: length so far.
    """

    __slots__ = (
        "_bias",
        "_forces",
        "_rates",
        "_start",
        "_turn",
        "_unknown_s",
        "duration_s",
        "last",
    )

    def __init__(self) -> None:
        self.last: Sequence[float] = (0.0,) * 6
        self.open(IDENTITY, (0.0, 0.0, 0.0))

    def open(self, orientation_xyzw: Quaternion, gyro_bias_rad_s: Sequence[float]) -> None:
        """Begin a block at an orientation, with the bias to be taken off; `last` stays."""
        self._start, self._bias = orientation_xyzw, gyro_bias_rad_s
        self._turn: Quaternion = IDENTITY
        self._forces = self._rates = (0.0, 0.0, 0.0)
        self.duration_s = self._unknown_s = 0.0

    def add(self, reading: Sequence[float], dt_s: float, unknown_s: float) -> None:
        """Take a reading, as `blocks.midpoints` and `blocks.integrate` do.

        Args:
            reading: rate and specific force, six numbers.
            dt_s: time since the reading before.
            unknown_s: the part of it about which the reading tells nothing sure.
        """
        wx, wy, wz, ax, ay, az = [
            0.5 * dt_s * (before + now) for before, now in zip(self.last, reading, strict=True)
        ]
        half = _exp_twice(0.25 * wx, 0.25 * wy, 0.25 * wz)
        middle = product(self._turn, half)
        self._turn = product(middle, half)
        x, y, z = _rotated(middle, ax, ay, az)
        forces, rates = self._forces, self._rates
        self._forces = (forces[0] + x, forces[1] + y, forces[2] + z)
        self._rates = (rates[0] + wx, rates[1] + wy, rates[2] + wz)
        self.duration_s += dt_s
        self._unknown_s += unknown_s
        self.last = reading

    @property
    def is_full(self) -> bool:
        """Whether the block is to be closed."""
        return is_full(self.duration_s)

    def orientation(self, delay_s: float) -> Quaternion:
        """Return where the sensor points, by the gyroscope without its bias.

        Args:
            delay_s: time by which to predict ahead, with the latest rate.
        """
        bx, by, bz = self._bias
        time = -0.25 * self.duration_s  # half the bias is taken off before the turn, half after it
        half = after = _exp_twice(time * bx, time * by, time * bz)
        if delay_s:
            wx, wy, wz = self.last[:3]
            ahead = 0.5 * delay_s
            after = _exp_twice(
                time * bx + ahead * (wx - bx),
                time * by + ahead * (wy - by),
                time * bz + ahead * (wz - bz),
            )
        x, y, z, w = product(product(self._start, half), product(self._turn, after))
        length = sqrt(x * x + y * y + z * z + w * w)
        return x / length, y / length, z / length, w / length

    def block(self) -> Block:
        """Return the sums in the form of the filter, of one sensor."""
        duration = self.duration_s
        return Block(
            np.array([self._turn]),
            np.array([self._forces]),
            np.array([[rate / duration for rate in self._rates]]),
            np.array([[duration]]),
            np.array([[self._unknown_s]]),
        )


def _exp_twice(x: float, y: float, z: float) -> Quaternion:
    """Return the unit quaternion of twice this rotation vector; NaN when it is beyond all sense."""
    square = x * x + y * y + z * z
    if square < _SMALL:
        scale, w = 1.0 - square / 6.0, 1.0 - square / 2.0
    elif square < _LARGE:
        angle = sqrt(square)
        scale, w = sin(angle) / angle, cos(angle)
    else:
        scale = w = nan
    return x * scale, y * scale, z * scale, w


def _rotated(quat: Quaternion, a: float, b: float, c: float) -> tuple[float, float, float]:
    """Return the vector (a, b, c) rotated by a unit quaternion."""
    x, y, z, w = quat
    p, q, r = 2.0 * (y * c - z * b), 2.0 * (z * a - x * c), 2.0 * (x * b - y * a)
    return (
        a + w * p + y * r - z * q,
        b + w * q + z * p - x * r,
        c + w * r + x * q - y * p,
    )
