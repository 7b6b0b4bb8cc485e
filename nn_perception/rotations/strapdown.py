"""Orientation from angular rate: products of many small rotations, without a loop over samples.

The kinematics are q[k+1] = q[k] exp(gyro[k] dt / 2), quaternions from body to world: the rate is
held constant over each interval (Solà 2017, zeroth-order integration).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, TypeAlias

import array_api_compat
import numpy as np

from nn_perception.rotations.arrays import (
    NUMBER,
    Array,
    Components,
    RotationError,
    broadcast_shape,
    checked,
    dot,
    fit,
    namespace,
    split,
)
from nn_perception.rotations.quaternions import exp_components, product, relative

Factor: TypeAlias = Callable[[Components], Components]

_BLOCK = 16
"""Samples that are multiplied one after another; all blocks at once. 16 keeps them in the cache."""


def integrate_gyro(
    gyro_rad_s: Array, dt_s: Array | float, initial_xyzw: Array | None = None
) -> Array:
    """Return the orientations that N gyroscope samples lead through, (..., N + 1, 4).

    Entry 0 is the initial orientation, entry k the one after k samples; leave out the last to have
    one per sample time. The products are formed by a blocked parallel scan, 2 N of them in about
    16 log16 N vector operations, and renormalised.

    Args:
        gyro_rad_s: body rates, (..., N, 3) rad/s.
        dt_s: length of the intervals in s: a number, or an array that broadcasts to (..., N).
        initial_xyzw: (..., 4), unit; the identity if None.

    Raises:
        RotationError: another type or shape, or leading axes that do not broadcast.
    """
    rotvec = _rotvec(gyro_rad_s, dt_s)
    xp = namespace(rotvec)
    if initial_xyzw is None:
        identity = np.array([0.0, 0.0, 0.0, 1.0])
        initial_xyzw = xp.asarray(
            identity, dtype=rotvec.dtype, device=array_api_compat.device(rotvec)
        )
    xp = checked(4, initial_xyzw=initial_xyzw)
    leading = broadcast_shape(
        "initial_xyzw and gyro_rad_s", initial_xyzw.shape[:-1], rotvec.shape[:-2]
    )
    samples, count = rotvec.shape[-2], math.prod(leading)
    # One leading axis, always: a NumPy array without axes turns into a scalar of another type.
    initial = xp.reshape(xp.broadcast_to(initial_xyzw, (*leading, 4)), (count, 1, 4))
    rotvec = xp.reshape(xp.broadcast_to(rotvec, (*leading, samples, 3)), (count, samples, 3))
    if not samples:
        return xp.reshape(initial, (*leading, 1, 4))
    start = tuple(initial[:, 0, i] for i in range(4))
    parts = tuple(rotvec[..., i] for i in range(3))
    steps = _scan(xp, start, parts, partial(exp_components, xp))
    both = xp.concat([initial, xp.stack(steps, axis=-1)], axis=1)
    return xp.reshape(both, (*leading, samples + 1, 4))


def integrate_step(quat_xyzw: Array, gyro_rad_s: Array, dt_s: Array | float) -> Array:
    """Return the orientations (..., 4) after one more sample, renormalised.

    Args:
        quat_xyzw: orientations before it, (..., 4).
        gyro_rad_s: body rates, (..., 3) rad/s.
        dt_s: length of the interval in s, a number or (...).

    Raises:
        RotationError: another type or shape, or leading axes that do not broadcast.
    """
    checked(4, quat_xyzw=quat_xyzw)
    checked(3, gyro_rad_s=gyro_rad_s)
    fit("quat_xyzw and gyro_rad_s", quat_xyzw.shape[:-1], gyro_rad_s.shape[:-1])
    xp = namespace(quat_xyzw, gyro_rad_s)
    step = exp_components(xp, split(_scaled(gyro_rad_s, dt_s)))
    return xp.concat(_renormalised(xp, product(split(quat_xyzw), step)), axis=-1)


def gyro_increments(gyro_rad_s: Array, dt_s: Array | float, window: int) -> Array:
    """Return the rotation over each window of samples, (..., N // window, 4).

    Windows do not overlap; samples after the last full one are left out. Window j takes the
    orientation j * window to (j + 1) * window, as `orientation_increments` does for a truth.
    Products are formed pairwise, in log2(window) vector operations.

    Args:
        gyro_rad_s: body rates, (..., N, 3) rad/s.
        dt_s: length of the intervals in s: a number, or an array that broadcasts to (..., N).
        window: samples per window, at least 1.

    Raises:
        RotationError: another type or shape, or a window below 1.
    """
    rotvec = _rotvec(gyro_rad_s, dt_s)
    _check_window(window)
    xp = namespace(rotvec)
    *leading, samples, _ = rotvec.shape
    count = samples // window
    cut = xp.reshape(rotvec[..., : count * window, :], (*leading, count, window, 3))
    parts = exp_components(xp, tuple(cut[..., i] for i in range(3)))
    while parts[0].shape[-1] > 1:
        even = parts[0].shape[-1] // 2 * 2
        pairs = product(
            tuple(part[..., 0:even:2] for part in parts),
            tuple(part[..., 1:even:2] for part in parts),
        )
        odd = tuple(part[..., even:] for part in parts)
        parts = tuple(xp.concat(both, axis=-1) for both in zip(pairs, odd, strict=True))
    return xp.stack([part[..., 0] for part in _renormalised(xp, parts)], axis=-1)


def orientation_increments(quat_xyzw: Array, window: int) -> Array:
    """Return the rotations between every window-th orientation, (..., (N - 1) // window, 4).

    Args:
        quat_xyzw: orientations, (..., N, 4).
        window: intervals per window, at least 1.

    Raises:
        RotationError: not (..., N, 4), or a window below 1.
    """
    xp = checked(4, quat_xyzw=quat_xyzw)
    _check_window(window)
    if quat_xyzw.ndim < 2:
        raise RotationError(
            f"quat_xyzw has the shape {tuple(quat_xyzw.shape)}, expected (..., N, 4); "
            "give a sequence of orientations"
        )
    ends = split(quat_xyzw[..., ::window, :])
    before = tuple(part[..., :-1, :] for part in ends)
    after = tuple(part[..., 1:, :] for part in ends)
    return xp.concat(relative(before, after), axis=-1)


def _check_window(window: int) -> None:
    if window < 1:
        raise RotationError(f"window is {window}, expected at least 1 sample; give a positive one")


def _rotvec(gyro_rad_s: Array, dt_s: Array | float) -> Array:
    checked(3, gyro_rad_s=gyro_rad_s)
    if gyro_rad_s.ndim < 2:
        raise RotationError(
            f"gyro_rad_s has the shape {tuple(gyro_rad_s.shape)}, expected (..., N, 3); "
            "for one sample use integrate_step"
        )
    return _scaled(gyro_rad_s, dt_s)


def _scaled(gyro_rad_s: Array, dt_s: Array | float) -> Array:
    if isinstance(dt_s, NUMBER):
        return gyro_rad_s * float(dt_s)
    checked(dt_s=dt_s)
    namespace(gyro_rad_s, dt_s)
    fit("gyro_rad_s and dt_s", gyro_rad_s.shape[:-1], dt_s.shape)
    return gyro_rad_s * dt_s[..., None]


def _scan(xp: Any, start: Components, parts: Components, factor: Factor) -> Components:
    """Return the products start f[0], start f[0] f[1], ... along the last axis, normalised.

    Args:
        xp: array namespace.
        start: quaternion components, (M,).
        parts: components, (M, N), that ``factor`` turns into those of a quaternion. It is called
            on one place of all blocks at a time, because small intermediate arrays stay in the
            cache: that halves the time.
        factor: the exponential map, or nothing to do for parts that are quaternions.
    """
    count, samples = parts[0].shape
    if samples <= _BLOCK:
        steps = _running(
            (factor(tuple(part[:, k] for part in parts)) for k in range(samples)), start
        )
        return _stacked(xp, [_renormalised(xp, step) for step in steps])
    blocks = -(-samples // _BLOCK)
    cut = (_padded(xp, part, blocks * _BLOCK - samples) for part in parts)
    by_block = [xp.reshape(part, (count, blocks, _BLOCK)) for part in cut]
    places = [xp.stack([part[..., k] for k in range(_BLOCK)], axis=0) for part in by_block]
    local = _running(factor(tuple(part[k, ...] for part in places)) for k in range(_BLOCK))
    after = _scan(xp, start, local[-1], tuple)
    before = tuple(
        xp.concat([first[:, None], part[:, :-1]], axis=-1)
        for first, part in zip(start, after, strict=True)
    )
    whole = _stacked(xp, [_renormalised(xp, product(before, step)) for step in local])
    return tuple(xp.reshape(part, (count, blocks * _BLOCK))[:, :samples] for part in whole)


def _running(factors: Iterable[Components], start: Components | None = None) -> list[Components]:
    """Return the running products of the factors."""
    done: list[Components] = []
    for factor in factors:
        start = factor if start is None else product(start, factor)
        done.append(start)
    return done


def _stacked(xp: Any, steps: list[Components]) -> Components:
    return tuple(xp.stack(parts, axis=-1) for parts in zip(*steps, strict=True))


def _padded(xp: Any, part: Array, count: int) -> Array:
    # Cut off again later; the last value repeated keeps quaternions unit.
    return xp.concat([part, *[part[:, -1:]] * count], axis=-1)


def _renormalised(xp: Any, parts: Components) -> Components:
    length = xp.sqrt(dot(parts, parts))
    return tuple(part / length for part in parts)
