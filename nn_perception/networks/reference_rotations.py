"""Rotations in NumPy with their derivatives: the last layers and losses of networks that turn.

Quaternions are x, y, z, w. Functions return a result and ``back`` as in `reference_layers`. The
formulas are the plain ones, without the cases near 0 that `nn_perception.rotations` has.
"""

from __future__ import annotations

import numpy as np

from nn_perception.networks.reference_activations import Array
from nn_perception.networks.reference_layers import Gradients, Result


def product(a: Array, b: Array) -> Array:
    """Return the Hamilton products a b of quaternions (..., 4)."""
    u, v = a[..., :3], b[..., :3]
    s, t = a[..., 3:], b[..., 3:]
    vector = s * v + t * u + np.cross(u, v)
    return np.concatenate([vector, s * t - _dot(u, v)], -1)


def conjugate(q: Array) -> Array:
    """Return (-x, -y, -z, w)."""
    turned: Array = q * np.array([-1.0, -1.0, -1.0, 1.0])
    return turned


def multiply(a: Array, b: Array) -> Result:
    """Return a b, linear in both: dE/da = dE/dc conj(b), dE/db = conj(a) dE/dc."""
    return product(a, b), lambda change: {
        "a": product(change, conjugate(b)),
        "b": product(conjugate(a), change),
    }


def exponential(v: Array) -> Result:
    """Return the quaternions (..., 4) of rotation vectors (..., 3) of length t, in rad.

    q = [f v, cos(t / 2)] with f = sin(t / 2) / t, f'(t) = (cos(t / 2) / 2 - f) / t.
    """
    length = np.sqrt(_dot(v, v))
    f, cosine = np.sin(0.5 * length) / length, np.cos(0.5 * length)

    def back(change: Array) -> Gradients:
        xyz, w = change[..., :3], change[..., 3:]
        along = (0.5 * cosine - f) / length**2 * _dot(v, xyz) - 0.5 * f * w
        return {"x": f * xyz + v * along}

    return np.concatenate([f * v, cosine], -1), back


def logarithm(q: Array) -> Result:
    """Return the rotation vectors (..., 3) of quaternions (..., 4) of any length but 0.

    v = g [x y z] with g = 2 atan2(m, w) / m, m = |x y z|, where w is made positive:
    dg/dm = (2 w / (m^2 + w^2) - g) / m and dg/dw = -2 / (m^2 + w^2).
    """
    sign = np.where(q[..., 3:] < 0, -1.0, 1.0)
    xyz, w = sign * q[..., :3], sign * q[..., 3:]
    m = np.sqrt(_dot(xyz, xyz))
    g = 2.0 * np.arctan2(m, w) / m

    def back(change: Array) -> Gradients:
        along = _dot(xyz, change)
        square = m**2 + w**2
        by_xyz = g * change + xyz * along * (2.0 * w / square - g) / m**2
        return {"x": sign * np.concatenate([by_xyz, -2.0 / square * along], -1)}

    return g * xyz, back


def unit(x: Array) -> Result:
    """Return y = x / |x| over the last axis: dE/dx = (dE/dy - y (y . dE/dy)) / |x|."""
    length = np.sqrt(_dot(x, x))
    y = x / length
    return y, lambda change: {"x": (change - y * _dot(y, change)) / length}


def rotation_matrix(q: Array) -> Result:
    """Return R (..., 3, 3) of unit quaternions: R = (w^2 - |v|^2) I + 2 v v^T + 2 w hat(v).

    With |q| = 1 the diagonal is 1 - 2 (|v|^2 - v_i^2), which is how it is computed and derived.
    """
    v, w = q[..., :3], q[..., 3:]
    eye = np.eye(3)
    matrix = (1.0 - 2.0 * _dot(v, v))[..., None] * eye + 2.0 * v[..., :, None] * v[..., None, :]
    matrix = matrix + 2.0 * w[..., None] * _hat(v)

    def back(change: Array) -> Gradients:
        trace = np.trace(change, axis1=-2, axis2=-1)[..., None]
        symmetric = change + np.swapaxes(change, -1, -2)
        twist = _vee(change)
        by_v = -4.0 * v * trace + 2.0 * (symmetric @ v[..., None])[..., 0] + 2.0 * w * twist
        return {"x": np.concatenate([by_v, 2.0 * _dot(v, twist)], -1)}

    return matrix, back


