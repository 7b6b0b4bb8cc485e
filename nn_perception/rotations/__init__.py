"""Rotations for NumPy and torch alike: one formula for a robot's pipeline and for a loss.

Quaternions are x, y, z, w (ROS order), Hamilton, and rotate from body to world. Every function
works on the last axes and broadcasts over the leading ones, keeps dtype and device, writes into no
argument, and is differentiable in torch with finite gradients, also at angles 0 and pi. Files that
store w, x, y, z pass through `quat_from_wxyz` once, at the reader.
"""

from nn_perception.rotations.arrays import Array, RotationError
from nn_perception.rotations.attitude_error import (
    AttitudeErrors,
    AttitudeRms,
    attitude_errors,
    attitude_rms_deg,
    rms_ignoring_nan,
)
from nn_perception.rotations.conversions import (
    quat_from_euler,
    quat_from_matrix,
    quat_from_wxyz,
    quat_to_euler,
    quat_to_matrix,
    quat_to_wxyz,
)
from nn_perception.rotations.quaternions import (
    quat_canonical,
    quat_conjugate,
    quat_distance,
    quat_exp,
    quat_log,
    quat_mean,
    quat_multiply,
    quat_normalise,
    quat_random,
    quat_rotate,
    quat_slerp,
)
from nn_perception.rotations.so3 import (
    project_to_so3,
    so3_distance,
    so3_exp,
    so3_hat,
    so3_log,
    so3_right_jacobian,
    so3_vee,
)
from nn_perception.rotations.strapdown import (
    gyro_increments,
    integrate_gyro,
    integrate_step,
    orientation_increments,
)

__all__ = [
    "Array",
    "AttitudeErrors",
    "AttitudeRms",
    "RotationError",
    "attitude_errors",
    "attitude_rms_deg",
    "gyro_increments",
    "integrate_gyro",
    "integrate_step",
    "orientation_increments",
    "project_to_so3",
    "quat_canonical",
    "quat_conjugate",
    "quat_distance",
    "quat_exp",
    "quat_from_euler",
    "quat_from_matrix",
    "quat_from_wxyz",
    "quat_log",
    "quat_mean",
    "quat_multiply",
    "quat_normalise",
    "quat_random",
    "quat_rotate",
    "quat_slerp",
    "quat_to_euler",
    "quat_to_matrix",
    "quat_to_wxyz",
    "rms_ignoring_nan",
    "so3_distance",
    "so3_exp",
    "so3_hat",
    "so3_log",
    "so3_right_jacobian",
    "so3_vee",
]
