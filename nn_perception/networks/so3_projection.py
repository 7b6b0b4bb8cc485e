"""Projection onto SO(3): the rotation nearest to a 3x3 matrix, without an SVD.

The special orthogonal Procrustes problem: with M = U diag(s) V^T, the rotation that minimises
|R - M| in the Frobenius norm, and maximises tr(R^T M), is R = U diag(1, 1, det(U V^T)) V^T
(Levinson et al., "An analysis of SVD for deep rotation estimation", 2020; lecture eq. 68-71).
Below, s1 >= s2 >= |s3| are the singular values, the last with the sign of det M.

Forward, for M scaled to |M| = 1:

1. lambda = s1 + s2 + s3 is the greatest root of (x^2 - 1)^2 - 8 x det M - 4 |cof M|^2, the
   characteristic polynomial of Davenport's 4x4 matrix. The trigonometric solution of the cubic of
   M^T M starts it; Laguerre's method, which cannot step past the greatest root of a polynomial
   whose roots are all real, finishes it.
2. R = ((kappa + 1) M + lambda cof M - M M^T M) / zeta with kappa = (lambda^2 - 1) / 2,
   zeta = kappa lambda - det M = (s1 + s2) (s1 + s3) (s2 + s3)
   (Markley, "Attitude determination using vector observations: a fast optimal matrix algorithm",
   1993). It is used without the division, as the 4x4 matrix 4 zeta q q^T of the unit quaternion q:
   its greatest column is a valid q also where zeta is almost 0 and the answer is not unique.
3. In float64, a Newton step on SO(3) brings the error down to that of an SVD.

Backward, with P = R^T M and G the gradient with respect to R: the rotation vector w of a change dM,
R -> R (I + [w]), obeys (tr(P) I - P) w = vee(R^T dM - dM^T R), hence the gradient with respect to M
is R [y] where (tr(P) I - P) y = vee(R^T G - G^T R), and both are 3x3 in closed form.

All is element-wise, with the batch as last axis. The quaternion is computed in float64 whatever the
input; what follows it, and the gradient, in float64 only for float64.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import torch
from torch import Tensor

from nn_perception.errors import ConfigError

Vectors = Sequence[Tensor]
"""Components of a vector or quaternion, or entries of a matrix row by row; each (N,)."""

_ROOT_SHIFT = 4e-15
"""The quartic is lowered by this, a few times its rounding error: the root found lies above the
true one, by little where the root is simple and by more where it is multiple, so that the column in
step 2 never is rounding noise."""

_NEWTON_DAMPING = 1e-10
"""Newton's step vanishes where zeta is below this: there the best rotation is not unique."""

_NEWTON_LIMIT = 0.3
"""Largest half angle of a Newton step, radians."""

_GRADIENT_DAMPING = {torch.float64: 1e-8}
_GRADIENT_DAMPING_DEFAULT = 1e-6
"""1 / zeta in the gradient becomes zeta / (zeta^2 + damping^2): finite where the rotation is not
unique, and right to one part in a million where zeta is above a thousand times the damping."""

_TINY = 1e-200


def project_to_so3(matrix: Tensor) -> Tensor:
    """Return the rotation nearest to each matrix, in the Frobenius norm.

    Agrees with U diag(1, 1, det(U V^T)) V^T of an SVD in float64 to 1e-6 wherever the answer is
    well enough defined: (s2 + s3) / s1 > 1e-6, or 1e-3 where also s1 + s3 is that small. For
    float32 the error is a few roundings of the result, less than that of an SVD in float32. Where
    the nearest rotation is not unique (s2 + s3 = 0: rank 1, reflections) it is one of the nearest
    ones; for the zero matrix it is the identity. Gradients are analytic, finite everywhere, and
    right where the answer is unique; there is no second derivative. ``torch.export`` and
    ``torch.onnx.export`` record plain operators only (no SVD).

    Args:
        matrix: (..., 3, 3), floating point, entries 0 or between 1e-90 and 1e90 in size. A matrix
            that is not finite gives NaN.

    Returns:
        Rotation matrices (..., 3, 3), same dtype and device.

    Raises:
        ConfigError: wrong shape or dtype.
    """
    if matrix.ndim < 2 or tuple(matrix.shape[-2:]) != (3, 3) or not matrix.is_floating_point():
        raise ConfigError(
            f"matrix: got {matrix.dtype} of shape {tuple(matrix.shape)}, "
            "expected floating point numbers of shape (..., 3, 3)"
        )
    if matrix.requires_grad and torch.is_grad_enabled() and not torch.compiler.is_exporting():
        return cast(Tensor, _Projection.apply(matrix))  # type: ignore[no-untyped-call]
    scaled, _ = _scale(_entries(matrix))
    return _matrices(_project(scaled, matrix.dtype), matrix)


