"""Pictures of a search, as PNG bytes."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from nn_perception.evaluation.plot_style import (
    BLUE,
    FAINT,
    INK,
    MUTED,
    ORANGE,
    RED,
    Canvas,
    finish,
    plain_log_ticks,
    shorten,
)
from nn_perception.tuning.plan import Plan
from nn_perception.tuning.results import COMPLETE, Record, ranked
from nn_perception.tuning.space import Choices, Range, Values, value_text

MOST_KEYS = 6
"""Keys in one picture; the most important ones are shown."""
_BEST = 5
_COLUMNS = 3
_PLAIN = {"pruned": ORANGE, "diverged": RED, "failed": MUTED}


def plot_history(plan: Plan, records: Sequence[Record]) -> bytes:
    """Draw the metric of each trial in order, and the best so far."""
    done = [r for r in records if r.outcome == COMPLETE]
    with Canvas(3.6) as canvas:
        axes = canvas.figure.add_subplot()
        numbers, values = [r.number for r in done], [r.value for r in done]
        axes.scatter(numbers, values, s=28, color=BLUE, label="complete", zorder=3)
        if done:
            best = np.maximum.accumulate if plan.maximise else np.minimum.accumulate
            axes.step(numbers, best(values), where="post", color=INK, lw=1.5, label="best so far")
            axes.set_ylim(*_limits(values))
        low = axes.get_ylim()[0 if plan.maximise else 1]
        for outcome, colour in _PLAIN.items():
            others = [r.number for r in records if r.outcome == outcome]
            if others:
                axes.scatter(
                    others, [low] * len(others), s=36, marker="x", color=colour,
                    label=f"{outcome} ({len(others)})", clip_on=False, zorder=4,
                )  # fmt: skip
        _whole_ticks(axes.xaxis)
        axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=5, columnspacing=1.2)
        finish(axes, "", "trial", f"{plan.metric}, mean of folds")
        return canvas.png(None)


def plot_importance(importance: Mapping[str, float]) -> bytes:
    """Draw how much of the metric's variance each key explains."""
    names = list(importance)[::-1]
    with Canvas(0.9 + 0.36 * len(names)) as canvas:
        axes = canvas.figure.add_subplot()
        bars = axes.barh(range(len(names)), [importance[n] for n in names], color=BLUE, height=0.6)
        axes.bar_label(bars, [f"{importance[n]:.0%}" for n in names], padding=4)
        axes.set_yticks(range(len(names)), [shorten(n, 32) for n in names])
        axes.set_xlim(0, max(1e-9, *importance.values()) * 1.15)
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
        finish(axes, "", "share of the variance of the metric", "")
        axes.grid(False, axis="y")
        return canvas.png(None)


def plot_slices(plan: Plan, records: Sequence[Record], keys: Sequence[str]) -> bytes:
    """Draw the metric over the values of each key."""
    done = [r for r in records if r.outcome == COMPLETE]
    shown = list(keys)[:MOST_KEYS]
    columns = min(_COLUMNS, len(shown))
    rows = math.ceil(len(shown) / columns)
    best = ranked(plan, records)[0]
    with Canvas(2.7 * rows + 0.2) as canvas:
        panels = canvas.figure.subplots(rows, columns, squeeze=False, sharey=True).ravel()
        for panel, key in zip(panels, shown, strict=False):
            values = plan.space.parameters[key]
            at = [_place(values, r.values[key]) for r in done]
            panel.scatter(at, [r.value for r in done], s=20, color=BLUE, alpha=0.7, lw=0)
            panel.scatter(
                [_place(values, best.values[key])], [best.value], s=60, color=RED, marker="*"
            )
            _key_axis(panel, values)
            finish(panel, "", shorten(key, 28), "")
            panel.set_ylim(*_limits([r.value for r in done]))
        for panel in panels[len(shown) :]:
            panel.set_visible(False)
        canvas.figure.supylabel(f"{plan.metric}, mean of folds", fontsize=11)
        return canvas.png(None)


