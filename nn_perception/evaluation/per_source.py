"""Accuracy of a classifier by where its pictures are from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from nn_perception.evaluation.html_page import Report


@dataclass(frozen=True)
class SourceFigures:
    """Pictures of one source.

    Attributes:
        n: how many.
        right: how many of them were answered right.
        per_class: both counts by true class, of the classes that the source has.
    """

    n: int
    right: int
    per_class: dict[str, tuple[int, int]]

    @property
    def accuracy(self) -> float:
        """Share of right answers."""
        return self.right / self.n

    def to_dict(self) -> dict[str, Any]:
        """Return the figures for JSON."""
        classes = {name: {"n": n, "accuracy": k / n} for name, (n, k) in self.per_class.items()}
        return {"n": self.n, "accuracy": self.accuracy, "per_class": classes}


def accuracy_per_source(
    sources: npt.NDArray[np.str_],
    labels: npt.NDArray[np.int64],
    answers: npt.NDArray[np.integer[Any]],
    names: Sequence[str],
) -> dict[str, SourceFigures]:
    """Count right answers by source and class.

    Args:
        sources: (N,) where each picture is from.
        labels: (N,) true class.
        answers: (N,) answered class.
        names: of the classes.

    Returns:
        One entry for each source, in order of their names.
    """
    figures = {}
    for source in np.unique(sources).tolist():
        mine = sources == source
        right = labels[mine] == answers[mine]
        classes = {
            names[label]: (
                int((labels[mine] == label).sum()),
                int(right[labels[mine] == label].sum()),
            )
            for label in np.unique(labels[mine]).tolist()
        }
        figures[str(source)] = SourceFigures(int(mine.sum()), int(right.sum()), classes)
    return figures


def add_sources(report: Report, figures: Mapping[str, SourceFigures]) -> None:
    """Add a table with a row for each source and class."""
    rows = [
        (source, name, f"{100 * right / n:.2f} %", n)
        for source, each in figures.items()
        for name, (n, right) in each.per_class.items()
    ]
    report.table(
        "Sources",
        rows,
        ("source", "class", "accuracy", "images"),
        "Share of right answers by where the images are from. Sources differ in light, background "
        "and sharpness: a class that has only one of them may be known by these.",
    )
