"""Figures of ranges and of positions from them, for one recording and one method."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from nn_perception.datasets.uwb import BoolArray, Float64Array, UwbSequence
from nn_perception.localisation.range_filter import FilterSettings
from nn_perception.localisation.track import HEIGHT_SIGMA_M, Correct, Ranging, Track, fixes, follow
from nn_perception.localisation.track_figures import position_figures

Figures = dict[str, float]

SETTLE_S = 2.0
"""Positions count from so long after the first row on: before, the filter finds its place."""
ALTIMETER_HZ = 20.0
START_SIGMA_M = 0.2
GATE_SIGMA = 5.0
"""As wide as the pipeline's. Errors of ranges come in bursts of a second: a gate of 3 takes several
of them in a row for outliers and loses the body, whatever the correction."""
_SEED = 20240901


def range_figures(error_m: Float64Array, sigma_m: Float64Array, outlier: BoolArray) -> Figures:
    """Return figures of ranges (N,) that a method corrected.

    Args:
        error_m: corrected minus true range; rows that are not finite do not count.
        sigma_m: the standard deviation that the method states.
        outlier: True in rows that count for the robust figures only.

    Returns:
        Without outliers: ``range_rmse_m``, ``within_1_sigma``, ``within_2_sigma`` (0.683 and 0.954
        for normal errors), ``normalised_squared_error`` (mean of squared error over variance, 1 is
        calibrated). With outliers: ``median_abs_error_m``, ``p95_abs_error_m``. NaN without rows.
    """
    finite = np.isfinite(error_m)
    every, inner = abs(error_m[finite]), finite & ~outlier
    error, ratio = error_m[inner], abs(error_m[inner]) / sigma_m[inner]
    return {
        "range_rmse_m": math.sqrt(_mean(error**2)),
        "median_abs_error_m": float(np.median(every)) if len(every) else math.nan,
        "p95_abs_error_m": float(np.percentile(every, 95)) if len(every) else math.nan,
        "within_1_sigma": _mean(ratio <= 1.0),
        "within_2_sigma": _mean(ratio <= 2.0),
        "normalised_squared_error": _mean(ratio**2),
    }


class Located(NamedTuple):
    """Positions from a method's ranges.

    Attributes:
        track: of the filter, with the correction in the loop.
        figures: of the track (see `position_figures`), and ``multilateration_rmse_m`` and
            ``multilateration_lost_share`` without a filter.
    """

    track: Track
    figures: Figures


def locate(sequence: UwbSequence, correct: Correct) -> Located:
    """Follow a body by its ranges, corrected as seen from where the filter is.

    Beside the ranges, the same for all methods: the true orientation; the height, fixed where the
    recording is planar and else of an altimeter; the first position, wrong by `START_SIGMA_M` in
    each coordinate, since anchors on a line or in a plane have a mirror image that fits as well.
    Outliers are not taken out: a robot does not know them either.

    Args:
        sequence: with a pose in every row.
        correct: of a method.
    """
    ranging, start = ranging_of(sequence), start_of(sequence)
    height = float(np.median(sequence.position_m[:, 2])) if sequence.planar else None
    settings = FilterSettings(gate_sigma=GATE_SIGMA, height_m=height)
    track = follow(ranging, correct, settings, start_m=start, start_sigma_m=START_SIGMA_M)
    plain = fixes(ranging, correct, height_m=settings.height_m, start_m=start)
    start_s = float(sequence.time_s[0]) + min(SETTLE_S, 0.5 * sequence.duration_s)
    figures = position_figures(track, sequence.position_m, start_s)
    unfiltered = position_figures(plain, sequence.position_m, start_s)
    figures["multilateration_rmse_m"] = unfiltered["rmse_m"]
    figures["multilateration_lost_share"] = unfiltered["lost_share"]
    return Located(track, figures)


def ranging_of(sequence: UwbSequence) -> Ranging:
    """Return a recording as the filter takes it; with heights where it is not planar."""
    return Ranging(
        time_s=sequence.time_s,
        tag=sequence.tag,
        anchor=sequence.anchor,
        range_m=sequence.range_m,
        segment=sequence.segment,
        anchors_m=np.array([anchor.position_m for anchor in sequence.anchors.values()]),
        levers_m=np.array(list(sequence.tags.values())),
        orientation_xyzw=sequence.orientation_xyzw,
        height_m=None if sequence.planar else altimeter_m(sequence),
    )


def altimeter_m(sequence: UwbSequence) -> Float64Array:
    """Return heights (N,) of the body at 20 Hz from the truth with white noise; NaN between."""
    elapsed_s = sequence.time_s - sequence.time_s[0]
    slot = np.floor(elapsed_s * ALTIMETER_HZ).astype(np.int64)
    new = np.diff(slot, prepend=-1) != 0
    # By time and not by row: a range more or less must not change the altimeter.
    noise = np.random.RandomState(_SEED).standard_normal(int(slot[-1]) + 1)
    heights: Float64Array = sequence.position_m[:, 2] + HEIGHT_SIGMA_M * noise[slot]
    return np.where(new, heights, math.nan)


def start_of(sequence: UwbSequence) -> Float64Array:
    """Return the first position (3,) as it would be known before the start."""
    noise = np.random.RandomState(_SEED + 1).standard_normal(3)
    start: Float64Array = sequence.position_m[0] + START_SIGMA_M * noise
    return start


def position_error_m(track: Track, sequence: UwbSequence) -> Float64Array:
    """Return the distance (N,) to the true position: horizontal where planar, NaN without one."""
    axes = 2 if track.planar else 3
    error: Float64Array = np.linalg.norm((track.position_m - sequence.position_m)[:, :axes], axis=1)
    return error


def _mean(values: Float64Array | BoolArray) -> float:
    return float(values.mean()) if len(values) else math.nan
