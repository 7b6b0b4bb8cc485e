"""Pictures of estimated orientations, as PNG bytes: errors over time, their shares, the up-vector.

Methods keep their colours in all pictures: the model blue, VQF red, others by `method_colour`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from nn_perception.datasets.imu import Float64Array
from nn_perception.evaluation.imu_outcome import MODEL, Outcome
from nn_perception.evaluation.plot_style import (
    BLUE,
    GREEN,
    INK,
    MUTED,
    ORANGE,
    RED,
    WIDTH_IN,
    Canvas,
    finish,
    plain_log_ticks,
    shorten,
)
from nn_perception.rotations import quat_conjugate, quat_rotate

_COLOURS = {
    MODEL: BLUE,
    "vqf": RED,
    "vqf_with_delay": ORANGE,
    "riann": GREEN,
    "constant_bias": MUTED,
    "gyro_integration": "#b0b6bf",
}
_LOWEST, _HIGHEST = 0.05, 0.999  # shares of the samples whose errors set the edges of an axis
_SMOOTH_S = 1.0
WORST_S = 10.0
"""Seconds of each recording that `plot_up_vectors` shows."""


def plot_errors(
    outcomes: Sequence[Outcome], methods: Sequence[str], path: Path | None = None
) -> bytes:
    """Draw the error over time, as RMS over 1 s, one chart per recording.

    Args:
        outcomes: recordings.
        methods: those to draw, the most important first; those without errors are left out.
        path: where to write the PNG as well.
    """
    with Canvas(0.5 + 2.1 * len(outcomes)) as canvas:
        rows = canvas.figure.subplots(len(outcomes), 1, squeeze=False)[:, 0]
        for axes, outcome in zip(rows, outcomes, strict=True):
            time_s, highest = outcome.sequence.time_s[outcome.shown], 0.0
            for order, name in enumerate(methods):
                if name not in outcome.errors_deg:
                    continue
                error = _moving_rms(time_s, outcome.errors_deg[name])
                axes.plot(
                    time_s, error, label=name, color=method_colour(name),
                    linewidth=1.6, zorder=3 - 0.1 * order,
                )  # fmt: skip
                if np.isfinite(error).any():
                    highest = max(highest, float(np.nanquantile(error, _HIGHEST)))
            _shade_rest(axes, outcome)
            axes.set_ylim(0.0, 1.1 * max(highest, 1e-3))
            axes.set_xlim(outcome.sequence.time_s[0], outcome.sequence.time_s[-1])
            name = shorten(outcome.sequence.name, 60)
            finish(axes, name, "time, s" if axes is rows[-1] else "", "error, deg")
        _legend(canvas.figure, rows[0])
        return canvas.png(path)


def plot_error_shares(
    outcomes: Sequence[Outcome], methods: Sequence[str], what: str, path: Path | None = None
) -> bytes:
    """Draw the share of samples whose error is below a value, over all recordings.

    Each recording counts the same. Samples at rest are left out where movement is marked.
    """
    with Canvas(3.8) as canvas:
        axes = canvas.figure.add_subplot()
        drawn: list[Float64Array] = []
        for order, name in enumerate(methods):
            errors = [_counted_errors(outcome, name) for outcome in outcomes]
            errors = [each for each in errors if len(each)]
            if not errors:
                continue
            values = np.concatenate(errors)
            weights = np.concatenate([np.full(len(each), 1.0 / len(each)) for each in errors])
            ranks = np.argsort(values)
            share = 100.0 * np.cumsum(weights[ranks]) / len(errors)
            axes.plot(
                np.maximum(values[ranks], 1e-3), share, label=name, color=method_colour(name),
                zorder=3 - 0.1 * order, linewidth=2.4 if name == MODEL else 1.6,
            )  # fmt: skip
            drawn.append(values)
        _log_limits(axes, drawn)
        axes.set_ylim(0, 100)
        finish(axes, "", f"{what}, deg", "samples below, %")
        axes.legend(loc="lower right")
        return canvas.png(path)


def plot_up_vectors(outcomes: Sequence[Outcome], path: Path | None = None) -> bytes:
    """Draw the up-vector in the sensor's frame, truth and estimate, seen along the sensor's z.

    Each chart shows the `WORST_S` seconds around the largest error, where a difference can be seen.

    Args:
        outcomes: one to three recordings, side by side.
        path: where to write the PNG as well.
    """
    with Canvas(0.8 + WIDTH_IN / 3.0, WIDTH_IN / 3.0 * len(outcomes)) as canvas:
        columns = canvas.figure.subplots(1, len(outcomes), squeeze=False)[0]
        for axes, outcome in zip(columns, outcomes, strict=True):
            circle = np.linspace(0.0, 2.0 * np.pi, 200)
            axes.plot(np.cos(circle), np.sin(circle), color=MUTED, linewidth=0.8)
            part, start_s = _worst_part(outcome)
            truth = np.asarray(outcome.sequence.orientation_xyzw)
            for quat, name, colour, width in (
                (truth, "truth", INK, 2.2),
                (outcome.orientation_xyzw, "estimate", BLUE, 1.0),
            ):
                up = up_in_sensor(quat[part])
                axes.plot(up[:, 0], up[:, 1], color=colour, linewidth=width, label=name)
            axes.set_aspect("equal")
            axes.set(xlim=(-1.05, 1.05), ylim=(-1.05, 1.05), xticks=[-1, 0, 1], yticks=[-1, 0, 1])
            name = f"{shorten(outcome.sequence.name, 22)}\nfrom {start_s:.0f} s"
            axes.set_title(name, fontsize=10, pad=6, fontweight="normal")
            axes.set_xlabel("x")
            axes.set_ylabel("y" if axes is columns[0] else "")
            axes.grid(True)
        _legend(canvas.figure, columns[0])
        return canvas.png(path)


def up_in_sensor(quat_xyzw: Float64Array) -> Float64Array:
    """Return the earth's up in the sensor's frame, (N, 3), of orientations (N, 4)."""
    up = np.broadcast_to(np.array([0.0, 0.0, 1.0]), (len(quat_xyzw), 3))
    turned: Float64Array = quat_rotate(quat_conjugate(quat_xyzw), up)
    return turned


def method_colour(name: str) -> str:
    """Return the colour of a method."""
    return _COLOURS.get(name, MUTED)


def _shade_rest(axes: Any, outcome: Outcome) -> None:
    """Grey where figures are not taken: at rest, where movement is marked."""
    movement, time_s = outcome.sequence.movement, outcome.sequence.time_s
    if movement is None:
        return
    edges = np.flatnonzero(np.diff(np.concatenate([[False], ~movement, [False]]).astype(int)))
    for start, stop in zip(edges[::2], edges[1::2], strict=True):
        axes.axvspan(time_s[start], time_s[stop - 1], color="#f1f3f5", linewidth=0, zorder=0)


def _counted_errors(outcome: Outcome, name: str) -> Float64Array:
    error = outcome.errors_deg.get(name)
    if error is None:
        return np.zeros(0)
    kept = np.isfinite(error)
    if outcome.sequence.movement is not None:
        kept &= outcome.sequence.movement[outcome.shown]
    return error[kept]


def _log_limits(axes: Any, errors: Sequence[Float64Array]) -> None:
    """Set a logarithmic axis that a few extreme samples do not stretch."""
    finite = [error[error > 0.0] for error in errors]
    finite = [error for error in finite if len(error)]
    low = min((float(np.quantile(error, _LOWEST)) for error in finite), default=0.1)
    high = max((float(np.quantile(error, _HIGHEST)) for error in finite), default=1.0)
    axes.set_xscale("log")
    axes.set_xlim(max(low, 1e-3) / 1.5, max(high, 2e-3) * 1.5)
    plain_log_ticks(axes.xaxis, subs=(1.0,) if high / max(low, 1e-3) > 50 else (1.0, 2.0, 5.0))


def _moving_rms(time_s: Float64Array, error: Float64Array) -> Float64Array:
    """RMS over `_SMOOTH_S` around each sample; NaN where the error is."""
    width = max(1, round(_SMOOTH_S / float(np.median(np.diff(time_s)))))
    known = np.isfinite(error)
    window = np.ones(width)
    total = np.convolve(np.where(known, error, 0.0) ** 2, window, "same")
    count = np.convolve(known.astype(np.float64), window, "same")
    return np.where(known, np.sqrt(np.maximum(total, 0.0) / np.maximum(count, 1.0)), np.nan)


def _worst_part(outcome: Outcome) -> tuple[slice, float]:
    """Rows around the largest smoothed error that counts, and the time at which they begin."""
    time_s, shown = outcome.sequence.time_s, outcome.shown
    error = _moving_rms(time_s[shown], outcome.errors_deg[MODEL])
    if outcome.sequence.movement is not None:
        error = np.where(outcome.sequence.movement[shown], error, np.nan)
    at = shown[int(np.nanargmax(error))] if np.isfinite(error).any() else 0
    start_s = float(
        np.clip(time_s[at] - WORST_S / 2, time_s[0], max(time_s[0], time_s[-1] - WORST_S))
    )
    start, stop = np.searchsorted(time_s, [start_s, start_s + WORST_S])
    return slice(int(start), int(stop)), start_s


def _legend(figure: Any, axes: Any) -> None:
    lines, labels = axes.get_legend_handles_labels()
    legend = figure.legend(lines, labels, loc="outside upper right", ncols=len(labels))
    for line in legend.get_lines():
        line.set_linewidth(2.5)


def choose_shown(
    outcomes: Mapping[str, Outcome], headline: str, most: int = 3
) -> dict[str, Outcome]:
    """Return the recordings that pictures show: the worst, the middle and the best by a figure."""
    ranked = sorted(outcomes, key=lambda name: -outcomes[name].figures[headline])
    if len(ranked) > most:
        ranked = [ranked[0], ranked[len(ranked) // 2], ranked[-1]][:most]
    return {name: outcomes[name] for name in ranked}
