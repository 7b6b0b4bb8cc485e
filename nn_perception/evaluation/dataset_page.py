"""The page about a data set that is read before anything is trained on it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nn_perception.datasets.build_settings import PARTS
from nn_perception.datasets.build_summary import alignment_text, unit
from nn_perception.datasets.imu import ImuSequence
from nn_perception.datasets.recorded import open_shards, read_manifest
from nn_perception.datasets.recorded_images import Groups, pictures
from nn_perception.datasets.recorded_sequences import (
    Columns,
    imu_sequence,
    row_groups,
    uwb_sequence,
)
from nn_perception.evaluation import dataset_plots as plots
from nn_perception.evaluation.html_page import Report
from nn_perception.rotations import quat_distance

STEM = "summary"
Place = tuple[str, NDArray[np.float64]]
"""Part, and (N, 4) minutes, x, y, z."""
_COLUMNS = 12
_SHOWN_POINTS = 20_000
_MOST_ERRORS = 200
_SPEED_S = 20.0
_MOST_CURVES = 6


def write_dataset_page(path: Path) -> Path:
    """Write ``summary.html`` and its pictures into a data set; return the page.

    Raises:
        DatasetError: the data set is damaged.
    """
    manifest = read_manifest(path)
    report = Report(f"Data set for the task {manifest['task']}", "Look at it before you train.")
    rows = {f"{unit(manifest)}, {part}": manifest["parts"][part]["rows"] for part in PARTS}
    report.tiles({"bags": len(manifest["sources"]), **rows})
    add = {"images": _add_images, "imu": _add_imu, "uwb": _add_uwb}[manifest["kind"]]
    add(report, path, manifest)
    durations_s = [(s["last_ns"] - s["first_ns"]) * 1e-9 for s in manifest["sources"]]
    split = manifest["split"]
    how = "Whole bags" if split["by"] == "bag" else f"Blocks of {split['block_s']:g} s"
    report.figure(
        "Which time belongs to which part",
        plots.plot_blocks(split["blocks"], durations_s),
        f"{how}, divided at random with seed {split['seed']}; {split['guard_s']:g} s are left out "
        "between parts.",
    )
    _add_sources(report, manifest)
    return report.write(path, STEM)


def _add_sources(report: Report, manifest: Mapping[str, Any]) -> None:
    rows = [
        (
            source["name"],
            source["rows"],
            ", ".join(f"{name} {rate:.1f}" for name, rate in source["rates_hz"].items()),
            ", ".join(f"{name}: {topic}" for name, topic in source["topics"].items()),
            source["sha256"][:12],
        )
        for source in manifest["sources"]
    ]
    report.table("Bags", rows, ("bag", unit(manifest), "rates, Hz", "topics", "sha256"))
    sources = [source for source in manifest["sources"] if "alignment" in source]
    aligned = {source["name"]: alignment_text(source["alignment"]) for source in sources}
    if aligned:
        report.keyvalues("Clocks and axes: truth against sensor", aligned)
    report.keyvalues("Left out", manifest["dropped"] or {"nothing": ""})
    if manifest["skipped"]:
        skipped = {each["name"]: each["reason"] for each in manifest["skipped"]}
        report.keyvalues("Bags that could not be used", skipped)


def _add_images(report: Report, path: Path, manifest: Mapping[str, Any]) -> None:
    classes = manifest["classes"]
    report.figure("Pictures of each class", plots.plot_counts(manifest["parts"], classes))
    found: dict[str, list[NDArray[np.uint8]]] = {name: [] for name in classes}
    for _, shard in open_shards(path, "images", [p for p in PARTS if manifest["parts"][p]["rows"]]):
        if all(len(own) >= _COLUMNS for own in found.values()):
            break
        _fill(found, classes, Groups(shard).spread(_COLUMNS), path)
    report.figure(
        "Some pictures of each class",
        plots.plot_montage(found, _COLUMNS),
        "As they are stored. A picture in the wrong row has a wrong label, or one that came late.",
    )


def _fill(found: dict[str, list[NDArray[np.uint8]]], classes: Any, groups: Any, path: Path) -> None:
    for rows in groups:
        room = {name: _COLUMNS - len(own) for name, own in found.items()}
        for label, picture in zip(rows["label"].tolist(), pictures(path, rows), strict=True):
            own = found[classes[label]]
            if len(own) < _COLUMNS and room[classes[label]] > 0:
                own.append(picture.copy())


def _add_imu(report: Report, path: Path, manifest: Mapping[str, Any]) -> None:
    _add_curves(report, manifest, "correlation of the speeds of rotation")
    places: list[Place] = []
    shown: ImuSequence | None = None
    first = manifest["sources"][0]
    for source, part, metadata, rows in row_groups(path, "imu", _there(manifest)):
        one = rows["piece"] == rows["piece"][len(rows["piece"]) // 2]
        if (shown is None or shown.duration_s < _SPEED_S) and np.count_nonzero(one) > 1:
            shown = imu_sequence(source, part, metadata, {n: v[one] for n, v in rows.items()})
        if source == first["name"]:
            places += _thinned(rows, part, first)
    if shown is not None:
        report.figure(
            "Speed of rotation of sensor and truth",
            plots.plot_speeds(*_speeds(shown)),
            f"Some seconds of {shown.name}, as the data set has them: both lie on each other where "
            "clocks are aligned and the truth is of this sensor.",
        )
    report.figure(f"Where the body was: {first['name']}", plots.plot_trajectories(places))


def _add_uwb(report: Report, path: Path, manifest: Mapping[str, Any]) -> None:
    _add_curves(report, manifest, "mean difference of ranges, m")
    places: list[Place] = []
    errors: dict[str, list[NDArray[np.float64]]] = {}
    anchors: NDArray[np.float64] | None = None
    first = manifest["sources"][0]
    for source, part, metadata, rows in row_groups(path, "uwb", _there(manifest)):
        piece = uwb_sequence(source, part, metadata, rows)
        good = ~piece.outlier & piece.has_truth
        for index, name in enumerate(piece.anchors):
            own = piece.error_m[good & (piece.anchor == index)]
            step = max(1, len(own) // _MOST_ERRORS)
            errors.setdefault(name, []).append(own[::step])
        if source == first["name"]:
            places += _thinned(rows, part, first)
            anchors = np.array([anchor.position_m for anchor in piece.anchors.values()])
    pooled = {name: np.concatenate(own) for name, own in errors.items() if sum(map(len, own))}
    if pooled:
        report.figure(
            "Errors of the ranges of each anchor",
            plots.plot_residuals(pooled),
            "Without outliers. A histogram of two peaks may be two tags, or an anchor that moved.",
        )
    report.figure(f"Where the body was: {first['name']}", plots.plot_trajectories(places, anchors))


def _add_curves(report: Report, manifest: Mapping[str, Any], label: str) -> None:
    for source in manifest["sources"][:_MOST_CURVES]:
        alignment = source["alignment"]
        if alignment["curve"][0]:
            report.figure(
                f"Offset of the clocks: {source['name']}",
                plots.plot_offset(alignment["curve"], alignment["offset_s"], label),
                alignment_text(alignment),
            )


def _there(manifest: Mapping[str, Any]) -> list[str]:
    return [part for part in PARTS if manifest["parts"][part]["rows"]]


def _thinned(rows: Columns, part: str, source: Mapping[str, Any]) -> list[Place]:
    """Return minutes, x, y, z of some rows of each piece; a gap in the truth breaks the line."""
    minutes = (rows["stamp_ns"] - source["first_ns"]) / 60e9
    columns = np.stack([minutes, *(rows[f"position_{axis}"] for axis in "xyz")], axis=1)
    cuts = np.flatnonzero(np.diff(rows["piece"])) + 1
    # All together no more points than a picture can show, however long the recording is.
    step = max(1, source["rows"] // _SHOWN_POINTS)
    return [(part, own[::step]) for own in np.split(columns, cuts)]


def _speeds(piece: ImuSequence) -> tuple[NDArray[np.float64], ...]:
    count = int(np.searchsorted(piece.time_s, piece.time_s[0] + _SPEED_S))
    time_s, quat = piece.time_s[:count], np.asarray(piece.orientation_xyzw)[:count]
    truth = quat_distance(quat[1:], quat[:-1]) / np.diff(time_s)
    sensor = np.linalg.norm(piece.gyro_rad_s[:count], axis=1)
    middle = (sensor[1:] + sensor[:-1]) / 2.0
    return time_s[1:], middle, np.asarray(truth)
