"""What the study ``recurrence`` found, in figures, sentences and pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from nn_perception.evaluation.plot_style import Canvas, finish, plain_log_ticks
from nn_perception.studies.groups import (
    COLOURS,
    LINES,
    Group,
    diverged_text,
    draw_curves,
    grouped,
    percent,
    rounded,
    significant,
    styles,
)
from nn_perception.studies.recurrence import NETWORKS
from nn_perception.studies.seeds import legend_below
from nn_perception.studies.through_time import before_training

if TYPE_CHECKING:
    from nn_perception.evaluation.html_page import Report
    from nn_perception.studies.sweep import Job, Outcome

ACCURACY = "validation_accuracy"
LABELS = {"elman_rnn": "Elman", "gru": "GRU"}
GAINS = (0.7, 1.0, 1.5)
"""Factors of Elman's weights from state to state: gradients fade, stay for a while, and explode."""
LEAST = 1e-9
"""Where pictures of gradients end."""
_BEFORE = (2, 0, 3, 1)
"""Colours of what there is before training: the networks have the same as in other charts."""


@dataclass(frozen=True)
class Memories:
    """All trainings of the study.

    Attributes:
        blanks: numbers of blank rows, rising.
        outcomes: with the keys ``network``, ``blank_rows``, ``seed``.
        before: gradients through time without training, with most blank rows, by label.
    """

    HEADER: ClassVar[tuple[str, ...]] = (
        "network", "blank rows", "accuracy %", "least %", "largest %", "gradient at row 1",
    )  # fmt: skip

    blanks: list[int]
    outcomes: Sequence[Outcome]
    before: Mapping[str, list[float]]

    @classmethod
    def of(cls, blanks: list[int], jobs: Sequence[Job], outcomes: Sequence[Outcome]) -> Memories:
        """Take outcomes, and look at what the trainings began with."""
        keys = [(dict(job.key), job) for job in jobs]
        last = {key["network"]: job for key, job in keys if key["blank_rows"] == blanks[-1]}
        elman = last["elman_rnn"].make()
        before = {f"Elman, weights x {gain:g}": before_training(elman, gain) for gain in GAINS}
        before["GRU"] = before_training(last["gru"].make())
        return cls(blanks, outcomes, before)

    @cached_property
    def groups(self) -> dict[tuple[str, int], Group]:
        """The trainings by network and blank rows."""
        return grouped(self.outcomes, "network", "blank_rows")

    def rows(self) -> list[tuple[object, ...]]:
        """Return one row per network and number of blank rows."""
        found: list[tuple[object, ...]] = []
        for name in NETWORKS:
            for blank in self.blanks:
                group = self.groups[name, blank]
                low, high = group.spread(ACCURACY)
                gradient = group.found("through_time")
                found.append(
                    (
                        LABELS[name],
                        blank,
                        *(rounded(100 * v) for v in (group.last(ACCURACY), low, high)),
                        significant(float(gradient[0]), 2) if gradient.size else None,
                    )
                )
        return found

    def to_dict(self) -> dict[str, Any]:
        """Return all figures."""
        return {
            "findings": self.findings(),
            "before_training": dict(self.before),
            "trainings": [
                {"network": name, "blank_rows": blank} | self.groups[name, blank].to_dict()
                for name in NETWORKS
                for blank in self.blanks
            ],
        }

    def findings(self) -> list[str]:
        """Return what the figures say, in sentences."""
        found = []
        for name in NETWORKS:
            words = ", ".join(
                f"{percent(self.groups[name, blank].last(ACCURACY))} after {blank}"
                for blank in self.blanks
            )
            found.append(f"{LABELS[name]}, accuracy by blank rows: {words}.")
        shares = ", ".join(f"{label} {norms[0]:.2g}" for label, norms in self.before.items())
        found.append(
            "Without training a change of the state after the first row changes the last state, "
            f"{len(next(iter(self.before.values()))) - 1} rows later, by a factor of: {shares}."
        )
        found += [
            diverged_text(f"{LABELS[name]} with {blank} blank rows", group)
            for (name, blank), group in self.groups.items()
            if group.diverged
        ]
        return found


def build(report: Report, result: Memories) -> None:
    """Add all parts of the page, and the pictures beside it."""
    most = result.blanks[-1]
    report.tiles(
        {
            f"{LABELS[name]}, {most} black rows": percent(result.groups[name, most].last(ACCURACY))
            for name in NETWORKS
        }
    )
    report.text("What is seen", *result.findings())
    report.figure(
        "Accuracy",
        draw_accuracy(result),
        "Validation accuracy: mean of the seeds, bands and bars from least to largest. Left: by "
        "the number of black rows between digit and answer. Right: over the epochs, with most of "
        "them.",
    )
    report.figure(
        "Gradients through time",
        draw_gradients(result),
        "Root mean square change of the last state by a change of length 1 of the state after a "
        "row. Left: before training, Elman's orthogonal weights times a factor. Right: trained, "
        "mean of the seeds.",
    )
    report.table(
        "Networks", result.rows(), result.HEADER,
        "Accuracy on held-out pictures after the last epoch: mean, least and largest of the seeds. "
        "Gradient at row 1: by how much a change of the state after the first row changes the "
        "last state, after training.",
    )  # fmt: skip


def draw_accuracy(result: Memories, path: Path | None = None) -> bytes:
    """Draw the accuracy by blank rows, and over the epochs with most of them."""
    with Canvas(3.6) as canvas:
        left, right = canvas.figure.subplots(1, 2)
        for name, style in styles(NETWORKS).items():
            groups = [result.groups[name, blank] for blank in result.blanks]
            middle = 100 * np.array([group.last(ACCURACY) for group in groups])
            spread = 100 * np.array([group.spread(ACCURACY) for group in groups]).T
            bars = np.abs(spread - middle)
            left.errorbar(result.blanks, middle, bars, capsize=3, label=LABELS[name], **style)
        left.set_xticks(result.blanks)
        finish(left, "After black rows", "black rows below the digit", "accuracy, %")
        most = result.blanks[-1]
        longest = {LABELS[name]: result.groups[name, most] for name in NETWORKS}
        draw_curves(right, longest, ACCURACY, 100.0)
        finish(right, f"With {most} black rows", "epoch", "accuracy, %")
        legend_below(canvas, left, 2)
        return canvas.png(path)


def draw_gradients(result: Memories, path: Path | None = None) -> bytes:
    """Draw the gradients through time before and after training."""
    with Canvas(3.9) as canvas:
        left, right = canvas.figure.subplots(1, 2, sharey=True)
        for number, (label, norms) in zip(_BEFORE, result.before.items(), strict=True):
            _draw(left, norms, number, label)
        most = result.blanks[-1]
        for number, name in enumerate(NETWORKS):
            group = result.groups[name, most]
            if group.finished:
                _draw(right, group.found("through_time"), number, LABELS[name])
        for axes, title in ((left, "Before training"), (right, f"Trained, {most} black rows")):
            axes.set_yscale("log")
            axes.set_ylim(bottom=LEAST)
            plain_log_ticks(axes.yaxis, (1.0,), lambda value: f"{value:g}")
            finish(axes, title, "row", "")
        left.set_ylabel("change of the last state")
        legend_below(canvas, left, 2)
        return canvas.png(path)


def _draw(axes: Any, norms: Any, number: int, label: str) -> None:
    rows = np.arange(1, len(norms) + 1)
    axes.plot(rows, norms, color=COLOURS[number], linestyle=LINES[number], label=label)
