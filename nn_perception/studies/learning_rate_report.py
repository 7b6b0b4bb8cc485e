"""Pictures and page of the study ``learning-rate``."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from nn_perception.evaluation.plot_style import (
    BLUE,
    GREEN,
    INK,
    MUTED,
    ORANGE,
    RED,
    SKY,
    Canvas,
    finish,
    plain_log_ticks,
)
from nn_perception.studies.groups import percent
from nn_perception.studies.learning_rate_figures import (
    ACCURACY,
    DIVERGED,
    GOOD,
    LARGE,
    LOSS,
    MARGIN,
    RISE,
    RUNAWAY,
    SLOW,
    UNSTABLE,
    RateSweep,
)
from nn_perception.studies.seeds import draw_epochs, legend_below

if TYPE_CHECKING:
    from nn_perception.evaluation.html_page import Report

STATE_COLOURS = {GOOD: GREEN, SLOW: BLUE, LARGE: ORANGE, UNSTABLE: ORANGE, DIVERGED: RED}

CURVE_COLOURS = (BLUE, SKY, GREEN, ORANGE, RED, INK)
"""Of the rates in a picture of curves, which rise."""


def build(report: Report, sweep: RateSweep) -> None:
    """Add the parts of the page."""
    report.tiles(
        {
            "best learning rate": f"{sweep.best.rate:g}",
            "accuracy with it": percent(sweep.best.mean_accuracy),
            "slow at the small end": "yes" if sweep.slow_end else "no",
            "unstable at the large end": "yes" if sweep.unstable_end else "no",
        }
    )
    report.text("What is seen", " ".join(sweep.seen()))
    report.figure(
        "Accuracy by learning rate",
        plot_rates(sweep),
        "After the last epoch, on pictures held out of the training data: a dot for each seed, the "
        "line is their mean.",
    )
    report.figure(
        "Loss and accuracy over the epochs",
        plot_curves(sweep),
        "Left: loss of the pictures that are trained on, after each epoch; what is above the "
        "picture is cut off. Right: accuracy on pictures held out. Thin lines are seeds, a cross "
        "ends those whose loss was not finite. Dotted: a network that knows nothing.",
    )
    report.table(
        "Learning rates",
        sweep.rows(),
        sweep.HEADER,
        f"State: good, within {100 * MARGIN:g} points of the best mean; too slow, below the best "
        f"rate and worse; unstable, above it and worse, and the loss rises by more than {RISE:g} "
        f"(too large: it does not); diverged, with some seed the loss is not finite, or at the end "
        f"above {RUNAWAY * sweep.chance:.1f}, {RUNAWAY:g} times that of a network that knows "
        "nothing.",
    )


def plot_rates(sweep: RateSweep) -> bytes:
    """Draw the accuracy over the learning rates."""
    with Canvas(3.6) as canvas:
        axes = canvas.figure.add_subplot()
        there = [rate for rate in sweep.rates if rate.accuracy["mean"] is not None]
        means = [100 * rate.accuracy["mean"] for rate in there]
        axes.plot([rate.rate for rate in there], means, color=INK, linewidth=1.2)
        named: set[str] = set()
        for rate in sweep.rates:
            state = sweep.state(rate)
            values = [100 * (value or 0.0) for value in rate.accuracy["seeds"]]
            axes.plot(
                [rate.rate] * len(values), values, "X" if state == DIVERGED else "o",
                color=STATE_COLOURS[state], markersize=6, linestyle="",
                label=None if state in named else state,
            )  # fmt: skip
            named.add(state)
        chance = 100 * math.exp(-sweep.chance)
        axes.axhline(chance, color=MUTED, linewidth=1, linestyle=":")
        axes.set_xscale("log")
        plain_log_ticks(axes.xaxis, subs=(1.0,))
        axes.set_ylim(0, 100)
        finish(axes, "Accuracy after the last epoch", "learning rate (log.)", "accuracy, %")
        axes.legend(loc="best")
        return canvas.png(None)


def plot_curves(sweep: RateSweep) -> bytes:
    """Draw training loss and validation accuracy over the epochs."""
    with Canvas(4.2) as canvas:
        left, right = canvas.figure.subplots(1, 2)
        picked = sweep.picked(len(CURVE_COLOURS))
        for rate, colour in zip(picked, CURVE_COLOURS, strict=False):
            label = f"{rate.rate:g}, {sweep.state(rate)}"
            draw_epochs(left, rate.outcomes, LOSS, colour, label)
            draw_epochs(right, rate.outcomes, ACCURACY, colour, label, scale=100)
        left.axhline(sweep.chance, color=MUTED, linewidth=1, linestyle=":")
        left.set_yscale("log")
        left.set_ylim(top=min(left.get_ylim()[1], 20 * sweep.chance))
        plain_log_ticks(left.yaxis, subs=(1.0,))
        finish(left, "Training loss", "epoch", "cross entropy (log.)")
        right.axhline(100 * math.exp(-sweep.chance), color=MUTED, linewidth=1, linestyle=":")
        right.set_ylim(0, 100)
        finish(right, "Validation accuracy", "epoch", "accuracy, %")
        legend_below(canvas, left, 3, "learning rate")
        return canvas.png(None)
