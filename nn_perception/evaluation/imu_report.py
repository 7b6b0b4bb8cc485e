"""The page that an evaluation of `attitude` or `gyro` leaves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from nn_perception.evaluation.html_page import Report
from nn_perception.evaluation.imu_metrics import Figures, collect
from nn_perception.evaluation.imu_outcome import MODEL, Outcome, figures_by_method
from nn_perception.evaluation.imu_plots import (
    WORST_S,
    choose_shown,
    plot_error_shares,
    plot_errors,
    plot_up_vectors,
)
from nn_perception.evaluation.latency import Seconds, measured
from nn_perception.evaluation.report import add_latency

Methods = Mapping[str, Mapping[str, Figures]]

_MAX_CURVES = 3


def write_imu_report(
    directory: Path,
    *,
    title: str,
    outcomes: Mapping[str, Outcome],
    names: Mapping[str, str],
    headline: str,
    rivals: Sequence[str],
    metrics: Mapping[str, Any],
    facts: Mapping[str, object],
    latency: Seconds,
) -> Path:
    """Write the page: figures by recording beside the baselines, pictures, latency.

    Args:
        directory: made when missing; gets `index.html`, `metrics.json` and the pictures.
        title: heading of the page.
        outcomes: by recording, at least one.
        names: words for each figure.
        headline: the figure that recordings are ordered by.
        rivals: baselines in pictures, the most important first.
        metrics: what `metrics.json` holds.
        facts: what the reader needs to judge the figures.
        latency: seconds per stage; empty after an evaluation.

    Returns:
        Path of `index.html`.

    Raises:
        ConfigError: matplotlib is missing.
    """
    methods = figures_by_method(outcomes)
    samples = sum(len(outcome.sequence) for outcome in outcomes.values())
    report = Report(title, f"{len(outcomes)} recordings, {samples:,} samples")
    report.metrics = {"title": title, **metrics, "facts": dict(facts)}
    rivals = [name for name in rivals if name in methods]
    report.tiles(_tiles(methods, rivals, names[headline], headline))
    if facts:
        report.keyvalues("What was evaluated", facts)
    _add_tables(report, methods, names)
    _add_pictures(report, outcomes, rivals, headline, f"{names[headline]} error")
    _add_honesty(report, outcomes)
    stages = measured(latency)
    if stages:
        add_latency(report, stages)
    return report.write(directory)


def _tiles(methods: Methods, rivals: Sequence[str], words: str, headline: str) -> dict[str, str]:
    tiles = {}
    for method in (MODEL, *rivals[:2]):
        mean = collect(methods[method])[headline].mean
        tiles[f"{words}, {method.replace('_', ' ')}"] = f"{mean:.3g}°"
    return tiles


def _add_tables(report: Report, methods: Methods, names: Mapping[str, str]) -> None:
    for key, words in names.items():
        series = {name: collect(figures)[key] for name, figures in methods.items()}
        recordings = list(methods[MODEL])
        rows: list[list[object]] = [
            [name, *(_degrees(each.per_sequence.get(name)) for each in series.values())]
            for name in recordings
        ]
        if len(recordings) > 1:
            rows.append(["mean", *(_degrees(each.mean) for each in series.values())])
        columns = ("recording", *(name.replace("_", " ") for name in series))
        report.table(f"{words[0].upper()}{words[1:]}: RMS error, degrees", rows, columns)


def _add_pictures(
    report: Report,
    outcomes: Mapping[str, Outcome],
    rivals: Sequence[str],
    headline: str,
    what: str,
) -> None:
    shown = list(choose_shown(outcomes, headline).values())
    chosen = "" if len(outcomes) <= len(shown) else " The worst, the middle and the best recording."
    rest = any(outcome.sequence.movement is not None for outcome in shown)
    report.figure(
        "Error over time",
        plot_errors(shown, [MODEL, *rivals[: _MAX_CURVES - 1]]),
        f"{what[0].upper()}{what[1:]}, RMS over 1 s.{chosen}"
        f"{' Grey: phases at rest, which do not count.' if rest else ''}",
    )
    report.figure(
        "Shares of errors",
        plot_error_shares(list(outcomes.values()), [MODEL, *rivals], what),
        "How many samples have an error below a value; all recordings count the same.",
    )
    report.figure(
        "Up in the sensor's frame",
        plot_up_vectors(shown),
        "The up-vector's x and y: in the middle the sensor lies level. Shown are the "
        f"{WORST_S:.0f} s around the largest error.{chosen}",
    )


def _add_honesty(report: Report, outcomes: Mapping[str, Outcome]) -> None:
    rows = [
        (name, *(_degrees(outcome.normalised.get(kind)) for kind in ("inclination", "heading")))
        for name, outcome in outcomes.items()
        if outcome.normalised
    ]
    if rows:
        report.table(
            "Squared error over stated variance",
            rows,
            ("recording", "inclination", "heading"),
            "1: the estimate knows how wrong it is. Above 1 it claims to be better than it is.",
        )


def _degrees(value: float | None) -> str | None:
    return None if value is None or value != value else f"{value:.3g}"
