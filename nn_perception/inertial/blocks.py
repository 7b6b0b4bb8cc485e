"""Pre-integration: samples of a short time become one rotation and one gain of velocity.

A filter that corrects by gravity need not run at the sample rate: its time constants are seconds.
It runs on blocks of about 40 ms, whatever the rate, which is also why one network serves 50 Hz and
500 Hz (Forster et al. 2017, on-manifold pre-integration, without its bias Jacobians: the filter
takes the bias off as a whole, see `nn_perception.inertial.filter.predict`).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from nn_perception.inertial.small import exp, matrix, multiply, right_products
from nn_perception.rotations import quat_exp

Float64Array = NDArray[np.float64]

BLOCK_S = 0.04
"""A block is full with the sample that brings it to this length, within half a millisecond."""
_TOLERANCE_S = 5e-4


class Steps(NamedTuple):
    """Samples after one another within a block, for N sensors.

    Attributes:
        turn_xyzw: (N, K, 4) rotation from the block's start to each sample.
        gained_m_s: (N, 3) specific force integrated over all K, in the frame of the block's start.
    """

    turn_xyzw: Float64Array
    gained_m_s: Float64Array


def integrate(
    turn_xyzw: Float64Array, gyro_rad_s: Float64Array, accel_m_s2: Float64Array, dt_s: Float64Array
) -> Steps:
    """Go on from a rotation over K intervals, with the mean rate and force of each.

    The mean over an interval is that of the readings at its two ends (see `midpoints`): a reading
    held over the time before it would put the orientation half a period ahead, 10 ms at 50 Hz.

    Args:
        turn_xyzw: (N, 4) rotation since the block's start.
        gyro_rad_s: (N, K, 3) mean rates.
        accel_m_s2: (N, K, 3) mean specific forces, taken to act in the middle of the turns.
        dt_s: (N, K) lengths of the intervals.
    """
    count, samples = dt_s.shape
    turned = (0.5 * gyro_rad_s * dt_s[:, :, None]).reshape(-1, 3)
    # Only a bridged gap turns further than the series of `exp` reaches.
    far = turned.size > 0 and float(np.abs(turned).max()) > 0.25
    halves = quat_exp(turned) if far else exp(turned)
    by_whole = right_products(multiply(halves, halves)).reshape(count, samples, 4, 4)
    turns = np.empty((count, samples + 1, 1, 4))
    turns[:, 0, 0] = turn_xyzw
    for k in range(samples):
        np.matmul(turns[:, k], by_whole[:, k], out=turns[:, k + 1])
    middle = multiply(turns[:, :-1, 0].reshape(-1, 4), halves)
    pushed = (matrix(middle) @ (accel_m_s2 * dt_s[:, :, None]).reshape(-1, 3, 1)).reshape(
        count, samples, 3
    )
    return Steps(turns[:, 1:, 0], pushed.sum(1))


def midpoints(readings: Float64Array, before: Float64Array) -> Float64Array:
    """Return the means (N, K, C) of readings (N, K, C) and the ones before; (N, C) the first's."""
    earlier = np.concatenate([before[:, None], readings[:, :-1]], 1)
    return 0.5 * (earlier + readings)


def is_full(duration_s: float) -> bool:
    """Tell whether a block of this length is to be closed."""
    return duration_s >= BLOCK_S - _TOLERANCE_S


def cut_into_blocks(
    time_s: Float64Array, gyro_rad_s: Float64Array, accel_m_s2: Float64Array
) -> dict[str, Float64Array]:
    """Pre-integrate a whole recording; its first sample only starts the clock.

    All blocks get the same number of samples, that of the median period; samples that do not fill
    the last block are left out.

    Args:
        time_s: (N,).
        gyro_rad_s: (N, 3).
        accel_m_s2: (N, 3).

    Returns:
        ``turn`` (M, 4), ``velocity`` (M, 3), ``rate`` (M, 3), ``duration`` (M, 1) as in
        `nn_perception.inertial.filter.Block`, and ``end`` (M,), the index of each last sample.
    """
    dt = np.diff(time_s)
    period = float(np.median(dt))
    size = max(1, int(np.ceil((BLOCK_S - _TOLERANCE_S) / period)))
    count = len(dt) // size
    used = count * size
    dt = dt[:used].reshape(count, size)
    gyro = midpoints(gyro_rad_s[None, 1 : used + 1], gyro_rad_s[:1]).reshape(count, size, 3)
    accel = midpoints(accel_m_s2[None, 1 : used + 1], accel_m_s2[:1]).reshape(count, size, 3)
    identity = np.tile([0.0, 0.0, 0.0, 1.0], (count, 1))
    steps = integrate(identity, gyro, accel, dt)
    duration = dt.sum(1, keepdims=True)
    return {
        "turn": steps.turn_xyzw[:, -1],
        "velocity": steps.gained_m_s,
        "rate": (gyro * dt[:, :, None]).sum(1) / duration,
        "duration": duration,
        "end": size * np.arange(1, count + 1),
    }
