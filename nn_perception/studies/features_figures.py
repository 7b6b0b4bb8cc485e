"""What the study ``features`` found, in figures and sentences."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from nn_perception.studies.features import MOVED_PX
from nn_perception.studies.groups import (
    Group,
    diverged_text,
    grouped,
    mean,
    percent,
    rounded,
    significant,
)
from nn_perception.studies.kernels import KERNELS, FloatArray, Grey, nearest_kernel

if TYPE_CHECKING:
    from nn_perception.studies.sweep import Outcome

ACCURACY = "validation_accuracy"
NEAR = 0.8
"""From this cosine on weights are called those of a kernel."""

_MARGIN_PX = 4
"""Left out on both sides where answers are compared: filters that pad see the border there."""


@dataclass(frozen=True, eq=False)
class Features:
    """All trainings of the study, and the pictures that are shown.

    Attributes:
        networks: their names in the study, in order.
        outcomes: with the keys ``network`` and ``seed``, found: see `features.first_layer`.
        digit: (H, W) uint8.
        picture: (H, W) uint8, for the kernels.
        source: where the picture is from, in words.
    """

    HEADER: ClassVar[tuple[str, ...]] = (
        "network", "accuracy %", "units or filters", "size", "neighbours, start",
        "neighbours, trained", "moved by 2 px",
    )  # fmt: skip
    FILTER_HEADER: ClassVar[tuple[str, ...]] = ("filter", "nearest kernel", "cosine", "sum")

    networks: tuple[str, ...]
    outcomes: Sequence[Outcome]
    digit: Grey
    picture: Grey
    source: str

    @cached_property
    def groups(self) -> dict[str, Group]:
        """The trainings by network."""
        return grouped(self.outcomes, "network")

    def first(self, name: str) -> dict[str, FloatArray]:
        """Return what was found with the first seed that did not diverge; empty: with none."""
        finished = self.groups[name].finished
        return finished[0].found if finished else {}

    def is_convolution(self, name: str) -> bool:
        """Tell whether the first layer has filters."""
        return bool(self.first(name)) and self.first(name)["sums"].ndim == 3

    def over_seeds(self, name: str, measure: Any) -> float:
        """Return the mean over the seeds of a measure of what was found; NaN: all diverged."""
        return mean([measure(outcome.found) for outcome in self.groups[name].finished])

    def rows(self) -> list[tuple[object, ...]]:
        """Return one row per network."""
        rows: list[tuple[object, ...]] = []
        for name in self.networks:
            found = self.first(name)
            units, height, width = found["weights"].shape if found else (0, 0, 0)
            rows.append(
                (
                    name, rounded(100 * self.groups[name].last(ACCURACY)), units,
                    f"{height}x{width}",
                    rounded(self.over_seeds(name, lambda f: neighbours(f["start"]))),
                    rounded(self.over_seeds(name, lambda f: neighbours(f["weights"]))),
                    significant(self.over_seeds(name, change_when_moved)),
                )
            )  # fmt: skip
        return rows

    def filter_rows(self, name: str) -> list[tuple[object, ...]]:
        """Return one row for each 3x3 filter; empty where they are larger."""
        weights = self.first(name)["weights"]
        if weights.shape[1:] != KERNELS["identity"].shape:
            return []
        rows: list[tuple[object, ...]] = []
        for number, weight in enumerate(weights, 1):
            kernel, cosine = nearest_kernel(weight)
            rows.append((number, kernel, rounded(cosine), rounded(float(weight.sum()))))
        return rows

    def to_dict(self) -> dict[str, Any]:
        """Return all figures; weights of convolutions among them."""
        return {
            "findings": self.findings(),
            "picture": self.source,
            "table": [dict(zip(self.HEADER, row, strict=True)) for row in self.rows()],
            "filters": {
                name: self.first(name)["weights"]
                for name in self.networks
                if self.is_convolution(name)
            },
        }

    def save(self, directory: Path) -> None:
        """Write the first layers' weights, ``first_layers.npz``: NETWORK/SEED, and .../start."""
        arrays = {}
        for outcome in self.outcomes:
            if not outcome.diverged:
                key = f"{outcome['network']}/{outcome['seed']}"
                arrays[key] = outcome.found["weights"]
                arrays[f"{key}/start"] = outcome.found["start"]
        np.savez_compressed(directory / "first_layers.npz", **arrays)

    def findings(self) -> list[str]:
        """Return what the figures say, in sentences."""
        found = []
        for name in self.networks:
            group = self.groups[name]
            if group.diverged:
                found.append(diverged_text(name, group))
            if not group.finished:
                continue
            before = self.over_seeds(name, lambda f: neighbours(f["start"]))
            after = self.over_seeds(name, lambda f: neighbours(f["weights"]))
            change = self.over_seeds(name, change_when_moved)
            found.append(
                f"{name} ({percent(group.last(ACCURACY))}): weights beside each other correlate "
                f"with {before:.2f} at the start and {after:.2f} when trained."
            )
            if self.is_convolution(name):
                found.append(
                    f"{name}: where the digit moves by {MOVED_PX} pixels, so do the answers of all "
                    f"filters; they differ by {percent(change)} of their size."
                )
                found += self._nearest(name)
            else:
                found.append(
                    f"{name}: where the digit moves by {MOVED_PX} pixels, the sums of the first "
                    f"layer change by {percent(change, 0)} of their size."
                )
        return found

    def _nearest(self, name: str) -> list[str]:
        rows = self.filter_rows(name)
        if not rows:
            return []
        weights = self.first(name)["start"]
        before = sum(abs(nearest_kernel(weight)[1]) >= NEAR for weight in weights)
        near = [str(row[1]) for row in rows if abs(_number(row[2])) >= NEAR]
        kinds = ", ".join(f"{near.count(kind)} {kind}" for kind in sorted(set(near)))
        return [
            f"{name}: {len(near)} of {len(rows)} filters are near a kernel one would write by hand "
            f"(cosine at least {NEAR:g}{', ' + kinds if kinds else ''}), {before} at the start."
        ]


def _number(value: object) -> float:
    return value if isinstance(value, float) else 0.0


def neighbours(weights: FloatArray) -> float:
    """Return the correlation of weights (units, H, W) that lie beside or below each other."""
    left = np.concatenate([weights[:, :, :-1].ravel(), weights[:, :-1].ravel()])
    right = np.concatenate([weights[:, :, 1:].ravel(), weights[:, 1:].ravel()])
    if not (left.std() and right.std()):
        return math.nan
    return float(np.corrcoef(left, right)[0, 1])


def change_when_moved(found: dict[str, FloatArray]) -> float:
    """Return by how much the sums change when the digit moves, as a part of their size.

    Those of filters are compared where they have moved to.
    """
    still, moved = found["sums"], found["moved"]
    if still.ndim == 3:
        still, moved = still[:, :, :-MOVED_PX], moved[:, :, MOVED_PX:]
        inside = slice(_MARGIN_PX, still.shape[2] - _MARGIN_PX)
        still, moved = still[:, :, inside], moved[:, :, inside]
    size = float(np.linalg.norm(still))
    return float(np.linalg.norm(moved - still)) / size if size else math.nan
