"""Unit quaternions in ROS order x, y, z, w: Hamilton product, from body to world.

``q`` rotates a vector by q v q^-1, and `quat_multiply(a, b)` rotates by b first, then by a. All
functions broadcast over leading axes, keep dtype and device, never write into their arguments and
are differentiable in torch. Unless said otherwise they expect unit quaternions and do not
normalise; NaN in gives NaN out. Formulas: Solà, "Quaternion kinematics for the error-state Kalman
filter", 2017 (arXiv:1711.02508), in its own order of components.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from nn_perception.rotations.arrays import (
    NUMBER,
    SMALL,
    Array,
    Components,
    RotationError,
    atan2,
    checked,
    cross,
    dot,
    fit,
    namespace,
    norm,
    split,
)


def product(a: Components, b: Components) -> Components:
    """Return the components of the Hamilton product a b."""
    ax, ay, az, aw = a
    bx, by, bz, bw = b
    return (
        aw * bx + ax * bw + ay * bz - az * by,
        aw * by - ax * bz + ay * bw + az * bx,
        aw * bz + ax * by - ay * bx + az * bw,
        aw * bw - ax * bx - ay * by - az * bz,
    )


def exp_components(xp: Any, rotvec: Components) -> Components:
    """Return the components of exp(rotvec / 2), see `quat_exp`."""
    square = dot(rotvec, rotvec)
    small = square < SMALL
    angle = xp.sqrt(xp.where(small, 1.0, square))
    near = 0.5 - square * (1 / 48 - square * (1 / 3840))
    factor = xp.where(small, near, xp.sin(0.5 * angle) / angle)
    near_w = 1.0 - square * (1 / 8 - square * (1 / 384))
    x, y, z = (part * factor for part in rotvec)
    return x, y, z, xp.where(small, near_w, xp.cos(0.5 * angle))


def relative(a: Components, b: Components) -> Components:
    """Return the components of conj(a) b."""
    x, y, z, w = a
    return product((-x, -y, -z, w), b)


def sign_of(xp: Any, parts: Components) -> Array:
    """Return +1 or -1 for each quaternion, the factor that makes its sign canonical."""
    x, y, z, w = parts
    first = xp.where(w != 0, w, xp.where(x != 0, x, xp.where(y != 0, y, z)))
    return xp.where(first < 0, -xp.ones_like(first), xp.ones_like(first))


def quat_multiply(a_xyzw: Array, b_xyzw: Array) -> Array:
    """Return the Hamilton product a b, (..., 4): the rotation by b, followed by a.

    Raises:
        RotationError: not (..., 4), not floating, or leading axes that do not broadcast.
    """
    xp = checked(4, a_xyzw=a_xyzw, b_xyzw=b_xyzw)
    return xp.concat(product(split(a_xyzw), split(b_xyzw)), axis=-1)


def quat_conjugate(quat_xyzw: Array) -> Array:
    """Return (-x, -y, -z, w), the inverse of a unit quaternion, (..., 4).

    Raises:
        RotationError: not (..., 4), or not floating.
    """
    xp = checked(4, quat_xyzw=quat_xyzw)
    return xp.concat([-quat_xyzw[..., :3], quat_xyzw[..., 3:]], axis=-1)


def quat_normalise(quat_xyzw: Array) -> Array:
    """Return quaternions of norm 1, (..., 4); a zero quaternion becomes the identity.

    Zero names no rotation, but a network may give it, and a test for it would stall a GPU: the
    result is the identity, with gradient 0. Components are scaled first, so that neither very
    large nor very small ones overflow. Infinite components give NaN.

    Raises:
        RotationError: not (..., 4), or not floating.
    """
    xp = checked(4, quat_xyzw=quat_xyzw)
    x, y, z, w = (abs(part) for part in split(quat_xyzw))
    largest = xp.maximum(xp.maximum(x, y), xp.maximum(z, w))
    zero = largest == 0
    scaled = split(quat_xyzw / xp.where(zero, 1.0, largest))
    length = xp.sqrt(xp.where(zero, 1.0, dot(scaled, scaled)))
    *xyz, w = (part / length for part in scaled)
    return xp.concat([*xyz, xp.where(zero, 1.0, w)], axis=-1)


def quat_canonical(quat_xyzw: Array) -> Array:
    """Return that one of q and -q, the same rotation, whose w is positive, (..., 4).

    Where w is 0, the first of x, y, z that is not 0 becomes positive.

    Raises:
        RotationError: not (..., 4), or not floating.
    """
    xp = checked(4, quat_xyzw=quat_xyzw)
    return quat_xyzw * sign_of(xp, split(quat_xyzw))


def quat_rotate(quat_xyzw: Array, vector: Array) -> Array:
    """Return the rotated vectors q v q^-1, (..., 3); units are those of ``vector`` (..., 3).

    Raises:
        RotationError: not (..., 4) and (..., 3), or leading axes that do not broadcast.
    """
    checked(4, quat_xyzw=quat_xyzw)
    checked(3, vector=vector)
    fit("quat_xyzw and vector", quat_xyzw.shape[:-1], vector.shape[:-1])
    xp = namespace(quat_xyzw, vector)
    *u, w = split(quat_xyzw)
    v = split(vector)
    t = tuple(2.0 * part for part in cross(tuple(u), v))
    turned = zip(v, t, cross(tuple(u), t), strict=True)
    return xp.concat([one + w * two + three for one, two, three in turned], axis=-1)


def quat_exp(rotvec_rad: Array) -> Array:
    """Return the quaternions (..., 4) of rotation vectors (..., 3), axis times angle in rad.

    Values and gradients are exact at 0. Source: Solà 2017, q = [u sin(a/2), cos(a/2)].

    Raises:
        RotationError: not (..., 3), or not floating.
    """
    xp = checked(3, rotvec_rad=rotvec_rad)
    return xp.concat(exp_components(xp, split(rotvec_rad)), axis=-1)


def quat_log(quat_xyzw: Array) -> Array:
    """Return the rotation vectors (..., 3) of quaternions (..., 4), in rad, of length 0 to pi.

    q and -q give the same, and so does any positive multiple of q. Values and gradients are exact
    at the identity and finite up to pi; the zero quaternion gives 0. Source: Solà 2017,
    2 u atan2(|xyz|, w).

    Raises:
        RotationError: not (..., 4), or not floating.
    """
    xp = checked(4, quat_xyzw=quat_xyzw)
    parts = split(quat_xyzw)
    sign = sign_of(xp, parts)
    x, y, z, w = (part * sign for part in parts)
    square = x * x + y * y + z * z
    small = square <= SMALL * w * w
    length = xp.sqrt(xp.where(small, 1.0, square))
    safe_w = xp.where(small & (w != 0), w, 1.0)
    ratio = xp.where(small, square, 0.0) / (safe_w * safe_w)
    near = 2.0 / safe_w * (1.0 - ratio * (1 / 3 - ratio * (1 / 5 - ratio * (1 / 7))))
    factor = xp.where(small, near, 2.0 * xp.atan2(length, w) / length)
    return xp.concat([x * factor, y * factor, z * factor], axis=-1)


def quat_distance(a_xyzw: Array, b_xyzw: Array) -> Array:
    """Return the angle in rad, 0 to pi, of the rotation between a and b, shape (...).

    2 atan2(|xyz|, |w|) of conj(a) b: unlike an arc cosine it resolves angles down to the rounding
    error. The gradient is 0 at distance 0, where none exists.

    Raises:
        RotationError: not (..., 4), not floating, or leading axes that do not broadcast.
    """
    xp = checked(4, a_xyzw=a_xyzw, b_xyzw=b_xyzw)
    *xyz, w = relative(split(a_xyzw), split(b_xyzw))
    return (2.0 * atan2(xp, norm(xp, tuple(xyz)), abs(w)))[..., 0]


def quat_slerp(a_xyzw: Array, b_xyzw: Array, fraction: Array | float) -> Array:
    """Return the orientations at ``fraction`` of the shortest arc from a to b, (..., 4).

    a exp(fraction log(conj(a) b)): constant angular speed, and exact for nearly equal and for
    opposite orientations. Fractions outside 0 to 1 go on along the arc. At exactly pi between a
    and b both arcs are shortest, and one of them is taken.

    Args:
        a_xyzw: where fraction is 0, (..., 4).
        b_xyzw: where fraction is 1, (..., 4).
        fraction: a number, or an array that broadcasts against the leading axes.

    Raises:
        RotationError: not (..., 4), not floating, or leading axes that do not broadcast.
    """
    xp = checked(4, a_xyzw=a_xyzw, b_xyzw=b_xyzw)
    if not isinstance(fraction, NUMBER):
        checked(fraction=fraction)
        fit("a_xyzw and fraction", a_xyzw.shape[:-1], fraction.shape)
        fit("b_xyzw and fraction", b_xyzw.shape[:-1], fraction.shape)
        fraction = fraction[..., None]
    a = split(a_xyzw)
    arc = quat_log(xp.concat(relative(a, split(b_xyzw)), axis=-1))
    return xp.concat(product(a, exp_components(xp, split(arc * fraction))), axis=-1)


def quat_mean(quat_xyzw: Array, weights: Array | None = None) -> Array:
    """Return the mean orientation over the last axis but one, (..., N, 4) -> (..., 4).

    It minimises the weighted sum of squared Frobenius distances of the matrices; q and -q count
    the same. Its sign is canonical. No gradient exists where eigenvalues repeat, as for equal
    quaternions: do not use it in a loss. Source: Markley et al., "Averaging quaternions", 2007.

    Args:
        quat_xyzw: (..., N, 4), N at least 1.
        weights: (..., N), not negative; equal ones if None.

    Raises:
        RotationError: not (..., N, 4), nothing to average, or weights of another shape.
    """
    xp = checked(4, quat_xyzw=quat_xyzw)
    if quat_xyzw.ndim < 2 or quat_xyzw.shape[-2] < 1:
        raise RotationError(
            f"quat_xyzw has the shape {tuple(quat_xyzw.shape)}, expected (..., N, 4) with N >= 1; "
            "give at least one quaternion to average"
        )
    weighted = quat_xyzw
    if weights is not None:
        checked(weights=weights)
        fit("quat_xyzw and weights", quat_xyzw.shape[:-1], weights.shape)
        weighted = quat_xyzw * weights[..., None]
    moment = xp.matmul(xp.matrix_transpose(weighted), quat_xyzw)
    return quat_canonical(xp.linalg.eigh(moment)[1][..., -1])


def quat_random(shape: tuple[int, ...], generator: Any, dtype: Any = None) -> Array:
    """Return orientations drawn uniformly over all rotations, shape + (4,).

    Four normal variates, normalised, are uniform on the sphere of unit quaternions.

    Args:
        shape: leading axes; () for one quaternion.
        generator: np.random.Generator or RandomState for a NumPy array; torch.Generator for a
            tensor on its device.
        dtype: of that library; None means float64.

    Raises:
        RotationError: the generator is none of these.
    """
    size = (*shape, 4)
    if isinstance(generator, (np.random.Generator, np.random.RandomState)):
        return quat_normalise(generator.standard_normal(size)).astype(dtype or np.float64)
    if type(generator).__module__.partition(".")[0] != "torch":
        raise RotationError(
            f"generator is a {type(generator).__name__}, expected np.random.Generator, "
            "np.random.RandomState or torch.Generator; make one with a fixed seed"
        )
    import torch

    draw = torch.randn(
        size, generator=generator, device=generator.device, dtype=dtype or torch.float64
    )
    return quat_normalise(draw)
