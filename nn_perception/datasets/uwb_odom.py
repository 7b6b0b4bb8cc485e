"""Poses of a recording of UWB ranges at 20 Hz, true ones and as a robot would estimate them.

A pose is x, y, z, metres, and qx, qy, qz, qw, body to world.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from nn_perception.datasets.imu_resampling import interpolate
from nn_perception.datasets.uwb import Float64Array, UwbSequence
from nn_perception.errors import DatasetError
from nn_perception.rotations import quat_from_euler, quat_multiply

PERIOD_S = 0.05


@dataclass(frozen=True)
class OdomNoise:
    """How the pose on `odom` differs from the truth: Ornstein-Uhlenbeck processes.

    Attributes:
        position_std_m: of each axis.
        yaw_std_rad: about the world's z axis.
        time_constant_s: after which the disturbance is about another one.
        seed: same seed, same disturbance; 0 to 2^32 - 1.

    Raises:
        DatasetError: a value is out of range.
    """

    position_std_m: float = 0.05
    yaw_std_rad: float = math.radians(1.0)
    time_constant_s: float = 5.0
    seed: int = 0

    def __post_init__(self) -> None:
        widths = (self.position_std_m, self.yaw_std_rad)
        right = all(0.0 <= width < math.inf for width in widths) and 0 <= self.seed < 2**32
        if not (right and 0.0 < self.time_constant_s < math.inf):
            raise DatasetError(
                f"{self}: expected 0 or more, a time constant above 0 and a seed from 0 to "
                "2^32 - 1; OdomNoise() is a start"
            )

    @property
    def covariance(self) -> Float64Array:
        """(36,) of x, y, z and the rotations about them, as in a PoseWithCovariance."""
        variances = [*[self.position_std_m**2] * 3, 0.0, 0.0, self.yaw_std_rad**2]
        return np.diag(variances).reshape(-1)

    def disturbed(self, time_s: Float64Array, poses: Float64Array) -> Float64Array:
        """Return the poses (N, 7) as an estimator would have them at these times (N,)."""
        off = self.draw(time_s)
        turn = quat_from_euler(off[:, 3:] * [0.0, 0.0, 1.0])
        return np.concatenate([poses[:, :3] + off[:, :3], quat_multiply(turn, poses[:, 3:])], 1)

    def draw(self, time_s: Float64Array) -> Float64Array:
        """Return the disturbance of x, y, z, m, and yaw, rad, at increasing times, (N, 4)."""
        white = np.random.RandomState(self.seed).standard_normal((len(time_s), 4))
        kept = np.exp(-np.diff(time_s) / self.time_constant_s)[:, np.newaxis]
        white[1:] *= np.sqrt(1.0 - kept**2)  # the variance stays 1
        for row, keep in enumerate(kept, start=1):
            white[row] += keep * white[row - 1]
        return white * [*[self.position_std_m] * 3, self.yaw_std_rad]


def pose_times(sequence: UwbSequence) -> Float64Array:
    """Return times (M,), seconds: 20 Hz from the first row of each segment, and its last row."""
    ticks = []
    for segment in np.unique(sequence.segment):
        inside_s = sequence.time_s[sequence.segment == segment]
        count = math.ceil((inside_s[-1] - inside_s[0]) / PERIOD_S - 1e-6)
        ticks += [inside_s[0] + PERIOD_S * np.arange(count), inside_s[-1:]]
    return np.unique(np.concatenate(ticks))


def poses_at(sequence: UwbSequence, time_s: Float64Array) -> Float64Array:
    """Return the true poses (M, 7) at times of `pose_times`, by lines and slerp.

    NaN beside a row whose pose is unknown.
    """
    at_s, rows = np.unique(sequence.time_s, return_index=True)
    place, quat = sequence.position_m[rows], sequence.orientation_xyzw[rows]
    if len(at_s) > 1:
        place = interpolate(time_s, at_s, place, np.inf, turn=False)
        quat = interpolate(time_s, at_s, quat, np.inf, turn=True)
    return np.concatenate([place, quat], axis=1)
