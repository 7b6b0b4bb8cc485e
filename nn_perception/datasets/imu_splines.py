"""B-splines of positions and of orientations, with their derivatives.

Orientation is a cumulative B-spline on SO(3) (M.-J. Kim, M.-S. Kim, S. Shin, "A General
Construction Scheme for Unit Quaternion Curves with Simple High Order Derivatives", SIGGRAPH 1995),
its angular rate follows the recursion of C. Sommer et al., "Efficient Derivative Computation for
Cumulative B-Splines on Lie Groups", CVPR 2020. Position is a B-spline too. Both are of degree 5
with uniform knots.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from nn_perception.datasets.imu import Float64Array
from nn_perception.rotations import integrate_gyro, quat_exp, quat_multiply, quat_to_matrix

DEGREE = 5


def _basis() -> Float64Array:
    """Polynomials of the uniform B-spline, (DEGREE + 1 control points, DEGREE + 1 powers)."""
    rows = np.zeros((DEGREE + 1, DEGREE + 1))
    for point in range(DEGREE + 1):
        for knot in range(DEGREE - point + 1):
            shifted = np.polynomial.polynomial.polypow([DEGREE - point - knot, 1.0], DEGREE)
            factor = (-1) ** knot * math.comb(DEGREE + 1, knot) / math.factorial(DEGREE)
            rows[point] += factor * shifted
    return rows


def _weights(part: Float64Array, order: int, cumulative: bool) -> Float64Array:
    """Weights of the control points, or of the steps between them, (N, DEGREE + 1)."""
    rows = np.cumsum(_basis()[::-1], axis=0)[::-1] if cumulative else _basis()
    for _ in range(order):
        rows = rows[:, 1:] * np.arange(1, rows.shape[1])
    return np.vander(part, rows.shape[1], increasing=True) @ rows.T


def spline(points: Float64Array, first: Any, part: Float64Array, *, order: int) -> Float64Array:
    """Return a point of the spline, or its derivative of some order with respect to knots.

    Args:
        points: control points (K, 3).
        first: (N,) knot before each place: control points from there on count.
        part: (N,) how far from that knot to the next, 0 to 1.
        order: 0 for the point.

    Returns:
        (N, 3).
    """
    weights = _weights(part, order, cumulative=False)
    windows = points[first[:, np.newaxis] + np.arange(DEGREE + 1)]
    value: Float64Array = np.einsum("nk,nkc->nc", weights, windows)
    return value


def rotation_spline(
    turns: Float64Array, first: Any, part: Float64Array
) -> tuple[Float64Array, Float64Array]:
    """Return orientation (N, 4) and its rate in the turning frame, radians per knot (N, 3).

    Args:
        turns: rotation vectors (K, 3) from each control orientation to the next; the first is not
            used: the first control orientation is the identity.
        first: as in `spline`.
        part: as in `spline`.
    """
    base = integrate_gyro(turns[1:], 1.0)
    weight, slope = (_weights(part, order, cumulative=True) for order in (0, 1))
    quat, rate = base[first], np.zeros((len(part), 3))
    for step in range(1, DEGREE + 1):
        turn = turns[first + step]
        increment = quat_exp(turn * weight[:, step, np.newaxis])
        quat = quat_multiply(quat, increment)
        rate = np.einsum("nji,nj->ni", quat_to_matrix(increment), rate)
        rate = rate + turn * slope[:, step, np.newaxis]
    return quat, rate
