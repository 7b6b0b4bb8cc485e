"""Figures and page of the study ``decision-boundary``."""

from __future__ import annotations

import argparse
import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from nn_perception.datasets.points_2d import best_line, draw_points
from nn_perception.studies.boundary_pictures import (
    MOST_LINES,
    Cell,
    plot_grid,
    plot_tables,
)
from nn_perception.studies.decision_boundary import (
    HIDDEN,
    PERCEPTRON,
    STARTS,
    TABLE_EPOCHS,
    TABLE_NETWORKS,
)
from nn_perception.studies.groups import Group, grouped, percent
from nn_perception.studies.planes import HELD_OUT, TABLES, held_out_points

if TYPE_CHECKING:
    from nn_perception.evaluation.html_page import Report
    from nn_perception.studies.sweep import Outcome

SOLVED = 0.95
"""Share of held-out points, as mean of the seeds, from which a network is said to draw a shape."""

SINGLE = "2-1"

ACCURACY = "validation_accuracy"


@dataclass(frozen=True)
class Boundaries:
    """What all trainings gave.

    Attributes:
        kinds: of points.
        networks: from the smallest to the largest, as given.
        shown: epochs at which the last network was looked at.
        arguments: of the command line.
        outcomes: of all trainings, on points and on truth tables.
    """

    kinds: tuple[str, ...]
    networks: tuple[str, ...]
    shown: tuple[int, ...]
    arguments: argparse.Namespace
    outcomes: tuple[Outcome, ...]

    @cached_property
    def groups(self) -> dict[tuple[str, str], Group]:
        """(kind of points or truth table, network) -> trainings."""
        found: dict[tuple[str, str], Group] = grouped(self.outcomes, "on", "network")
        return found

    def header(self) -> tuple[str, ...]:
        """Return the columns of `rows`."""
        return ("points", *self.networks)

    def rows(self) -> list[tuple[object, ...]]:
        """Return the accuracies on held-out points: mean of the seeds (least - largest)."""
        return [
            (kind, *(_range(self.groups[kind, name]) for name in self.networks))
            for kind in self.kinds
        ]

    def best(self, on: str, network: str) -> float:
        """Return the highest held-out accuracy after any epoch of any seed; NaN: there is none."""
        return max(
            (r[ACCURACY] for outcome in self.groups[on, network].outcomes for r in outcome.history),
            default=math.nan,
        )

    @cached_property
    def best_lines(self) -> dict[str, float]:
        """Kind of points -> share of the held-out ones that the best line of all has right.

        The mean of the seeds' points, each with a line that was chosen by them.
        """
        noise, seeds = self.arguments.noise, self.arguments.seeds
        return {
            kind: statistics.fmean(best_line(held_out_points(kind, noise, s)) for s in seeds)
            for kind in self.kinds
        }

    def smallest(self, kind: str) -> str | None:
        """Return the first network that draws a kind of points; None: none of them does."""
        means = ((name, self.groups[kind, name].last(ACCURACY)) for name in self.networks)
        return next((name for name, mean in means if mean >= SOLVED), None)

    def shown_outcome(self, on: str, network: str) -> Outcome | None:
        """Return the training that is drawn: of the least loss on its own points."""
        finished = self.groups[on, network].finished
        return min(finished, key=lambda o: float(o.found["train_loss"])) if finished else None

    def learnt(self, table: str, network: str) -> list[int]:
        """Return after how many epochs a truth table is right for good, of the starts that do."""
        epochs = []
        for outcome in self.groups[table, network].finished:
            right = [record[ACCURACY] == 1.0 for record in outcome.history]
            if right[-1]:
                epochs.append(len(right) - right[::-1].index(False) + 1 if not all(right) else 1)
        return epochs

    def table_rows(self) -> list[tuple[object, ...]]:
        """Return what the truth tables' trainings gave."""
        rows: list[tuple[object, ...]] = []
        for network, tables in TABLE_NETWORKS.items():
            for table in tables:
                epochs = self.learnt(table, network)
                middle = f"{statistics.median(epochs):g}" if epochs else None
                best = self.best(table, network)
                rows_right = f"{round(4 * best)} of 4" if math.isfinite(best) else None
                learnt = f"{len(epochs)} of {STARTS}"
                rows.append((table, network, learnt, middle, rows_right))
        return rows

    def to_dict(self) -> dict[str, Any]:
        """Return the figures for JSON."""
        return {
            "accuracy": {
                kind: {name: self._cell(kind, name) for name in self.networks}
                for kind in self.kinds
            },
            "best_line": self.best_lines,
            "smallest_that_draws_it": {kind: self.smallest(kind) for kind in self.kinds},
            "truth_tables": {
                f"{table}, {network}": {
                    "starts": STARTS,
                    "learnt_after_epochs": self.learnt(table, network),
                    "best_accuracy": self.best(table, network),
                }
                for network, tables in TABLE_NETWORKS.items()
                for table in tables
            },
            "findings": findings(self),
        }

    def _cell(self, kind: str, name: str) -> dict[str, Any]:
        group = self.groups[kind, name]
        return {
            "mean": group.last(ACCURACY),
            "best_after_any_epoch": self.best(kind, name),
            "seeds": {
                str(o["seed"]): {
                    "held_out": o.history[-1][ACCURACY],
                    "training": o.found["train_accuracy"],
                }
                for o in group.finished
            },
            "diverged": {str(o["seed"]): o.diverged for o in group.outcomes if o.diverged},
        }


