"""What the study ``mlp-vs-cnn`` found, in figures, sentences and pictures."""

from __future__ import annotations

import math
import statistics
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from nn_perception.evaluation.plot_style import Canvas, finish, plain_log_ticks
from nn_perception.studies.groups import (
    Group,
    diverged_text,
    draw_curves,
    grouped,
    percent,
    rounded,
    styles,
)
from nn_perception.studies.mlp_vs_cnn import SHIFTS_PX

if TYPE_CHECKING:
    from nn_perception.evaluation.html_page import Report
    from nn_perception.studies.sweep import Outcome
    from nn_perception.training.learning import Learning

ACCURACY, LOSS = "validation_accuracy", "validation_loss"


@dataclass(frozen=True)
class Comparison:
    """All trainings of the study.

    Attributes:
        networks: in order; the first is what the others are compared with.
        total: all training pictures.
        outcomes: with the keys ``network``, ``seed``, ``pictures``, ``scrambled``.
        parameters: of each network.
    """

    HEADER: ClassVar[tuple[str, ...]] = (
        "network", "parameters", "accuracy %", "least", "most", "loss", "moved 2 px %",
        "scrambled %", "s/epoch",
    )  # fmt: skip

    networks: tuple[str, ...]
    total: int
    outcomes: tuple[Outcome, ...]
    parameters: dict[str, int]

    @cached_property
    def groups(self) -> dict[tuple[str, int, bool], Group]:
        """The trainings by network, pictures and whether they are scrambled."""
        return grouped(self.outcomes, "network", "pictures", "scrambled")

    @cached_property
    def sizes(self) -> tuple[int, ...]:
        """Numbers of training pictures with pixels in order."""
        return tuple(sorted({n for _, n, scrambled in self.groups if not scrambled}))

    @cached_property
    def scrambled_size(self) -> int:
        """Training pictures that were scrambled."""
        return next(n for _, n, scrambled in self.groups if scrambled)

    def whole(self, network: str) -> Group:
        """Return the trainings with all pictures."""
        return self.groups[network, self.total, False]

    def accuracy(self, network: str, pictures: int, scrambled: bool = False) -> float:
        """Return the mean accuracy after the last epoch; NaN where all diverged."""
        return self.groups[network, pictures, scrambled].last(ACCURACY)

    def by_shift(self, network: str) -> list[float]:
        """Return the mean accuracy at each of `SHIFTS_PX`."""
        found = self.whole(network).found("by_shift").tolist()
        return found or [math.nan] * len(SHIFTS_PX)

    def epoch_seconds(self, network: str) -> float:
        """Return the median time of an epoch over all pictures."""
        times = [r["seconds"] for o in self.whole(network).outcomes for r in o.history]
        return statistics.median(times) if times else math.nan

    def rows(self) -> list[tuple[object, ...]]:
        """Return one row per network."""
        rows: list[tuple[object, ...]] = []
        for name in self.networks:
            least, most = self.whole(name).spread(ACCURACY)
            shares = (
                self.accuracy(name, self.total), least, most, self.by_shift(name)[2],
                self.accuracy(name, self.scrambled_size, True),
            )  # fmt: skip
            percents = [rounded(100 * share) for share in shares]
            loss = rounded(self.whole(name).last(LOSS), 4)
            seconds = rounded(self.epoch_seconds(name))
            row = (*percents[:3], loss, *percents[3:], seconds)
            rows.append((name, self.parameters[name], *row))
        return rows

    def size_rows(self) -> list[tuple[object, ...]]:
        """Return accuracies in percent: one row per number of pictures."""
        return [
            (n, *(rounded(100 * self.accuracy(name, n)) for name in self.networks))
            for n in self.sizes
        ]

    def to_dict(self) -> dict[str, Any]:
        """Return all figures that repeat."""
        return {
            "parameters": self.parameters,
            "shifts_px": SHIFTS_PX,
            "findings": self.findings(),
            "trainings": [
                {"network": name, "pictures": n, "scrambled": scrambled, **group.to_dict()}
                for (name, n, scrambled), group in self.groups.items()
            ],
        }

    def findings(self) -> list[str]:
        """Return what the figures say, in sentences."""
        first, others = self.networks[0], self.networks[1:]
        found = [
            diverged_text(f"{name} with {n:,} pictures", group)
            for (name, n, _), group in self.groups.items()
            if group.diverged
        ]
        for other in others:
            found += self._against(first, other)
        for name in self.networks:
            still, two, most = (self.by_shift(name)[i] for i in (0, 2, -1))
            found.append(
                f"Moved by 2 pixels, {name} falls from {percent(still)} to {percent(two)}, "
                f"by {SHIFTS_PX[-1]} pixels to {percent(most)}."
            )
        n = self.scrambled_size
        for name in self.networks:
            change = 100 * (self.accuracy(name, n, True) - self.accuracy(name, n))
            if math.isfinite(change):
                found.append(
                    f"With its pixels in a scrambled order {name} changes by {change:+.1f} points "
                    f"({n:,} training pictures)."
                )
        return found

    def _against(self, first: str, other: str) -> list[str]:
        here, there = (self.whole(name) for name in (first, other))
        gap = 100 * (there.last(ACCURACY) - here.last(ACCURACY))
        if not math.isfinite(gap):
            return []
        before = {outcome["seed"]: outcome.history[-1][ACCURACY] for outcome in here.finished}
        pairs = [
            (before[outcome["seed"]], outcome.history[-1][ACCURACY])
            for outcome in there.finished
            if outcome["seed"] in before
        ]
        ratio = self.parameters[other] / self.parameters[first]
        found = [
            f"{other} is {abs(gap):.1f} points {'above' if gap > 0 else 'below'} {first} with all "
            f"{self.total:,} pictures and {ratio:.2g} times its parameters, and above it with "
            f"{sum(mine > its for its, mine in pairs)} of {len(pairs)} seeds."
        ]
        gaps = {n: 100 * (self.accuracy(other, n) - self.accuracy(first, n)) for n in self.sizes}
        if len(gaps) > 1 and all(map(math.isfinite, gaps.values())):
            least, most = min(gaps, key=lambda n: gaps[n]), max(gaps, key=lambda n: gaps[n])
            found.append(
                f"By number of training pictures {other} is {gaps[least]:+.1f} ({least:,}) to "
                f"{gaps[most]:+.1f} points ({most:,}) from {first}."
            )
        return found


