"""What the heads' errors are summed up to: a table, figures by rotation angle, JSON."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from nn_perception.rotations import so3_distance

Float64Array = npt.NDArray[np.float64]

ANGLE_EDGES_DEG = (0, 30, 60, 90, 120, 150, 180)
THIRDS_DEG = ((0, 60), (60, 120), (120, 180))


@dataclass(frozen=True, eq=False)
class Run:
    """One head trained with one seed.

    Attributes:
        head: name of the head.
        seed: of weights and batches.
        errors_deg: (pairs,) angle between predicted and true rotation of each test pair.
        curve: (step, mean validation error in degrees).
        seconds: wall-clock time of training.
    """

    head: str
    seed: int
    errors_deg: Float64Array
    curve: tuple[tuple[int, float], ...]
    seconds: float


class StudyErrors:
    """The errors of all runs, seeds of a head taken together.

    Args:
        heads: in the order of the table.
        runs: all of them; each head has the same seeds.
        rotation: (pairs, 3, 3), the true rotations of the test pairs.
    """

    HEADER: ClassVar[tuple[str, ...]] = (
        "head",
        "mean deg",
        "median deg",
        "95 % deg",
        "means of the seeds",
        *(f"{low}-{high} deg" for low, high in THIRDS_DEG),
        "s per run",
    )

    def __init__(
        self, heads: Sequence[str], runs: Sequence[Run], rotation: npt.NDArray[np.floating[Any]]
    ) -> None:
        self.heads = tuple(heads)
        self.runs = tuple(runs)
        true = np.asarray(so3_distance(rotation.astype(np.float64), np.eye(3)))
        self.angle_deg: Float64Array = np.degrees(true)

    def of(self, head: str) -> list[Run]:
        """Return the runs of a head, by seed."""
        return [run for run in self.runs if run.head == head]

    def pooled(self, head: str) -> Float64Array:
        """Return the errors in degrees of all seeds of a head, one behind the other."""
        return np.concatenate([run.errors_deg for run in self.of(head)])

    def by_angle(self, head: str, low_deg: float, high_deg: float) -> tuple[float, float, int]:
        """Return mean and median error in degrees, and the number of pairs, between two angles.

        NaN where there is no pair.
        """
        chosen = (self.angle_deg >= low_deg) & (self.angle_deg <= high_deg)
        if not chosen.any():
            return float("nan"), float("nan"), 0
        errors = np.concatenate([run.errors_deg[chosen] for run in self.of(head)])
        return float(errors.mean()), float(np.median(errors)), int(chosen.sum())

    def rows(self) -> list[tuple[object, ...]]:
        """Return the table, one row per head."""
        rows: list[tuple[object, ...]] = []
        for head in self.heads:
            means = [float(run.errors_deg.mean()) for run in self.of(head)]
            thirds = [self.by_angle(head, *edges)[0] for edges in THIRDS_DEG]
            rows.append(
                (
                    head,
                    *(round(value, 2) for value in summary(self.pooled(head)).values()),
                    " ".join(f"{mean:.2f}" for mean in means),
                    *(None if np.isnan(value) else round(value, 2) for value in thirds),
                    round(float(np.mean([run.seconds for run in self.of(head)]))),
                )
            )
        return rows

    def to_dict(self) -> dict[str, Any]:
        """Return all figures for JSON."""
        return {"heads": {head: self._head(head) for head in self.heads}}

    def _head(self, head: str) -> dict[str, Any]:
        bins = []
        for low, high in itertools.pairwise(ANGLE_EDGES_DEG):
            mean, median, pairs = self.by_angle(head, low, high)
            figures = {"mean_deg": mean, "median_deg": median} if pairs else {}
            bins.append({"from_deg": low, "to_deg": high, "pairs": pairs, **figures})
        runs = [
            {
                "seed": run.seed,
                **summary(run.errors_deg),
                "seconds": run.seconds,
                "validation_curve": [list(point) for point in run.curve],
            }
            for run in self.of(head)
        ]
        return {**summary(self.pooled(head)), "by_rotation_angle": bins, "runs": runs}


def summary(errors_deg: Float64Array) -> dict[str, float]:
    """Return mean, median and 95th percentile in degrees."""
    return {
        "mean_deg": float(errors_deg.mean()),
        "median_deg": float(np.median(errors_deg)),
        "p95_deg": float(np.percentile(errors_deg, 95)),
    }
