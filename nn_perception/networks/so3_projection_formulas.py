"""The formulas of `so3_projection`, written once for NumPy arrays and torch tensors.

The special orthogonal Procrustes problem: with M = U diag(s) V^T, the rotation that minimises
|R - M| in the Frobenius norm, and maximises tr(R^T M), is R = U diag(1, 1, det(U V^T)) V^T
(Levinson et al., "An analysis of SVD for deep rotation estimation", 2020; lecture eq. 68-71).
Below, s1 >= s2 >= |s3| are the singular values, the last with the sign of det M.

Forward, for M scaled to |M| = 1:

1. lambda = s1 + s2 + s3 is the greatest root of (x^2 - 1)^2 - 8 x det M - 4 |cof M|^2, the
   characteristic polynomial of Davenport's 4x4 matrix. The trigonometric solution of the cubic of
   M^T M starts it; Laguerre's method, which cannot step past the greatest root of a polynomial
   whose roots are all real, finishes it.
2. zeta R = (kappa + 1) M + lambda cof M - M M^T M with kappa = (lambda^2 - 1) / 2,
   zeta = kappa lambda - det M = (s1 + s2) (s1 + s3) (s2 + s3)
   (Markley, "Attitude determination using vector observations: a fast optimal matrix algorithm",
   1993). Where zeta is small the quotient would be rounding noise: there the numerator is read as
   the 4x4 matrix 4 zeta q q^T of the unit quaternion q, whose greatest column is a valid q also
   where zeta is almost 0 and the answer is not unique.
3. In float64, a Newton step on SO(3) brings the error down to that of an SVD.

Backward, with S = M R^T, which is symmetric, and the columns r_k, m_k, g_k of R, M and of the
gradient with respect to R: the rotation vector w of a change dM, R -> (I + [w]) R, obeys
(tr(S) I - S) w = sum r_k x dm_k, because sum r_k x m_k stays 0. The gradient with respect to M
hence has the columns y x r_k where (tr(S) I - S) y = sum r_k x g_k. As S S = M M^T, the theorem of
Cayley and Hamilton gives the inverse without a division by zero: (M M^T + kappa I) / zeta.

All is element-wise with the batch as last axis, and float64 up to step 2, whatever the input.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch

from nn_perception.rotations.arrays import Array

Vectors = Sequence[Array]
"""Components of a vector or quaternion, or entries of a matrix row by row; each (N,)."""

_ROOT_SHIFT = 4e-15
"""The quartic is lowered by this, a few times its rounding error: the root found lies above the
true one, by little where the root is simple and by more where it is multiple, so that the column in
step 2 never is rounding noise."""

_NEWTON_DAMPING = 1e-10
"""Newton's step vanishes where zeta is below this: there the best rotation is not unique."""

_NEWTON_LIMIT = 0.3
"""Largest half angle of a Newton step, radians."""

_TINY = 1e-200


class Operations(NamedTuple):
    """What differs between NumPy and torch."""

    sqrt: Callable[[Array], Array]
    cos: Callable[[Array], Array]
    atan2: Callable[[Array, Array], Array]
    at_least: Callable[[Array, float], Array]
    where: Callable[[Array, Array, Array], Array]
    concat: Callable[..., Array]
    single: Callable[[Array], Array]
    double: Callable[[Array], Array]
    dot: Callable[[Array, Array], Array]
    """Sum of products over the first of two axes."""
    product: Callable[[Array, Array], Array]
    """Matrix product of (3, 3, N)."""


NUMPY = Operations(
    np.sqrt,
    np.cos,
    np.arctan2,
    np.maximum,
    np.where,
    np.concatenate,
    lambda x: x.astype(np.float32),
    lambda x: x.astype(np.float64),
    lambda a, b: np.einsum("in,in->n", a, b),
    lambda a, b: np.einsum("ikn,kjn->ijn", a, b),
)

TORCH = Operations(
    torch.sqrt,
    torch.cos,
    torch.atan2,
    torch.clamp_min,
    torch.where,
    torch.concat,
    lambda x: x.to(torch.float32),
    lambda x: x.to(torch.float64),
    lambda a, b: (a * b).sum(0),
    # Not einsum: a batch of tiny matrix products is slow on a GPU, and ONNX would transpose.
    lambda a, b: (a[:, :, None] * b[None]).sum(1),
)


