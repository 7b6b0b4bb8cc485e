"""Page and pictures of the study ``activations``."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from nn_perception.evaluation.plot_style import (
    BLUE,
    MUTED,
    ORANGE,
    Canvas,
    finish,
    plain_log_ticks,
)
from nn_perception.studies.activations_figures import ACCURACY, Activations, curve
from nn_perception.studies.groups import (
    decade,
    draw_curves,
    hidden_layers_text,
    layer_ticks,
    percent,
    styles,
)
from nn_perception.studies.seeds import legend_below

if TYPE_CHECKING:
    from nn_perception.evaluation.html_page import Report


def build(report: Report, result: Activations) -> None:
    """Add all parts of the page."""
    report.tiles(
        {f"{name}, deep": percent(result.accuracy(name, result.deep)) for name in result.names}
    )
    report.text("What is seen", *result.findings())
    report.figure(
        "Functions", plot_functions(result.names),
        "What a unit makes of its weighted sum, and the factor by which an error is multiplied on "
        "its way back through the unit.",
    )  # fmt: skip
    report.figure(
        "Accuracy over the epochs", plot_curves(result),
        "On held-out pictures; mean of the seeds, the bands reach from the least to the largest.",
    )  # fmt: skip
    report.figure(
        "Gradients at the start", plot_gradients(result),
        "Root mean square of dE/dw over each layer's weights on 500 training pictures, before any "
        "step; mean of the seeds.",
    )  # fmt: skip
    if result.dying:
        report.figure(
            "Stuck units", plot_stuck(result),
            f"Share of the hidden units of the network with {result.shallow} hidden layers whose "
            "derivative is below 0.001 on every one of 2,000 training pictures, after the last "
            "epoch: a ReLU that is dead never learns again. Mean of the seeds whose loss stayed "
            "finite; a cross: with some seeds it did not, at 0 %: with none.",
        )  # fmt: skip
    report.table(
        "Activations", result.rows(), result.HEADER,
        f"Steepest: the largest derivative. Shallow, deep: accuracy with {result.shallow} and "
        f"{result.deep} hidden layers. Gradient: of the first hidden layer's weights as a part of "
        "the last one's, deep, at the start. Stuck: flat on all watched pictures, deep, at the "
        "end.",
    )  # fmt: skip


def plot_functions(names: Sequence[str], path: Path | None = None) -> bytes:
    """Draw the functions and their derivatives."""
    columns = min(3, len(names))
    rows = math.ceil(len(names) / columns)
    with Canvas(2.2 * rows + 0.4) as canvas:
        grid = canvas.figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=True)
        for axes in grid.flat[len(names) :]:
            axes.set_axis_off()
        for axes, name in zip(grid.flat, names, strict=False):
            inputs, values, slopes = curve(name)
            axes.axhline(0, color=MUTED, linewidth=0.8)
            axes.axvline(0, color=MUTED, linewidth=0.8)
            axes.plot(inputs, values, color=BLUE, label="function")
            axes.plot(inputs, slopes, "--", color=ORANGE, label="derivative")
            axes.set_ylim(-1.5, 4.2)
            finish(axes, name, "", "")
        legend_below(canvas, grid[0, 0], 2)
        return canvas.png(path)


def plot_curves(result: Activations, path: Path | None = None) -> bytes:
    """Draw the accuracy over the epochs, shallow and deep."""
    with Canvas(3.9) as canvas:
        for axes, depth in zip(
            canvas.figure.subplots(1, 2, sharey=True), (result.shallow, result.deep), strict=True
        ):
            groups = {name: result.groups[name, depth] for name in result.names}
            draw_curves(axes, groups, ACCURACY, 100.0)
            axes.set_ylim(0, 100)
            finish(axes, hidden_layers_text(depth), "epoch", "accuracy, %")
        legend_below(canvas, axes, 6)
        return canvas.png(path)


def plot_gradients(result: Activations, path: Path | None = None) -> bytes:
    """Draw the size of each layer's gradient at the start, shallow and deep."""
    with Canvas(3.9) as canvas:
        for axes, depth in zip(
            canvas.figure.subplots(1, 2, sharey=True), (result.shallow, result.deep), strict=True
        ):
            layers = np.arange(1, depth + 2)
            for name, style in styles(result.names).items():
                axes.plot(layers, result.gradients(name, depth), label=name, **style)
            axes.set_yscale("log")
            plain_log_ticks(axes.yaxis, (1.0,), decade)
            layer_ticks(axes, depth, output=True)
            finish(axes, hidden_layers_text(depth), "layer", "gradient (log.)")
        legend_below(canvas, axes, 6)
        return canvas.png(path)


def plot_stuck(result: Activations, path: Path | None = None) -> bytes:
    """Draw the share of stuck units over the learning rate."""
    with Canvas(3.0, 5.6) as canvas:
        axes = canvas.figure.add_subplot()
        for name, style in styles(result.names).items():
            groups = {rate: g for (n, rate), g in result.by_rate.items() if n == name}
            if not groups:
                continue
            shares = {rate: 100 * result.stuck(group) for rate, group in groups.items()}
            axes.plot(list(shares), list(shares.values()), label=name, **style)
            crosses = {
                rate: shares[rate] if math.isfinite(shares[rate]) else 0.0
                for rate, group in groups.items()
                if group.diverged
            }
            axes.plot(
                list(crosses), list(crosses.values()), "X", color=style["color"], markersize=9
            )
        axes.set_xscale("log")
        axes.set_xticks(rates := sorted({rate for _, rate in result.by_rate}))
        axes.set_xticklabels([f"{rate:g}" for rate in rates])
        axes.minorticks_off()
        axes.set_ylim(bottom=-2)
        finish(axes, "Stuck units", "learning rate (log.)", "hidden units, %")
        axes.legend(loc="upper left")
        return canvas.png(path)