def gram_schmidt(x: Array) -> Result:
    """Return R (..., 3, 3) of two columns (..., 6); Zhou et al. 2019, eq. 15.

    b1 = a1 / |a1|, b2 = u / |u| with u = a2 - (b1 . a2) b1, b3 = b1 x b2.
    """
    a1, a2 = x[..., :3], x[..., 3:]
    b1, first_back = unit(a1)
    share = _dot(b1, a2)
    b2, second_back = unit(a2 - share * b1)

    def back(change: Array) -> Gradients:
        d1, d2, d3 = (change[..., k] for k in range(3))
        d1, d2 = d1 + np.cross(b2, d3), d2 + np.cross(d3, b1)
        by_u = second_back(d2)["x"]
        by_share = _dot(b1, by_u)
        d1 = d1 - share * by_u - by_share * a2
        return {"x": np.concatenate([first_back(d1)["x"], by_u - by_share * b1], -1)}

    return np.stack([b1, b2, np.cross(b1, b2)], -1), back


def nearest_rotation(matrix: Array) -> Result:
    """Return R = U diag(1, 1, det(U V^T)) V^T of M = U S V^T (Levinson et al. 2020).

    R^T M = V S' V^T stays symmetric, S' = S diag(1, 1, det), so that a change dM turns R by R W
    with (s'_i + s'_j) (V^T W V)_ij = (V^T (R^T dM - dM^T R) V)_ij. The derivative of a loss is the
    transpose of that map: dE/dM = 2 R V (A / (s'_i + s'_j)) V^T, A the antisymmetric part of
    V^T R^T dE/dR V.
    """
    u, s, vt = np.linalg.svd(matrix)
    signs = np.ones(s.shape)
    signs[..., 2] = np.linalg.det(u @ vt)
    rotation = (u * signs[..., None, :]) @ vt
    s = s * signs

    def back(change: Array) -> Gradients:
        v = np.swapaxes(vt, -1, -2)
        inner = vt @ np.swapaxes(rotation, -1, -2) @ change @ v
        skew = 0.5 * (inner - np.swapaxes(inner, -1, -2))
        sums = s[..., :, None] + s[..., None, :] + np.eye(3)  # the diagonal of skew is 0
        return {"x": 2.0 * rotation @ v @ (skew / sums) @ vt}

    return rotation, back


def geodesic(a: Array, b: Array) -> tuple[float, Gradients]:
    """Return the mean angle between rotations (..., 3, 3), atan2(|s|, c), and its derivatives.

    s = sum of a_r x b_r over the rows, c = tr(A^T B) - 1, twice sine and cosine of the angle.
    """
    vector = np.cross(a, b).sum(-2)
    size = np.sqrt(_dot(vector, vector))
    cosine = (a * b).sum((-2, -1))[..., None] - 1.0
    share = 1.0 / size.size / (size**2 + cosine**2)
    by_vector = (share * cosine * vector / size)[..., None, :]
    by_cosine = (-share * size)[..., None]
    slopes = {
        "a": np.cross(b, by_vector) + by_cosine * b,
        "b": np.cross(by_vector, a) + by_cosine * a,
    }
    return float(np.arctan2(size, cosine).mean()), slopes


def frobenius(a: Array, b: Array) -> tuple[float, Gradients]:
    """Return the mean of |A - B|^2 over matrices (..., 3, 3): dE/dA = 2 (A - B) / N."""
    apart = a - b
    count = apart[..., 0, 0].size
    return float((apart**2).sum() / count), {"a": 2.0 * apart / count, "b": -2.0 * apart / count}


def chordal(a: Array, b: Array) -> tuple[float, Gradients]:
    """Return the mean of min(|a - b|, |a + b|) over quaternions (..., 4): the unit differences."""
    sign = np.where(_dot(a, b) < 0, -1.0, 1.0)
    apart = a - sign * b
    length = np.sqrt(_dot(apart, apart))
    slope = apart / length / length.size
    return float(length.mean()), {"a": slope, "b": -sign * slope}


def _dot(a: Array, b: Array) -> Array:
    total: Array = (a * b).sum(-1, keepdims=True)
    return total


def _hat(v: Array) -> Array:
    """Return the matrices with hat(v) u = v x u."""
    return np.swapaxes(np.cross(v[..., None, :], np.eye(3)), -1, -2)


def _vee(matrix: Array) -> Array:
    """Return the sums of matrix * d hat(v) / dv_i."""
    m = matrix
    parts = [m[..., 2, 1] - m[..., 1, 2], m[..., 0, 2] - m[..., 2, 0], m[..., 1, 0] - m[..., 0, 1]]
    return np.stack(parts, -1)
