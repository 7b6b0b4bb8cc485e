"""The losses of the tasks `gyro` and `attitude` in NumPy, with their derivatives."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from nn_perception.networks.reference_activations import Array
from nn_perception.networks.reference_layers import Gradients
from nn_perception.networks.reference_losses import Valued, huber
from nn_perception.networks.reference_rotations import (
    conjugate,
    exponential,
    logarithm,
    multiply,
    product,
)


def gyro_increments(
    rate_rad_s: Array, targets: Array, lengths: Sequence[int], scale_rad: float
) -> Valued:
    """Return the loss of corrected rates, and its derivative (Brossard et al. 2020, eq. 9-11).

    The rotation over an interval is exp of its mean rate times its length in seconds; those over
    2, 4, 8... intervals are products. Over each length n in ``lengths`` the error against the
    truth, log(measured^-1 true) / (scale sqrt(n / 16)), has a Huber loss, averaged over axes and
    over the increments whose two ends are known.

    Args:
        rate_rad_s: (B, T, 3).
        targets: (B, T, 6) true orientation x y z w, whether it is known, seconds since the last
            sample.
        lengths: powers of two.
        scale_rad: error over 16 samples at which the loss turns linear.
    """
    truth, known, dt = targets[..., :4], targets[..., 4] > 0, targets[..., 5:6]
    turn, exp_back = exponential(0.5 * (rate_rad_s[:, 1:] + rate_rad_s[:, :-1]) * dt[:, 1:])
    loss, length = 0.0, 1
    levels: list[tuple[Array, Callable[[Array], Gradients] | None]] = [(np.zeros(turn.shape), None)]
    while length < max(lengths):
        pairs = turn.shape[1] // 2
        turn, back = multiply(turn[:, 0 : 2 * pairs : 2], turn[:, 1 : 2 * pairs : 2])
        length *= 2
        by_turn = np.zeros(turn.shape)
        if length in lengths:
            ends, there = truth[:, ::length], known[:, ::length]
            true = product(conjugate(ends[:, :-1]), ends[:, 1:])
            both = there[:, :-1] & there[:, 1:]
            scale = scale_rad * np.sqrt(length / 16)
            value, slope = _increment(turn[:, : true.shape[1]], true, both, scale)
            loss, by_turn[:, : true.shape[1]] = loss + value, slope
        levels.append((by_turn, back))
    # From the longest increments back to single intervals; each level adds its own error.
    change: Array = np.zeros(turn.shape)
    for by_turn, pair_back in reversed(levels):
        change = by_turn + _filled(change, by_turn.shape)
        if pair_back is not None:
            parts = pair_back(change)
            change = np.stack([parts["a"], parts["b"]], 2).reshape(len(change), -1, 4)
    by_interval = 0.5 * dt[:, 1:] * exp_back(change)["x"]
    slope = np.zeros(rate_rad_s.shape)
    slope[:, 1:] += by_interval
    slope[:, :-1] += by_interval
    return loss, slope


def _increment(measured: Array, true: Array, counted: Array, scale: float) -> Valued:
    """Return the loss of increments of one length, and its derivative by those measured."""
    between, product_back = multiply(conjugate(measured), true)
    error, log_back = logarithm(between)
    each, slope = huber(error / scale)
    share = counted / max(1, counted.sum())
    change = slope * share[..., None] / (3.0 * scale)
    by_measured = conjugate(product_back(log_back(change)["x"])["a"])
    return float((each.mean(-1) * share).sum()), by_measured


def _filled(change: Array, shape: tuple[int, ...]) -> Array:
    """Return the change with zeros for intervals at the end that belong to no pair."""
    full = np.zeros(shape)
    full[:, : change.shape[1]] = change
    return full


def attitude(
    predicted: Array,
    targets: Array,
    tilt_scale_rad: float,
    likelihood: float,
    heading_likelihood: float,
) -> Valued:
    """Return the loss of estimated orientations and their variances, and its derivative.

    Of the error e = estimate conj(truth) the tilt is 2 (e_x, e_y) / |(e_z, e_w)| and the heading
    2 atan2(e_z, e_w), counted from the first known one. With q = |tilt|^2 / 2, p = heading^2 / 2
    and the variances v, u a sample's loss is

        sqrt(1 + |tilt|^2 / scale^2) - 1 + likelihood (q / v + ln v)
            + heading likelihood (p / u + ln u / 2),

    where q / v and p / u count 30 at most; the mean is one with the targets' weights.

    Args:
        predicted: (B, T, 6) orientation x y z w, variance of the inclination, of the heading.
        targets: (B, T, 5) true orientation, weight (0: not known).
        tilt_scale_rad: tilt above which it counts by its size, not its square.
        likelihood: weight of the inclination's likelihood.
        heading_likelihood: that of the heading's.
    """
    truth, weight = targets[..., :4], targets[..., 4]
    share = weight / weight.sum()
    x, y, z, w = np.moveaxis(product(predicted[..., :4], conjugate(truth)), -1, 0)
    length = np.sqrt(z**2 + w**2 + 1e-12)
    safe = np.maximum(length, 0.1)
    square = 4.0 * (x**2 + y**2) / safe**2
    rows, first = np.arange(len(weight)), (weight > 0).argmax(1)
    sine, cosine = z * np.sign(w), np.abs(w) + 1e-9
    absolute = 2.0 * np.arctan2(sine, cosine)
    apart = absolute - absolute[rows, first][:, None]
    heading = np.remainder(apart + np.pi, 2.0 * np.pi) - np.pi
    v, u = predicted[..., 4], predicted[..., 5]
    size = np.sqrt(1.0 + square / tilt_scale_rad**2)
    ratio, heading_ratio = 0.5 * square / v, 0.5 * heading**2 / u
    inside, heading_inside = ratio < 30.0, heading_ratio < 30.0
    each = size - 1.0 + likelihood * (np.minimum(ratio, 30.0) + np.log(v))
    each += heading_likelihood * (np.minimum(heading_ratio, 30.0) + 0.5 * np.log(u))

    by_square = share * (0.5 / (size * tilt_scale_rad**2) + likelihood * 0.5 / v * inside)
    by_heading = share * heading_likelihood * heading / u * heading_inside
    np.subtract.at(by_heading, (rows, first), by_heading.sum(1))
    by_length = -2.0 * by_square * square / safe * (length > 0.1) / length
    turned = 2.0 * by_heading * np.sign(w) / (sine**2 + cosine**2)
    by_error = np.stack(
        [
            8.0 * by_square * x / safe**2,
            8.0 * by_square * y / safe**2,
            by_length * z + turned * cosine,
            by_length * w - turned * sine,
        ],
        -1,
    )
    by_v = share * likelihood * (1.0 / v - ratio / v * inside)
    by_u = share * heading_likelihood * (0.5 / u - heading_ratio / u * heading_inside)
    slope = np.concatenate([product(by_error, truth), by_v[..., None], by_u[..., None]], -1)
    return float((share * each).sum()), slope
