"""Figures of the study ``optimisers``."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from nn_perception.studies.groups import grouped, percent
from nn_perception.studies.lab import TRAINING
from nn_perception.studies.seeds import last, over_seeds, series
from nn_perception.studies.surfaces import LEVEL, STARTS, SURFACES, Descent, best_rate

if TYPE_CHECKING:
    from nn_perception.studies.sweep import Outcome

LOSS, ACCURACY = f"{TRAINING}loss", "validation_accuracy"


@dataclass(frozen=True)
class Paths:
    """Paths of all optimisers with all learning rates on all surfaces.

    Attributes:
        paths: (surface, optimiser) -> (learning rate, path) for each rate.
    """

    paths: Mapping[tuple[str, str], Sequence[tuple[float, Descent]]]

    @cached_property
    def surfaces(self) -> list[str]:
        """Names, in order."""
        return list(dict.fromkeys(surface for surface, _ in self.paths))

    @cached_property
    def optimizers(self) -> list[str]:
        """Names, in order."""
        return list(dict.fromkeys(optimizer for _, optimizer in self.paths))

    @cached_property
    def best(self) -> dict[tuple[str, str], tuple[float, Descent]]:
        """The rate that arrives first, and its path."""
        return {key: best_rate(paths) for key, paths in self.paths.items()}

    def rates_that_arrive(self, surface: str, optimizer: str) -> int:
        """Return with how many of the rates the path arrives."""
        return sum(bool(path.arrived) for _, path in self.paths[surface, optimizer])

    def fastest(self, surface: str) -> str | None:
        """Return the optimiser that arrives in the fewest steps; None: no one does."""
        steps = {name: self.best[surface, name][1].steps for name in self.optimizers}
        there = {name: count for name, count in steps.items() if count is not None}
        return min(there, key=lambda name: there[name]) if there else None

    def rows(self) -> list[tuple[object, ...]]:
        """Return a table: of each surface and optimiser."""
        return [
            (
                surface,
                optimizer,
                f"{rate:g}",
                path.steps,
                min(path.arrived, default=None),
                max(path.arrived, default=None),
                None if path.lost else float(path.heights[-1]),
                f"{self.rates_that_arrive(surface, optimizer)} of "
                f"{len(self.paths[surface, optimizer])}",
            )
            for (surface, optimizer), (rate, path) in self.best.items()
        ]

    def seen(self) -> str:
        """Return what is seen, in words."""
        told = []
        for surface in self.surfaces:
            fastest = self.fastest(surface)
            if fastest is None:
                told.append(f"{surface}: none arrives")
                continue
            steps = self.best[surface, fastest][1].steps
            plain = self.best.get((surface, "sgd"))
            beside = ""
            if plain is not None and fastest != "sgd":
                many = plain[1].steps
                beside = f" (sgd {'does not arrive' if many is None else f'{many:.0f}'})"
            told.append(f"{surface}: {fastest}, {steps:.0f} steps{beside}")
        return "The fewest steps to the level, with the best rate of each: " + "; ".join(told) + "."

    def to_dict(self) -> dict[str, Any]:
        """Return the figures for JSON: of the best rates the path, of the others where it ended."""
        return {
            "level_of_start": LEVEL,
            "starts": STARTS,
            "surfaces": {
                surface: {
                    "formula": SURFACES[surface].formula,
                    "start": SURFACES[surface].start,
                    "level": SURFACES[surface].level,
                    "fastest": self.fastest(surface),
                    "optimizers": {
                        optimizer: self._of(surface, optimizer) for optimizer in self.optimizers
                    },
                }
                for surface in self.surfaces
            },
        }

    def _of(self, surface: str, optimizer: str) -> dict[str, Any]:
        rate, path = self.best[surface, optimizer]
        return {
            "best_rate": rate,
            "steps_to_level": path.steps,
            "steps_of_starts": path.arrived,
            "rates": [
                {
                    "learning_rate": each,
                    "steps_to_level": other.steps,
                    "lost": other.lost,
                    "last_height": other.heights[-1],
                }
                for each, other in self.paths[surface, optimizer]
            ],
            "path": path.points,
            "heights": path.heights,
        }


@dataclass(frozen=True)
class OnDigits:
    """Trainings on digits: (optimiser, learning rate) -> one outcome per seed."""

    trainings: Mapping[tuple[str, float], tuple[Outcome, ...]]

    @classmethod
    def of(cls, outcomes: Sequence[Outcome]) -> OnDigits:
        """Take together the trainings of each optimiser and rate."""
        groups = grouped(outcomes, "optimizer", "learning_rate")
        return cls({key: group.outcomes for key, group in groups.items()})

    @cached_property
    def optimizers(self) -> list[str]:
        """Names, in order."""
        return list(dict.fromkeys(optimizer for optimizer, _ in self.trainings))

    def loss(self, optimizer: str, rate: float) -> dict[str, Any]:
        """Return the training loss after the last epoch, over the seeds."""
        return over_seeds([last(o, LOSS) for o in self.trainings[optimizer, rate]])

    def rates(self, optimizer: str) -> list[float]:
        """Return the rates that were tried, rising."""
        return sorted(rate for name, rate in self.trainings if name == optimizer)

    def best(self, optimizer: str) -> float:
        """Return the rate of the lowest mean training loss, of those that no seed diverges with."""

        def mean(rate: float) -> float:
            loss = self.loss(optimizer, rate)
            return math.inf if None in loss["seeds"] else float(loss["mean"])

        return min(self.rates(optimizer), key=mean)

    def accuracy(self, optimizer: str) -> dict[str, Any]:
        """Return the validation accuracy after the last epoch with the best rate."""
        outcomes = self.trainings[optimizer, self.best(optimizer)]
        return over_seeds([last(outcome, ACCURACY) for outcome in outcomes])

    def header(self, paths: Paths) -> tuple[str, ...]:
        """Return the header of the table of all figures."""
        return (
            "optimiser", *(f"steps, {surface}" for surface in paths.surfaces),
            "rate, digits", "training loss", "accuracy", "least", "largest",
        )  # fmt: skip

    def rows(self, paths: Paths) -> list[tuple[object, ...]]:
        """Return the table of all figures."""
        rows: list[tuple[object, ...]] = []
        for name in self.optimizers:
            best, accuracy = self.best(name), self.accuracy(name)
            rows.append(
                (
                    name,
                    *(paths.best[surface, name][1].steps for surface in paths.surfaces),
                    f"{best:g}",
                    self.loss(name, best)["mean"],
                    *(accuracy[key] for key in ("mean", "least", "largest")),
                )
            )
        return rows

    def seen(self) -> str:
        """Return what is seen, in words."""
        means = {name: self.loss(name, self.best(name))["mean"] for name in self.optimizers}
        there = {name: mean for name, mean in means.items() if mean is not None}
        if not there:
            return "On digits all diverge."
        lowest = min(there, key=lambda name: there[name])
        losses = ", ".join(f"{name} {mean:.3g}" for name, mean in there.items())
        accuracy = self.accuracy(lowest)["mean"]
        return (
            f"On digits {lowest} has the lowest training loss after the last epoch, each with its "
            f"best rate ({losses}); its accuracy is {percent(accuracy)}."
        )

    def to_dict(self) -> dict[str, Any]:
        """Return the figures for JSON."""
        return {
            optimizer: {
                "best_rate": self.best(optimizer),
                "accuracy": self.accuracy(optimizer),
                "rates": [
                    {
                        "learning_rate": rate,
                        "training_loss": self.loss(optimizer, rate),
                        "diverged": [o.diverged for o in self.trainings[optimizer, rate]],
                        "curves": {
                            "training_loss": [
                                series(o, LOSS) for o in self.trainings[optimizer, rate]
                            ],
                            "validation_accuracy": [
                                series(o, ACCURACY) for o in self.trainings[optimizer, rate]
                            ],
                        },
                    }
                    for rate in self.rates(optimizer)
                ],
            }
            for optimizer in self.optimizers
        }
