"""The offset of two clocks from the speeds of rotation that sensor and truth show.

Masked normalised correlation: D. Padfield, "Masked object registration in the Fourier domain", IEEE
Trans. Image Processing 21(5), 2012.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nn_perception.datasets.build_spool import CHUNK, Spool
from nn_perception.datasets.imu_resampling import Float64Array
from nn_perception.errors import DatasetError
from nn_perception.rotations import quat_distance

BIN_S = 0.02
_MOST_BINS = 1 << 17
_LEAST_OVERLAP_S = 5.0
_LEAST_MOTION_RAD_S = 0.03
"""Standard deviation of the speed of rotation, below which there is nothing to compare."""
_LEAST_CORRELATION = 0.5
_AS_GOOD = 0.02
"""A peak that is lower by less than this is as good as the highest."""

Curve = tuple[tuple[float, ...], tuple[float, ...]]


@dataclass(frozen=True)
class Speeds:
    """Speed of rotation in bins of `BIN_S` from ``origin_ns`` on, NaN where unknown."""

    origin_ns: int
    imu: Float64Array
    truth: Float64Array

    @classmethod
    def of(cls, name: str, imu: Spool, poses: Spool, gap_s: float, limit_s: float) -> Speeds:
        """Read samples and poses once, in pieces.

        Raises:
            DatasetError: they have no time in common within offsets of ``limit_s``, or all poses
                are further apart than ``gap_s``.
        """
        ends = [int(s.read(i, i + 1)["stamp"][0]) for s in (imu, poses) for i in (0, len(s) - 1)]
        _check_overlap(name, ends, limit_s)
        # From where one of them alone can say nothing on, such as from a stamp of zero.
        origin = max(min(ends), max(ends[0], ends[2]) - round(limit_s * 1e9))
        # Six hours tell the offset; bins of a longer recording would only take memory.
        count = min(int((max(ends) - origin) * 1e-9 / BIN_S) + 1, 8 * _MOST_BINS)
        measured = _Bins(count)
        for rows in imu.chunks():
            measured.add((rows["stamp"] - origin) * 1e-9, np.linalg.norm(rows["gyro"], axis=1))
        turning = measured.means()
        true = _Bins(count)
        last = poses.read(0, 1)
        for rows in poses.chunks():
            both = np.concatenate([last, rows])
            last = rows[-1:]
            dt = np.diff(both["stamp"]) * 1e-9
            angle = quat_distance(both["pose"][1:, 3:], both["pose"][:-1, 3:])
            near = (dt > 0.0) & (dt <= gap_s)
            middle = (both["stamp"][1:] - origin) * 1e-9 - dt / 2.0
            true.add(middle[near], angle[near] / dt[near])
        if not true.filled:
            raise no_true_pose(name, poses, gap_s)
        return cls(origin, turning, true.means())


def no_true_pose(name: str, poses: Spool, gap_s: float) -> DatasetError:
    """Return the error of a recording whose poses tell the truth at no sample."""
    every_s = float(np.median(np.diff(poses.read(0, 20_000)["stamp"]))) * 1e-9
    return DatasetError(
        f"{name}: no sample has a true pose: poses come every {every_s:.3g} s, and between "
        f"poses further apart than {gap_s:g} s no truth is made up; give a larger --max-gap-s "
        "where poses are smooth enough, or look whether sensor and truth overlap in time"
    )


class _Bins:
    def __init__(self, count: int) -> None:
        self._sum, self._count = np.zeros(count), np.zeros(count, np.uint32)

    def add(self, time_s: Float64Array, values: Float64Array) -> None:
        inside = (time_s >= 0.0) & (time_s < len(self._sum) * BIN_S)
        index = (time_s[inside] / BIN_S).astype(np.int64)
        np.add.at(self._sum, index, values[inside])
        np.add.at(self._count, index, 1)

    @property
    def filled(self) -> bool:
        """Whether there is anything in any bin."""
        return bool(self._count.any())

    def means(self) -> Float64Array:
        """Return the mean of each bin, computed in place: six hours are many bins."""
        means, self._sum = self._sum, np.zeros(0)
        means[self._count == 0] = np.nan
        np.divide(means, self._count, out=means, where=self._count > 0)
        _fill(means)
        return means


def _fill(values: Float64Array) -> None:
    """Fill short gaps by lines: a slow stream does not reach every bin."""
    known = np.flatnonzero(np.isfinite(values))
    if len(known) < 2:
        return
    given = values[known]
    missing = np.flatnonzero(np.isnan(values[known[0] : known[-1]])) + known[0]
    for start in range(0, len(missing), CHUNK):
        empty = missing[start : start + CHUNK]
        after = np.searchsorted(known, empty)
        short = (known[after] - known[after - 1]) * BIN_S <= 0.25
        values[empty[short]] = np.interp(empty[short], known, given)


def coarse_offset(name: str, speeds: Speeds, limit_s: float) -> tuple[float, float, Curve]:
    """Return the offset by correlation, the correlation there, and the curve."""
    imu, truth = _busiest(speeds)
    for what, series in (("the truth", truth), ("the sensor", imu)):
        known = series[np.isfinite(series)]
        if len(known) * BIN_S < _LEAST_OVERLAP_S or np.std(known) < _LEAST_MOTION_RAD_S:
            spread = float(np.std(known)) if len(known) else 0.0
            raise DatasetError(
                f"{name}: the offset of the clocks cannot be observed: the rotation of {what} "
                f"varies by {spread:.3g} rad/s in {len(known) * BIN_S:.0f} s, expected "
                f"{_LEAST_MOTION_RAD_S} rad/s in {_LEAST_OVERLAP_S:.0f} s; record some turns at "
                "the beginning, or say --offset 0 where both have one clock"
            )
    lags, values = masked_correlation(imu, truth, round(limit_s / BIN_S))
    if not np.isfinite(values).any():
        raise DatasetError(
            f"{name}: no overlap: sensor and truth are both known for less than "
            f"{_LEAST_OVERLAP_S:.0f} s at any offset within {limit_s:g} s; give a larger "
            "--max-offset-s, or record both together"
        )
    best = _best_lag(lags, values)
    if values[best] < _LEAST_CORRELATION:
        raise DatasetError(
            f"{name}: sensor and truth do not fit: their speeds of rotation correlate by "
            f"{values[best]:.2f} at most (offsets within {limit_s:g} s), expected "
            f"{_LEAST_CORRELATION} or more; choose the pose of this sensor with --topic "
            "pose=TOPIC, or give a larger --max-offset-s"
        )
    vertex = 0.0
    if 0 < best < len(lags) - 1 and np.isfinite(values[best - 1 : best + 2]).all():
        left, middle, right = values[best - 1 : best + 2]
        bend = left - 2.0 * middle + right
        vertex = 0.5 * (left - right) / bend if bend < 0 else 0.0
    step = max(1, len(lags) // 600)
    shown = np.isfinite(values)
    curve = ((lags[shown] * BIN_S)[::step].tolist(), values[shown][::step].tolist())
    offset_s = float((lags[best] + vertex) * BIN_S)
    return offset_s, float(values[best]), (tuple(curve[0]), tuple(curve[1]))


def _check_overlap(name: str, ends_ns: list[int], limit_s: float) -> None:
    """Refuse sensor and truth, each from first to last stamp, that no offset brings together."""
    imu, truth = ends_ns[:2], ends_ns[2:]
    common_s = (min(imu[1], truth[1]) - max(imu[0], truth[0])) * 1e-9 + limit_s
    if common_s >= _LEAST_OVERLAP_S:
        return
    spans = [f"from {first * 1e-9:.1f} to {last * 1e-9:.1f} s" for first, last in (imu, truth)]
    raise DatasetError(
        f"{name}: no overlap: stamps of the sensor {spans[0]}, of the truth {spans[1]}, expected "
        f"{_LEAST_OVERLAP_S:.0f} s in common within offsets of {limit_s:g} s; give a larger "
        "--max-offset-s, or the offset of the clocks with --offset SECONDS"
    )


def _busiest(speeds: Speeds) -> tuple[Float64Array, Float64Array]:
    """Return the stretch in which the truth moves most, where a recording is very long."""
    count = len(speeds.truth)
    if count <= _MOST_BINS:
        return speeds.imu, speeds.truth
    starts = range(0, count - _MOST_BINS + 1, _MOST_BINS // 2)
    motion = [np.nan_to_num(np.nanvar(speeds.truth[s : s + _MOST_BINS])) for s in starts]
    start = list(starts)[int(np.argmax(motion))]
    return speeds.imu[start : start + _MOST_BINS], speeds.truth[start : start + _MOST_BINS]


def masked_correlation(
    a: Float64Array, b: Float64Array, most: int
) -> tuple[NDArray[np.int64], Float64Array]:
    """Correlate two series with gaps (NaN) at all shifts.

    Returns:
        Shifts from ``-most`` to ``most``, and the correlation of ``a[t + shift]`` with ``b[t]``
        over what both know there, NaN where that is too little.
    """
    size = 1 << int(np.ceil(np.log2(len(a) + len(b))))
    known = [np.isfinite(x).astype(float) for x in (a, b)]
    filled = [np.where(np.isfinite(x), x, 0.0) for x in (a, b)]

    def correlate(x: Float64Array, y: Float64Array) -> Float64Array:
        product = np.fft.rfft(x, size) * np.conj(np.fft.rfft(y, size))
        return np.fft.irfft(product, size)

    n = np.round(correlate(known[0], known[1]))
    sum_a, sum_b = correlate(filled[0], known[1]), correlate(known[0], filled[1])
    var_a = correlate(filled[0] ** 2, known[1]) - sum_a**2 / np.maximum(n, 1)
    var_b = correlate(known[0], filled[1] ** 2) - sum_b**2 / np.maximum(n, 1)
    covariance = correlate(filled[0], filled[1]) - sum_a * sum_b / np.maximum(n, 1)
    enough = max(_LEAST_OVERLAP_S / BIN_S, 0.25 * n.max())
    fine = (n >= enough) & (np.minimum(var_a, var_b) > 1e-6 * np.maximum(n, 1))
    values = np.full(size, np.nan)
    values[fine] = covariance[fine] / np.sqrt(var_a[fine] * var_b[fine])
    most = min(most, size // 2 - 1)
    lags = np.arange(-most, most + 1)
    return lags, values[lags % size]


def _best_lag(lags: NDArray[np.int64], values: Float64Array) -> int:
    """Return the highest peak; of peaks that are as high the one with the smallest shift."""
    v = np.nan_to_num(values, nan=-2.0)
    padded = np.concatenate([[-2.0], v, [-2.0]])
    peak = (v >= padded[:-2]) & (v >= padded[2:]) & (v >= v.max() - _AS_GOOD)
    candidates = np.flatnonzero(peak)
    return int(candidates[np.argmin(abs(lags[candidates]))])