class Solution(NamedTuple):
    """What steps 1 and 2 find for matrices (9, N); all float64."""

    unit: Array
    """M / |M|, (3, 3, N); zeros stay."""
    factor: Array
    """1 / |M|, (N,)."""
    gram: Array
    """M M^T of ``unit``, (3, 3, N)."""
    det: Array
    kappa: Array
    zeta: Array
    scaled: Array
    """zeta R, (3, 3, N)."""

    def at(self, rows: Any) -> Solution:
        """Return the solution of some rows of the batch."""
        return Solution(*(part[..., rows] for part in self))


def solve(ops: Operations, entries: Array) -> Solution:
    """Return steps 1 and 2 for matrices (9, N), row by row, in float64; they are overwritten."""
    factor = 1 / ops.sqrt(ops.at_least(ops.dot(entries, entries), _TINY))
    entries *= factor
    m = _as_matrices(entries)
    cofactor = _cofactor(ops, m)
    det = ops.dot(m[0], cofactor[0])
    minors = ops.dot(_flat(cofactor), _flat(cofactor))
    trace = _trace(ops, minors, det)
    kappa = 0.5 * (trace * trace - 1)
    gram = ops.product(m, m.swapaxes(0, 1))
    cofactor *= trace
    cofactor += (kappa + 1) * m
    cofactor -= ops.product(gram, m)
    return Solution(m, factor, gram, det, kappa, kappa * trace - det, cofactor)


def rotate(ops: Operations, found: Solution, precise: bool) -> tuple[Array, Array, Array]:
    """Return rotations (3, 3, N), kappa and zeta by way of the quaternion, valid for any matrix.

    The rotations are float64 with ``precise``, after step 3, and float32 without.
    """
    q = _quaternion(ops, _flat(found.scaled), found.zeta)
    if not precise:
        return _rotation(ops, [ops.single(part) for part in q]), found.kappa, found.zeta
    rotation = _rotation(ops, q)
    # The error of this lambda is the square of that of the rotation.
    trace = ops.dot(_flat(rotation), _flat(found.unit))
    kappa = 0.5 * (trace * trace - 1)
    zeta = kappa * trace - found.det
    inverted = inverse(found.gram, kappa, zeta, _NEWTON_DAMPING)
    step = _times(inverted, _torques(rotation, found.unit))
    return _rotation(ops, _turned(ops, q, step)), kappa, zeta


def inverse(gram: Array, kappa: Array, zeta: Array, damping: float, factor: Any = 1.0) -> Array:
    """Return the inverse of tr(S) I - S, (M M^T + kappa I) / zeta, times ``factor``.

    1 / zeta becomes zeta / (zeta^2 + damping^2), which goes to 0 where zeta is below ``damping``.
    """
    gain = zeta / (zeta * zeta + damping**2) * factor
    result = gram * gain
    for i in range(3):
        result[i, i] += kappa * gain
    return result


def gradient(ops: Operations, rotation: Array, change: Array, inverted: Array) -> Array:
    """Return the gradient (9, N) with respect to M from ``change``, that with respect to R.

    All are (3, 3, N); ``inverted`` is `inverse`, times 1 / |M|.
    """
    a, b, c = _times(inverted, _torques(rotation, change))
    x, y, z = rotation
    return ops.concat([_difference(b, z, c, y), _difference(c, x, a, z), _difference(a, y, b, x)])


def _torques(r: Array, g: Array) -> Vectors:
    """Return the sum over k of r_k x g_k for the columns of (3, 3, N)."""
    crossed = [_difference(r[i], g[j], r[j], g[i]) for i, j in ((1, 2), (2, 0), (0, 1))]
    return [part[0] + part[1] + part[2] for part in crossed]


def _times(matrix: Array, vector: Vectors) -> Vectors:
    a, b, c = vector
    return [row[0] * a + row[1] * b + row[2] * c for row in matrix]


def _difference(a: Array, b: Array, c: Array, d: Array) -> Array:
    """Return a b - c d."""
    result = a * b
    result -= c * d
    return result


