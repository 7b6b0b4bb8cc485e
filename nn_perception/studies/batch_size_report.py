"""Pictures and page of the study ``batch-size``."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from nn_perception.evaluation.plot_style import MUTED, Canvas, finish, plain_log_ticks
from nn_perception.studies.batch_size_figures import (
    ACCURACY,
    LEVEL,
    BatchSizes,
    Size,
    seconds,
    steps,
)
from nn_perception.studies.groups import COLOURS, percent
from nn_perception.studies.seeds import draw_epochs, draw_seeds, legend_below, series

if TYPE_CHECKING:
    from nn_perception.evaluation.html_page import Report
    from nn_perception.studies.sweep import Outcome


def build(report: Report, result: BatchSizes) -> None:
    """Add the parts of the page."""
    best, slope = result.best, result.noise_slope
    report.tiles(
        {
            "best batch size": best.name,
            "accuracy with it": percent(best.accuracy["mean"] or 0.0),
            "power of the noise": "\N{EN DASH}" if slope is None else f"{slope:.2f}",
        }
    )
    report.text("What is seen", " ".join(result.seen()))
    report.figure(
        "Accuracy over epochs and steps",
        plot_accuracy(result),
        "On pictures held out of the training data. Thin lines are seeds. The learning rate is the "
        "same for all: a large batch takes few steps in an epoch, each of which goes no further.",
    )
    report.figure(
        "Time and noise",
        plot_time_and_noise(result),
        "Left: time of training alone, with as many trainings beside it as --workers says; on a "
        "parallel machine large batches gain more. Right: sqrt(mean |g_B - g|²) / |g| at the first "
        "weights, g the gradient of all pictures; dots are seeds.",
    )
    report.table(
        "Batch sizes",
        result.rows(),
        result.HEADER,
        f"Epochs, steps and seconds to an accuracy of {100 * LEVEL:.0f} %: means, where every seed "
        "gets there.",
    )


def plot_accuracy(result: BatchSizes) -> bytes:
    """Draw the validation accuracy over epochs, and over steps."""
    with Canvas(4.2) as canvas:
        left, right = canvas.figure.subplots(1, 2, sharey=True)
        for size, colour in zip(result.sizes, itertools.cycle(COLOURS), strict=False):
            draw_epochs(left, size.outcomes, ACCURACY, colour, size.name, scale=100)
            _draw(right, size, steps, colour)
        right.set_xscale("log")
        plain_log_ticks(right.xaxis, subs=(1.0,), text=_short)
        left.set_ylim(0, 100)
        finish(left, "Over the epochs", "epoch", "accuracy, %")
        finish(right, "Over the steps", "steps of the optimiser (log.)", "")
        legend_below(canvas, left, 6, "batch size")
        return canvas.png(None)


def _draw(
    axes: Any, size: Size, unit: Callable[[Outcome], Sequence[float]], colour: str, line: str = "-"
) -> None:
    curves = [(unit(o), [100 * v for v in series(o, ACCURACY)]) for o in size.outcomes]
    draw_seeds(axes, curves, colour, size.name, line, [bool(o.diverged) for o in size.outcomes])


def plot_time_and_noise(result: BatchSizes) -> bytes:
    """Draw the accuracy over seconds, and the gradient's noise over the batch size."""
    with Canvas(4.2) as canvas:
        left, right = canvas.figure.subplots(1, 2)
        for size, colour in zip(result.sizes, itertools.cycle(COLOURS), strict=False):
            _draw(left, size, seconds, colour)
            there = [v for v in size.found("gradient_noise")["seeds"] if v]
            batch = size.found("batch")["mean"]
            right.plot([batch] * len(there), there, "o", color=colour, markersize=6)
        left.set_xscale("log")
        plain_log_ticks(left.xaxis, subs=(1.0,))
        left.set_ylim(0, 100)
        finish(left, "Over the time", "seconds of training (log.)", "accuracy, %")
        _draw_expected(right, result)
        right.set_xscale("log")
        right.set_yscale("log")
        plain_log_ticks(right.xaxis, subs=(1.0,))
        plain_log_ticks(right.yaxis, subs=(1.0,))
        finish(right, "Noise of the gradient", "batch size (log.)", "noise / gradient (log.)")
        legend_below(canvas, left, 6, "batch size")
        return canvas.png(None)


def _draw_expected(axes: Any, result: BatchSizes) -> None:
    """Draw what the smallest batch's noise lets expect of the others, see `gradient_noise`."""
    there = [
        [size.found(name)["mean"] for name in ("batch", "train_size", "gradient_noise")]
        for size in result.sizes
        if size.found("gradient_noise")["mean"]
    ]
    if len(there) < 2:
        return
    batches, counts, noises = np.array(there).T
    expected = np.sqrt((counts - batches) / batches)
    axes.plot(
        batches, noises[0] / expected[0] * expected,
        color=MUTED, linewidth=1, linestyle=":", label="expected from the smallest",
    )  # fmt: skip
    axes.legend(loc="lower left")


def _short(value: float) -> str:
    """Write 10k for 10,000: decades lie close together."""
    return f"{value / 1000:g}k" if value >= 1000 else f"{value:g}"
