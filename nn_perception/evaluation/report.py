"""The pages that evaluation, replay and demo leave behind."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from nn_perception.evaluation.classification import ClassificationMetrics
from nn_perception.evaluation.classification_plots import (
    plot_class_accuracy,
    plot_confusion,
    plot_reliability,
)
from nn_perception.evaluation.html_page import Report
from nn_perception.evaluation.latency import Seconds, measured, percentiles_ms, summarise
from nn_perception.evaluation.per_source import SourceFigures, add_sources
from nn_perception.evaluation.plots import (
    duration_text,
    plot_latency,
    plot_learning_curve,
    plot_wrong,
)

__all__ = ["Report", "add_latency", "write_classification_report"]

MAX_WRONG_SHOWN = 48

WrongPicture = tuple[npt.NDArray[np.uint8], str, str, float]
"""Picture uint8 (H, W), (H, W, 1) or (H, W, 3) RGB; truth; answer; probability of the answer."""


def write_classification_report(
    directory: Path,
    *,
    title: str,
    metrics: ClassificationMetrics,
    wrong: Sequence[WrongPicture],
    latency: Seconds | None,
    history: Sequence[Mapping[str, Any]] | None,
    facts: Mapping[str, object],
    per_source: Mapping[str, SourceFigures] | None = None,
) -> Path:
    """Write the page of a classifier: figures, pictures, wrong answers, latency.

    Args:
        directory: made when missing; gets `index.html`, `metrics.json` and the pictures.
        title: heading of the page.
        metrics: from `nn_perception.evaluation.classification`.
        wrong: wrongly answered pictures; the 48 most confident ones are shown.
        latency: seconds per stage, or None.
        history: records of a training run (see `plot_learning_curve`), or None.
        facts: what the reader needs to judge the figures: data, bundle, device.
        per_source: accuracy by where the images are from, or None.

    Returns:
        Path of `index.html`.

    Raises:
        ConfigError: matplotlib is missing.
    """
    latency = measured(latency)
    report = Report(title, f"{metrics.n:,} answers, {len(metrics.labels)} classes")
    report.metrics = {
        "title": title,
        **metrics.to_dict(),
        "per_source": {name: each.to_dict() for name, each in (per_source or {}).items()},
        "latency_ms": percentiles_ms(latency),
        "facts": dict(facts),
    }
    report.tiles(_tiles(metrics, latency))
    if facts:
        report.keyvalues("What was evaluated", facts)
    if metrics.n:
        _add_errors(report, metrics, wrong)
        _add_classes(report, metrics)
    if per_source:
        add_sources(report, per_source)
    if latency:
        add_latency(report, latency)
    if history:
        report.figure(
            "Learning curve",
            plot_learning_curve(history),
            "One point per epoch. Validation images never enter training.",
        )
    return report.write(directory)


def _tiles(metrics: ClassificationMetrics, latency: Seconds) -> dict[str, str]:
    """Choose the figures at the top of the page."""
    if not metrics.n:
        return {"answers with a label": "0"}
    tiles = {
        "accuracy": f"{100 * metrics.accuracy:.2f} %",
        f"wrong of {metrics.n:,}": f"{metrics.n - int(np.trace(metrics.confusion)):,}",
        "calibration error (ECE)": f"{100 * metrics.ece:.2f} %",
    }
    if latency:
        stage = "engine" if "engine" in latency else next(iter(latency))
        tiles[f"{stage}, median"] = duration_text(1e3 * summarise(latency[stage]).p50_s)
    return tiles


def _add_errors(
    report: Report, metrics: ClassificationMetrics, wrong: Sequence[WrongPicture]
) -> None:
    report.figure(
        "Confusion",
        plot_confusion(metrics),
        "Rows are the truth, columns the answers. Right answers are blue; errors are the darker, "
        "the larger their share of the row.",
    )
    total = metrics.n - int(np.trace(metrics.confusion))
    if not total:
        report.text("Wrong answers", "None.")
    elif wrong:
        shown = sorted(wrong, key=lambda entry: -entry[3])[:MAX_WRONG_SHOWN]
        report.figure(
            "Wrong answers",
            plot_wrong(shown),
            f"{len(shown)} of {total:,} wrong answers, the most confident first: truth → answer, "
            "and the probability that the answer was given.",
        )


def _add_classes(report: Report, metrics: ClassificationMetrics) -> None:
    report.figure(
        "Accuracy per class",
        plot_class_accuracy(metrics),
        "Share of each class's images that were answered right, with 95 % Wilson intervals.",
    )
    rows = [
        (name, *(_percent(v) for v in (f.precision, f.recall, f.f1)), f.support)
        for name, f in metrics.per_class.items()
    ]
    report.table("Classes", rows, ("class", "precision", "recall", "F1", "images"))
    report.figure(
        "Calibration",
        plot_reliability(metrics.reliability, metrics.ece),
        "How often answers of a given confidence are right. Below the dashed line the network is "
        f"overconfident. Negative log likelihood {metrics.nll:.4g} nats, Brier score "
        f"{metrics.brier:.4g}.",
    )


def add_latency(report: Report, latency: Seconds) -> None:
    """Add histograms and a table of the seconds per stage."""
    stages = {name: np.asarray(seconds, np.float64) for name, seconds in latency.items()}
    if len(stages) > 1 and len({len(seconds) for seconds in stages.values()}) == 1:
        stages["all stages"] = np.sum(list(stages.values()), axis=0)
    report.figure(
        "Latency",
        plot_latency(stages),
        "Lines mark the median and the 99th percentile. What lies beyond the edges is counted "
        "there.",
    )
    rows = []
    for name, seconds in stages.items():
        summary, figures = summarise(seconds), summarise(seconds).to_ms()
        times = (figures[key] for key in ("p50", "p90", "p99", "max", "mean"))
        rows.append((name, *(duration_text(value) for value in times), summary.n))
    report.table(
        "Latency in figures", rows, ("stage", "p50", "p90", "p99", "max", "mean", "samples")
    )


def _percent(share: float) -> str | None:
    return None if np.isnan(share) else f"{100 * share:.2f} %"
