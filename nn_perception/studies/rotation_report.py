"""Pictures and page of the study ``rotation-heads``."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from nn_perception.errors import ConfigError
from nn_perception.evaluation.html_page import Report
from nn_perception.evaluation.plot_style import (
    BLUE,
    GREEN,
    INK,
    MUTED,
    ORANGE,
    RED,
    Canvas,
    finish,
    plain_log_ticks,
)
from nn_perception.studies.protocol import HEADS, Protocol
from nn_perception.studies.rotation_errors import ANGLE_EDGES_DEG, StudyErrors

COLOURS = dict(zip(HEADS, (RED, GREEN, BLUE, ORANGE, INK), strict=False))
"""A head has its colour in all pictures, whichever others are beside it."""

NAMES = {"quaternion": "quaternion (4)", "6d": "6D Gram-Schmidt (6)", "svd": "SVD (9)"}
"""Names in words, with how many numbers the head takes."""

MIN_PAIRS = 100
"""A range of angles with fewer pairs is not drawn."""

MIN_ERROR_DEG = 0.01
"""Smaller errors are drawn as this one, on a logarithmic axis."""

RANDOM_DEG = float(np.degrees(np.pi / 2 + 2 / np.pi))
"""Mean angle from any rotation to a uniformly random one."""


def write_report(
    directory: Path, errors: StudyErrors, protocol: Protocol, facts: Mapping[str, Any]
) -> Path:
    """Write the page with its pictures, ``metrics.json`` and the errors as ``errors.npz``.

    Args:
        directory: made when missing.
        errors: of all runs.
        protocol: how the heads were trained.
        facts: what else the figures depend on; see `nn_perception.studies.rotation_heads`.

    Returns:
        Path of ``index.html``.

    Raises:
        ConfigError: matplotlib is missing, or the directory cannot be written.
    """
    seeds = facts["seeds"]
    report = Report(
        "Rotation heads on point-cloud alignment",
        f"{len(errors.heads)} heads, seeds {', '.join(map(str, seeds))}, "
        f"{facts['test_pairs']:,} test pairs",
    )
    report.metrics = {**facts, **errors.to_dict()}
    report.tiles({f"{head}, mean": f"{errors.pooled(head).mean():.2f}°" for head in errors.heads})
    _add_errors(report, errors)
    report.keyvalues("What was run", _facts_in_words(protocol, facts))
    try:
        page = report.write(directory)
        _save_errors(directory, errors)
    except OSError as error:
        raise _not_written(directory, error) from error
    return page


def make_directory(directory: Path) -> None:
    """Make the report's directory: better now than after an hour of training.

    Raises:
        ConfigError: it cannot be made.
    """
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _not_written(directory, error) from error


def _not_written(directory: Path, error: OSError) -> ConfigError:
    reason = error.strerror or error
    return ConfigError(f"cannot write to {directory}: {reason}; choose another --out")


def _save_errors(directory: Path, errors: StudyErrors) -> None:
    """Keep every single error, for other pictures than ours."""
    np.savez_compressed(
        directory / "errors.npz",
        angle_deg=errors.angle_deg,
        errors_deg=np.stack([run.errors_deg for run in errors.runs]),
        heads=np.array([run.head for run in errors.runs]),
        seeds=np.array([run.seed for run in errors.runs]),
    )


def _add_errors(report: Report, errors: StudyErrors) -> None:
    report.table(
        "Errors on the test shapes",
        errors.rows(),
        errors.HEADER,
        "Angle between predicted and true rotation, all seeds of a head together. The last columns "
        f"are means by the true rotation's angle. Chance is {RANDOM_DEG:.1f} deg.",
    )
    report.figure(
        "Errors",
        plot_errors(errors),
        "Left: part of the test pairs with a smaller error; further to the left is better. Right: "
        "median (line) and mean (dashed) by the angle of the true rotation, for ranges of angles "
        f"with at least {MIN_PAIRS} pairs.",
    )
    report.figure(
        "Learning curves",
        plot_curves(errors),
        "Mean error on shapes held out of the training file; one line per seed.",
    )


def plot_errors(errors: StudyErrors, path: Path | None = None) -> bytes:
    """Draw the cumulative errors, and the errors by the true rotation's angle.

    Args:
        errors: of all runs.
        path: where to write the PNG as well.
    """
    with Canvas(4.2) as canvas:
        left, right = canvas.figure.subplots(1, 2)
        share = np.linspace(0.0, 100.0, 401)
        smallest = []  # the half percent of the smallest errors says nothing
        for head in errors.heads:
            values = np.maximum(np.percentile(errors.pooled(head), share), MIN_ERROR_DEG)
            smallest.append(values[2])
            left.plot(values, share, color=COLOURS[head], label=head)
            _draw_by_angle(right, errors, head)
        left.set_xscale("log")
        left.set_xlim(0.8 * min(smallest), 180)
        left.set_ylim(0, 100)
        plain_log_ticks(left.xaxis)
        finish(left, "Pairs with a smaller error", "error, degrees (logarithmic)", "pairs, %")
        left.legend(loc="lower right")
        right.set_xlim(0, 180)
        right.set_ylim(0, 1.3 * right.get_ylim()[1])  # room for the legend
        right.set_xticks(ANGLE_EDGES_DEG)
        finish(right, "Error by true rotation", "true rotation angle, degrees", "error, degrees")
        right.plot([], [], color=MUTED, label="median")
        right.plot([], [], color=MUTED, linestyle="--", label="mean")
        right.legend(loc="upper right", ncol=2)
        return canvas.png(path)


def _draw_by_angle(axes: Any, errors: StudyErrors, head: str) -> None:
    points = []
    for low, high in itertools.pairwise(ANGLE_EDGES_DEG):
        mean, median, pairs = errors.by_angle(head, low, high)
        if pairs >= MIN_PAIRS:
            points.append(((low + high) / 2, mean, median))
    if points:
        centres, means, medians = zip(*points, strict=True)
        axes.plot(centres, medians, "o-", color=COLOURS[head], markersize=4)
        axes.plot(centres, means, "o--", color=COLOURS[head], markersize=4, linewidth=1.4)


def plot_curves(errors: StudyErrors, path: Path | None = None) -> bytes:
    """Draw the mean validation error over the steps, one line per run.

    Args:
        errors: of all runs.
        path: where to write the PNG as well.
    """
    with Canvas(3.4) as canvas:
        axes = canvas.figure.add_subplot()
        for head in errors.heads:
            for number, run in enumerate(errors.of(head)):
                steps, degrees = zip(*run.curve, strict=True)
                label = NAMES[head] if number == 0 else None
                axes.plot(steps, degrees, color=COLOURS[head], linewidth=1.6, label=label)
        axes.axhline(RANDOM_DEG, color=MUTED, linewidth=1, linestyle=":")
        axes.text(
            1.0, RANDOM_DEG, "chance", transform=axes.get_yaxis_transform(),
            ha="right", va="bottom", color=MUTED, fontsize=10,
        )  # fmt: skip
        axes.set_yscale("log")
        axes.margins(x=0)
        plain_log_ticks(axes.yaxis)
        finish(axes, "Held-out training shapes", "step", "mean error, degrees (log.)")
        axes.legend()
        return canvas.png(path)


def _facts_in_words(protocol: Protocol, facts: Mapping[str, Any]) -> dict[str, object]:
    data, widths = facts["data"], "-".join(map(str, (3, *protocol.widths)))
    sources = {name: f"{part['shapes']:,} of {part['source']}" for name, part in data.items()}
    return {
        "training shapes": sources["train"],
        "held out for the curves": sources["validation"],
        "test shapes": f"{sources['test']}, {facts['test_pairs']:,} pairs",
        "pairs": f"the same {protocol.points} points in both clouds, whose order the "
        "network cannot see; rotations uniform on SO(3); no noise",
        "network": f"coordinates times {protocol.scale:g}, per point {widths}, maximum, both "
        f"clouds side by side, {2 * protocol.widths[-1]}-{protocol.hidden}-D, leaky ReLU",
        "training": f"{protocol.steps:,} steps of {protocol.batch_size} pairs, AdamW, peak rate "
        f"{protocol.learning_rate:g}, warm-up and half a cosine; {protocol.loss} loss",
        "the published protocol": "2,600,000 steps of 10 pairs, all points, 3-64-128-1024, "
        "2048-512-D, Adam, rate 1e-5",
        **facts["environment"],
    }
