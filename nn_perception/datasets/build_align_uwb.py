"""How the clock of true poses stands to that of UWB ranges."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nn_perception.datasets.build_align import Alignment
from nn_perception.datasets.build_settings import BuildSettings
from nn_perception.datasets.build_spool import Spool
from nn_perception.datasets.imu_resampling import Float64Array, interpolate
from nn_perception.errors import DatasetError
from nn_perception.rotations import quat_rotate

_PIECE_S, _PIECES = 30.0, 8
_ROWS = 250
"""Ranges of a piece that are looked at: more say the same."""
_STEP_S, _MIDDLE_STEP_S, _FINE_STEP_S = 0.25, 0.025, 0.005
_CLIP_M = 1.0
"""A larger difference is an outlier and counts no more."""
_CONTRAST = 0.05
"""The cost must rise by this share within a second, or there is no motion that tells the offset."""
_SIGNIFICANT_S = 5e-3
_LEAST_SHARE = 0.3

Places = tuple[Float64Array, Float64Array]
"""Anchors (A, 3) in the world, and lever arms of tags (T, 3)."""


def align_uwb(
    name: str, ranges: Spool, poses: Spool, places: Places, settings: BuildSettings
) -> Alignment:
    """Estimate the offset at which ranges and true distances agree best.

    Compared are differences to the median of each pair, so that constant errors do not count.

    Args:
        name: of the recording, for errors.
        ranges: rows with ``stamp`` (ns), ``tag``, ``anchor`` and ``range``.
        poses: rows with ``stamp`` and ``pose``.
        places: of anchors and tags.
        settings: a given offset is taken, and none estimated.

    Raises:
        DatasetError: ranges and poses have no time in common.
    """
    if settings.offset_s is not None:
        return Alignment(applied_s=settings.offset_s, note="offset given")
    gap_s = settings.gap_s("uwb")
    pieces = [
        _Piece(rows, poses, places, settings.max_offset_s, gap_s) for rows in _windows(ranges)
    ]

    def cost(offset_s: float) -> float:
        return _mean([piece.cost(offset_s) for piece in pieces])

    def rough(offset_s: float) -> float:
        return _mean([piece.cost(offset_s) for piece in pieces[::2]])

    count = round(settings.max_offset_s / _STEP_S)
    grid = np.arange(-count, count + 1) * _STEP_S
    costs = np.array([rough(offset) for offset in grid])
    if not np.isfinite(costs).any():
        raise DatasetError(_apart(name, ranges, poses, settings.max_offset_s))
    curve = (tuple(grid[np.isfinite(costs)].tolist()), tuple(costs[np.isfinite(costs)].tolist()))
    start = float(grid[int(np.nanargmin(costs))])
    near = costs[abs(grid - start) <= 1.0]
    if not np.nanmax(near) > (1.0 + _CONTRAST) * np.nanmin(near):
        note = "the motion does not tell the offset of the clocks; none is applied"
        return Alignment(note=note, curve=curve)
    offset_s = _vertex(cost, start)
    own = np.array([_vertex(piece.cost, start) for piece in pieces])
    own = own[np.isfinite(own)]
    spread = 1.4826 * float(np.median(abs(own - np.median(own)))) if len(own) > 1 else math.inf
    sigma_s = max(spread / math.sqrt(max(len(own), 1)), 1e-4) if math.isfinite(spread) else 1.0
    significant = abs(offset_s) > max(_SIGNIFICANT_S, 3.0 * sigma_s)
    return Alignment(
        offset_s=offset_s,
        sigma_s=sigma_s,
        applied_s=offset_s if significant else 0.0,
        curve=curve,
    )


class _Piece:
    """Some ranges, and the poses around them."""

    def __init__(
        self, rows: NDArray[Any], poses: Spool, places: Places, limit_s: float, gap_s: float
    ) -> None:
        origin = int(rows["stamp"][0])
        margin_ns = round((limit_s + 1.0) * 1e9)
        true = poses.read(
            poses.first_at(origin - margin_ns), poses.first_at(int(rows["stamp"][-1]) + margin_ns)
        )
        anchors, levers = places
        self._time_s = (rows["stamp"] - origin) * 1e-9
        self._true_s = (true["stamp"] - origin) * 1e-9
        self._pose, self._gap_s = true["pose"], gap_s
        self._anchor_m, self._lever_m = anchors[rows["anchor"]], levers[rows["tag"]]
        self._range_m = rows["range"]
        self._pair = np.unique(rows["tag"] * len(anchors) + rows["anchor"], return_inverse=True)[1]

    def cost(self, offset_s: float) -> float:
        """Return the mean absolute difference in metres; NaN where too little is known."""
        if len(self._pose) < 2:
            return math.nan
        at_s, true_s = self._time_s - offset_s, self._true_s
        place = interpolate(at_s, true_s, self._pose[:, :3], self._gap_s, turn=False)
        turn = interpolate(at_s, true_s, self._pose[:, 3:], self._gap_s, turn=True)
        apart = place + quat_rotate(turn, self._lever_m) - self._anchor_m
        error = self._range_m - np.linalg.norm(apart, axis=1)
        good = np.isfinite(error) & (self._range_m > 0.0)
        if good.mean() < _LEAST_SHARE:
            return math.nan
        pair, error = self._pair[good], error[good]
        order = np.lexsort((error, pair))
        pair, error = pair[order], error[order]
        count = np.bincount(pair)
        middle = np.minimum(np.cumsum(count) - count + count // 2, len(error) - 1)
        left = abs(error - error[middle][pair])[count[pair] > 1]
        return float(np.minimum(left, _CLIP_M).mean()) if len(left) else math.nan


def _windows(ranges: Spool) -> list[NDArray[Any]]:
    """Return ranges of pieces that are spread over the recording."""
    first, last = (int(ranges.read(i, i + 1)["stamp"][0]) for i in (0, len(ranges) - 1))
    span_ns = round(_PIECE_S * 1e9)
    starts = np.linspace(first, max(first, last - span_ns), _PIECES).astype(np.int64)
    if last - first < _PIECES * span_ns:  # pieces of a short recording do not overlap either
        span_ns = (last - first) // _PIECES + 1
        starts = first + np.arange(_PIECES) * span_ns
    found = []
    for start in starts.tolist():
        rows = ranges.read(ranges.first_at(start), ranges.first_at(start + span_ns))
        if len(rows) >= 20:
            found.append(rows[:: max(1, len(rows) // _ROWS)])
    return found or [ranges.read(0, 4 * _ROWS)]


def _vertex(cost: Callable[[float], float], start_s: float) -> float:
    """Return where the cost is least within a coarse step of a start."""
    middle = start_s + np.arange(-10, 11) * _MIDDLE_STEP_S
    rough = np.array([cost(offset) for offset in middle])
    if not np.isfinite(rough).all():
        return math.nan
    grid = middle[int(np.argmin(rough))] + np.arange(-7, 8) * _FINE_STEP_S
    costs = np.array([cost(offset) for offset in grid])
    if not np.isfinite(costs).all():
        return math.nan
    best = int(np.argmin(costs))
    if best in (0, len(grid) - 1):
        return float(grid[best])
    # The mean of absolute values is smooth over some steps only: a parabola over five points.
    low = max(0, min(best - 2, len(grid) - 5))
    bend, slope, _ = np.polyfit(grid[low : low + 5] - grid[best], costs[low : low + 5], 2)
    shift = -slope / (2.0 * bend) if bend > 0 else 0.0
    return float(grid[best] + np.clip(shift, -_FINE_STEP_S, _FINE_STEP_S))


def _mean(costs: list[float]) -> float:
    known = [cost for cost in costs if math.isfinite(cost)]
    return sum(known) / len(known) if 2 * len(known) >= len(costs) else math.nan


def _apart(name: str, ranges: Spool, poses: Spool, limit_s: float) -> str:
    ends = [
        f"from {rows.read(0, 1)['stamp'][0] * 1e-9:.1f} to "
        f"{rows.read(len(rows) - 1)['stamp'][0] * 1e-9:.1f} s"
        for rows in (ranges, poses)
    ]
    return (
        f"{name}: no overlap of ranges and true poses: stamps {ends[0]} and {ends[1]}, expected "
        f"time in common within offsets of {limit_s:g} s, and poses no further apart than "
        "--max-gap-s; give a larger --max-offset-s or --max-gap-s, or --offset SECONDS"
    )
