"""The bias of a gyroscope, measured by a recording's truth."""

from __future__ import annotations

import numpy as np

from nn_perception.datasets.imu import Float64Array, ImuSequence
from nn_perception.errors import DatasetError
from nn_perception.rotations import (
    gyro_increments,
    orientation_increments,
    quat_conjugate,
    quat_log,
    quat_multiply,
)

_WINDOW = 32


def constant_bias(sequence: ImuSequence) -> Float64Array:
    """Return the bias (3,) in rad/s that explains a recording best: a median over short rotations.

    Raises:
        DatasetError: it has no true orientation.
    """
    truth = sequence.orientation_xyzw
    if truth is None:
        raise DatasetError(
            f"{sequence.name} has no true orientation to compare with; give a recording with truth"
        )
    gyro, dt = sequence.gyro_rad_s, np.diff(sequence.time_s)
    measured = gyro_increments(0.5 * (gyro[1:] + gyro[:-1]), dt, _WINDOW)
    true = orientation_increments(truth, _WINDOW)
    known = np.isfinite(true).all(1)
    error = quat_log(quat_multiply(quat_conjugate(true[known]), measured[known]))
    seconds = np.add.reduceat(dt, np.arange(0, len(dt), _WINDOW))[: len(true)][known]
    bias: Float64Array = np.median(error / seconds[:, None], axis=0)
    return bias
