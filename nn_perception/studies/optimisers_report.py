"""Pictures and page of the study ``optimisers``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from nn_perception.evaluation.plot_style import INK, MUTED, Canvas, finish, plain_log_ticks
from nn_perception.studies.groups import COLOURS, percent
from nn_perception.studies.optimisers_figures import ACCURACY, LOSS, OnDigits, Paths
from nn_perception.studies.seeds import draw_epochs, legend_below
from nn_perception.studies.surfaces import LEVEL, STARTS, SURFACES

if TYPE_CHECKING:
    from nn_perception.evaluation.html_page import Report

_MESH = 200


def build(report: Report, paths: Paths, digits: OnDigits) -> None:
    """Add the parts of the page."""
    report.tiles(
        {f"fastest on {surface}": paths.fastest(surface) or "none" for surface in paths.surfaces}
    )
    report.text("What is seen", paths.seen(), digits.seen())
    report.figure(
        "Paths",
        plot_paths(paths),
        f"From the start (square), with the learning rate of the grid that brings {STARTS} paths "
        "from places around it to the level in the fewest steps, on this very surface. Stars are "
        "minima.",
    )
    report.figure(
        "Height over the steps",
        plot_heights(paths),
        f"The same paths. Dotted: the level, {LEVEL:g} of the start's height above the minimum.",
    )
    report.table(
        "Surfaces",
        paths.rows(),
        (
            "surface",
            "optimiser",
            "best rate",
            "steps to the level",
            "least",
            "largest",
            "last height",
            "rates that arrive",
        ),
        f"Steps after which a path stays at the level: mean, least and largest of {STARTS} starts. "
        "Last column: learning rates of the grid with which all of them arrive, and none leaves "
        "twice the picture on its way: how much the choice matters. "
        + "; ".join(f"{name}: {SURFACES[name].formula}" for name in paths.surfaces)
        + ".",
    )
    report.figure(
        "Digits",
        plot_digits(digits),
        "784-128-10 on digits, each with its best rate: training loss after each epoch, accuracy "
        "on pictures held out; thin lines are seeds.",
    )
    report.figure(
        "Digits by learning rate",
        plot_rates(digits),
        "Training loss after the last epoch, mean over the seeds whose loss stayed finite; circles "
        "are the best rates.",
    )
    accuracies = {name: digits.accuracy(name) for name in digits.optimizers}
    report.table(
        "Digits",
        [
            (
                name,
                f"{digits.best(name):g}",
                digits.loss(name, digits.best(name))["mean"],
                *(percent(accuracy[key] or 0.0) for key in ("mean", "least", "largest")),
            )
            for name, accuracy in accuracies.items()
        ],
        ("optimiser", "best rate", "training loss", "accuracy", "least", "largest"),
        "Rates were chosen by the training loss after the last epoch.",
    )


def plot_paths(paths: Paths) -> bytes:
    """Draw the best path of each optimiser on each surface, above its contours."""
    rows = (len(paths.surfaces) + 1) // 2
    with Canvas(3.4 * rows + 0.4) as canvas:
        grid = np.atleast_1d(canvas.figure.subplots(rows, 2)).ravel()
        for axes, name in zip(grid, paths.surfaces, strict=False):
            _draw_contours(axes, name)
            for optimizer, colour in zip(paths.optimizers, COLOURS, strict=False):
                x, y = paths.best[name, optimizer][1].points.T
                axes.plot(x, y, color=colour, linewidth=1.4, label=optimizer)
                axes.plot(x[-1:], y[-1:], "o", color=colour, markersize=4)
            surface = SURFACES[name]
            axes.plot(*surface.start, "s", color=INK, markersize=6)
            for place in surface.minima:
                axes.plot(*place, "*", color=INK, markersize=9)
            axes.set_xlim(surface.view[:2])
            axes.set_ylim(surface.view[2:])
            finish(axes, name, "x", "y")
            axes.grid(False)
        for axes in grid[len(paths.surfaces) :]:
            axes.set_visible(False)
        legend_below(canvas, grid[0], 5)
        return canvas.png(None)


def _draw_contours(axes: Any, name: str) -> None:
    surface = SURFACES[name]
    left, right, low, high = surface.view
    x, y = np.meshgrid(np.linspace(left, right, _MESH), np.linspace(low, high, _MESH))
    heights = surface.height(torch.from_numpy(np.stack([x, y], -1))).numpy()
    top = np.log10(heights.max())
    levels = np.logspace(top - 4, top, 13)
    axes.contour(x, y, heights, levels=levels, colors=MUTED, linewidths=0.5, alpha=0.6)


def plot_heights(paths: Paths) -> bytes:
    """Draw the height over the steps."""
    rows = (len(paths.surfaces) + 1) // 2
    with Canvas(2.8 * rows + 0.4) as canvas:
        grid = np.atleast_1d(canvas.figure.subplots(rows, 2)).ravel()
        for axes, name in zip(grid, paths.surfaces, strict=False):
            for optimizer, colour in zip(paths.optimizers, COLOURS, strict=False):
                heights = paths.best[name, optimizer][1].heights
                steps = range(1, len(heights))
                axes.plot(steps, heights[1:], color=colour, linewidth=1.4, label=optimizer)
            axes.axhline(SURFACES[name].level, color=MUTED, linewidth=1, linestyle=":")
            axes.set_xscale("log")
            axes.set_yscale("log")
            plain_log_ticks(axes.xaxis, subs=(1.0,))
            plain_log_ticks(axes.yaxis, subs=(1.0,))
            finish(axes, name, "step (log.)", "height (log.)")
        for axes in grid[len(paths.surfaces) :]:
            axes.set_visible(False)
        legend_below(canvas, grid[0], 5)
        return canvas.png(None)


def plot_digits(digits: OnDigits) -> bytes:
    """Draw training loss and validation accuracy over the epochs, each with its best rate."""
    with Canvas(4.2) as canvas:
        left, right = canvas.figure.subplots(1, 2)
        for name, colour in zip(digits.optimizers, COLOURS, strict=False):
            rate = digits.best(name)
            outcomes = digits.trainings[name, rate]
            draw_epochs(left, outcomes, LOSS, colour, f"{name}, {rate:g}")
            draw_epochs(right, outcomes, ACCURACY, colour, name, scale=100)
        left.set_yscale("log")
        plain_log_ticks(left.yaxis, subs=(1.0, 2.0, 5.0))
        finish(left, "Training loss", "epoch", "cross entropy (log.)")
        finish(right, "Validation accuracy", "epoch", "accuracy, %")
        legend_below(canvas, left, 5)
        return canvas.png(None)


def plot_rates(digits: OnDigits) -> bytes:
    """Draw the last training loss over the learning rates."""
    with Canvas(3.4) as canvas:
        axes = canvas.figure.add_subplot()
        for name, colour in zip(digits.optimizers, COLOURS, strict=False):
            rates = digits.rates(name)
            losses = [digits.loss(name, rate)["mean"] for rate in rates]
            there = [(r, loss) for r, loss in zip(rates, losses, strict=True) if loss is not None]
            axes.plot(*zip(*there, strict=True), ".-", color=colour, label=name)
            best = digits.best(name)
            axes.plot(
                [best], [digits.loss(name, best)["mean"] or np.nan], "o", color=colour,
                markersize=10, fillstyle="none",
            )  # fmt: skip
        axes.set_xscale("log")
        axes.set_yscale("log")
        axes.set_ylim(top=min(axes.get_ylim()[1], 100.0))
        plain_log_ticks(axes.xaxis, subs=(1.0, 3.0))
        plain_log_ticks(axes.yaxis, subs=(1.0,))
        finish(axes, "After the last epoch", "learning rate (log.)", "training loss (log.)")
        axes.legend(loc="best", ncol=2)
        return canvas.png(None)
