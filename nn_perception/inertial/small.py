"""Quaternions and small matrices with few array operations, for NumPy and torch.

A live filter works on arrays of one row, where each NumPy call costs a microsecond whatever it
does, and a quaternion product by components is thirty of them. Here the structure is a constant
that one matrix product applies. torch takes the components: compiled, they become one loop, while
a matrix product stays a call. For everything else use `nn_perception.rotations`.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from nn_perception.rotations import Array, quat_multiply, quat_to_matrix
from nn_perception.rotations.quaternions import product

GRAVITY_M_S2 = 9.81


def multiply(a_xyzw: Array, b_xyzw: Array) -> Array:
    """Return the Hamilton products of (N, 4) and (N, 4)."""
    if not isinstance(a_xyzw, np.ndarray):
        return module_of(a_xyzw).stack(product(_columns(a_xyzw), _columns(b_xyzw)), -1)
    left = (a_xyzw @ _CONSTANTS["product"]).reshape(-1, 4, 4)
    return (left @ b_xyzw[:, :, None])[:, :, 0]


def right_products(quat_xyzw: Array) -> Array:
    """Return the matrices (N, 4, 4) by which a row vector a becomes the product a quat (NumPy)."""
    return (quat_xyzw @ _CONSTANTS["right"]).reshape(-1, 4, 4)


def matrix(quat_xyzw: Array) -> Array:
    """Return the rotation matrices (N, 3, 3) of unit quaternions (N, 4)."""
    if not isinstance(quat_xyzw, np.ndarray):
        return _matrix_by_components(quat_xyzw)
    outer = (quat_xyzw[:, :, None] * quat_xyzw[:, None, :]).reshape(-1, 16)
    return (outer @ _CONSTANTS["matrix"]).reshape(-1, 3, 3)


def exp(rotvec: Array) -> Array:
    """Return the unit quaternions (N, 4) of rotation vectors (N, 3) of at most about 1 rad.

    Taylor series of the half angle's sine and cosine: within 1e-9 up to 0.5 rad.
    """
    if isinstance(rotvec, np.ndarray):
        powers = ((rotvec * rotvec) @ _CONSTANTS["sum"]) ** _POWERS
        quat = powers @ _CONSTANTS["exp"]
        quat[:, :3] *= rotvec
        return quat
    s = 0.25 * (rotvec**2).sum(-1)[:, None]
    sine = 0.5 - s * (1 / 12 - s * (1 / 240 - s * (1 / 10080)))
    cosine = 1.0 - s * (1 / 2 - s * (1 / 24 - s * (1 / 720 - s * (1 / 40320))))
    return module_of(rotvec).concatenate([rotvec * sine, cosine], -1)


def cross_matrix(vectors: Array) -> Array:
    """Return the matrices (N, 3, 3) whose product with b is the cross product of (N, 3) with b."""
    if not isinstance(vectors, np.ndarray):
        x, y, z = _columns(vectors)
        zero = 0.0 * x
        rows = [zero, -z, y, z, zero, -x, -y, x, zero]
        return module_of(vectors).stack(rows, -1).reshape(-1, 3, 3)
    return (vectors @ _CONSTANTS["cross"]).reshape(-1, 3, 3)


def diagonal(values: Array) -> Array:
    """Return the diagonal matrices (N, K, K) of (N, K)."""
    if isinstance(values, np.ndarray):
        return values[:, :, None] * _identity(values.shape[1])
    return module_of(values).diag_embed(values)


def apply(matrices: Array, vectors: Array) -> Array:
    """Return the products (N, I) of (N, I, J) and (N, J)."""
    return (matrices @ vectors[:, :, None])[:, :, 0]


def module_of(array: Array) -> Any:
    """Return numpy, or torch, which is imported already when there is such an array."""
    if isinstance(array, np.ndarray):
        return np
    import torch

    return torch


def pick(name: str, like: Array) -> Array:
    """Return a constant as an array of the kind, type and device of another."""
    if isinstance(like, np.ndarray):
        return _CONSTANTS[name]
    key = (name, like.dtype, like.device)
    if key not in _TENSORS:
        _TENSORS[key] = _tensor(*key)
    return _TENSORS[key]


def _columns(vectors: Array) -> tuple[Array, ...]:
    return tuple(vectors[:, i] for i in range(vectors.shape[1]))


def _matrix_by_components(quat_xyzw: Array) -> Array:
    x, y, z, w = _columns(quat_xyzw)
    rows = [
        *(1.0 - 2.0 * (y * y + z * z), 2.0 * (x * y - z * w), 2.0 * (x * z + y * w)),
        *(2.0 * (x * y + z * w), 1.0 - 2.0 * (x * x + z * z), 2.0 * (y * z - x * w)),
        *(2.0 * (x * z - y * w), 2.0 * (y * z + x * w), 1.0 - 2.0 * (x * x + y * y)),
    ]
    return module_of(quat_xyzw).stack(rows, -1).reshape(-1, 3, 3)


_TENSORS: dict[tuple[str, Any, Any], Any] = {}


def _tensor(name: str, dtype: Any, device: Any) -> Any:
    import torch

    with torch.inference_mode(False):  # one made for inference could never be trained with
        return torch.as_tensor(_CONSTANTS[name], dtype=dtype, device=device)


@functools.cache
def _identity(size: int) -> Any:
    return np.eye(size)


def _bilinear_product() -> Any:
    """Return (4, 16): row i holds the matrix of the left product with the i-th unit."""
    units = np.eye(4)
    return np.stack(
        [np.stack([quat_multiply(unit, other) for other in units], -1) for unit in units]
    ).reshape(4, 16)


def _right() -> Any:
    """Return (4, 16): row j holds the matrix of the right product with the j-th unit, for rows."""
    units = np.eye(4)
    return np.stack(
        [np.stack([quat_multiply(other, unit) for other in units]) for unit in units]
    ).reshape(4, 16)


def _quadratic_matrix() -> Any:
    """Return (16, 9): a unit quaternion's outer product times this is its rotation matrix."""
    units = np.eye(4)
    rows = np.zeros((4, 4, 3, 3))
    for i in range(4):
        rows[i, i] = quat_to_matrix(units[i])
        for j in range(i):
            mixed = quat_to_matrix((units[i] + units[j]) * np.sqrt(0.5))
            part = mixed - 0.5 * (quat_to_matrix(units[i]) + quat_to_matrix(units[j]))
            rows[i, j] = rows[j, i] = part
    return rows.reshape(16, 9)


