"""Pictures of any report, as PNG bytes: learning curve, latency, wrong answers."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from nn_perception.evaluation.latency import summarise
from nn_perception.evaluation.plot_style import (
    BLUE,
    MUTED,
    RED,
    WIDTH_IN,
    Canvas,
    finish,
    plain_log_ticks,
    shorten,
)


def plot_learning_curve(history: Sequence[Mapping[str, Any]], path: Path | None = None) -> bytes:
    """Draw loss, accuracy and learning rate over the epochs.

    Args:
        history: records with ``epoch``, and those they have of ``train_loss``,
            ``validation_loss`` (or ``validation_nll``), ``validation_accuracy``, ``learning_rate``.
        path: where to write the PNG as well.
    """
    loss = {
        "training": _column(history, "train_loss"),
        "validation": _column(history, "validation_loss", "validation_nll"),
    }
    accuracy = _column(history, "validation_accuracy")
    rate = _column(history, "learning_rate")
    shows_rate = len(rate[1]) > 1 and len(set(rate[1])) > 1
    with Canvas(4.6 if shows_rate else 3.6) as canvas:
        rows = 2 if shows_rate else 1
        grid = canvas.figure.add_gridspec(rows, 2, height_ratios=[3, 1][:rows])
        axes = canvas.figure.add_subplot(grid[0, 0])
        for (name, (epochs, values)), colour in zip(loss.items(), (BLUE, RED), strict=True):
            if len(epochs):
                axes.plot(epochs, values, color=colour, label=name, **_markers(epochs))
        positive = [v for _, values in loss.values() for v in values if v > 0]
        if positive and max(positive) / min(positive) > 8:
            axes.set_yscale("log")
            plain_log_ticks(axes.yaxis)
        if positive:
            axes.legend()
        finish(axes, "Loss", "epoch", "loss")
        axes = canvas.figure.add_subplot(grid[0, 1])
        _draw_accuracy(axes, *accuracy)
        if shows_rate:
            axes = canvas.figure.add_subplot(grid[1, :])
            axes.plot(*rate, color=MUTED, drawstyle="steps-mid")
            axes.set_ylim(bottom=0)
            finish(axes, "Learning rate", "epoch", "")
        for axes in canvas.figure.axes:
            axes.xaxis.get_major_locator().set_params(integer=True, min_n_ticks=1)
            if len(history) == 1:
                axes.set_xlim(0, 2)
        return canvas.png(path)


def _draw_accuracy(
    axes: Any, epochs: npt.NDArray[np.float64], values: npt.NDArray[np.float64]
) -> None:
    percent = 100 * values
    axes.plot(epochs, percent, color=RED, **_markers(epochs))
    if len(percent):
        best = int(percent.argmax())
        axes.plot(epochs[best], percent[best], "o", color=RED, markersize=8)
        low = np.percentile(percent, 10) if len(percent) > 5 else percent.min()
        span = max(percent[best] - low, 0.2)
        top = min(100.0 + 0.05 * span, percent[best] + 0.3 * span)
        axes.set_ylim(max(0.0, low - 0.6 * span), top)
        axes.text(
            0.97, 0.06, f"best {percent[best]:.2f} % at epoch {epochs[best]:g}",
            transform=axes.transAxes, ha="right", color=RED,
        )  # fmt: skip
    finish(axes, "Validation accuracy", "epoch", "right answers, %")


def plot_latency(
    seconds: Mapping[str, npt.NDArray[Any] | Sequence[float]], path: Path | None = None
) -> bytes:
    """Draw one histogram per stage over a shared logarithmic time axis, with p50 and p99.

    Args:
        seconds: stage -> durations in seconds; stages without samples are left out.
        path: where to write the PNG as well.
    """
    stages = {name: 1e3 * np.asarray(values, np.float64) for name, values in seconds.items()}
    stages = {name: values[values > 0] for name, values in stages.items() if len(values)}
    stages = {name: values for name, values in stages.items() if len(values)}
    with Canvas(1.1 + 0.8 * max(len(stages), 1)) as canvas:
        if not stages:
            canvas.figure.text(0.5, 0.5, "no samples", ha="center", color=MUTED)
            return canvas.png(path)
        # The far tail is a handful of samples: it may not squeeze everything else together.
        low = min(float(np.percentile(v, 0.5)) for v in stages.values()) * 0.8
        high = max(float(np.percentile(v, 99.5)) for v in stages.values()) * 1.25
        bins = np.geomspace(low, high, 90)
        rows = canvas.figure.subplots(len(stages), 1, sharex=True, squeeze=False)[:, 0]
        for axes, (name, values) in zip(rows, stages.items(), strict=True):
            _draw_latency(axes, name, values, bins)
        rows[-1].set_xscale("log")
        plain_log_ticks(rows[-1].xaxis, text=duration_text)
        rows[-1].set_xlim(low, high)
        rows[-1].set_xlabel("time per message (logarithmic)")
        rows[-1].tick_params(axis="x", length=4)
        return canvas.png(path)


def _draw_latency(axes: Any, name: str, values_ms: npt.NDArray[np.float64], bins: Any) -> None:
    counts, _ = np.histogram(np.clip(values_ms, bins[0], bins[-1]), bins)
    axes.stairs(counts, bins, fill=True, color=BLUE, alpha=0.35)
    axes.stairs(counts, bins, color=BLUE, linewidth=1)
    summary = summarise(values_ms)  # milliseconds in, milliseconds out
    axes.set_title(name, fontsize=11, pad=4)
    for where, label, value, colour in (
        ("center", "p50", summary.p50_s, BLUE),
        ("right", "p99", summary.p99_s, RED),
    ):
        text = f"{label} {duration_text(value)}"
        axes.set_title(text, loc=where, fontsize=10, color=colour, pad=4, fontweight="normal")
        axes.axvline(value, color=colour, linewidth=1.6)
    axes.set_yticks([])
    axes.spines["left"].set_visible(False)
    axes.tick_params(axis="x", length=0)
    axes.grid(axis="x")


def plot_wrong(
    wrong: Sequence[tuple[npt.NDArray[np.uint8], str, str, float]], path: Path | None = None
) -> bytes:
    """Draw wrongly answered images, each with its truth, the answer and its probability.

    Args:
        wrong: (image uint8 (H, W), (H, W, 1) or (H, W, 3) RGB, truth, answer, score 0..1).
        path: where to write the PNG as well.
    """
    columns = 8 if len(wrong) > 12 else 6
    rows = math.ceil(len(wrong) / columns) or 1
    with Canvas(0.1 + rows * (WIDTH_IN / columns * 0.86 + 0.42)) as canvas:
        cells = canvas.figure.subplots(rows, columns, squeeze=False).reshape(-1)
        for axes in cells:
            axes.set_axis_off()
        for axes, (image, truth, answer, score) in zip(cells, wrong, strict=False):
            grey = image.ndim == 2 or image.shape[2] == 1
            pixels = image.reshape(image.shape[:2]) if grey else image
            small = max(image.shape[:2]) < 100
            axes.imshow(
                pixels, cmap="gray", vmin=0, vmax=255,
                interpolation="nearest" if small else "antialiased",
            )  # fmt: skip
            axes.set_title(
                f"{shorten(truth, 10)} → {shorten(answer, 10)}\n{100 * score:.0f} %",
                fontsize=9, loc="center", pad=4, fontweight="normal",
            )  # fmt: skip
        return canvas.png(path)


def _column(
    history: Sequence[Mapping[str, Any]], *names: str
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Epochs and values of the first of `names` that the records have; not-finite ones left out."""
    for name in names:
        points = [(r.get("epoch", i + 1), r.get(name)) for i, r in enumerate(history)]
        kept = [(e, v) for e, v in points if isinstance(v, int | float) and math.isfinite(v)]
        if kept:
            return np.array([e for e, _ in kept], float), np.array([v for _, v in kept], float)
    return np.zeros(0), np.zeros(0)


def _markers(epochs: npt.NDArray[np.float64]) -> dict[str, Any]:
    return {"marker": "o", "markersize": 4} if len(epochs) <= 30 else {}


def duration_text(value_ms: float) -> str:
    """Write milliseconds with three digits, in µs, ms or s."""
    if value_ms < 0.1:
        return f"{_three_digits(1e3 * value_ms)} µs"
    return f"{_three_digits(value_ms)} ms" if value_ms < 1e3 else f"{value_ms / 1e3:.3g} s"


def _three_digits(value: float) -> str:
    return f"{value:.3g}" if value < 100 else f"{value:.0f}"