def plot_heat_map(plan: Plan, records: Sequence[Record]) -> bytes:
    """Draw the metric over two keys whose values can be counted, one cell for each pair."""
    (x_key, x_values), (y_key, y_values) = plan.space.parameters.items()
    columns, rows = list(x_values.points()), list(y_values.points())
    if len(columns) < len(rows):
        (x_key, columns), (y_key, rows) = (y_key, rows), (x_key, columns)
    table = np.full((len(rows), len(columns)), np.nan)
    texts: dict[tuple[int, int], str] = {}
    for record in records:
        cell = (rows.index(record.values[y_key]), columns.index(record.values[x_key]))
        table[cell] = record.value
        texts[cell] = f"{record.value:.4g}" if record.outcome == COMPLETE else record.outcome
    with Canvas(1.4 + 0.55 * len(rows)) as canvas:
        axes = canvas.figure.add_subplot()
        axes.set_facecolor(FAINT)
        low, high = np.nanmin(table), np.nanmax(table)
        colours = "viridis" if plan.maximise else "viridis_r"
        image = axes.imshow(np.ma.masked_invalid(table), cmap=colours, aspect="auto")
        for (row, column), text in texts.items():
            share = (table[row, column] - low) / (high - low or 1.0)
            bright = not math.isfinite(share) or (share > 0.6) == plan.maximise
            axes.text(
                column, row, text, ha="center", va="center", fontsize=9,
                color=INK if bright else "white",
            )  # fmt: skip
        axes.set_xticks(range(len(columns)), [shorten(value_text(v), 12) for v in columns])
        axes.set_yticks(range(len(rows)), [shorten(value_text(v), 20) for v in rows])
        finish(axes, "", x_key, y_key)
        axes.grid(False)
        canvas.figure.colorbar(image, label=f"{plan.metric}, mean of folds")
        return canvas.png(None)


def plot_parallel(plan: Plan, records: Sequence[Record], keys: Sequence[str]) -> bytes:
    """Draw each complete trial as a line through the values of its keys; the best ones in colour.

    Each axis goes from its lowest to its highest value; the last one is the metric, the best on
    top.
    """
    shown = list(keys)[:MOST_KEYS]
    order = ranked(plan, records)
    results = [r.value for r in order]
    worst, best = results[-1], results[0]
    with Canvas(4.0) as canvas:
        axes = canvas.figure.add_subplot()
        places = range(len(shown) + 1)
        for rank, record in reversed(list(enumerate(order))):
            heights = [_height(plan.space.parameters[key], record.values[key]) for key in shown]
            heights.append((record.value - worst) / (best - worst) if best != worst else 1.0)
            look: dict[str, Any] = {"color": MUTED, "lw": 0.8, "alpha": 0.35}
            if rank < _BEST:
                look = {"color": RED if rank == 0 else BLUE, "lw": 2.5 - 0.3 * rank, "zorder": 3}
            axes.plot(places, heights, **look)
        for place, key in enumerate(shown):
            _parallel_axis(axes, place, plan.space.parameters[key])
        for text, height in ((f"{worst:.4g}", 0.0), (f"{best:.4g}", 1.0)):
            _beside(axes, len(shown), height, text)
        axes.set_xticks(list(places), [_two_lines(key) for key in (*shown, plan.metric)])
        axes.set_xlim(-0.15, len(shown) + 0.45)
        axes.set_yticks([])
        for spine in axes.spines.values():
            spine.set_visible(False)
        axes.grid(True, axis="x", color=MUTED, lw=0.8)
        axes.tick_params(axis="x", length=0, labelsize=9)
        return canvas.png(None)


