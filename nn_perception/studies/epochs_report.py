"""Figures, pictures and page of the study ``epochs``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import numpy as np

from nn_perception.errors import DivergedError
from nn_perception.evaluation.plot_style import (
    BLUE,
    GREEN,
    MUTED,
    RED,
    Canvas,
    finish,
    plain_log_ticks,
)
from nn_perception.studies.groups import percent
from nn_perception.studies.lab import TRAINING
from nn_perception.studies.seeds import draw_epochs, legend_below, over_seeds, series

if TYPE_CHECKING:
    from nn_perception.evaluation.html_page import Report
    from nn_perception.studies.sweep import Outcome

FIGURES = {
    "training_loss": f"{TRAINING}loss",
    "validation_loss": "validation_loss",
    "training_accuracy": f"{TRAINING}accuracy",
    "validation_accuracy": "validation_accuracy",
}
"""Name -> key of the epochs' records."""

TOLD = (1, 2, 5)
"""Leading digits of the epochs that the table has."""

WORSE = 1.05
"""A validation loss that ends above so many times its lowest is over-fitting."""


class Stop(NamedTuple):
    """Where early stopping ends: after an epoch, with the weights of the best one."""

    epoch: int
    best_epoch: int


def early_stop(values: Sequence[float], patience: int, higher_is_better: bool) -> Stop:
    """Return where a training with these validation figures stops, as the loop does it.

    Args:
        values: after each epoch.
        patience: epochs without improvement before it stops; an equal value is an improvement.
        higher_is_better: the sense of the values.
    """
    best = 1
    for epoch, value in enumerate(values, 1):
        so_far = values[best - 1]
        if value >= so_far if higher_is_better else value <= so_far:
            best = epoch
        if epoch - best >= patience:
            return Stop(epoch, best)
    return Stop(len(values), best)


@dataclass(frozen=True)
class Epochs:
    """One training per seed, and what is seen in them."""

    outcomes: tuple[Outcome, ...]
    patience: int

    HEADER: ClassVar = (
        "epoch", "training loss", "validation loss", "training accuracy", "validation accuracy",
    )  # fmt: skip

    @classmethod
    def of(cls, outcomes: Sequence[Outcome], patience: int) -> Epochs:
        """Take the trainings together.

        Raises:
            DivergedError: a loss was not finite, and nothing can be told of later epochs.
        """
        for outcome in outcomes:
            if outcome.diverged:
                raise DivergedError(f"seed {outcome['seed']}: {outcome.diverged}")
        return cls(tuple(outcomes), patience)

    @property
    def count(self) -> int:
        """Epochs that all seeds have."""
        return min(len(outcome.history) for outcome in self.outcomes)

    def lowest(self) -> dict[str, Any]:
        """Epoch of the lowest validation loss, over the seeds."""
        return over_seeds([1 + int(np.argmin(series(o, "validation_loss"))) for o in self.outcomes])

    def stops(self, figure: str) -> list[Stop]:
        """Where early stopping by ``loss`` or ``accuracy`` ends each seed."""
        return [
            early_stop(series(o, f"validation_{figure}"), self.patience, figure == "accuracy")
            for o in self.outcomes
        ]

    def at(self, figure: str, epoch: int) -> float:
        """Return the mean over the seeds after an epoch."""
        return float(np.mean([series(o, FIGURES[figure])[epoch - 1] for o in self.outcomes]))

    @property
    def worse(self) -> list[float]:
        """Last validation loss over the lowest one, of each seed."""
        curves = [series(o, "validation_loss") for o in self.outcomes]
        return [curve[-1] / min(curve) for curve in curves]

    @property
    def overfits(self) -> bool:
        """Whether the validation loss rises from its lowest and the training loss falls, always."""
        falls = [
            curve[-1] < curve[int(lowest) - 1]
            for curve, lowest in zip(
                (series(o, FIGURES["training_loss"]) for o in self.outcomes),
                self.lowest()["seeds"],
                strict=True,
            )
        ]
        return min(self.worse) > WORSE and all(falls)

    def rows(self) -> list[tuple[object, ...]]:
        """Return the table: of some epochs, the last one among them."""
        told = [lead * 10**power for power in range(6) for lead in TOLD]
        epochs = sorted({epoch for epoch in told if epoch < self.count} | {self.count})
        return [(epoch, *(self.at(figure, epoch) for figure in FIGURES)) for epoch in epochs]

    def to_dict(self) -> dict[str, Any]:
        """Return the figures for JSON."""
        return {
            "overfits": self.overfits,
            "lowest_validation_loss_epoch": self.lowest(),
            "last_over_lowest_validation_loss": over_seeds(self.worse),
            "patience": self.patience,
            "early_stopping": {
                figure: {
                    "stopped_epoch": over_seeds([stop.epoch for stop in self.stops(figure)]),
                    "best_epoch": over_seeds([stop.best_epoch for stop in self.stops(figure)]),
                }
                for figure in ("loss", "accuracy")
            },
            "last": {
                name: over_seeds([series(o, key)[-1] for o in self.outcomes])
                for name, key in FIGURES.items()
            },
            "curves": {
                name: [series(o, key) for o in self.outcomes] for name, key in FIGURES.items()
            },
        }

    def seen(self) -> list[str]:
        """Return what is seen, in words."""
        lowest, count = self.lowest(), self.count
        rights = [self.at(f"{part}_accuracy", count) for part in ("training", "validation")]
        best = [
            series(o, "validation_accuracy")[int(epoch) - 1]
            for o, epoch in zip(self.outcomes, lowest["seeds"], strict=True)
        ]
        text = [
            f"The validation loss is lowest after {_span(lowest)} epochs; after {count} it is "
            f"{np.mean(self.worse):.2f} times as high, while the training loss has come to "
            f"{self.at('training_loss', count):.3g}.",
            "More epochs over-fit: with every seed the one rises and the other falls."
            if self.overfits
            else "No over-fitting with every seed in so many epochs.",
        ]
        stops = self.stops("loss")
        text.append(
            f"Early stopping with a patience of {self.patience} would end after "
            f"{_span(over_seeds([stop.epoch for stop in stops]))} epochs."
        )
        text.append(
            f"At the end {percent(rights[0])} of the pictures that are trained on are right and "
            f"{percent(rights[1])} of those held out; at the lowest validation loss it was "
            f"{percent(float(np.mean(best)))}."
        )
        return text