def _cross() -> Any:
    return np.stack([np.cross(unit, np.eye(3)).T for unit in np.eye(3)]).reshape(3, 9)


def _transition() -> Any:
    """Return (27, 81): where turned, lever and lever @ turned stand in the filter's transition."""
    places = np.zeros((3, 3, 3, 9, 9))
    for i in range(3):
        for j in range(3):
            places[0, i, j, i, 6 + j] = -1.0
            places[1, i, j, 3 + i, j] = -1.0
            places[2, i, j, 3 + i, 6 + j] = 0.5
    return places.reshape(27, 81)


def _lengths() -> Any:
    """Return (12, 5): squares of rate, change, acceleration, velocity to those of features."""
    columns = np.zeros((12, 5))
    columns[0:3, 0] = columns[3:6, 1] = columns[6:8, 2] = columns[9:11, 3] = 1.0
    columns[11, 4] = 1.0
    return columns


_POWERS = np.arange(5)


def _exp() -> Any:
    """Return (5, 4): powers of a squared angle to the factors of the rotation vector, and w."""
    sine = np.array([1 / 2, -1 / 12, 1 / 240, -1 / 10080, 0.0]) * 0.25**_POWERS
    cosine = np.array([1.0, -1 / 2, 1 / 24, -1 / 720, 1 / 40320]) * 0.25**_POWERS
    return np.stack([sine, sine, sine, cosine], -1)


_CONSTANTS = {
    "exp": _exp(),
    "sum": np.ones((3, 1)),
    "product": _bilinear_product(),
    "right": _right(),
    "matrix": _quadratic_matrix(),
    "cross": _cross(),
    "transition": _transition(),
    "identity": np.eye(9),
    "lengths": _lengths(),
    "gravity": np.array([[0.0, 0.0, GRAVITY_M_S2]]),
    "each_of_two": np.repeat(np.eye(2), 3, axis=1),
    "each_of_three": np.repeat(np.eye(3), 3, axis=1),
}