def plot_curves(plan: Plan, records: Sequence[Record]) -> bytes:
    """Draw the metric over the epochs of the first fold, of all trials."""
    epochs = plan.base.epochs
    order = [r.number for r in ranked(plan, records)]
    with Canvas(3.6) as canvas:
        axes = canvas.figure.add_subplot()
        labelled: set[str] = set()
        ends, starts = [], []
        for record in records:
            curve = [(step, v) for step, v in record.curve.items() if step <= epochs]
            if not curve:
                continue
            is_best = bool(order) and record.number == order[0]
            name = "best" if is_best else record.outcome
            colour = RED if is_best else {COMPLETE: MUTED}.get(name, _PLAIN.get(name, MUTED))
            steps, values = zip(*curve, strict=True)
            ends.append(values[-1])
            starts.append(values[0])
            axes.plot(
                steps, values, color=colour, lw=2.5 if is_best else 1.0,
                alpha=1.0 if is_best else 0.5, zorder=4 if is_best else 2,
                label=None if name in labelled else name,
                marker="x" if len(curve) < epochs and not is_best else None, markevery=[-1],
            )  # fmt: skip
            labelled.add(name)
        if ends:
            axes.set_ylim(*_limits([*ends, *starts]))
        _whole_ticks(axes.xaxis)
        axes.legend(loc="lower right" if plan.maximise else "upper right")
        finish(axes, "", "epoch of the first fold", plan.metric)
        return canvas.png(None)


def _limits(values: Sequence[float], margin: float = 0.08) -> tuple[float, float]:
    """Return limits of an axis that leave out single trials that are far worse than the rest."""
    low, high = float(np.min(values)), float(np.max(values))
    first, third = np.percentile(values, [25, 75])
    reach = 4.0 * float(third - first)
    if reach > 0:
        low, high = max(low, float(first) - reach), min(high, float(third) + reach)
    room = margin * (high - low) or 0.05 * abs(high) or 1.0
    return low - room, high + room


def _place(values: Values, value: Any) -> float:
    """Return where a value lies on its axis: choices lie side by side."""
    if isinstance(values, Choices):
        return float(values.values.index(value))
    return float(value)


def _height(values: Values, value: Any) -> float:
    """Return where a value lies between the ends of its axis, 0 to 1."""
    if isinstance(values, Range):
        scale = math.log if values.log else float
        low, high = scale(values.low), scale(values.high)
        return (scale(value) - low) / (high - low)
    return values.values.index(value) / max(1, len(values.values) - 1)


def _key_axis(axes: Any, values: Values) -> None:
    if isinstance(values, Choices):
        names = [shorten(value_text(v), 10) for v in values.values]
        axes.set_xticks(range(len(names)), names)
        axes.set_xlim(-0.5, len(names) - 0.5)
        if sum(map(len, names)) > 24:
            axes.tick_params(axis="x", rotation=35)
        return
    axes.set_xlim(values.low, values.high)
    if values.log:
        axes.set_xscale("log")
        decades = math.log10(values.high / values.low)
        plain_log_ticks(axes.xaxis, (1.0, 3.0) if decades < 2.5 else (1.0,))
    else:
        axes.locator_params(axis="x", nbins=5)


def _parallel_axis(axes: Any, place: int, values: Values) -> None:
    if isinstance(values, Choices):
        for value in values.values:
            _beside(axes, place, _height(values, value), shorten(value_text(value), 10))
    else:
        _beside(axes, place, 0.0, value_text(values.low))
        _beside(axes, place, 1.0, value_text(values.high))


def _beside(axes: Any, place: float, height: float, text: str) -> None:
    box = {"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 1.0}
    axes.text(place + 0.05, height, text, va="center", fontsize=9, color=INK, zorder=5, bbox=box)


def _two_lines(key: str) -> str:
    top, _, below = key.partition(".")
    top = shorten(top.removesuffix("_arguments"), 16)
    return f"{top}\n{shorten(below, 16)}" if below else top


def _whole_ticks(axis: Any) -> None:
    from matplotlib.ticker import MaxNLocator

    axis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