def _range(group: Group) -> str:
    if not group.finished:
        return "diverged"
    least, largest = group.spread(ACCURACY)
    text = f"{percent(group.last(ACCURACY))} ({100 * least:.0f}-{100 * largest:.0f})"
    return f"{text}, {group.diverged} diverged" if group.diverged else text


def findings(result: Boundaries) -> list[str]:
    """Return what was found, in sentences."""
    told = []
    if SINGLE in result.networks:
        parts = [
            f"{kind} {percent(result.groups[kind, SINGLE].last(ACCURACY))} "
            f"({percent(result.best_lines[kind])})"
            for kind in result.kinds
        ]
        told.append(
            f"A single layer ({SINGLE}) draws a line. It is right on, and in brackets the best of "
            f"all lines: {', '.join(parts)} (held-out points, mean of the seeds)."
        )
        best = {
            kind: result.best(kind, SINGLE) for kind in ("xor", "circle") if kind in result.kinds
        }
        told += [
            f"On {kind} it is never above {percent(share)}, after any epoch with any seed."
            for kind, share in best.items()
        ]
    solved = {kind: result.smallest(kind) or "none of these" for kind in result.kinds}
    told.append(
        f"The first network with {percent(SOLVED, 0)} or more: "
        + ", ".join(f"{kind}: {name}" for kind, name in solved.items())
        + "."
    )
    return told + _table_findings(result)


def _table_findings(result: Boundaries) -> list[str]:
    easy = {table: result.learnt(table, PERCEPTRON) for table in TABLE_NETWORKS[PERCEPTRON]}
    counts = ", ".join(f"{table} {len(epochs)}" for table, epochs in easy.items())
    hidden = result.learnt("XOR", HIDDEN)
    best = result.best("XOR", PERCEPTRON)
    rows = f"{round(4 * best)} of its 4 rows" if math.isfinite(best) else "no row"
    return [
        f"The perceptron learns, of {STARTS} starts each: {counts}; of XOR it never has more than "
        f"{rows} right.",
        f"The 2-2-1 network learns XOR from {len(hidden)} of {STARTS} starts"
        + (f", after {min(hidden)} to {max(hidden)} epochs" if hidden else "")
        + ("; the others end in a local minimum." if len(hidden) < STARTS else "."),
    ]