def build(report: Report, result: Comparison, learning: Learning) -> None:
    """Add all parts of the page."""
    report.tiles({name: percent(result.accuracy(name, result.total)) for name in result.networks})
    report.text("What is seen", *result.findings())
    report.table(
        "Networks", result.rows(), result.HEADER,
        f"Mean of the seeds after the last epoch, least and most among them, with {result.total:,} "
        "training pictures, all on held-out pictures. Moved: mean of right, left, up, down. "
        f"Scrambled: one order of the pixels for all pictures, {result.scrambled_size:,} of them. "
        "Times were taken while trainings ran beside each other, and never repeat exactly.",
    )  # fmt: skip
    report.figure(
        "Over the epochs", plot_epochs(result), "Mean of the seeds; the bands reach from the least "
        "to the largest. Held-out pictures.",
    )  # fmt: skip
    report.figure(
        "With fewer and with moved pictures", plot_data(result),
        "Left: fewer pictures are seen more often (passes grow with the square root of how many "
        "times fewer they are). Right: trained on centred digits, asked moved ones.",
    )  # fmt: skip
    report.table(
        "Accuracy by number of training pictures", result.size_rows(),
        ("pictures", *(f"{name} %" for name in result.networks)),
    )  # fmt: skip
    report.figure(
        "What the networks get", plot_pictures(learning),
        "A digit as it is, moved by two and by four pixels, and with its pixels in a scrambled "
        "order, which an MLP takes for the same: each of its weights belongs to one pixel.",
    )  # fmt: skip


def plot_epochs(result: Comparison, path: Path | None = None) -> bytes:
    """Draw accuracy and loss over the epochs with all pictures."""
    with Canvas(3.4) as canvas:
        left, right = canvas.figure.subplots(1, 2)
        groups = {name: result.whole(name) for name in result.networks}
        draw_curves(left, groups, ACCURACY, 100.0)
        draw_curves(right, groups, LOSS)
        finish(left, "Accuracy", "epoch", "accuracy, %")
        finish(right, "Loss", "epoch", "cross entropy")
        left.legend(loc="lower right")
        return canvas.png(path)


def plot_data(result: Comparison, path: Path | None = None) -> bytes:
    """Draw the accuracy by number of training pictures, and by the pictures' shift."""
    with Canvas(3.4) as canvas:
        left, right = canvas.figure.subplots(1, 2)
        for name, style in styles(result.networks).items():
            accuracy = [100 * result.accuracy(name, n) for n in result.sizes]
            spreads = [result.groups[name, n, False].spread(ACCURACY) for n in result.sizes]
            left.plot(result.sizes, accuracy, label=name, **style)
            low, high = 100 * np.array(spreads).T
            left.fill_between(result.sizes, low, high, color=style["color"], alpha=0.15, lw=0)
            right.plot(SHIFTS_PX, [100 * share for share in result.by_shift(name)], **style)
        left.set_xscale("log")
        plain_log_ticks(left.xaxis, (1.0, 3.0))
        right.set_xticks(SHIFTS_PX)
        finish(left, "Fewer pictures", "training pictures (log.)", "accuracy, %")
        finish(right, "Moved pictures", "moved by, pixels", "accuracy, %")
        left.legend(loc="lower right")
        return canvas.png(path)


def plot_pictures(learning: Learning, path: Path | None = None) -> bytes:
    """Draw a digit, moved and scrambled."""
    from nn_perception.studies.probing import probe_batch
    from nn_perception.studies.some_digits import ChangedPictures, moved

    digit, _ = probe_batch(learning, 1)
    changed: Any = ChangedPictures(learning, scrambled=True)
    pictures = {
        "as it is": digit,
        "moved by 2 px": moved(digit, 0, 2),
        "moved by 4 px": moved(digit, 0, 4),
        "scrambled": probe_batch(changed, 1)[0],
    }
    with Canvas(2.2) as canvas:
        for axes, (title, picture) in zip(
            canvas.figure.subplots(1, 4), pictures.items(), strict=True
        ):
            axes.imshow(picture[0, 0].numpy(), cmap="gray", vmin=0, vmax=255)
            axes.set_title(title)
            axes.set_axis_off()
        return canvas.png(path)