class _Projection(torch.autograd.Function):
    """The projection with its analytic gradient; autograd would go through the iterations."""

    @staticmethod
    def forward(ctx: Any, matrix: Tensor) -> Tensor:
        scaled, factor = _scale(_entries(matrix))
        rotation = _project(scaled, matrix.dtype)
        ctx.save_for_backward(
            scaled.to(rotation.dtype),
            rotation,
            factor.clamp_max(torch.finfo(rotation.dtype).max ** 0.75).to(rotation.dtype),
        )
        return _matrices(rotation, matrix)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        m, r, factor = ctx.saved_tensors
        damping = _GRADIENT_DAMPING.get(gradient.dtype, _GRADIENT_DAMPING_DEFAULT)
        change = _transposed_times(r, _entries(gradient, r.dtype))
        y = _solve(_transposed_times(r, m), change, damping)
        a, b, c = (part * factor for part in y)
        x, y, z = r.unbind(1)
        return _matrices(torch.stack([y * c - z * b, z * a - x * c, x * b - y * a], 1), gradient)


def _entries(matrix: Tensor, dtype: torch.dtype = torch.float64) -> Tensor:
    """Return (..., 3, 3) as (3, 3, N), contiguous."""
    return _as_matrices(matrix.reshape(-1, 9).to(dtype).t().contiguous())


def _as_matrices(entries: Tensor) -> Tensor:
    return entries.view(3, 3, entries.shape[1])


def _matrices(entries: Tensor, like: Tensor) -> Tensor:
    return entries.flatten(0, 1).t().to(like.dtype).reshape(like.shape)


def _scale(entries: Tensor) -> tuple[Tensor, Tensor]:
    """Return matrices of Frobenius norm 1 (zeros stay), and the factor (N,) that made them so."""
    factor = (entries * entries).sum((0, 1)).clamp_min(_TINY).rsqrt()
    return entries * factor, factor


def _project(m: Tensor, dtype: torch.dtype) -> Tensor:
    """Return the rotations (3, 3, N) nearest to m (3, 3, N) of Frobenius norm 1.

    They are float64 when ``dtype`` is, otherwise float32.
    """
    cofactor = _cofactor(m)
    det = (m[0] * cofactor[0]).sum(0)
    trace = _trace((cofactor * cofactor).sum((0, 1)), det)
    q = _quaternion(m, cofactor, det, trace)
    if dtype == torch.float64:
        return _rotation(_newton(q, m))
    return _rotation([part.to(torch.float32) for part in q])


def _trace(minors: Tensor, det: Tensor) -> Tensor:
    """Return s1 + s2 + s3 of matrices with |M| = 1, from |cof M|^2 and det M."""
    # s1^2 = t + 1/3 with the greatest root t of t^3 - 3 a t - 2 b. The angle is float32, as ONNX
    # Runtime has no arc tangent of float64; one Newton step makes up for that.
    a = (1 / 9 - minors * (1 / 3)).clamp_min(0)
    b = (1 / 27 - minors * (1 / 6)).addcmul_(det, det, value=0.5)
    sine = torch.addcmul(a * a * a, b, b, value=-1).clamp_min(0).sqrt()
    angle = torch.atan2(sine.float(), b.float()) * (1 / 3)
    t = 2 * a.sqrt() * angle.cos().double()
    square = t * t
    slope = (3 * (square - a)).clamp_min(1e-7)
    t = t - torch.addcmul(-2 * b, t, torch.add(square, a, alpha=-3)) / slope
    # (s2 + s3)^2 = s2^2 + s3^2 + 2 s2 s3 = 1 - s1^2 + 2 det / s1
    s1 = (t + 1 / 3).sqrt()
    x = s1 + torch.add(2 / 3 - t, det / s1, alpha=2).clamp_min(0).sqrt() + 1e-8
    return _laguerre(x, -4 * minors - _ROOT_SHIFT, -2 * det)


def _laguerre(x: Tensor, constant: Tensor, slope: Tensor) -> Tensor:
    """Return the greatest root of (x^2 - 1)^2 + 4 slope x + constant, one step from x."""
    u = x * x - 1
    value = torch.addcmul(torch.addcmul(constant, slope, x, value=4), u, u)
    derivative = torch.addcmul(slope, x, u)  # a quarter of it
    root = torch.addcmul(derivative * derivative, value, u + 2 / 3, value=-1).clamp_min(0).sqrt()
    return x - value / torch.add(derivative, root, alpha=3)


def _quaternion(m: Tensor, cofactor: Tensor, det: Tensor, trace: Tensor) -> Vectors:
    """Return a multiple of the quaternion, x y z w, by Markley's formula (step 2 above)."""
    kappa = 0.5 * (trace * trace - 1)
    zeta = kappa * trace - det
    scaled = cofactor.mul_(trace).addcmul_(kappa + 1, m)
    e = scaled.sub_(_times(m, _transposed_times(m, m))).flatten(0, 1).unbind()
    xy, yz, zx = e[1] + e[3], e[5] + e[7], e[2] + e[6]
    xw, yw, zw = e[7] - e[5], e[2] - e[6], e[3] - e[1]
    plus, minus = zeta + e[0], zeta - e[0]
    outer, inner = e[4] + e[8], e[4] - e[8]
    xx, yy, zz, ww = plus - outer, minus + inner, minus - inner, plus + outer
    upper = _greater(xx, [xx, xy, zx, xw], yy, [xy, yy, yz, yw])
    lower = _greater(zz, [zx, yz, zz, zw], ww, [xw, yw, zw, ww])
    return _greater(torch.maximum(xx, yy), upper, torch.maximum(zz, ww), lower)


