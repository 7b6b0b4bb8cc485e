"""Figures of the study ``learning-rate``."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

from nn_perception.studies.groups import grouped, percent
from nn_perception.studies.lab import TRAINING
from nn_perception.studies.seeds import last, mean_of_all, over_seeds, series, steps_to

if TYPE_CHECKING:
    from nn_perception.studies.sweep import Outcome

LOSS, ACCURACY = f"{TRAINING}loss", "validation_accuracy"
LEVEL = 0.9
"""Accuracy whose first epoch is told."""

MARGIN = 0.01
"""A rate with so much less accuracy than the best is as good."""

RISE = 0.1
"""A training loss that rises by more, above its lowest before, is called unstable."""

RUNAWAY = 2.0
"""A loss that ends above so many times that of a network that knows nothing has diverged."""

GOOD, SLOW, LARGE, UNSTABLE, DIVERGED = "good", "too slow", "too large", "unstable", "diverged"


@dataclass(frozen=True)
class Rate:
    """What one learning rate gave.

    Attributes:
        rate: the learning rate.
        outcomes: one per seed.
        chance: loss of a network that gives every class the same probability.
    """

    rate: float
    outcomes: tuple[Outcome, ...]
    chance: float

    @cached_property
    def accuracy(self) -> dict[str, Any]:
        """Of validation after the last epoch, over the seeds."""
        return over_seeds([last(outcome, ACCURACY) for outcome in self.outcomes])

    @property
    def mean_accuracy(self) -> float:
        """Mean over the seeds whose loss was finite; 0 where it never was."""
        return float(self.accuracy["mean"] or 0.0)

    @cached_property
    def loss(self) -> dict[str, Any]:
        """Of the training data after the last epoch, over the seeds."""
        return over_seeds([last(outcome, LOSS) for outcome in self.outcomes])

    @cached_property
    def rises(self) -> list[float]:
        """By how much the training loss rose at most above its lowest before, of each seed."""
        return [_rise([self.chance, *series(o, LOSS)], o.diverged) for o in self.outcomes]

    @cached_property
    def runaways(self) -> int:
        """Seeds whose loss was not finite, or was far above chance at the end."""
        limit = RUNAWAY * self.chance
        return sum(
            loss is None or not loss <= limit for loss in (last(o, LOSS) for o in self.outcomes)
        )

    @cached_property
    def epochs_to_level(self) -> dict[str, Any]:
        """First epoch with an accuracy of `LEVEL`, over the seeds."""
        curves = [series(outcome, ACCURACY) for outcome in self.outcomes]
        return over_seeds([steps_to(c, LEVEL, range(1, len(c) + 1)) for c in curves])


def _rise(losses: Sequence[float], diverged: str) -> float:
    if diverged or not all(map(math.isfinite, losses)):
        return math.inf
    lowest = [min(losses[: number + 1]) for number in range(len(losses))]
    return max(loss - low for loss, low in zip(losses, lowest, strict=True))


@dataclass(frozen=True)
class RateSweep:
    """All rates in rising order, and what is seen in them."""

    rates: tuple[Rate, ...]
    chance: float

    HEADER: ClassVar = (
        "learning rate", "state", "accuracy", "least", "largest", "training loss",
        f"epochs to {100 * LEVEL:.0f} %", "largest rise of the loss",
    )  # fmt: skip

    @classmethod
    def of(cls, outcomes: Sequence[Outcome], classes: int) -> RateSweep:
        """Take together the trainings of each rate."""
        chance = math.log(classes)
        groups = grouped(outcomes, "learning_rate").items()
        return cls(tuple(Rate(rate, group.outcomes, chance) for rate, group in groups), chance)

    @cached_property
    def best(self) -> Rate:
        """The rate with the highest mean accuracy, of those that did not diverge if there are."""
        return max(self.rates, key=lambda rate: (not rate.runaways, rate.mean_accuracy))

    def state(self, rate: Rate) -> str:
        """Return one of the states, in words."""
        if rate.runaways:
            return DIVERGED
        if rate.mean_accuracy >= self.best.mean_accuracy - MARGIN:
            return GOOD
        if rate.rate < self.best.rate:
            return SLOW
        return UNSTABLE if max(rate.rises) > RISE else LARGE

    @property
    def slow_end(self) -> bool:
        """Whether the smallest rate is worse than the best though its loss never rises."""
        smallest = self.rates[0]
        return self.state(smallest) == SLOW and max(smallest.rises) <= RISE

    @property
    def unstable_end(self) -> bool:
        """Whether the loss rises, or is not finite, with the largest rate and every seed."""
        largest = self.rates[-1]
        return self.state(largest) in (UNSTABLE, DIVERGED) and min(largest.rises) > RISE

    def rows(self) -> list[tuple[object, ...]]:
        """Return the table."""
        return [
            (
                f"{rate.rate:g}",
                self.state(rate),
                rate.accuracy["mean"],
                rate.accuracy["least"],
                rate.accuracy["largest"],
                rate.loss["mean"],
                mean_of_all(rate.epochs_to_level),
                max(rate.rises),
            )
            for rate in self.rates
        ]

    def to_dict(self) -> dict[str, Any]:
        """Return the figures for JSON."""
        return {
            "best_rate": self.best.rate,
            "slow_end": self.slow_end,
            "unstable_end": self.unstable_end,
            "chance_loss": self.chance,
            "level": LEVEL,
            "rates": [
                {
                    "learning_rate": rate.rate,
                    "state": self.state(rate),
                    "accuracy": rate.accuracy,
                    "training_loss": rate.loss,
                    "largest_rise_of_loss": rate.rises,
                    "epochs_to_level": rate.epochs_to_level,
                    "diverged_seeds": rate.runaways,
                    "not_finite": [outcome.diverged for outcome in rate.outcomes],
                    "curves": {
                        name: [series(outcome, key) for outcome in rate.outcomes]
                        for name, key in (
                            ("training_loss", LOSS),
                            ("validation_loss", "validation_loss"),
                            ("validation_accuracy", ACCURACY),
                        )
                    },
                }
                for rate in self.rates
            ],
        }

    def seen(self) -> list[str]:
        """Return what is seen, in words."""
        smallest, best, largest = self.rates[0], self.best, self.rates[-1]
        if best.runaways:
            return ["The loss diverges with every rate."]
        epochs = max(len(outcome.history) for rate in self.rates for outcome in rate.outcomes)
        text = [
            f"The best rate is {best.rate:g}: {percent(best.mean_accuracy)} after {epochs} "
            f"epochs, mean of {len(best.outcomes)} seeds."
        ]
        if self.slow_end:
            text.append(
                f"The small end is slow: with {smallest.rate:g} the loss only falls, to "
                f"{smallest.loss['mean']:.2f}, and accuracy is {percent(smallest.mean_accuracy)}."
            )
        else:
            text.append(f"The smallest rate, {smallest.rate:g}, is {self.state(smallest)}.")
        if self.unstable_end:
            text.append(
                f"The large end is unstable: with {largest.rate:g} the training loss rises above "
                f"what it was, with every seed; {largest.runaways} of {len(largest.outcomes)} "
                "seeds diverge."
            )
        else:
            text.append(f"The largest rate, {largest.rate:g}, is {self.state(largest)}.")
        return text

    def picked(self, most: int) -> list[Rate]:
        """Return the rates whose curves are drawn: both ends, the best, and some between."""
        count, best = len(self.rates), self.rates.index(self.best)
        wanted = [best, 0, count - 1, best + 1, best // 2, (best + count) // 2, best - 1]
        places = list(dict.fromkeys(place for place in wanted if 0 <= place < count))[:most]
        return [self.rates[place] for place in sorted(places)]