def _trace(ops: Operations, minors: Array, det: Array) -> Array:
    """Return s1 + s2 + s3 of matrices with |M| = 1, from |cof M|^2 and det M."""
    # s1^2 = t + 1/3 with the greatest root t of t^3 - 3 a t - 2 b. The angle is float32, as ONNX
    # Runtime has no arc tangent of float64; one Newton step makes up for that.
    a = ops.at_least(1 / 9 - minors * (1 / 3), 0.0)
    b = 0.5 * (a + det * det) - 1 / 54
    sine = ops.sqrt(ops.at_least(a * a * a - b * b, 0.0))
    angle = ops.atan2(ops.single(sine), ops.single(b)) * (1 / 3)
    t = 2 * ops.sqrt(a) * ops.double(ops.cos(angle))
    square = t * t
    t = t - ((square - 3 * a) * t - 2 * b) / ops.at_least(3 * (square - a), 1e-7)
    # (s2 + s3)^2 = s2^2 + s3^2 + 2 s2 s3 = 1 - s1^2 + 2 det / s1
    s1 = ops.sqrt(t + 1 / 3)
    x = s1 + ops.sqrt(ops.at_least(2 / 3 - t + 2 * det / s1, 0.0)) + 1e-8
    return _laguerre(ops, x, 4 * minors + _ROOT_SHIFT, 2 * det)


def _laguerre(ops: Operations, x: Array, constant: Array, slope: Array) -> Array:
    """Return the greatest root of (x^2 - 1)^2 - 4 slope x - constant, one step from x."""
    u = x * x - 1
    value = u * u - 4 * slope * x - constant
    derivative = x * u - slope  # a quarter of it
    root = ops.sqrt(ops.at_least(derivative * derivative - value * (u + 2 / 3), 0.0))
    return x - value / (derivative + 3 * root)


def _quaternion(ops: Operations, e: Vectors, zeta: Array) -> Vectors:
    """Return a multiple of the quaternion, x y z w, from zeta R and zeta (step 2)."""
    xy, yz, zx = e[1] + e[3], e[5] + e[7], e[2] + e[6]
    xw, yw, zw = e[7] - e[5], e[2] - e[6], e[3] - e[1]
    plus, minus = zeta + e[0], zeta - e[0]
    outer, inner = e[4] + e[8], e[4] - e[8]
    xx, yy, zz, ww = plus - outer, minus + inner, minus - inner, plus + outer
    upper = _greater(ops, xx > yy, [xx, xy, zx, xw], [xy, yy, yz, yw])
    lower = _greater(ops, zz > ww, [zx, yz, zz, zw], [xw, yw, zw, ww])
    first = ops.where(xx > yy, xx, yy) > ops.where(zz > ww, zz, ww)
    return _greater(ops, first, upper, lower)


def _greater(ops: Operations, chosen: Array, first: Vectors, second: Vectors) -> Vectors:
    return [ops.where(chosen, x, y) for x, y in zip(first, second, strict=True)]


def _rotation(ops: Operations, q: Vectors) -> Array:
    """Return the rotation matrices (3, 3, N) of a quaternion x y z w of any length but 0."""
    x, y, z, w = q
    double = 2 / (x * x + y * y + z * z + w * w)
    dx, dy, dz = x * double, y * double, z * double
    xx, yy, zz = x * dx, y * dy, z * dz
    xy, yz, zx = x * dy, y * dz, z * dx
    wx, wy, wz = w * dx, w * dy, w * dz
    entries = (
        *(1 - (yy + zz), xy - wz, zx + wy),
        *(xy + wz, 1 - (zz + xx), yz - wx),
        *(zx - wy, yz + wx, 1 - (xx + yy)),
    )
    return _as_matrices(ops.concat([part[None] for part in entries]))


def _turned(ops: Operations, q: Vectors, step: Vectors) -> Vectors:
    """Return the quaternion after a rotation by the vector ``step``, shortened if long."""
    a, b, c = step
    half = 0.5 * ops.sqrt(a * a + b * b + c * c)
    shorten = 0.5 * (_NEWTON_LIMIT / ops.at_least(half, _NEWTON_LIMIT))
    a, b, c = a * shorten, b * shorten, c * shorten
    x, y, z, w = q
    return [
        x + a * w + b * z - c * y,
        y + b * w + c * x - a * z,
        z + c * w + a * y - b * x,
        w - a * x - b * y - c * z,
    ]


def _cofactor(ops: Operations, m: Array) -> Array:
    """Return the cofactors of (3, 3, N): the cross products of its rows.

    Entry by entry, as what is in use at a time then fits the cache of one core.
    """
    entries = [
        _difference(a[j], b[k], a[k], b[j])[None]
        for a, b in ((m[1], m[2]), (m[2], m[0]), (m[0], m[1]))
        for j, k in ((1, 2), (2, 0), (0, 1))
    ]
    return _as_matrices(ops.concat(entries))


def _flat(matrices: Array) -> Array:
    return matrices.reshape(9, matrices.shape[-1])


def _as_matrices(entries: Array) -> Array:
    return entries.reshape(3, 3, entries.shape[-1])
