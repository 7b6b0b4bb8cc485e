"""How late a gyroscope shows the motion of the truth."""

from __future__ import annotations

import numpy as np

from nn_perception.datasets.imu import Float64Array, ImuSequence, interpolate
from nn_perception.errors import DatasetError
from nn_perception.rotations import (
    integrate_gyro,
    quat_conjugate,
    quat_log,
    quat_multiply,
)

_KEPT = 0.95  # optical systems lose markers: the worst windows show that, not the delay
_MIN_WINDOWS = 100
_MIN_TURN_RMS_RAD = 0.002  # in a window; below it there is no motion to compare


def estimate_sensor_delay(
    sequence: ImuSequence, window_s: float = 0.05, max_delay_s: float = 0.02
) -> float:
    """Measure `ImuSequence.sensor_delay_s` by comparing how truth and gyroscope turn.

    The gyroscope is integrated by the trapezoidal rule, so that a reading counts as the rate at
    its very stamp: integration that holds a reading for the period after it adds half a period of
    delay, one that holds it for the period before takes half a period off. The rotation over each
    short window is compared with that of the truth for shifts by whole periods (between samples
    the lines smooth the noise away, and the least sum of squares would be drawn there). The vertex
    of the parabola through the least sum and its neighbours is the result; a constant bias is
    taken out, and so are the 5 % of windows that fit worst.

    Args:
        sequence: with truth and with movement.
        window_s: length of a window: short, so that errors of the rate do not count.
        max_delay_s: largest delay that can be found.

    Returns:
        Seconds, positive where the gyroscope is late.

    Raises:
        DatasetError: the truth or the movement is not enough, or no delay in range fits best.
    """
    time_s, quat = sequence.time_s, sequence.orientation_xyzw
    count = max(1, round(window_s * sequence.rate_hz))
    margin_s = max_delay_s + 2.0 / sequence.rate_hz
    inside = (time_s >= time_s[0] + margin_s) & (time_s <= time_s[-1] - margin_s)
    known = sequence.has_truth & inside
    starts = np.flatnonzero(known[:-count] & known[count:])
    if quat is None or len(starts) < _MIN_WINDOWS:
        raise DatasetError(
            f"{sequence.name}: truth at both ends of {len(starts)} windows of {window_s} s, "
            f"expected {_MIN_WINDOWS} or more; a delay cannot be measured here"
        )
    true_turn = _turns(quat, starts, count)
    size = float(np.sqrt(np.mean(np.sum(true_turn**2, axis=1))))
    if size < _MIN_TURN_RMS_RAD:
        raise DatasetError(
            f"{sequence.name}: turns by {np.degrees(size):.2g} degrees in {window_s} s (RMS), "
            "expected movement; a delay cannot be measured here"
        )
    middle = (sequence.gyro_rad_s[1:] + sequence.gyro_rad_s[:-1]) / 2.0
    integrated = integrate_gyro(middle, np.diff(time_s))
    period_s = 1.0 / sequence.rate_hz
    steps = int(np.ceil(max_delay_s / period_s))
    shifts_s = np.arange(-steps, steps + 1) * period_s
    costs = np.array(
        [_misfit(time_s, integrated, shift, starts, count, true_turn) for shift in shifts_s]
    )
    best = int(np.argmin(costs))
    if best in (0, len(shifts_s) - 1):
        raise DatasetError(
            f"{sequence.name}: no delay within {max_delay_s} s fits best; give a larger "
            "max_delay_s, or look whether gyroscope and truth belong together"
        )
    left, least, right = costs[best - 1 : best + 2]
    vertex = 0.5 * (left - right) / (left - 2.0 * least + right)
    return float(shifts_s[best] + vertex * period_s)


def _turns(quat: Float64Array, starts: np.ndarray, count: int) -> Float64Array:
    """Rotation vectors from each start to ``count`` samples later, (M, 3) rad."""
    between = quat_multiply(quat_conjugate(quat[starts]), quat[starts + count])
    turns: Float64Array = quat_log(between)
    return turns


def _misfit(
    time_s: Float64Array,
    integrated: Float64Array,
    shift_s: float,
    starts: np.ndarray,
    count: int,
    true_turn: Float64Array,
) -> float:
    """Mean square of what is left between gyroscope and truth at one shift, rad^2."""
    shifted = interpolate(time_s + shift_s, time_s, integrated, np.inf, turn=True)
    error = _turns(shifted, starts, count) - true_turn
    error -= np.median(error, axis=0)
    square = np.sum(error**2, axis=1)
    return float(np.mean(square[square <= np.quantile(square, _KEPT)]))
