"""Pictures of corrected ranges and the positions they lead to, as PNG bytes.

Methods keep their colours in all pictures: raw grey, constant red, learned blue; truth is black.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from nn_perception.datasets.uwb import Float64Array, Int64Array, UwbSequence
from nn_perception.evaluation.plot_style import (
    BLUE,
    INK,
    MUTED,
    RED,
    WIDTH_IN,
    Canvas,
    finish,
    plain_log_ticks,
    shorten,
)
from nn_perception.evaluation.uwb_figures import position_error_m
from nn_perception.evaluation.uwb_methods import CONSTANT, LEARNED, METHODS, RAW
from nn_perception.evaluation.uwb_outcome import UwbOutcome

_COLOURS = {RAW: MUTED, CONSTANT: RED, LEARNED: BLUE}
_SLOT_S = 0.5
_BINS = 36
_LEAST_IN_BIN = 20
_LOWEST_M = 0.001
_GAP_S = 2.0
_TRACK_S = 0.2  # between points of a track: each range moves it a little to and fro


def choose_shown(outcomes: Mapping[str, UwbOutcome], most: int = 3) -> list[UwbOutcome]:
    """Return the recordings that pictures show: worst, middle and best position when learned."""
    ranked = sorted(
        outcomes.values(),
        key=lambda outcome: -np.nan_to_num(outcome.figures[LEARNED]["rmse_m"], nan=np.inf),
    )
    if len(ranked) > most:
        ranked = [ranked[0], ranked[len(ranked) // 2], ranked[-1]]
    return ranked


def plot_position_errors(outcomes: Sequence[UwbOutcome], path: Path | None = None) -> bytes:
    """Draw the position error over time, RMS over 0.5 s, a chart for each recording."""
    with Canvas(0.5 + 2.1 * len(outcomes)) as canvas:
        rows = canvas.figure.subplots(len(outcomes), 1, squeeze=False)[:, 0]
        for axes, outcome in zip(rows, outcomes, strict=True):
            highest = 0.0
            for method in METHODS:
                error = position_error_m(outcome.located[method].track, outcome.sequence)
                time_s, level = _slots(outcome.sequence, error)
                axes.plot(
                    time_s, level, color=_COLOURS[method], label=method,
                    linewidth=1.8 if method == LEARNED else 1.3,
                )  # fmt: skip
                if np.isfinite(level).any():
                    highest = max(highest, float(np.nanquantile(level, 0.995)))
            axes.set_ylim(0.0, 1.15 * max(highest, 1e-3))
            kind = "horizontal" if outcome.sequence.planar else "3-D"
            finish(
                axes, shorten(outcome.sequence.name, 60),
                "time, s" if axes is rows[-1] else "", f"{kind} error, m",
            )  # fmt: skip
        _legend(canvas.figure, rows[0])
        return canvas.png(path)


def plot_tracks(outcomes: Sequence[UwbOutcome], path: Path | None = None) -> bytes:
    """Draw the positions seen from above, and the anchors that fit into the picture."""
    with Canvas(0.9 + 0.95 * WIDTH_IN / max(len(outcomes), 2)) as canvas:
        columns = canvas.figure.subplots(1, len(outcomes), squeeze=False)[0]
        for axes, outcome in zip(columns, outcomes, strict=True):
            sequence = outcome.sequence
            shown = _every(sequence)
            breaks = np.flatnonzero(
                (np.diff(sequence.segment[shown]) != 0) | (np.diff(sequence.time_s[shown]) > _GAP_S)
            )
            for name, position, colour, width in (
                *(
                    (method, outcome.located[method].track.position_m, _COLOURS[method], 0.9)
                    for method in METHODS
                ),
                ("truth", sequence.position_m, INK, 0.9),
            ):
                line = np.insert(position[shown, :2], breaks + 1, np.nan, axis=0)
                axes.plot(line[:, 0], line[:, 1], color=colour, linewidth=width, label=name)
            places = np.array([anchor.position_m for anchor in sequence.anchors.values()])
            axes.plot(places[:, 0], places[:, 1], "^", color=INK, markersize=6, label="anchor")
            axes.set_aspect("equal", adjustable="datalim")
            finish(axes, "", "x, m", "y, m" if axes is columns[0] else "")
            axes.set_title(shorten(sequence.name, 26), fontsize=10, pad=6, fontweight="normal")
        _legend(canvas.figure, columns[0])
        return canvas.png(path)


def plot_bias_by_angle(outcomes: Sequence[UwbOutcome], path: Path | None = None) -> bytes:
    """Draw raw errors against the azimuth of the anchor in the body's frame, and what is predicted.

    Medians in bins of 10 degrees, with the quartiles of the raw errors; outliers are left out.
    """
    with Canvas(0.5 + 2.4 * len(outcomes)) as canvas:
        rows = canvas.figure.subplots(len(outcomes), 1, squeeze=False)[:, 0]
        for axes, outcome in zip(rows, outcomes, strict=True):
            inner = ~outcome.sequence.outlier & np.isfinite(outcome.sequence.error_m)
            azimuth = np.degrees(np.arctan2(outcome.features[:, 1], outcome.features[:, 0]))[inner]
            middle = (np.arange(_BINS) + 0.5) * 360.0 / _BINS - 180.0
            raw = outcome.error_m(RAW)[inner]
            low, high = (_binned(azimuth, raw, share) for share in (0.25, 0.75))
            axes.fill_between(
                middle, low, high, color=MUTED, alpha=0.2, linewidth=0, label="raw, quartiles"
            )
            for name, values, colour in (
                ("raw, median", raw, MUTED),
                ("predicted by constants", outcome.predictions[CONSTANT].bias_m[inner], RED),
                ("predicted, learned", outcome.predictions[LEARNED].bias_m[inner], BLUE),
            ):
                level = _binned(azimuth, values, 0.5)
                axes.plot(middle, level, color=colour, label=name, marker="o", markersize=3)
            axes.set(xlim=(-180, 180), xticks=range(-180, 181, 45))
            finish(
                axes, shorten(outcome.sequence.name, 60),
                "azimuth of the anchor in the body's frame, deg" if axes is rows[-1] else "",
                "range error, m",
            )  # fmt: skip
        _legend(canvas.figure, rows[0])
        return canvas.png(path)


def plot_range_errors(outcomes: Sequence[UwbOutcome], path: Path | None = None) -> bytes:
    """Draw histograms of the errors, and the share of ranges below an error, outliers included."""
    with Canvas(3.6) as canvas:
        left, right = canvas.figure.subplots(1, 2)
        edges = _edges(outcomes)
        for method in METHODS:
            errors = [outcome.error_m(method) for outcome in outcomes]
            errors = [error[np.isfinite(error)] for error in errors]
            values = np.concatenate(errors)
            weights = np.concatenate([np.full(len(e), 100.0 / len(e)) for e in errors if len(e)])
            weights /= sum(1 for e in errors if len(e)) or 1
            style: dict[str, Any] = {"color": _COLOURS[method], "label": method}
            left.hist(values, edges, weights=weights, histtype="step", linewidth=1.6, **style)
            order = np.argsort(abs(values))
            size = np.maximum(abs(values[order]), _LOWEST_M)
            right.plot(size, np.cumsum(weights[order]), linewidth=1.8, **style)
        left.axvline(0.0, color=INK, linewidth=0.8, zorder=0)
        left.set_xlim(edges[0], edges[-1])
        finish(left, "", "range error, m", "ranges, %")
        right.set_xscale("log")
        right.set(xlim=(0.003, 3.0), ylim=(0, 100))
        plain_log_ticks(right.xaxis, subs=(1.0, 3.0))
        finish(right, "", "|range error|, m", "ranges below, %")
        _legend(canvas.figure, right)
        return canvas.png(path)


def _edges(outcomes: Sequence[UwbOutcome]) -> Float64Array:
    """Edges of bins that hold all errors but the tail of paths that are not direct."""
    errors = np.concatenate([o.error_m(method) for o in outcomes for method in METHODS])
    errors = errors[np.isfinite(errors)]
    low, high = np.quantile(errors, (0.005, 0.98)) if len(errors) else (-0.1, 0.1)
    rim = 0.05 * max(high - low, 0.02)
    return np.linspace(min(low, 0.0) - rim, max(high, 0.0) + rim, 61)


def _binned(azimuth_deg: Float64Array, values: Float64Array, share: float) -> Float64Array:
    """Quantile of the values in each bin; NaN where a bin holds few."""
    number = np.minimum(((azimuth_deg + 180.0) * _BINS / 360.0).astype(np.int64), _BINS - 1)
    found = np.full(_BINS, np.nan)
    for each in range(_BINS):
        inside = values[number == each]
        if len(inside) >= _LEAST_IN_BIN:
            found[each] = np.quantile(inside, share)
    return found


def _every(sequence: UwbSequence) -> Int64Array:
    """Return rows that are `_TRACK_S` apart."""
    slot = np.floor((sequence.time_s - sequence.time_s[0]) / _TRACK_S)
    return np.flatnonzero(np.diff(slot, prepend=-1.0) != 0.0)


def _slots(sequence: UwbSequence, error_m: Float64Array) -> tuple[Float64Array, Float64Array]:
    """Time and RMS of each slot of `_SLOT_S`; NaN in slots without a position."""
    slot = np.floor((sequence.time_s - sequence.time_s[0]) / _SLOT_S).astype(np.int64)
    known, count = np.isfinite(error_m), int(slot[-1]) + 1
    total = np.bincount(slot[known], error_m[known] ** 2, count)
    rows = np.bincount(slot[known], minlength=count)
    level = np.where(rows > 0, np.sqrt(total / np.maximum(rows, 1)), np.nan)
    middle: Float64Array = sequence.time_s[0] + (np.arange(count) + 0.5) * _SLOT_S
    return middle, level


def _legend(figure: Any, axes: Any) -> None:
    lines, labels = axes.get_legend_handles_labels()
    figure.legend(lines, labels, loc="outside upper right", ncols=len(labels))
