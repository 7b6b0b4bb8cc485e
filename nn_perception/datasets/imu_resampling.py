"""Rows of numbers at other times: lines, slerp, and means over longer periods."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from nn_perception.rotations import quat_slerp

Float64Array = NDArray[np.float64]


def interpolate(
    new_s: Float64Array, old_s: Float64Array, rows: Float64Array, max_gap_s: float, turn: bool
) -> Float64Array:
    """Interpolate rows (N, C) at other times, by lines, or by slerp where they are quaternions.

    Returns:
        (M, C); NaN outside of ``old_s``, inside a period longer than ``max_gap_s``, and beside a
        row that is NaN.
    """
    first = np.clip(np.searchsorted(old_s, new_s, side="right") - 1, 0, len(old_s) - 2)
    period_s = old_s[first + 1] - old_s[first]
    part = (new_s - old_s[first]) / period_s
    part = np.where(abs(part - np.round(part)) < 1e-6, np.round(part), part)[:, np.newaxis]
    left, right = rows[first], rows[first + 1]
    mixed = quat_slerp(left, right, part[:, 0]) if turn else (1.0 - part) * left + part * right
    inside = (part > 0.0) & (part < 1.0) & (period_s <= max_gap_s)[:, np.newaxis]
    mixed = np.where(inside, mixed, np.nan)
    return np.where(part == 0.0, left, np.where(part == 1.0, right, mixed))


def grid_times(time_s: Float64Array, anchor_s: float, rate_hz: float) -> Float64Array:
    """Return the times in ``time_s`` that are whole periods of the rate away from the anchor."""
    first = np.ceil((time_s[0] - anchor_s) * rate_hz - 1e-6)
    last = np.floor((time_s[-1] - anchor_s) * rate_hz + 1e-6)
    return np.clip(np.arange(first, last + 1) / rate_hz + anchor_s, time_s[0], time_s[-1])


def period_means(
    centre_s: Float64Array, rate_hz: float, time_s: Float64Array, rows: Float64Array
) -> Float64Array:
    """Mean of the lines through ``rows`` over one period around each time, cut at the ends."""
    if len(time_s) < 2:
        return np.repeat(rows, len(centre_s), axis=0)
    steps = np.diff(time_s)[:, np.newaxis] * (rows[1:] + rows[:-1]) / 2.0
    total = np.concatenate([np.zeros((1, rows.shape[1])), np.cumsum(steps, axis=0)])

    def integral(at_s: Float64Array) -> Float64Array:
        first = np.clip(np.searchsorted(time_s, at_s, side="right") - 1, 0, len(time_s) - 2)
        into_s = (at_s - time_s[first])[:, np.newaxis]
        slope = (rows[first + 1] - rows[first]) / np.diff(time_s)[first, np.newaxis]
        value: Float64Array = total[first] + into_s * (rows[first] + slope * into_s / 2.0)
        return value

    start_s = np.maximum(centre_s - 0.5 / rate_hz, time_s[0])
    stop_s = np.minimum(centre_s + 0.5 / rate_hz, time_s[-1])
    mean: Float64Array = (integral(stop_s) - integral(start_s)) / (stop_s - start_s)[:, np.newaxis]
    return mean
