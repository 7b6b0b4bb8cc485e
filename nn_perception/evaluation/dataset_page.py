"""The page about a data set that is read before anything is trained on it."""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nn_perception.datasets.build_settings import PARTS
from nn_perception.datasets.build_shards import release_memory
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
_COLUMNS = 12
_SHOWN_POINTS = 20_000
_SHOWN_ERRORS = 200_000
"""Of all anchors together, however long the recordings are."""
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
    first = manifest["sources"][0]
    track = Track(first)
    shown: ImuSequence | None = None
    for source, part, metadata, rows in _groups(path, manifest):
        one = rows["piece"] == rows["piece"][len(rows["piece"]) // 2]
        if (shown is None or shown.duration_s < _SPEED_S) and np.count_nonzero(one) > 1:
            shown = imu_sequence(source, part, metadata, {n: v[one] for n, v in rows.items()})
        if source == first["name"]:
            track.add(part, rows)
    if shown is not None:
        report.figure(
            "Speed of rotation of sensor and truth",
            plots.plot_speeds(*_speeds(shown)),
            f"Some seconds of {shown.name}, as the data set has them: both lie on each other where "
            "clocks are aligned and the truth is of this sensor.",
        )
    report.figure(f"Where the body was: {first['name']}", plots.plot_trajectories(track.lines))


def _add_uwb(report: Report, path: Path, manifest: Mapping[str, Any]) -> None:
    _add_curves(report, manifest, "mean difference of ranges, m")
    first = manifest["sources"][0]
    track = Track(first)
    errors: dict[str, Values] = {}
    anchors: NDArray[np.float64] | None = None
    step = max(1, sum(source["rows"] for source in manifest["sources"]) // _SHOWN_ERRORS)
    for source, part, metadata, rows in _groups(path, manifest):
        piece = uwb_sequence(source, part, metadata, rows)
        good = ~piece.outlier & piece.has_truth
        for index, name in enumerate(piece.anchors):
            own = np.flatnonzero(good & (piece.anchor == index))[::step]
            errors.setdefault(name, Values()).add(piece.error_m[own])
        if source == first["name"]:
            track.add(part, rows)
            anchors = np.array([anchor.position_m for anchor in piece.anchors.values()])
    pooled = {name: own.array() for name, own in errors.items() if len(own.array())}
    if pooled:
        report.figure(
            "Errors of the ranges of each anchor",
            plots.plot_residuals(pooled),
            "Without outliers. A histogram of two peaks may be two tags, or an anchor that moved.",
        )
    picture = plots.plot_trajectories(track.lines, anchors)
    report.figure(f"Where the body was: {first['name']}", picture)


def _add_curves(report: Report, manifest: Mapping[str, Any], label: str) -> None:
    for source in manifest["sources"][:_MOST_CURVES]:
        alignment = source["alignment"]
        if alignment["curve"][0]:
            report.figure(
                f"Offset of the clocks: {source['name']}",
                plots.plot_offset(alignment["curve"], alignment["offset_s"], label),
                alignment_text(alignment),
            )


def _groups(
    path: Path, manifest: Mapping[str, Any]
) -> Iterator[tuple[str, str, Mapping[str, Any], Columns]]:
    """Iterate over `row_groups` of all parts; what Arrow holds back of each is given up."""
    there = [part for part in PARTS if manifest["parts"][part]["rows"]]
    for group in row_groups(path, manifest["kind"], there):
        yield group
        release_memory()


class Values:
    """Numbers of a few row groups after the other, in one buffer.

    Thousands of small arrays that stay, each made between large ones that go, would keep the
    allocator from using the room of the large ones again.
    """

    def __init__(self) -> None:
        self._values = array("d")

    def add(self, values: NDArray[np.float64]) -> None:
        """Copy some."""
        self._values.frombytes(np.ascontiguousarray(values, np.float64).tobytes())

    def array(self, columns: int = 0) -> NDArray[np.float64]:
        """Return all, (N,) or (N, columns)."""
        found = np.array(self._values, np.float64)
        return found.reshape(-1, columns) if columns else found


class Track:
    """Where the body of one recording was: no more points than a picture can show.

    Attributes:
        lines: part -> (N, 4) minutes, x, y, z of its pieces, with a row of NaN between two.
    """

    def __init__(self, source: Mapping[str, Any]) -> None:
        """Begin with what the manifest says of the recording."""
        self._parts: dict[str, Values] = {}
        self._first_ns = source["first_ns"]
        self._step = max(1, source["rows"] // _SHOWN_POINTS)

    def add(self, part: str, rows: Columns) -> None:
        """Take rows; the arrays that they come in are not kept."""
        starts = np.flatnonzero(np.diff(rows["piece"], prepend=-1))
        stops = np.append(starts[1:], len(rows["piece"]))
        own = self._parts.setdefault(part, Values())
        for start, stop in zip(starts.tolist(), stops.tolist(), strict=True):
            shown = slice(start, stop, self._step)
            minutes = (rows["stamp_ns"][shown] - self._first_ns) / 60e9
            places = [rows[f"position_{axis}"][shown] for axis in "xyz"]
            own.add(np.stack([minutes, *places], axis=1))
            own.add(np.full(4, np.nan))

    @property
    def lines(self) -> dict[str, NDArray[np.float64]]:
        """What there is, by part."""
        return {part: own.array(4) for part, own in self._parts.items()}


def _speeds(piece: ImuSequence) -> tuple[NDArray[np.float64], ...]:
    count = int(np.searchsorted(piece.time_s, piece.time_s[0] + _SPEED_S))
    time_s, quat = piece.time_s[:count], np.asarray(piece.orientation_xyzw)[:count]
    truth = quat_distance(quat[1:], quat[:-1]) / np.diff(time_s)
    sensor = np.linalg.norm(piece.gyro_rad_s[:count], axis=1)
    middle = (sensor[1:] + sensor[:-1]) / 2.0
    return time_s[1:], middle, np.asarray(truth)
