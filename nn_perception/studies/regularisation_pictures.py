"""Pictures of what regularisations do on digits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from nn_perception.evaluation.plot_style import (
    BLUE,
    GREEN,
    INK,
    MUTED,
    ORANGE,
    RED,
    Canvas,
    finish,
    plain_log_ticks,
)
from nn_perception.studies.groups import Group, draw_curves
from nn_perception.studies.lab import TRAINING
from nn_perception.studies.regularisation import CURVES, METHODS, NONE, STRENGTHS
from nn_perception.studies.regularisation_digits import (
    DigitFigures,
    brier,
    errors,
    finished_sizes,
    label,
    mean,
)

WATCHED = (NONE, "L2", "dropout", "batch norm", "augmentation")
"""Methods whose losses are drawn over the epochs: those that train all of them."""


def plot_methods(figures: DigitFigures) -> bytes:
    """Draw training and validation accuracy of each method, with the gap between them."""
    names = [name for name in METHODS if figures.method(name).finished]
    with Canvas(0.42 * len(names) + 1.5) as canvas:
        axes = canvas.figure.add_subplot()
        for place, name in enumerate(names):
            group = figures.method(name)
            ends = [100 * mean(group, key) for key in ("validation", "training")]
            axes.plot(ends, (place, place), color=MUTED, linewidth=3, alpha=0.4, zorder=1)
            for key, colour in (("training", BLUE), ("validation", RED)):
                values = [100 * outcome.found[key] for outcome in group.finished]
                axes.plot(values, [place] * len(values), "|", color=colour, markersize=11)
                text = key if place == 0 else None
                axes.plot(np.mean(values), place, "o", color=colour, markersize=8, label=text)
        axes.set_yticks(range(len(names)), [label(name) for name in names])
        axes.invert_yaxis()
        finish(axes, "", "accuracy, %", "")
        axes.grid(visible=False, axis="y")
        if names:
            canvas.figure.legend(loc="outside upper right", ncol=2)
        return canvas.png(None)


def plot_strengths(figures: DigitFigures) -> bytes:
    """Draw accuracies by strength, and the share of zero weights of L1."""
    with Canvas(5.9) as canvas:
        grid = canvas.figure.subplots(2, 2)
        for axes, (name, (_, values)) in zip(grid.flat, STRENGTHS.items(), strict=False):
            groups = [figures.method(name, value) for value in values]
            for key, colour in (("training", BLUE), ("validation", RED)):
                _draw_range(axes, values, groups, key, colour)
                plain = 100 * mean(figures.method(NONE), key)
                axes.axhline(plain, color=colour, linestyle=":", linewidth=1.2)
            text = "share of units dropped" if name == "dropout" else "penalty (logarithmic)"
            finish(axes, name, text, "accuracy, %")
            _strength_axis(axes, name)
        canvas.figure.legend(
            *grid[0][0].get_legend_handles_labels(), loc="outside lower center", ncol=2
        )
        zeros = grid[1][1]
        for name, colour in (("L1", GREEN), ("L2", MUTED)):
            values = STRENGTHS[name][1]
            groups = [figures.method(name, value) for value in values]
            _draw_range(zeros, values, groups, "zero_weights", colour, name)
        finish(zeros, "Weights that are 0", "penalty (logarithmic)", "share, %")
        _strength_axis(zeros, "L1")
        zeros.set_xlim(right=STRENGTHS["L2"][1][-1] / 0.6)
        zeros.set_ylim(-4, 104)
        zeros.legend(loc="upper left")
        return canvas.png(None)


def _strength_axis(axes: Any, name: str) -> None:
    if name == "dropout":
        axes.set_xticks(STRENGTHS[name][1])
        return
    values = STRENGTHS[name][1]
    axes.set_xlim(0.6 * values[0], values[-1] / 0.6)  # also where all diverged
    axes.set_xscale("log")
    plain_log_ticks(axes.xaxis, (1.0,), lambda value: f"{value:g}")


def _draw_range(
    axes: Any,
    values: Sequence[float],
    groups: Sequence[Group],
    key: str,
    colour: str,
    text: str | None = None,
) -> None:
    """Draw mean, least and largest of the seeds in percent; leave out what diverged with all."""
    points = [
        (value, [100 * outcome.found[key] for outcome in group.finished])
        for value, group in zip(values, groups, strict=True)
        if group.finished
    ]
    x = [value for value, _ in points]
    axes.plot(x, [np.mean(v) for _, v in points], "o-", color=colour, ms=4, label=text or key)
    axes.fill_between(
        x, [min(v) for _, v in points], [max(v) for _, v in points], color=colour, alpha=0.15, lw=0
    )


def plot_epochs(figures: DigitFigures) -> bytes:
    """Draw the loss of training and of validation over the epochs."""
    groups = {label(name): figures.method(name) for name in WATCHED}
    with Canvas(3.8) as canvas:
        left, right = canvas.figure.subplots(1, 2)
        draw_curves(left, groups, f"{TRAINING}loss")
        draw_curves(right, groups, "validation_loss")
        left.set_yscale("log")
        plain_log_ticks(left.yaxis, (1.0,))
        finish(left, "Training pictures", "epoch", "cross entropy (logarithmic)")
        finish(right, "Validation pictures", "epoch", "cross entropy")
        canvas.figure.legend(
            *right.get_legend_handles_labels(), loc="outside lower center", ncol=len(groups)
        )
        return canvas.png(None)


def plot_learning_curves(figures: DigitFigures) -> bytes:
    """Draw training and validation error over the number of pictures, of each network."""
    with Canvas(3.5) as canvas:
        for axes, name in _panels(canvas):
            sizes = finished_sizes(figures.curve(name))
            for key, colour in (("training", BLUE), ("validation", RED)):
                wrong = [[100 * e for e in errors(group, key)] for _, group in sizes]
                x = [pictures for pictures, _ in sizes]
                axes.plot(x, [np.mean(e) for e in wrong], "o-", color=colour, ms=4, label=key)
                axes.fill_between(
                    x, [min(e) for e in wrong], [max(e) for e in wrong], color=colour, alpha=0.15,
                    lw=0,
                )  # fmt: skip
            _picture_axis(axes, name, sizes)
        axes = canvas.figure.axes[0]
        axes.set_ylabel("wrong answers, %")
        axes.set_ylim(bottom=-1)
        axes.legend()
        return canvas.png(None)


def plot_bias_variance(figures: DigitFigures) -> bytes:
    """Draw bias and variance of the answers over the number of pictures, of each network."""
    with Canvas(3.5) as canvas:
        for axes, name in _panels(canvas):
            sizes = finished_sizes(figures.curve(name))
            parts = [(pictures, brier(group)) for pictures, group in sizes]
            found = [(pictures, p) for pictures, p in parts if p is not None]
            x = [pictures for pictures, _ in found]
            for text, colour, marker in (
                ("error", INK, "s"),
                ("bias2", GREEN, "o"),
                ("variance", ORANGE, "o"),
            ):
                y = [getattr(p, text) for _, p in found]
                shown = text.replace("2", "²")
                axes.plot(x, y, marker + "-", color=colour, ms=4, label=shown)
            _picture_axis(axes, name, sizes)
        axes = canvas.figure.axes[0]
        axes.set_ylabel("squared error of probabilities")
        axes.set_ylim(bottom=0)
        axes.legend()
        return canvas.png(None)


def _panels(canvas: Canvas) -> list[tuple[Any, str]]:
    panels = canvas.figure.subplots(1, len(CURVES), sharey=True)
    return list(zip(panels, CURVES, strict=True))


def _picture_axis(axes: Any, name: str, sizes: Sequence[tuple[int, Group]]) -> None:
    axes.set_xscale("log")
    ticks = [pictures for pictures, _ in sizes]
    axes.set_xticks(ticks, [f"{tick:,}" for tick in ticks])
    axes.minorticks_off()
    finish(axes, "", "training pictures", "")
    axes.set_title(name, fontsize=10)


def plot_dropout(drawn: Mapping[str, Any]) -> bytes:
    """Draw mean answers of hidden units in training over those in evaluation.

    Args:
        drawn: see `nn_perception.studies.small_digits.dropout_scaling`.
    """
    evaluation, training, p = drawn["evaluation"], drawn["training"], float(drawn["p"])
    with Canvas(3.8, 5.0) as canvas:
        axes = canvas.figure.add_subplot()
        axes.plot(evaluation, training, "o", ms=5, color=BLUE, label="divided by 1 - p")
        unscaled = (1 - p) * training
        axes.plot(evaluation, unscaled, "x", ms=5, color=RED, label="not divided")
        end = np.array((0.0, float(evaluation.max()) * 1.05))
        axes.plot(end, end, color=MUTED, linewidth=1)
        axes.plot(end, (1 - p) * end, color=MUTED, linewidth=1, linestyle=":")
        finish(axes, "", "mean answer in evaluation", "mean answer in training")
        axes.legend()
        return canvas.png(None)
