"""Rotation matrices: the group SO(3), its exponential map and its distances.

As in `quaternions`: broadcast over leading axes, NumPy or torch alike, differentiable in torch.
"""

from __future__ import annotations

import numpy as np

from nn_perception.rotations.arrays import (
    SMALL,
    Array,
    atan2,
    checked,
    cross,
    dot,
    norm,
    split,
)
from nn_perception.rotations.conversions import quat_from_matrix, quat_to_matrix
from nn_perception.rotations.quaternions import quat_exp, quat_log


def so3_exp(rotvec_rad: Array) -> Array:
    """Return the rotation matrices (..., 3, 3) of rotation vectors (..., 3), rad.

    By way of the quaternion, so that the result is orthogonal to rounding at any angle.

    Raises:
        RotationError: not (..., 3), or not floating.
    """
    return quat_to_matrix(quat_exp(rotvec_rad))


def so3_log(matrix: Array) -> Array:
    """Return the rotation vectors (..., 3) of rotation matrices (..., 3, 3), length 0 to pi rad.

    By way of the quaternion: exact at 0 and near pi, where the arc cosine of the trace is neither.

    Raises:
        RotationError: not (..., 3, 3), or not floating.
    """
    return quat_log(quat_from_matrix(matrix))


def so3_hat(vector: Array) -> Array:
    """Return the skew matrices (..., 3, 3) with hat(a) b = a x b, of vectors (..., 3).

    Raises:
        RotationError: not (..., 3), or not floating.
    """
    xp = checked(3, vector=vector)
    x, y, z = split(vector)
    zero = xp.zeros_like(x)
    entries = xp.concat([zero, -z, y, z, zero, -x, -y, x, zero], axis=-1)
    return xp.reshape(entries, (*vector.shape[:-1], 3, 3))


def so3_vee(matrix: Array) -> Array:
    """Return the vectors (..., 3) of skew matrices (..., 3, 3), the inverse of `so3_hat`.

    Of any other matrix it takes the antisymmetric part.

    Raises:
        RotationError: not (..., 3, 3), or not floating.
    """
    xp = checked(3, 3, matrix=matrix)
    _, m01, m02, m10, _, m12, m20, m21, _ = split(xp.reshape(matrix, (*matrix.shape[:-2], 9)))
    return 0.5 * xp.concat([m21 - m12, m02 - m20, m10 - m01], axis=-1)


def so3_distance(a: Array, b: Array) -> Array:
    """Return the angle in rad, 0 to pi, of the rotation between matrices a and b, shape (...).

    atan2 of sine and cosine of A^T B, both to rounding at every angle. The sine is the length of
    the summed vector products of rows: no matrix product, which a GPU may compute in TF32. The
    gradient is 0 at 0 and at pi, where none exists.

    Raises:
        RotationError: not (..., 3, 3), not floating, or leading axes that do not broadcast.
    """
    xp = checked(3, 3, a=a, b=b)
    rows_a, rows_b = split(a), split(b)
    twice_sine = norm(xp, tuple(xp.sum(part[..., 0], axis=-1) for part in cross(rows_a, rows_b)))
    twice_cosine = xp.sum(dot(rows_a, rows_b)[..., 0], axis=-1) - 1.0
    return atan2(xp, twice_sine, twice_cosine)


def so3_right_jacobian(rotvec_rad: Array) -> Array:
    """Return J with exp(v + e) = exp(v) exp(J e) to first order, (..., 3, 3) of v (..., 3) rad.

    J = I - (1 - cos a) / a^2 hat(v) + (a - sin a) / a^3 hat(v)^2, a = |v| (Solà 2017, right
    Jacobian of SO(3)).

    Raises:
        RotationError: not (..., 3), or not floating.
    """
    xp = checked(3, rotvec_rad=rotvec_rad)
    parts = split(rotvec_rad)
    square = dot(parts, parts)
    small = square < SMALL
    safe = xp.where(small, 1.0, square)
    angle = xp.sqrt(safe)
    half_sine = xp.sin(0.5 * angle)
    first = xp.where(
        small, 0.5 - square * (1 / 24 - square * (1 / 720)), 2.0 * half_sine * half_sine / safe
    )
    second = xp.where(
        small,
        1 / 6 - square * (1 / 120 - square * (1 / 5040)),
        (angle - xp.sin(angle)) / (safe * angle),
    )
    # hat(v)^2 = v v^T - |v|^2 I; torch's eye() could not be exported to ONNX
    on, off = 1.0 - second * square, xp.zeros_like(square)
    diagonal = xp.concat([on, off, off, off, on, off, off, off, on], axis=-1)
    diagonal = xp.reshape(diagonal, (*rotvec_rad.shape[:-1], 3, 3))
    outer = rotvec_rad[..., :, None] * rotvec_rad[..., None, :]
    return diagonal - first[..., None] * so3_hat(rotvec_rad) + second[..., None] * outer


def project_to_so3(matrix: Array) -> Array:
    """Return the nearest rotation matrices in the Frobenius norm, (..., 3, 3) -> (..., 3, 3).

    U diag(1, 1, det(U V^T)) V^T of the singular value decomposition U S V^T (Levinson et al., "An
    analysis of SVD for deep rotation estimation", 2020). NumPy: batched SVD in float64, result in
    the type of ``matrix``; a matrix with NaN or inf gives NaN and spares the others of its batch.
    torch: `nn_perception.networks.so3_projection`, which is faster and has finite gradients.

    Raises:
        RotationError: not (..., 3, 3), or not floating.
    """
    checked(3, 3, matrix=matrix)
    if not isinstance(matrix, np.ndarray):
        from nn_perception.networks import so3_projection

        return so3_projection.project_to_so3(matrix)
    finite = np.isfinite(matrix).all(axis=(-2, -1), keepdims=True)
    u, _, vt = np.linalg.svd(np.where(finite, matrix, np.eye(3)).astype(np.float64))
    sign = np.sign(np.linalg.det(u @ vt))[..., None]
    flipped = np.concatenate([u[..., :2], u[..., 2:] * sign[..., None]], axis=-1)
    return np.where(finite, flipped @ vt, np.nan).astype(matrix.dtype)
