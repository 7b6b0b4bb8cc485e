"""The page that an evaluation of `uwb` leaves."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nn_perception.evaluation.html_page import Report
from nn_perception.evaluation.latency import Seconds, measured
from nn_perception.evaluation.report import add_latency
from nn_perception.evaluation.uwb_methods import LEARNED, METHODS, RAW
from nn_perception.evaluation.uwb_outcome import PARTLY, UwbOutcome, by_method, in_means
from nn_perception.evaluation.uwb_plots import (
    choose_shown,
    plot_bias_by_angle,
    plot_position_errors,
    plot_range_errors,
    plot_tracks,
)

_TABLES = (
    ("Range error: RMSE without outliers, m", "range_rmse_m", ""),
    ("Range error: median of the absolute, with outliers, m", "median_abs_error_m", ""),
    ("Range error: 95 % of the absolute are below, with outliers, m", "p95_abs_error_m", ""),
    (
        "Position error: RMSE, m",
        "rmse_m",
        "The range filter with the correction in the loop. Horizontal where tags and anchors are "
        "at one height, 3-D elsewhere.",
    ),
    ("Position error: 95 % are below, m", "p95_m", ""),
    (
        "Position error without a filter: RMSE, m",
        "multilateration_rmse_m",
        "Multilateration over the ranges of the last 0.3 s, ten times a second and held between.",
    ),
    (
        "Normalised innovation",
        "nis",
        "Mean squared innovation over the variance that the filter expected, of the ranges that "
        "it used. 1: it knows how wrong the ranges are; above 1 it trusts them too much.",
    ),
)


def write_uwb_report(
    directory: Path,
    *,
    title: str,
    outcomes: Mapping[str, UwbOutcome],
    metrics: Mapping[str, Any],
    facts: Mapping[str, object],
    latency: Seconds,
) -> Path:
    """Write the page: figures by recording and method, pictures, how it was measured, latency.

    Args:
        directory: made when missing; gets `index.html`, `metrics.json` and the pictures.
        title: heading of the page.
        outcomes: by recording, at least one.
        metrics: what `metrics.json` holds; its ``notes`` and ``left_out`` are shown.
        facts: what the reader needs to judge the figures.
        latency: seconds per stage; empty after an evaluation.

    Returns:
        Path of `index.html`.

    Raises:
        ConfigError: matplotlib is missing.
    """
    ranges = sum(len(outcome.sequence) for outcome in outcomes.values())
    report = Report(title, f"{len(outcomes)} recordings, {ranges:,} ranges")
    report.metrics = {"title": title, **metrics, "facts": dict(facts)}
    report.tiles(_tiles(outcomes))
    if facts:
        report.keyvalues("What was evaluated", facts)
    for heading, key, caption in _TABLES:
        _add_table(report, outcomes, heading, key, caption)
    _add_coverage(report, outcomes)
    _add_pictures(report, outcomes)
    _add_recordings(report, outcomes, metrics.get("left_out", {}))
    report.text("How it was measured", *(_sentence(n) for n in metrics.get("notes", {}).values()))
    stages = measured(latency)
    if stages:
        add_latency(report, stages)
    return report.write(directory)


def _tiles(outcomes: Mapping[str, UwbOutcome]) -> dict[str, str]:
    tiles = {}
    for words, key in (("range RMSE", "range_rmse_m"), ("position RMSE", "rmse_m")):
        values = by_method(outcomes, key)
        for method in (LEARNED, RAW):
            tiles[f"{words}, {method}"] = f"{values[method]:.3f} m"
    return tiles


def _add_table(
    report: Report, outcomes: Mapping[str, UwbOutcome], heading: str, key: str, caption: str
) -> None:
    values = by_method(outcomes, key)
    rows: list[list[object]] = [
        [_marked(name, outcomes), *(_number(figures[method]) for method in METHODS)]
        for name, figures in values["per_sequence"].items()
    ]
    if len(outcomes) > 1:
        rows.append(["mean", *(_number(values[method]) for method in METHODS)])
    report.table(heading, rows, ("recording", *METHODS), caption)


def _add_coverage(report: Report, outcomes: Mapping[str, UwbOutcome]) -> None:
    rows = [
        (
            f"{_marked(name, outcomes)}, {method}",
            *(
                _percent(outcome.figures[method][key])
                for key in ("within_1_sigma", "within_2_sigma")
            ),
            _number(outcome.figures[method]["normalised_squared_error"]),
        )
        for name, outcome in outcomes.items()
        for method in METHODS
    ]
    report.table(
        "Errors of ranges against the stated standard deviation, without outliers",
        rows,
        ("recording, method", "within 1 sigma", "within 2 sigma", "squared error / variance"),
        "Normal errors: 68 % and 95 %, and 1. Above 1 the deviation is too small.",
    )


def _add_pictures(report: Report, outcomes: Mapping[str, UwbOutcome]) -> None:
    shown = choose_shown(outcomes)
    chosen = ""
    if len(outcomes) > len(shown):
        chosen = " The worst, the middle and the best recording by the learned position error."
    report.figure(
        "Position error over time", plot_position_errors(shown), f"RMS over 0.5 s.{chosen}"
    )
    report.figure(
        "Tracks over the truth", plot_tracks(shown), f"Seen from above; triangles: anchors.{chosen}"
    )
    report.figure(
        "Range error by direction",
        plot_bias_by_angle(shown),
        "Medians in bins of 10 degrees, without outliers; 0 is ahead, positive to the left. "
        f"The learned bias is that seen from the true pose.{chosen}",
    )
    report.figure(
        "Range errors",
        plot_range_errors(list(outcomes.values())),
        "With outliers; all recordings count the same. The histogram leaves out what lies beyond "
        "its edges.",
    )


def _add_recordings(
    report: Report, outcomes: Mapping[str, UwbOutcome], left_out: Mapping[str, str]
) -> None:
    rows: list[tuple[object, ...]] = []
    for name, outcome in outcomes.items():
        notes = [f"{count:,} rows left out: {why}" for why, count in outcome.rows_left_out.items()]
        if outcome.trained is True:
            notes.append("trained on as a whole: no test")
        if outcome.geometry:
            notes.append(
                f"{outcome.geometry}: positions rest on the height and the start being known"
            )
        outliers = int(outcome.sequence.outlier.sum())
        rows.append((name, len(outcome.sequence), outliers, "; ".join(notes) or None))
    rows += [(name, None, None, f"left out: {reason}") for name, reason in left_out.items()]
    report.table("Recordings", rows, ("recording", "ranges", "outliers", "notes"))


def _marked(name: str, outcomes: Mapping[str, UwbOutcome]) -> str:
    trained = outcomes[name].trained
    if trained is True:
        away = "" if name in in_means(outcomes) else ", not in the mean"
        return f"{name} (trained on{away})"
    return f"{name} (the part not trained on)" if trained == PARTLY else name


def _sentence(text: str) -> str:
    return f"{text[0].upper()}{text[1:]}."


def _number(value: float) -> str | None:
    return f"{value:.3g}" if value == value else None


def _percent(share: float) -> str | None:
    return f"{100 * share:.1f} %" if share == share else None
