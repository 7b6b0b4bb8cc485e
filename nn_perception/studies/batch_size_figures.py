"""Figures of the study ``batch-size``."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from nn_perception.studies.groups import grouped, percent
from nn_perception.studies.lab import TRAINING
from nn_perception.studies.seeds import (
    last,
    mean_of_all,
    over_seeds,
    series,
    steps_to,
)

if TYPE_CHECKING:
    from nn_perception.studies.sweep import Outcome

LOSS, ACCURACY = f"{TRAINING}loss", "validation_accuracy"
LEVEL = 0.9
"""Accuracy whose epoch, step and second are told."""


@dataclass(frozen=True)
class Size:
    """What one batch size gave.

    Attributes:
        size: of a batch; 0: full.
        outcomes: one per seed.
    """

    size: int
    outcomes: tuple[Outcome, ...]

    @property
    def name(self) -> str:
        """The size in words."""
        return f"{self.size:,}" if self.size else "full batch"

    @cached_property
    def accuracy(self) -> dict[str, Any]:
        """Of validation after the last epoch, over the seeds."""
        return over_seeds([last(outcome, ACCURACY) for outcome in self.outcomes])

    @cached_property
    def loss(self) -> dict[str, Any]:
        """Of the training data after the last epoch, over the seeds."""
        return over_seeds([last(outcome, LOSS) for outcome in self.outcomes])

    def found(self, name: str) -> dict[str, Any]:
        """Of what the analysis found, over the seeds."""
        return over_seeds([outcome.found.get(name) for outcome in self.outcomes])

    def to_level(self, unit: Callable[[Outcome], Sequence[float]]) -> dict[str, Any]:
        """When accuracy is first `LEVEL`, over the seeds."""
        reached = [steps_to(series(o, ACCURACY), LEVEL, unit(o)) for o in self.outcomes]
        return over_seeds(reached)

    @cached_property
    def seconds_per_epoch(self) -> dict[str, Any]:
        """Mean time of an epoch's training, over the seeds."""
        times = [series(outcome, "seconds") for outcome in self.outcomes]
        return over_seeds([float(np.mean(values)) if values else None for values in times])

    def to_dict(self) -> dict[str, Any]:
        """Return the figures for JSON."""
        names = (("training_loss", LOSS), ("validation_loss", "validation_loss"))
        return {
            "batch_size": self.size or "full",
            "steps_per_epoch": self.found("steps_per_epoch")["mean"],
            "accuracy": self.accuracy,
            "training_loss": self.loss,
            "epochs_to_level": self.to_level(epochs),
            "steps_to_level": self.to_level(steps),
            "seconds_to_level": self.to_level(seconds),
            "seconds_per_epoch": self.seconds_per_epoch,
            "gradient_noise": self.found("gradient_noise"),
            "diverged": [outcome.diverged for outcome in self.outcomes],
            "curves": {
                name: [series(outcome, key) for outcome in self.outcomes]
                for name, key in (*names, ("validation_accuracy", ACCURACY))
            },
        }


def epochs(outcome: Outcome) -> list[float]:
    """Return the epoch of each record."""
    return series(outcome, "epoch")


def steps(outcome: Outcome) -> list[float]:
    """Return the steps of the optimiser up to each record."""
    return series(outcome, "step")


def seconds(outcome: Outcome) -> list[float]:
    """Return the time of training up to each record; validation is not counted."""
    return list(itertools.accumulate(series(outcome, "seconds")))


@dataclass(frozen=True)
class BatchSizes:
    """All batch sizes in rising order, the full batch last, and what is seen in them."""

    sizes: tuple[Size, ...]

    HEADER: ClassVar = (
        "batch size", "steps an epoch", "accuracy", "least", "largest", "training loss",
        f"epochs to {100 * LEVEL:.0f} %", "steps", "seconds", "seconds an epoch", "gradient noise",
    )  # fmt: skip

    @classmethod
    def of(cls, outcomes: Sequence[Outcome]) -> BatchSizes:
        """Take together the trainings of each size."""
        groups = grouped(outcomes, "batch_size").items()
        return cls(tuple(Size(size, group.outcomes) for size, group in groups))

    @cached_property
    def noise_slope(self) -> float | None:
        """Slope of log(gradient noise) over log(batch); None: less than two sizes below full.

        The part that comes from drawing without putting back is taken out: -1/2 is expected.
        """
        points = []
        for size in self.sizes:
            noise, batch, count = (
                size.found(name)["mean"] for name in ("gradient_noise", "batch", "train_size")
            )
            if noise and batch < count:
                points.append((np.log(batch), np.log(noise / np.sqrt((count - batch) / count))))
        if len(points) < 2:
            return None
        x, y = np.array(points).T
        return float(np.polyfit(x, y, 1)[0])

    def rows(self) -> list[tuple[object, ...]]:
        """Return the table."""
        return [
            (
                size.name,
                size.found("steps_per_epoch")["mean"],
                size.accuracy["mean"],
                size.accuracy["least"],
                size.accuracy["largest"],
                size.loss["mean"],
                *(mean_of_all(size.to_level(unit)) for unit in (epochs, steps, seconds)),
                size.seconds_per_epoch["mean"],
                size.found("gradient_noise")["mean"],
            )
            for size in self.sizes
        ]

    def to_dict(self) -> dict[str, Any]:
        """Return the figures for JSON."""
        return {
            "level": LEVEL,
            "best_batch_size": self.best.size or "full",
            "noise_slope": self.noise_slope,
            "sizes": [size.to_dict() for size in self.sizes],
        }

    @property
    def best(self) -> Size:
        """The size with the highest mean accuracy."""
        return max(self.sizes, key=lambda size: size.accuracy["mean"] or 0.0)

    def _first(self, unit: Callable[[Outcome], Sequence[float]]) -> tuple[Size, float] | None:
        """Return which size reaches the level first with all seeds, and when."""
        reached = [(mean_of_all(size.to_level(unit)), size) for size in self.sizes]
        there = [(when, size) for when, size in reached if when is not None]
        if not there:
            return None
        when, size = min(there, key=lambda pair: pair[0])
        return size, when

    def seen(self) -> list[str]:
        """Return what is seen, in words."""
        best, largest = self.best, self.sizes[-1]
        count = max(len(outcome.history) for size in self.sizes for outcome in size.outcomes)
        text = [
            f"After {count} epochs a batch size of {best.name} is best: "
            f"{percent(best.accuracy['mean'] or 0.0)}; the largest, {largest.name}, has "
            f"{percent(largest.accuracy['mean'] or 0.0)}."
        ]
        firsts = [self._first(unit) for unit in (epochs, steps, seconds)]
        if all(firsts):
            words = ("in epochs", "in steps", "in seconds")
            first = ", ".join(
                f"{word} {found[0].name} ({found[1]:.3g})"
                for word, found in zip(words, firsts, strict=True)
                if found
            )
            text.append(f"First at {100 * LEVEL:.0f} % with all seeds is, {first}.")
        if self.noise_slope is not None:
            text.append(
                f"The gradient's noise goes with the batch size to the power {self.noise_slope:.2f}"
                " (-0.5 is what independent pictures give)."
            )
        return text