def _greater(a: Tensor, first: Vectors, b: Tensor, second: Vectors) -> Vectors:
    """Return ``first`` where a > b, else ``second``."""
    chosen = (a > b).to(a.dtype)  # torch.where takes three times as long
    return [torch.lerp(y, x, chosen) for x, y in zip(first, second, strict=True)]


def _rotation(q: Vectors) -> Tensor:
    """Return the rotation matrix of a quaternion x y z w of any length but 0."""
    x, y, z, w = q
    double = 2 / _dot(q, q)
    dx, dy, dz = x * double, y * double, z * double
    xx, yy, zz = x * dx, y * dy, z * dz
    xy, yz, zx = x * dy, y * dz, z * dx
    wx, wy, wz = w * dx, w * dy, w * dz
    entries = (
        *(1 - (yy + zz), xy - wz, zx + wy),
        *(xy + wz, 1 - (zz + xx), yz - wx),
        *(zx - wy, yz + wx, 1 - (xx + yy)),
    )
    return _as_matrices(torch.stack(entries))


def _newton(q: Vectors, m: Tensor) -> Vectors:
    """Improve a quaternion by one Newton step on SO(3)."""
    p = _transposed_times(_rotation(q), m)
    step = _solve(p, p, _NEWTON_DAMPING)
    length = 0.5 * _dot(step, step).sqrt()
    shorten = 0.5 * (_NEWTON_LIMIT / length.clamp_min(_NEWTON_LIMIT))
    a, b, c = (part * shorten for part in step)
    x, y, z, w = q
    return [
        x + w * a + y * c - z * b,
        y + w * b + z * a - x * c,
        z + w * c + x * b - y * a,
        w - x * a - y * b - z * c,
    ]


def _solve(p: Tensor, change: Tensor, damping: float) -> Vectors:
    """Solve (tr(P) I - P) y = vee(C - C^T), damped, with the upper triangle of P (3, 3, N)."""
    xx, xy, xz, _, yy, yz, _, _, zz = p.flatten(0, 1).unbind()
    upper, lower = change[0, 1:], change[1:, 0]
    right = [change[2, 1] - change[1, 2], upper[1] - lower[1], lower[0] - upper[0]]
    a, b, c = yy + zz, xx + zz, xx + yy
    ab, ac, bc = torch.addcmul(xy * c, xz, yz), torch.addcmul(xz * b, xy, yz), yz * a
    bc = torch.addcmul(bc, xy, xz)
    aa = torch.addcmul(b * c, yz, yz, value=-1)
    bb = torch.addcmul(a * c, xz, xz, value=-1)
    cc = torch.addcmul(a * b, xy, xy, value=-1)
    zeta = a * aa - xy * ab - xz * ac
    gain = zeta / torch.addcmul(torch.full_like(zeta, damping**2), zeta, zeta)
    rows = ([aa, ab, ac], [ab, bb, bc], [ac, bc, cc])
    return [_dot(row, right) * gain for row in rows]


def _dot(a: Vectors, b: Vectors) -> Tensor:
    result = a[0] * b[0]
    for x, y in zip(a[1:], b[1:], strict=True):
        result = torch.addcmul(result, x, y)
    return result


def _cofactor(m: Tensor) -> Tensor:
    """Return the cofactors of (3, 3, N): cross products of its rows."""
    rows = m.flatten(0, 1).unbind()
    a, b, c = rows[:3], rows[3:6], rows[6:]
    return _as_matrices(torch.stack([*_cross(b, c), *_cross(c, a), *_cross(a, b)]))


def _cross(a: Vectors, b: Vectors) -> Vectors:
    pairs = ((1, 2), (2, 0), (0, 1))
    return [(a[i] * b[j]).addcmul_(a[j], b[i], value=-1) for i, j in pairs]


def _transposed_times(a: Tensor, b: Tensor) -> Tensor:
    """Return A^T B for (3, 3, N)."""
    return _sum_of_products([(a[k, :, None], b[k, None]) for k in range(3)])


def _times(a: Tensor, b: Tensor) -> Tensor:
    """Return A B for (3, 3, N)."""
    return _sum_of_products([(a[:, k, None], b[k, None]) for k in range(3)])


def _sum_of_products(pairs: list[tuple[Tensor, Tensor]]) -> Tensor:
    result = pairs[0][0] * pairs[0][1]
    for x, y in pairs[1:]:
        result.addcmul_(x, y)
    return result


# glibc gives freed memory back to the system, and takes it anew page by page at every call, above a
# threshold that grows with the largest block freed so far. This block, never touched, makes it grow
# to 8 MiB, as loading any data set would; without, page faults take half of the time.
torch.empty(4 * 2**20, dtype=torch.uint8)