def build(report: Report, result: Boundaries) -> None:
    """Add the parts of the page."""
    report.text("What was found", *findings(result))
    names = result.networks
    report.figure(
        "Boundaries",
        plot_grid([[_cell(result, kind, name) for name in names] for kind in result.kinds],
                  result.kinds, names, _points(result)),
        f"Probability of class 1 (orange) after the last epoch, and the {result.arguments.count} "
        "points of the training. The black line is where both classes are equally likely; dashed "
        f"ones are where a hidden unit's sum is 0, of networks with up to {MOST_LINES} hidden "
        "units. The number is the accuracy on held-out points. Of the seeds, that with the least "
        "loss in training is drawn.",
    )  # fmt: skip
    report.table(
        "Accuracy on held-out points",
        result.rows(),
        result.header(),
        f"{HELD_OUT:,} points of each kind, another draw. Mean of "
        f"{len(result.arguments.seeds)} seeds (least - largest).",
    )
    _add_epochs(report, result)
    _add_tables(report, result)


def _add_epochs(report: Report, result: Boundaries) -> None:
    name, epochs = result.networks[-1], (*result.shown, result.arguments.epochs)
    cells = []
    for kind in result.kinds:
        outcome = result.shown_outcome(kind, name)
        planes = outcome.found["planes"] if outcome else {}
        last = outcome.found["plane"] if outcome else None
        history = outcome.history if outcome else []
        cells.append(
            [
                Cell(planes.get(e, last), history[e - 1][ACCURACY]) if outcome else Cell()
                for e in epochs
            ]
        )
    columns = ["epoch 1" if e == 1 else f"{e}" for e in epochs]
    report.figure(
        "Over the epochs",
        plot_grid(cells, result.kinds, columns, _points(result, name)),
        f"{name} after some epochs, of the same training as above.",
    )


def _add_tables(report: Report, result: Boundaries) -> None:
    shown = [("AND", PERCEPTRON), ("OR", PERCEPTRON), ("XOR", PERCEPTRON), ("XOR", HIDDEN)]
    cells = [_cell(result, table, network, network == HIDDEN) for table, network in shown]
    titles = [f"{table}: {network.split(', ')[-1]}" for table, network in shown]
    report.figure(
        "Truth tables",
        plot_tables(cells, titles, [TABLES[table] for table, _ in shown]),
        "Filled: 1, hollow: 0. The perceptron's line divides AND and OR. No line divides XOR; two "
        "hidden units draw two lines (dashed), and the output takes what is between them. Drawn "
        "is the start with the least loss.",
    )
    report.table(
        "Truth tables in figures",
        result.table_rows(),
        ("table", "network", "learnt", "epochs, median", "best"),
        f"{STARTS} starts of each, of up to "
        + ", ".join(f"{epochs} epochs ({name})" for name, epochs in TABLE_EPOCHS.items())
        + ". Learnt: all four rows are right, and stay so. Best: after any epoch of any start.",
    )


def _cell(result: Boundaries, on: str, network: str, lines: bool = True) -> Cell:
    outcome = result.shown_outcome(on, network)
    if outcome is None:
        return Cell()
    found = outcome.found
    one_hidden_layer = network.count("-") == 2
    few = one_hidden_layer and len(found["biases"]) <= MOST_LINES
    drawn = (found["weights"], found["biases"]) if lines and few else None
    return Cell(found["plane"], outcome.history[-1][ACCURACY], drawn)


def _points(result: Boundaries, network: str | None = None) -> list[list[Any]]:
    """Return the points of the training that is drawn, for each kind and network."""
    names: Sequence[str] = (network,) if network else result.networks
    arguments = result.arguments
    found = []
    for kind in result.kinds:
        outcomes = [result.shown_outcome(kind, name) for name in names]
        seeds = [o["seed"] if o else arguments.seeds[0] for o in outcomes]
        found.append([draw_points(kind, arguments.count, arguments.noise, s) for s in seeds])
    return found
