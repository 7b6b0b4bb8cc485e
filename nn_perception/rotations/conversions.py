"""Quaternions to and from matrices, roll-pitch-yaw, and the other order of components."""

from __future__ import annotations

import math
from typing import Any

from nn_perception.rotations.arrays import Array, atan2, checked, norm, split

_GIMBAL_LOCK = 1e-7
"""Half-angle norm below which roll and yaw turn about one axis; as in scipy's Rotation."""


def quat_from_wxyz(quat_wxyz: Array) -> Array:
    """Return x, y, z, w (ROS, SciPy) from w, x, y, z (BROAD, EuRoC, Eigen's constructor), (..., 4).

    Raises:
        RotationError: not (..., 4), or not floating.
    """
    xp = checked(4, quat_wxyz=quat_wxyz)
    return xp.concat([quat_wxyz[..., 1:], quat_wxyz[..., :1]], axis=-1)


def quat_to_wxyz(quat_xyzw: Array) -> Array:
    """Return w, x, y, z from x, y, z, w, (..., 4).

    Raises:
        RotationError: not (..., 4), or not floating.
    """
    xp = checked(4, quat_xyzw=quat_xyzw)
    return xp.concat([quat_xyzw[..., 3:], quat_xyzw[..., :3]], axis=-1)


def quat_to_matrix(quat_xyzw: Array) -> Array:
    """Return the rotation matrices (..., 3, 3) of unit quaternions (..., 4).

    Raises:
        RotationError: not (..., 4), or not floating.
    """
    xp = checked(4, quat_xyzw=quat_xyzw)
    x, y, z, w = split(quat_xyzw)
    xx, yy, zz = x * x, y * y, z * z
    xy, xz, yz = x * y, x * z, y * z
    xw, yw, zw = x * w, y * w, z * w
    entries = [1 - 2 * (yy + zz), 2 * (xy - zw), 2 * (xz + yw)]
    entries += [2 * (xy + zw), 1 - 2 * (xx + zz), 2 * (yz - xw)]
    entries += [2 * (xz - yw), 2 * (yz + xw), 1 - 2 * (xx + yy)]
    return xp.reshape(xp.concat(entries, axis=-1), (*quat_xyzw.shape[:-1], 3, 3))


def quat_from_matrix(matrix: Array) -> Array:
    """Return the unit quaternions (..., 4) of rotation matrices (..., 3, 3), with w >= 0.

    The matrix gives all products 4 q_i q_j; the row with the largest diagonal, at least 1, is a
    multiple of q, so that no small number is divided by (Shepperd, "Quaternion from rotation
    matrix", 1978). A matrix that is no rotation gives some unit quaternion: use `project_to_so3`
    first.

    Raises:
        RotationError: not (..., 3, 3), or not floating.
    """
    xp = checked(3, 3, matrix=matrix)
    flat = split(xp.reshape(matrix, (*matrix.shape[:-2], 9)))
    m00, m01, m02, m10, m11, m12, m20, m21, m22 = flat
    xx, yy = 1 + m00 - m11 - m22, 1 - m00 + m11 - m22
    zz, ww = 1 - m00 - m11 + m22, 1 + m00 + m11 + m22
    xy, xz, yz = m01 + m10, m02 + m20, m12 + m21
    xw, yw, zw = m21 - m12, m02 - m20, m10 - m01
    upper = xp.maximum(xx, yy) >= xp.maximum(zz, ww)
    rows = ((xx, xy, xz, xw), (xy, yy, yz, yw), (xz, yz, zz, zw), (xw, yw, zw, ww))
    chosen = tuple(
        xp.where(upper, xp.where(xx >= yy, a, b), xp.where(zz >= ww, c, d))
        for a, b, c, d in zip(*rows, strict=True)
    )
    w = chosen[3]
    length = norm(xp, chosen)
    scale = xp.where(w < 0, -length, length)
    return xp.concat(chosen, axis=-1) / scale


def quat_from_euler(rpy_rad: Array) -> Array:
    """Return the quaternions (..., 4) of roll, pitch and yaw (..., 3), rad.

    Rotations about the fixed axes x, y, z in this order (REP-103): R = Rz(yaw) Ry(pitch) Rx(roll).

    Raises:
        RotationError: not (..., 3), or not floating.
    """
    xp = checked(3, rpy_rad=rpy_rad)
    half = 0.5 * rpy_rad
    sr, sp, sy = split(xp.sin(half))
    cr, cp, cy = split(xp.cos(half))
    parts = [
        sr * cp * cy - cr * sp * sy,
        cr * sp * cy + sr * cp * sy,
        cr * cp * sy - sr * sp * cy,
        cr * cp * cy + sr * sp * sy,
    ]
    return xp.concat(parts, axis=-1)


def quat_to_euler(quat_xyzw: Array) -> Array:
    """Return roll, pitch and yaw (..., 3) in rad of quaternions (..., 4).

    Roll and yaw lie in -pi to pi, pitch in -pi/2 to pi/2. At pitch +-pi/2 only a sum of roll and
    yaw is defined: yaw is 0 there, as in tf2, and the angles still give the same rotation. Source:
    Bernardes and Viollet, "Quaternion to Euler angles conversion", 2022.

    Raises:
        RotationError: not (..., 4), or not floating.
    """
    xp = checked(4, quat_xyzw=quat_xyzw)
    x, y, z, w = split(quat_xyzw)
    a, b, c, d = w - y, x + z, y + w, z - x
    low, high = norm(xp, (a, b)), norm(xp, (c, d))
    half_sum, half_difference = atan2(xp, b, a), atan2(xp, d, c)
    pitch = 2.0 * atan2(xp, high, low) - math.pi / 2
    up, down = low <= _GIMBAL_LOCK, high <= _GIMBAL_LOCK
    roll = xp.where(up, -2.0 * half_difference, half_sum - half_difference)
    roll = xp.where(down, 2.0 * half_sum, roll)
    yaw = xp.where(up | down, 0.0, half_sum + half_difference)
    return xp.concat([_wrapped(xp, roll), pitch, _wrapped(xp, yaw)], axis=-1)


def _wrapped(xp: Any, angle: Array) -> Array:
    return angle - math.tau * xp.round(angle / math.tau)
