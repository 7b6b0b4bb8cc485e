"""Recordings of a data set that was built from bags: inertial sensors and UWB ranges."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nn_perception.datasets.build_imu import LEAST_PIECE
from nn_perception.datasets.imu import ImuSequence
from nn_perception.datasets.recorded import open_shards, read_manifest
from nn_perception.datasets.uwb import UwbSequence
from nn_perception.datasets.uwb_text import parse_anchors, parse_tags
from nn_perception.errors import DatasetError

Columns = Mapping[str, NDArray[Any]]


def load_recorded_imu(path: Path, parts: Sequence[str]) -> list[ImuSequence]:
    """Read recordings: each uninterrupted piece of one part is one.

    Args:
        path: the data set's directory.
        parts: which parts; each recording says its own.

    Returns:
        In order of name: the bag's, with the number of the piece where there are several.

    Raises:
        DatasetError: the data set is damaged, of another kind, or has nothing in these parts.
    """
    found = [
        imu_sequence(name, part, metadata, rows)
        for name, part, metadata, rows in _pieces(path, "imu", parts)
        if len(rows["stamp_ns"]) >= LEAST_PIECE
    ]
    if not found:
        raise DatasetError(
            f"{path}: no piece of {' and '.join(parts)} has {LEAST_PIECE} samples; build it again "
            "with a longer --block-s"
        )
    return found


def load_recorded_uwb(path: Path, parts: Sequence[str]) -> list[UwbSequence]:
    """Read recordings of ranges; see `load_recorded_imu`."""
    return [uwb_sequence(*piece) for piece in _pieces(path, "uwb", parts)]


def row_groups(
    path: Path, kind: str, parts: Sequence[str]
) -> Iterator[tuple[str, str, Mapping[str, Any], Columns]]:
    """Iterate over (bag, part, metadata, columns) of some thousand rows each, one at a time."""
    for part, shard in open_shards(path, kind, parts):
        for group in range(shard.file.num_row_groups):
            table = shard.file.read_row_group(group)
            yield shard.source, part, shard.metadata, _columns([table])


def imu_sequence(name: str, part: str, metadata: Mapping[str, Any], rows: Columns) -> ImuSequence:
    """Return rows of one piece as a recording."""
    start_ns, time_s = _times(rows)
    moving = rows["moving"]
    return ImuSequence(
        name=name,
        time_s=time_s,
        gyro_rad_s=_vectors(rows, "gyro", "xyz"),
        accel_m_s2=_vectors(rows, "accel", "xyz"),
        source="bag",
        orientation_xyzw=_vectors(rows, "orientation", "xyzw"),
        position_m=_vectors(rows, "position", "xyz"),
        movement=None if (moving < 0).any() else moving > 0,
        start_ns=start_ns,
        sensor_delay_s=float(metadata["sensor_delay_s"]),
        part=part,
    )


def uwb_sequence(name: str, part: str, metadata: Mapping[str, Any], rows: Columns) -> UwbSequence:
    """Return rows as a recording."""
    start_ns, time_s = _times(rows)
    return UwbSequence(
        name=name,
        time_s=time_s,
        tag=rows["tag"],
        anchor=rows["anchor"],
        range_m=rows["range_m"],
        anchors=parse_anchors(metadata["anchors"]),
        tags=parse_tags(metadata["tags"]),
        position_m=_vectors(rows, "position", "xyz"),
        orientation_xyzw=_vectors(rows, "orientation", "xyzw"),
        source="bag",
        segment=rows["segment"] - rows["segment"][0],
        start_ns=start_ns,
        part=part,
    )


def _pieces(
    path: Path, kind: str, parts: Sequence[str]
) -> Iterator[tuple[str, str, Mapping[str, Any], Columns]]:
    """Iterate over (name, part, metadata of the bag, columns) of each piece."""
    blocks = read_manifest(path)["split"]["blocks"]
    tables: dict[tuple[str, str], list[Any]] = {}
    metadata: dict[str, Mapping[str, Any]] = {}
    for part, shard in open_shards(path, kind, parts):
        metadata[shard.source] = shard.metadata
        tables.setdefault((shard.source, part), []).append(shard.file.read())
    found = []
    for (source, part), files in tables.items():
        rows = _columns(files)
        numbers = np.unique(rows["piece"])
        alone = len(set(blocks[source])) == 1 and numbers.tolist() == [0]
        ends = np.searchsorted(rows["piece"], numbers, side="right").tolist()
        for number, start, stop in zip(numbers.tolist(), [0, *ends], ends, strict=False):
            name = source if alone else f"{source}.{number:03d}"
            own = {column: values[start:stop] for column, values in rows.items()}
            found.append((name, part, metadata[source], own))
    yield from sorted(found, key=lambda piece: piece[0])


def _columns(tables: Sequence[Any]) -> Columns:
    names = tables[0].column_names
    return {n: np.concatenate([table[n].to_numpy() for table in tables]) for n in names}


def _times(rows: Columns) -> tuple[int, NDArray[np.float64]]:
    stamps = rows["stamp_ns"]
    start_ns = int(stamps[0])
    return start_ns, (stamps - start_ns).astype(np.float64) * 1e-9


def _vectors(rows: Columns, name: str, parts: str) -> NDArray[np.float64]:
    return np.stack([rows[f"{name}_{part}"] for part in parts], axis=1)
