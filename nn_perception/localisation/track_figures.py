"""Figures of a track against the truth."""

from __future__ import annotations

import math

import numpy as np

from nn_perception.localisation.range_filter import Float64Array
from nn_perception.localisation.track import Track

_HOLD_S = 1.0


def position_figures(track: Track, truth_m: Float64Array, start_s: float) -> dict[str, float]:
    """Return figures of a track against the truth, over the rows from ``start_s`` on.

    Each row lasts until the next, for the share of time 1 s at most.

    Args:
        track: from `follow` or `fixes`.
        truth_m: (N, 3) position of the body; NaN where it is not known.
        start_s: on the clock of ``track.time_s``.

    Returns:
        ``rmse_m``, ``p95_m``, ``max_m``: distance between estimate and truth, in the plane when
        planar; ``nis``: mean of squared residual over predicted variance of the rows used
        (normalised innovation squared, 1 is calibrated); ``used_share`` of the rows;
        ``lost_share`` of the time without a position. NaN where there is nothing to average.
    """
    rows = track.time_s >= start_s
    axes = 2 if track.planar else 3
    error = np.linalg.norm((track.position_m - truth_m)[rows, :axes], axis=-1)
    error = error[np.isfinite(error)]
    known = rows & track.used & np.isfinite(track.residual_m)
    ratio = (track.residual_m[known] / track.residual_sigma_m[known]) ** 2
    lasts = np.clip(np.diff(track.time_s, append=track.time_s[-1:]), 0.0, _HOLD_S)[rows]
    lost = np.isnan(track.position_m[rows, 0])
    some = len(error) > 0
    return {
        "rmse_m": math.sqrt(float((error**2).mean())) if some else math.nan,
        "p95_m": float(np.percentile(error, 95)) if some else math.nan,
        "max_m": float(error.max()) if some else math.nan,
        "nis": float(ratio.mean()) if len(ratio) else math.nan,
        "used_share": float(track.used[rows].mean()) if rows.any() else math.nan,
        "lost_share": float(lasts[lost].sum() / lasts.sum()) if lasts.sum() > 0.0 else math.nan,
    }
