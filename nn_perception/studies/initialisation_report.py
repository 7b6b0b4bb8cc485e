"""Page and pictures of the study ``initialisation``."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from nn_perception.evaluation.plot_style import (
    BLUE,
    MUTED,
    Canvas,
    finish,
    plain_log_ticks,
)
from nn_perception.studies.groups import decade, draw_curves, layer_ticks, styles
from nn_perception.studies.initialisation_figures import ACCURACY, Initialisations
from nn_perception.studies.seeds import legend_below

if TYPE_CHECKING:
    from nn_perception.evaluation.html_page import Report
    from nn_perception.studies.initialisation_figures import FloatArray

BINS = 40


def build(report: Report, result: Initialisations) -> None:
    """Add all parts of the page."""
    report.text("What is seen", *result.findings())
    report.figure(
        "Accuracy over the epochs", plot_curves(result),
        "On held-out pictures; mean of the seeds, the bands reach from the least to the largest.",
    )  # fmt: skip
    report.figure(
        "Spread of the answers", plot_layers(result, result.spreads, "spread of answers (log.)"),
        "Standard deviation over units and 500 training pictures before any step, mean of the "
        "seeds. A layer that answers 0 to everything, as with zeros, has no place on the axis.",
    )  # fmt: skip
    report.figure(
        "Size of the gradients", plot_layers(result, result.gradients, "gradient (log.)"),
        "Root mean square of dE/dw over each layer's weights, before any step, mean of the seeds.",
    )  # fmt: skip
    for activation in result.activations:
        report.figure(
            f"Answers, {activation}", plot_answers(result, activation),
            f"Histograms of what the units of each layer answer, before any step, seed "
            f"{result.starts[0].seed}. Heights are to scale within a chart; a bar that towers "
            "above all others is cut off. Below each chart its range.",
        )  # fmt: skip
    report.table(
        "Networks", result.rows(), result.HEADER,
        "Accuracy on held-out pictures after the last epoch: mean of the seeds that did not "
        "diverge, least and most. Spread: of the first and the last hidden layer's answers, and "
        "gradient of the first hidden layer as a part of the last one's, before any step.",
    )  # fmt: skip
    if result.zeros():
        report.table(
            "Why zeros fail", result.zero_rows(), result.ZEROS_HEADER,
            "After training. Most frequent digit: accuracy of who always answers that. Largest "
            "weight: of hidden layers. Units apart: largest difference between the weights of two "
            "units of one layer. Equal units get equal gradients, and stay equal, as long as a "
            "processor rounds the sums of all of them alike (it may not, where their number is no "
            "multiple of 16): what rounding parts grows.",
        )  # fmt: skip


def plot_curves(result: Initialisations, path: Path | None = None) -> bytes:
    """Draw the accuracy over the epochs."""
    with Canvas(3.9) as canvas:
        for axes, activation in _charts(canvas, result):
            groups = {name: result.group(name, activation) for name in result.names}
            draw_curves(axes, groups, ACCURACY, 100.0)
            axes.set_ylim(0, 100)
            finish(axes, activation, "epoch", "accuracy, %")
        legend_below(canvas, axes, 6)
        return canvas.png(path)


def plot_layers(
    result: Initialisations,
    values: Callable[[str, str], FloatArray],
    label: str,
    path: Path | None = None,
) -> bytes:
    """Draw a figure of each layer, of (initialisation, activation)."""
    with Canvas(3.9) as canvas:
        for axes, activation in _charts(canvas, result):
            for name, style in styles(result.names).items():
                heights = values(name, activation)
                layers = np.arange(1, len(heights) + 1)
                axes.plot(layers, np.where(heights > 0, heights, np.nan), label=name, **style)
            axes.set_yscale("log")
            layer_ticks(axes, result.depth, output=len(heights) > result.depth)
            finish(axes, activation, "layer", label)
            plain_log_ticks(axes.yaxis, (1.0,), decade)
        legend_below(canvas, axes, 6)
        return canvas.png(path)


def plot_answers(result: Initialisations, activation: str, path: Path | None = None) -> bytes:
    """Draw histograms of the answers: a row for each initialisation, a column for each layer."""
    columns = np.unique(np.linspace(0, result.depth - 1, min(6, result.depth)).astype(int))
    with Canvas(1.0 * len(result.names) + 0.4) as canvas:
        grid = canvas.figure.subplots(len(result.names), len(columns), squeeze=False)
        for row, name in zip(grid, result.names, strict=True):
            start = result.started(name, activation)[0]
            for axes, layer in zip(row, columns, strict=True):
                _histogram(axes, start.answers[layer])
            row[0].set_ylabel(name, rotation=0, ha="right", va="center")
        for axes, layer in zip(grid[0], columns, strict=True):
            axes.set_title(f"layer {layer + 1}")
        return canvas.png(path)


def _histogram(axes: Any, answers: FloatArray) -> None:
    axes.set_yticks([])
    axes.spines["left"].set_visible(False)
    axes.tick_params(labelsize=9)
    low, high = float(answers.min()), float(answers.max())
    if not (math.isfinite(low) and math.isfinite(high)):
        axes.set_xticks([])
        axes.text(0.5, 0.5, "not finite", transform=axes.transAxes, ha="center", fontsize=9)
        return
    if low == high:
        axes.axvline(low, color=BLUE)
        axes.set_xlim(low - 1, low + 1)
        axes.set_xticks([low], [f"{low:.2g}"])
        return
    counts, *_ = axes.hist(answers, bins=BINS, range=(low, high), color=BLUE)
    highest, second = np.sort(counts)[[-1, -2]]
    axes.set_ylim(0, min(1.05 * highest, 2.0 * second) or highest)  # half of all ReLUs answer 0
    axes.set_xlim(low, high)
    axes.set_xticks([low, high], [f"{low:.2g}", f"{high:.2g}"])
    for label, side in zip(axes.get_xticklabels(), ("left", "right"), strict=True):
        label.set_horizontalalignment(side)  # inside the chart: neighbours have labels, too
    if low < 0 < high:
        axes.axvline(0, color=MUTED, linewidth=0.8)


def _charts(canvas: Canvas, result: Initialisations) -> list[tuple[Any, str]]:
    grid = canvas.figure.subplots(1, len(result.activations), sharey=True, squeeze=False)
    return list(zip(grid[0], result.activations, strict=True))
