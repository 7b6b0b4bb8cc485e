"""The part of a report that says whether a classifier knows when not to answer."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from nn_perception.evaluation.foreign import TPR, ForeignEvaluation
from nn_perception.evaluation.html_page import Report
from nn_perception.evaluation.plot_style import BLUE, INK, MUTED, RED, Canvas, finish, shorten
from nn_perception.tasks.rejection import KEEP_FRAMES_PERCENT

BINS = 60


def add_foreign(report: Report, evaluation: ForeignEvaluation) -> None:
    """Add histograms and a table, and put the figures into the page's ``metrics.json``."""
    report.metrics["foreign"] = evaluation.to_dict()
    report.figure(
        "Known and foreign pictures",
        plot_foreign(evaluation),
        "How much pictures look like a known class: those of the classes (blue) and those that "
        "show none of them (red). The dashed line is the bundle's own threshold for whole frames, "
        "above which it answers. What lies beyond the edges is counted there.",
    )
    rows = [
        (name, 100 * f.auroc, 100 * f.fpr95, f.answered_percent, len(f.scores))
        for name, f in evaluation.sets.items()
    ]
    mean = (100 * evaluation.mean_auroc, 100 * evaluation.mean_fpr95)
    report.table(
        "Foreign pictures in figures",
        [*rows, ("mean", *mean, None, None)],
        ("set", "AUROC, %", f"FPR{100 * TPR:.0f}, %", "answered, %", "pictures"),
        f"FPR{100 * TPR:.0f}: share of foreign pictures answered at the threshold that answers "
        f"{100 * TPR:.0f} % of the known ones here. Answered: at the bundle's own threshold, which "
        f"was to keep {KEEP_FRAMES_PERCENT:g} % and keeps "
        f"{_percent(evaluation.known_answered_percent)} of the known pictures here.",
    )


def plot_foreign(evaluation: ForeignEvaluation, path: Path | None = None) -> bytes:
    """Draw the scores of the known pictures over those of each foreign set."""
    known = evaluation.known_scores
    everything = np.concatenate([known, *(f.scores for f in evaluation.sets.values())])
    everything = everything[np.isfinite(everything)]
    low, high = np.quantile(everything, (0.002, 0.998)) if len(everything) else (0.0, 1.0)
    edges = np.linspace(low, max(high, low + 1e-6), BINS + 1)
    rows = len(evaluation.sets)
    with Canvas(0.9 + 1.5 * rows) as canvas:
        grid = canvas.figure.add_gridspec(rows, 1)
        for row, (name, figures) in enumerate(evaluation.sets.items()):
            axes = canvas.figure.add_subplot(grid[row])
            for scores, colour in ((known, BLUE), (figures.scores, RED)):
                counts, _ = np.histogram(np.clip(scores, edges[0], edges[-1]), edges)
                share = 100 * counts / max(len(scores), 1)
                axes.stairs(share, edges, fill=True, color=colour, alpha=0.35)
                axes.stairs(share, edges, color=colour, linewidth=1.2)
            if evaluation.threshold is not None:
                axes.axvline(evaluation.threshold, color=INK, linewidth=1, linestyle=(0, (4, 3)))
            last = row == rows - 1
            finish(axes, "", "score: how much like a known class" if last else "", "share, %")
            axes.set_title(shorten(name, 50), color=RED)
            axes.set_title(
                f"AUROC {100 * figures.auroc:.2f} %, FPR95 {100 * figures.fpr95:.2f} %",
                loc="right", fontsize=10, fontweight="normal", color=MUTED,
            )  # fmt: skip
            axes.set_xlim(edges[0], edges[-1])
            axes.tick_params(labelbottom=last)
        return canvas.png(path)


def _percent(value: float | None) -> str:
    return "an unknown share" if value is None else f"{value:.1f} %"
