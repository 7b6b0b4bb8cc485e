"""What trainings with several seeds gave: figures over the seeds, and curves of all of them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from nn_perception.studies.groups import whole_epochs

if TYPE_CHECKING:
    from nn_perception.evaluation.plot_style import Canvas
    from nn_perception.studies.sweep import Outcome


def over_seeds(values: Sequence[float | None]) -> dict[str, Any]:
    """Return mean, least and largest of what each seed gave, and that itself, for JSON.

    Args:
        values: one per seed; None, or not finite, where there is none, which counts nowhere else.
    """
    there = [float(v) for v in values if v is not None and math.isfinite(v)]
    return {
        "mean": float(np.mean(there)) if there else None,
        "least": min(there, default=None),
        "largest": max(there, default=None),
        "seeds": list(values),
    }


def mean_of_all(figure: dict[str, Any]) -> float | None:
    """Return the mean of what `over_seeds` gave; None where a seed has no value."""
    return None if None in figure["seeds"] else figure["mean"]


def series(outcome: Outcome, name: str) -> list[float]:
    """Return a figure of the epochs' records, up to the last whole epoch."""
    return [float(record[name]) for record in outcome.history]


def last(outcome: Outcome, name: str) -> float | None:
    """Return a figure after the last epoch; None where the loss was not finite."""
    return None if outcome.diverged else float(outcome.history[-1][name])


def steps_to(values: Sequence[float], level: float, unit: Sequence[float]) -> float | None:
    """Return the unit at which a rising curve is first at a level; None: never.

    Args:
        values: of the curve.
        level: to reach.
        unit: epochs, steps or seconds of each value.
    """
    reached = [at for value, at in zip(values, unit, strict=True) if value >= level]
    return float(reached[0]) if reached else None


def draw_seeds(
    axes: Any,
    curves: Sequence[tuple[Sequence[float], Sequence[float]]],
    colour: str,
    label: str,
    line: str = "-",
    diverged: Sequence[bool] = (),
) -> None:
    """Draw one thing compared: a thin line for each seed, and a thick one for their mean.

    Args:
        axes: of matplotlib.
        curves: (x, y) of each seed; lengths may differ, the mean goes as far as all of them.
        colour: of all lines.
        label: for the legend.
        line: stroke of the mean.
        diverged: of each seed; a cross ends its curve.
    """
    for number, (x, y) in enumerate(curves):
        if len(curves) > 1:
            axes.plot(x, y, color=colour, linewidth=0.8, alpha=0.45)
        if number < len(diverged) and diverged[number] and len(x):
            axes.plot(x[-1:], y[-1:], "X", color=colour, markersize=8)
    common = min(len(y) for _, y in curves)
    mean_x = np.mean([x[:common] for x, _ in curves], axis=0)
    mean_y = np.mean([y[:common] for _, y in curves], axis=0)
    axes.plot(mean_x, mean_y, color=colour, linestyle=line, label=label)


def draw_epochs(
    axes: Any, outcomes: Sequence[Outcome], name: str, colour: str, label: str, scale: float = 1.0
) -> None:
    """Draw a figure of the epochs' records over the epochs, see `draw_seeds`."""
    curves = []
    for outcome in outcomes:
        values = [scale * value for value in series(outcome, name)]
        curves.append((range(1, len(values) + 1), values))
    draw_seeds(axes, curves, colour, label, diverged=[bool(o.diverged) for o in outcomes])
    whole_epochs(axes)


def legend_below(canvas: Canvas, axes: Any, columns: int, title: str = "") -> None:
    """Put the legend of one chart below all charts of a picture."""
    handles, labels = axes.get_legend_handles_labels()
    canvas.figure.legend(
        handles, labels, loc="outside lower center", ncol=columns, title=title or None
    )
