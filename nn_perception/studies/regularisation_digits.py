"""What the study ``regularisation`` found on digits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from nn_perception.studies.groups import Group, grouped, percent
from nn_perception.studies.regularisation import (
    CURVES,
    FEW_HIDDEN,
    HIDDEN,
    METHODS,
    SIZES,
    SMALL,
    STRENGTHS,
    curve_key,
)
from nn_perception.studies.small_digits import BrierParts, brier_parts

if TYPE_CHECKING:
    from nn_perception.studies.sweep import Outcome

_ARRAYS = ("probabilities", "labels", "dropout")
"""What is found of a training and is no figure for JSON."""


@dataclass(frozen=True)
class DigitFigures:
    """What all trainings on digits gave.

    Attributes:
        outcomes: of `nn_perception.studies.regularisation.digit_jobs`.
        samples: pictures that the methods are compared on, as asked for.
    """

    outcomes: tuple[Outcome, ...]
    samples: int

    HEADER = ("regularisation", "training", "validation", "gap", "zero weights", "weights, RMS")

    @cached_property
    def groups(self) -> dict[tuple[str, float, int, int], Group]:
        """(method, strength, pictures, hidden units) -> trainings of all seeds."""
        found: dict[tuple[str, float, int, int], Group] = grouped(
            self.outcomes, "method", "strength", "pictures", "hidden"
        )
        return found

    def method(self, name: str, strength: float | None = None) -> Group:
        """Return the trainings of a method; without a strength: those that are compared."""
        if strength is None:
            key = STRENGTHS.get(name, ("", ()))[0]
            strength = METHODS[name].get(key, 0.0)
        return self.groups[name, strength, self.samples, HIDDEN]

    def curve(self, name: str) -> list[Group]:
        """Return the trainings of a learning curve, by number of pictures."""
        method, strength = curve_key(CURVES[name])
        hidden = FEW_HIDDEN if name == SMALL else HIDDEN
        wanted = (round(size * self.samples) for size in SIZES)
        return [self.groups[method, strength, pictures, hidden] for pictures in wanted]

    def rows(self) -> list[tuple[object, ...]]:
        """Return a line for each method, means of the seeds."""
        rows: list[tuple[object, ...]] = []
        for name in METHODS:
            group = self.method(name)
            if not group.finished:
                rows.append((label(name), "diverged", *[None] * (len(self.HEADER) - 2)))
                continue
            values = [mean(group, key) for key in ("training", "validation", "zero_weights")]
            training, validation, zeros = values
            gap = f"{100 * (training - validation):.1f} points"
            shares = (percent(training), percent(validation), gap, percent(zeros))
            rows.append((label(name), *shares, f"{mean(group, 'weight_rms'):.4f}"))
        return rows

    def to_dict(self) -> dict[str, Any]:
        """Return the figures for JSON, without probabilities, which would be megabytes."""
        return {
            "methods": {name: _figures(self.method(name)) for name in METHODS},
            "strengths": {
                name: {
                    "key": key,
                    **{f"{value:g}": _figures(self.method(name, value)) for value in values},
                }
                for name, (key, values) in STRENGTHS.items()
            },
            "learning_curves": {
                name: [{**_figures(group), **brier_figures(group)} for group in self.curve(name)]
                for name in CURVES
            },
            "dropout_scaling": self.scaling(),
        }

    def scaling(self) -> dict[str, float]:
        """Return how far mean answers in training are from those in evaluation, with dropout.

        ``ratio``: sum of the units' mean answers in training, by that in evaluation; ``p``;
        ``without_scaling``: what the ratio would be if nothing were divided by 1 - p.
        """
        drawn = self.dropped()
        if drawn is None:
            return {}
        ratio = float(drawn["training"].sum() / drawn["evaluation"].sum())
        p = float(drawn["p"])
        return {"p": p, "ratio": ratio, "without_scaling": ratio * (1 - p)}

    def dropped(self) -> Mapping[str, Any] | None:
        """Return what `dropout_scaling` found of the first seed; None: all diverged."""
        finished = self.method("dropout").finished
        found: Mapping[str, Any] | None = finished[0].found["dropout"] if finished else None
        return found


def label(name: str) -> str:
    """Return a method with its strength: ``L2 0.01``."""
    if name not in STRENGTHS:
        return name
    return f"{name} {METHODS[name][STRENGTHS[name][0]]:g}"


def mean(group: Group, name: str) -> float:
    """Return the mean over the seeds of what was found; NaN: all diverged."""
    values = [outcome.found[name] for outcome in group.finished]
    return float(np.mean(values)) if values else float("nan")


def errors(group: Group, name: str) -> list[float]:
    """Return the share of wrong answers of each seed that did not diverge."""
    return [1.0 - outcome.found[name] for outcome in group.finished]


def brier(group: Group) -> BrierParts | None:
    """Return bias and variance of the seeds' probabilities; None: there are not two seeds."""
    if len(group.finished) < 2:
        return None
    answers = np.stack([outcome.found["probabilities"] for outcome in group.finished])
    return brier_parts(answers, group.finished[0].found["labels"])


def brier_figures(group: Group) -> dict[str, float]:
    """Return them for JSON."""
    parts = brier(group)
    if parts is None:
        return {}
    return {"brier": parts.error, "bias2": parts.bias2, "variance": parts.variance}


def finished_sizes(groups: Sequence[Group]) -> list[tuple[int, Group]]:
    """Return (pictures trained on, trainings) of those that have any that did not diverge."""
    return [(round(mean(group, "pictures")), group) for group in groups if group.finished]


def _figures(group: Group) -> dict[str, Any]:
    return {
        "diverged": {str(o["seed"]): o.diverged for o in group.outcomes if o.diverged},
        "seeds": {
            str(outcome["seed"]): {
                "epochs": len(outcome.history),
                **{key: v for key, v in outcome.found.items() if key not in _ARRAYS},
            }
            for outcome in group.finished
        },
    }


def gap(figures: DigitFigures, name: str) -> float:
    """Return training minus validation accuracy of a method, mean of the seeds."""
    group = figures.method(name)
    return mean(group, "training") - mean(group, "validation")