def _span(figure: dict[str, Any]) -> str:
    least, largest = figure["least"], figure["largest"]
    return f"{least:g}" if least == largest else f"{least:g} to {largest:g}"


def build(report: Report, result: Epochs) -> None:
    """Add the parts of the page."""
    report.tiles(
        {
            "epoch of the lowest validation loss": _span(result.lowest()),
            "last over lowest validation loss": f"{np.mean(result.worse):.2f}",
            "over-fits": "yes" if result.overfits else "no",
            "best validation accuracy": percent(
                float(np.mean([max(series(o, "validation_accuracy")) for o in result.outcomes]))
            ),
        }
    )
    report.text("What is seen", " ".join(result.seen()))
    report.figure(
        "Training and validation over the epochs",
        plot(result),
        "After each epoch, with the weights as they are then; thin lines are seeds. Vertical lines "
        "mark for each seed the lowest validation loss, and where early stopping by it ends.",
    )
    report.table(
        "Some epochs",
        result.rows(),
        result.HEADER,
        "Means over the seeds. The loop's own early stopping (early_stopping_patience) goes by "
        "accuracy: it would end after "
        f"{_span(over_seeds([stop.epoch for stop in result.stops('accuracy')]))} epochs.",
    )


def plot(result: Epochs) -> bytes:
    """Draw loss and accuracy of both parts."""
    with Canvas(4.2) as canvas:
        left, right = canvas.figure.subplots(1, 2)
        for axes, figure, scale in ((left, "loss", 1.0), (right, "accuracy", 100.0)):
            for part, colour in (("training", BLUE), ("validation", RED)):
                name = FIGURES[f"{part}_{figure}"]
                draw_epochs(axes, result.outcomes, name, colour, part, scale)
            for number, stop in enumerate(result.stops("loss")):
                label = number == 0
                _mark(axes, result.lowest()["seeds"][number], GREEN, label, "lowest loss")
                _mark(axes, stop.epoch, MUTED, label, "early stopping")
            axes.set_xscale("log")
            plain_log_ticks(axes.xaxis)
        left.set_yscale("log")
        plain_log_ticks(left.yaxis)
        finish(left, "Loss", "epoch (log.)", "cross entropy (log.)")
        finish(right, "Accuracy", "epoch (log.)", "accuracy, %")
        legend_below(canvas, left, 4)
        return canvas.png(None)


def _mark(axes: Any, epoch: float, colour: str, labelled: bool, label: str) -> None:
    axes.axvline(
        epoch, color=colour, linewidth=1.2, linestyle="--" if colour == GREEN else ":",
        label=label if labelled else None,
    )  # fmt: skip
