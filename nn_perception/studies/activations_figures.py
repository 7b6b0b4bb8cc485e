"""What the study ``activations`` found, in figures and sentences."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch

from nn_perception.networks.mlp import ACTIVATIONS
from nn_perception.studies.groups import (
    Group,
    diverged_text,
    grouped,
    hidden_layers_text,
    percent,
    rounded,
    significant,
)
from nn_perception.studies.probing import FloatArray, slopes_of

if TYPE_CHECKING:
    from nn_perception.studies.sweep import Outcome

ACCURACY = "validation_accuracy"
DRAWN = 4.0
"""Functions are drawn from minus to plus this."""


@dataclass(frozen=True)
class Start:
    """Gradients with which a training begins.

    Attributes:
        activation: of the network.
        depth: its hidden layers.
        seed: of the training.
        gradients: root mean square of dE/dw of each layer's weights, the output's last.
    """

    activation: str
    depth: int
    seed: int
    gradients: tuple[float, ...]


@dataclass(frozen=True)
class Activations:
    """All trainings of the study.

    Attributes:
        names: of the activations, in order.
        shallow: hidden layers of the one network.
        deep: of the other.
        starts: of all trainings with both.
        outcomes: of these, with the keys ``activation``, ``hidden``, ``learning_rate``, ``seed``.
        dying: those at larger and larger learning rates.
    """

    HEADER: ClassVar[tuple[str, ...]] = (
        "activation", "steepest", "shallow %", "deep %", "gradient first:last", "stuck units %",
    )  # fmt: skip

    names: tuple[str, ...]
    shallow: int
    deep: int
    starts: Sequence[Start]
    outcomes: Sequence[Outcome]
    dying: Sequence[Outcome]

    @cached_property
    def groups(self) -> dict[tuple[str, int], Group]:
        """The trainings by activation and hidden layers."""
        return {
            (name, len(hidden)): group
            for (name, hidden), group in grouped(self.outcomes, "activation", "hidden").items()
        }

    @cached_property
    def by_rate(self) -> dict[tuple[str, float], Group]:
        """The dying ones by activation and learning rate."""
        return grouped(self.dying, "activation", "learning_rate")

    def accuracy(self, name: str, depth: int) -> float:
        """Return the mean accuracy after the last epoch; NaN where all diverged."""
        return self.groups[name, depth].last(ACCURACY)

    def gradients(self, name: str, depth: int) -> FloatArray:
        """Return the size of the gradient of each layer's weights, mean of the seeds."""
        sizes = [s.gradients for s in self.starts if (s.activation, s.depth) == (name, depth)]
        return np.asarray(np.mean(sizes, axis=0), np.float64)

    def vanishing(self, name: str) -> float:
        """Return the first hidden layer's gradient as a part of the last one's, when deep."""
        sizes = self.gradients(name, self.deep)
        return float(sizes[0] / sizes[-2]) if sizes[-2] > 0 else math.nan

    def stuck(self, group: Group) -> float:
        """Return the share of stuck units, mean of layers and seeds; NaN where all diverged."""
        found = group.found("stuck")
        return float(found.mean()) if found.size else math.nan

    def rows(self) -> list[tuple[object, ...]]:
        """Return one row per activation."""
        return [
            (
                name,
                rounded(steepest(name), 3),
                rounded(100 * self.accuracy(name, self.shallow)),
                rounded(100 * self.accuracy(name, self.deep)),
                significant(self.vanishing(name)),
                rounded(100 * self.stuck(self.groups[name, self.deep]), 1),
            )
            for name in self.names
        ]

    def to_dict(self) -> dict[str, Any]:
        """Return all figures."""
        return {
            "findings": self.findings(),
            "activations": {
                name: {
                    "steepest": steepest(name),
                    "first_to_last_gradient": self.vanishing(name),
                    "starting_gradients": {
                        str(depth): self.gradients(name, depth)
                        for depth in (self.shallow, self.deep)
                    },
                    "trainings": {
                        str(depth): self.groups[name, depth].to_dict()
                        for depth in (self.shallow, self.deep)
                    },
                }
                for name in self.names
            },
            "dying": [
                {"activation": name, "learning_rate": rate, "stuck": self.stuck(group)}
                | group.to_dict()
                for (name, rate), group in self.by_rate.items()
            ],
        }

    def findings(self) -> list[str]:
        """Return what the figures say, in sentences."""
        order = sorted(self.names, key=self.vanishing)
        found = [
            f"With {self.deep} hidden layers the gradient of the first one's weights is, before "
            "any step, as a part of the last one's: "
            + ", ".join(f"{name} {self.vanishing(name):.2g}" for name in order)
            + "."
        ]
        for name in self.names:
            shallow, deep = (self.accuracy(name, depth) for depth in (self.shallow, self.deep))
            if math.isfinite(shallow) and math.isfinite(deep):
                found.append(
                    f"{name}: {percent(shallow)} with {hidden_layers_text(self.shallow)}, "
                    f"{percent(deep)} with {self.deep}, which is {100 * (deep - shallow):+.1f} "
                    "points."
                )
        for (name, depth), group in self.groups.items():
            if group.diverged:
                found.append(diverged_text(f"{name} with {hidden_layers_text(depth)}", group))
        for (name, rate), group in self.by_rate.items():
            if group.diverged:
                found.append(diverged_text(f"{name} at the learning rate {rate:g}", group))
        return found + self._dead()

    def _dead(self) -> list[str]:
        found = []
        for name in dict.fromkeys(name for name, _ in self.by_rate):
            shares = {
                rate: self.stuck(group) for (n, rate), group in self.by_rate.items() if n == name
            }
            known = {rate: share for rate, share in shares.items() if math.isfinite(share)}
            if known:
                words = ", ".join(f"{percent(share)} at {rate:g}" for rate, share in known.items())
                found.append(f"Stuck units of {name} by learning rate: {words}.")
        return found


def curve(name: str, limit: float = DRAWN) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return inputs, an activation's values and its derivative, from -limit to limit."""
    inputs = torch.linspace(-limit, limit, 401, dtype=torch.float64)
    activation = ACTIVATIONS[name]()
    return inputs.numpy(), activation(inputs).numpy(), slopes_of(activation, inputs).numpy()


def steepest(name: str) -> float:
    """Return the largest derivative of an activation where it is drawn."""
    return float(curve(name)[2].max())
