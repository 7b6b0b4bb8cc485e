"""Pictures of a classifier's report, as PNG bytes: confusion, calibration, accuracy per class."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from nn_perception.evaluation.classification import ClassificationMetrics, Reliability
from nn_perception.evaluation.plot_style import (
    BLUE,
    INK,
    MUTED,
    WIDTH_IN,
    Canvas,
    finish,
    plain_log_ticks,
    shorten,
)


def plot_confusion(metrics: ClassificationMetrics, path: Path | None = None) -> bytes:
    """Draw the confusion matrix: right answers in pale blue, errors by their share of the class."""
    counts = metrics.confusion
    classes = len(counts)
    size = min(WIDTH_IN, 3.4 + 0.42 * classes)
    share = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    errors = np.where(np.eye(classes, dtype=bool), 0.0, share)
    with Canvas(size * 0.94, size) as canvas:
        axes = canvas.figure.add_subplot()
        cells = _error_colours(errors)
        cells[np.arange(classes), np.arange(classes)] = (0.83, 0.91, 0.96)
        axes.imshow(cells, interpolation="nearest")
        if classes <= 25:
            _annotate_confusion(axes, counts, errors)
        every = max(1, math.ceil(classes / 25))
        ticks = np.arange(0, classes, every)
        names = [shorten(metrics.labels[i], 14) for i in ticks]
        upright = max(len(name) for name in names) <= 3
        axes.set_xticks(
            ticks, names, rotation=0 if upright else 50, ha="center" if upright else "right"
        )
        axes.set_yticks(ticks, names)
        axes.set_xticks(np.arange(classes + 1) - 0.5, minor=True)
        axes.set_yticks(np.arange(classes + 1) - 0.5, minor=True)
        axes.grid(which="minor", color="white", linewidth=1.5 if classes <= 25 else 0.4)
        axes.tick_params(which="both", length=0)
        axes.spines[:].set_visible(False)
        wrong = int(counts.sum() - np.trace(counts))
        axes.set_title(f"{wrong:,} of {counts.sum():,} wrong")
        axes.set_xlabel("answer")
        axes.set_ylabel("truth")
        return canvas.png(path)


def _error_strength(errors: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """0..1: how dark an error is drawn. 5 % of a class, or the largest error above it, is darkest.

    The floor keeps a good network's single errors pale; the root keeps them visible.
    """
    return np.sqrt(errors / max(float(errors.max()), 0.05))


def _error_colours(errors: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Near white for no error to deep orange, RGB (K, K, 3)."""
    import matplotlib as mpl

    shade = 0.05 + 0.7 * _error_strength(errors)
    colours = np.asarray(mpl.colormaps["Oranges"](shade))[..., :3].copy()
    colours[errors == 0] = 0.975
    return colours


def _annotate_confusion(
    axes: Any, counts: npt.NDArray[np.int64], errors: npt.NDArray[np.float64]
) -> None:
    size = 10.5 if len(counts) <= 12 and counts.max() < 10_000 else 7.5
    dark = _error_strength(errors) > 0.7
    for (row, column), count in np.ndenumerate(counts):
        if count:
            axes.text(
                column, row, f"{count}", ha="center", va="center", fontsize=size,
                color="white" if dark[row, column] else INK,
            )  # fmt: skip


