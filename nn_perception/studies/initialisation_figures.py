"""What the study ``initialisation`` found, in figures and sentences."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import numpy.typing as npt

from nn_perception.studies.groups import (
    Group,
    diverged_text,
    grouped,
    hidden_layers_text,
    mean,
    percent,
    rounded,
    significant,
)

if TYPE_CHECKING:
    from nn_perception.studies.sweep import Outcome

ACCURACY = "validation_accuracy"
FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Start:
    """What a network is before any step.

    Attributes:
        initialisation: of its weights.
        activation: of its hidden layers.
        depth: their number.
        seed: of the training.
        answers: of each hidden layer, all units and pictures.
        gradients: root mean square of dE/dw of each layer's weights, the output's last.
    """

    initialisation: str
    activation: str
    depth: int
    seed: int
    answers: tuple[FloatArray, ...]
    gradients: tuple[float, ...]

    @property
    def spreads(self) -> list[float]:
        """Standard deviation of each hidden layer's answers; NaN: they are not finite."""
        with np.errstate(invalid="ignore"):
            return [float(answers.std()) for answers in self.answers]


@dataclass(frozen=True)
class Initialisations:
    """All trainings of the study.

    Attributes:
        names: of the initialisations, in order.
        activations: of the networks that are compared.
        depth: their hidden layers.
        starts: of all trainings.
        outcomes: with the keys ``initialisation``, ``activation``, ``hidden``, ``seed``.
    """

    HEADER: ClassVar[tuple[str, ...]] = (
        "activation", "initialisation", "accuracy %", "least", "most", "spread first",
        "spread last", "gradient first:last", "diverged",
    )  # fmt: skip

    names: tuple[str, ...]
    activations: tuple[str, ...]
    depth: int
    starts: Sequence[Start]
    outcomes: Sequence[Outcome]

    @cached_property
    def groups(self) -> dict[tuple[str, str, int], Group]:
        """The trainings by initialisation, activation and hidden layers."""
        found = grouped(self.outcomes, "initialisation", "activation", "hidden")
        return {(name, kind, len(hidden)): group for (name, kind, hidden), group in found.items()}

    def group(self, name: str, activation: str) -> Group:
        """Return trainings that are compared."""
        return self.groups[name, activation, self.depth]

    def started(self, name: str, activation: str) -> list[Start]:
        """Return the starts of trainings that are compared, one per seed."""
        key = (name, activation, self.depth)
        return [s for s in self.starts if (s.initialisation, s.activation, s.depth) == key]

    def spreads(self, name: str, activation: str) -> FloatArray:
        """Return the standard deviation of each hidden layer's answers, mean of the seeds."""
        every = [start.spreads for start in self.started(name, activation)]
        return np.asarray(np.mean(every, axis=0), np.float64)

    def gradients(self, name: str, activation: str) -> FloatArray:
        """Return the size of each layer's gradient, mean of the seeds."""
        every = [start.gradients for start in self.started(name, activation)]
        return np.asarray(np.mean(every, axis=0), np.float64)

    def rows(self) -> list[tuple[object, ...]]:
        """Return one row for each activation and initialisation."""
        rows: list[tuple[object, ...]] = []
        for activation in self.activations:
            for name in self.names:
                group, spreads = self.group(name, activation), self.spreads(name, activation)
                values = (group.last(ACCURACY), *group.spread(ACCURACY))
                rows.append(
                    (
                        activation, name, *(rounded(100 * value) for value in values),
                        significant(spreads[0]), significant(spreads[-1]),
                        significant(_ratio(self.gradients(name, activation)[:-1])),
                        f"{group.diverged} of {len(group.outcomes)}",
                    )
                )  # fmt: skip
        return rows

    def zeros(self) -> list[tuple[str, int, Group]]:
        """Return the trainings that began with zeros: activation, hidden layers, group."""
        return [
            (kind, depth, group)
            for (name, kind, depth), group in self.groups.items()
            if name == "zeros"
        ]

    ZEROS_HEADER: ClassVar[tuple[str, ...]] = (
        "activation", "hidden layers", "accuracy %", "most frequent digit %", "largest weight",
        "units apart",
    )  # fmt: skip

    def zero_rows(self) -> list[tuple[object, ...]]:
        """Return one row for each network that began with zeros."""
        return [
            (
                kind, depth, rounded(100 * group.last(ACCURACY)),
                rounded(100 * _majority(group)),
                significant(_largest(group, "weight")), significant(_largest(group, "apart")),
            )
            for kind, depth, group in self.zeros()
        ]  # fmt: skip

    def to_dict(self) -> dict[str, Any]:
        """Return all figures."""
        return {
            "findings": self.findings(),
            "networks": [
                {
                    "initialisation": name,
                    "activation": kind,
                    "hidden_layers": depth,
                    "starts": {
                        str(s.seed): {"spreads": s.spreads, "gradients": s.gradients}
                        for s in self.starts
                        if (s.initialisation, s.activation, s.depth) == (name, kind, depth)
                    },
                    **group.to_dict(),
                }
                for (name, kind, depth), group in self.groups.items()
            ],
        }

    def findings(self) -> list[str]:
        """Return what the figures say, in sentences."""
        found = []
        for activation in self.activations:
            ratios = {
                name: _ratio(self.spreads(name, activation)[::-1])
                for name in self.names
                if self.spreads(name, activation)[0] > 0
            }
            if ratios:
                found.append(
                    f"{activation}: before any step the answers of hidden layer {self.depth} "
                    "spread, as a part of those of layer 1: "
                    + ", ".join(f"{name} {ratio:.2g}" for name, ratio in ratios.items())
                    + "."
                )
            shares = {name: self.group(name, activation).last(ACCURACY) for name in self.names}
            known = sorted(
                (n for n in shares if math.isfinite(shares[n])), key=lambda n: -shares[n]
            )
            found.append(
                f"{activation}: accuracy after the last epoch: "
                + (", ".join(f"{name} {percent(shares[name])}" for name in known) or "none")
                + "."
            )
        for (name, kind, depth), group in self.groups.items():
            if group.diverged:
                what = f"{name}, {kind}, {hidden_layers_text(depth)}"
                found.append(diverged_text(what, group))
        return found + [_zeros_text(*zeros) for zeros in self.zeros()]


def _zeros_text(kind: str, depth: int, group: Group) -> str:
    what = f"Zeros, {kind}, {hidden_layers_text(depth)}"
    if not group.finished:
        return f"{what}: all trainings diverged."
    weight, apart = _largest(group, "weight"), _largest(group, "apart")
    accuracy, majority = group.last(ACCURACY), _majority(group)
    moved = (
        f"the weights of hidden layers reach {weight:.2g}, and those of two units of a layer "
        f"differ by {apart:.2g} at most"
        if weight > 0
        else "no weight of a hidden layer has moved"
    )
    return (
        f"{what}: {moved}; the accuracy is {percent(accuracy)}, and {percent(majority)} for always "
        "answering the most frequent digit."
    )


def _largest(group: Group, name: str) -> float:
    values = [max(outcome.found[name]) for outcome in group.finished]
    return max(values) if values else math.nan


def _majority(group: Group) -> float:
    return mean([outcome.found["majority"] for outcome in group.finished])


def _ratio(values: FloatArray) -> float:
    """Return the first as a part of the last one."""
    return float(values[0] / values[-1]) if values[-1] > 0 else math.nan