def plot_reliability(reliability: Reliability, ece: float, path: Path | None = None) -> bytes:
    """Draw accuracy over confidence with 95 % Wilson intervals, and the counts behind it."""
    full = reliability.count > 0
    confidence, accuracy = 100 * reliability.confidence[full], 100 * reliability.accuracy[full]
    low, high = wilson_interval(
        np.rint(reliability.accuracy[full] * reliability.count[full]), reliability.count[full]
    )
    with Canvas(5.4, 6.0) as canvas:
        grid = canvas.figure.add_gridspec(2, 1, height_ratios=[3.2, 1])
        axes = canvas.figure.add_subplot(grid[0])
        axes.plot([0, 100], [0, 100], color=MUTED, linewidth=1, linestyle=(0, (4, 3)))
        axes.vlines(confidence, 100 * low, 100 * high, color=BLUE, alpha=0.45, linewidth=3)
        axes.plot(confidence, accuracy, "o-", color=BLUE, markersize=6, linewidth=1.2)
        axes.set_title("dashed: perfect; bars: 95 % interval", loc="right", fontsize=10,
                       fontweight="normal", color=MUTED)  # fmt: skip
        axes.set_ylim(-3, 103)
        axes.tick_params(labelbottom=False)
        finish(axes, f"ECE {100 * ece:.2f} %", "", "right answers, %")
        below = canvas.figure.add_subplot(grid[1], sharex=axes)
        edges = np.linspace(0, 100, len(reliability.count) + 1)
        below.bar(edges[:-1], reliability.count, np.diff(edges) * 0.88, align="edge", color=MUTED)
        if full.any() and reliability.count.max() > 50:
            below.set_yscale("log")
            below.set_ylim(bottom=0.7)
            plain_log_ticks(below.yaxis, subs=(1.0,))
        below.set_xlim(-2, 102)
        finish(below, "", "confidence of the answer, %", "answers")
        return canvas.png(path)


def plot_class_accuracy(metrics: ClassificationMetrics, path: Path | None = None) -> bytes:
    """Draw the share of right answers per class (recall) with 95 % Wilson intervals.

    At most 40 classes are shown: those with the lowest accuracy.
    """
    shown = [name for name in metrics.labels if metrics.per_class[name].support]
    left_out = max(0, len(shown) - 40)
    if left_out:
        worst = sorted(shown, key=lambda name: metrics.per_class[name].recall)[:40]
        shown = [name for name in shown if name in set(worst)]
    support = np.array([metrics.per_class[name].support for name in shown], np.float64)
    recall = np.array([metrics.per_class[name].recall for name in shown], np.float64)
    low, high = wilson_interval(recall * support, support)
    rows = np.arange(len(shown))
    with Canvas(1.5 + 0.3 * max(len(shown), 2)) as canvas:
        axes = canvas.figure.add_subplot()
        axes.hlines(rows, 100 * low, 100 * high, color=BLUE, alpha=0.35, linewidth=5)
        axes.plot(100 * recall, rows, "o", color=BLUE, markersize=7)
        axes.axvline(100 * metrics.accuracy, color=MUTED, linewidth=1, linestyle=(0, (4, 3)))
        for row, name, value in zip(rows, shown, recall, strict=True):
            axes.annotate(
                f"{100 * value:.2f} %  of {metrics.per_class[name].support:,}",
                (1.0, row), (8, 0), xycoords=("axes fraction", "data"),
                textcoords="offset points", va="center", fontsize=10, color=MUTED,
            )  # fmt: skip
        axes.set_yticks(rows, [shorten(name, 24) for name in shown])
        axes.set_ylim(len(shown) - 0.4, -0.6)
        right = 100.0 + 0.02 * (100.0 - 100.0 * float(low.min())) if len(shown) else 100.0
        axes.set_xlim(right=right)
        note = f" ({left_out} better classes left out)" if left_out else ""
        finish(axes, "", f"right answers, %; dashed: all classes{note}", "")
        axes.grid(axis="y", visible=False)
        axes.tick_params(axis="y", length=0)
        return canvas.png(path)


def wilson_interval(
    right: npt.NDArray[Any], n: npt.NDArray[Any], z: float = 1.96
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return the interval of a share `right / n` (Wilson 1927), 95 % for the default `z`."""
    centre = (right + z * z / 2) / (n + z * z)
    half = z * np.sqrt(right * (n - right) / n + z * z / 4) / (n + z * z)
    return np.maximum(centre - half, 0.0), np.minimum(centre + half, 1.0)
