"""One bag's part in a data set: it is read once, and its rows put into the shards of the parts."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import nn_perception
from nn_perception.config import read_yaml
from nn_perception.datasets import build_images, build_imu, build_uwb
from nn_perception.datasets.build_settings import PARTS, BuildSettings, kind_of
from nn_perception.datasets.build_shards import Columns, ShardWriter, file_sha256
from nn_perception.datasets.build_split import NONE, SplitPlan
from nn_perception.datasets.build_spool import read_json, write_json
from nn_perception.errors import BagError, DatasetError

RESULT, ROWS = "result.json", "rows.bin"
_PLAN_ONLY = ("split", "split_by", "block_s", "guard_s", "jobs", "seed", "skip_damaged", "plots")
"""Settings that matter only after the bags were read."""
_MOST_BLOCKS = 1_000_000

Int64Array = NDArray[np.int64]
STAGES: Mapping[str, Callable[..., dict[str, Any]]] = {
    "images": build_images.stage_images,
    "imu": build_imu.stage_imu,
    "uwb": build_uwb.stage_uwb,
}
CHUNKS: Mapping[str, Callable[[Path], Iterator[tuple[Any, Any, Any, dict[str, Any]]]]] = {
    "images": build_images.image_chunks,
    "imu": build_imu.imu_chunks,
    "uwb": build_uwb.uwb_chunks,
}
COLUMNS: Mapping[str, Columns] = {
    "images": build_images.COLUMNS,
    "imu": build_imu.COLUMNS,
    "uwb": build_uwb.COLUMNS,
}


@dataclass(frozen=True)
class Job:
    """One bag that is to be read.

    Attributes:
        bag: its path.
        name: by which the data set knows it.
        folder: where its rows are kept until the data set is written.
        task: what they are for.
        settings: of the data set.
    """

    bag: Path
    name: str
    folder: Path
    task: str
    settings: BuildSettings


def stage_bag(job: Job, on_bytes: Callable[[int], object] = lambda _: None) -> dict[str, Any]:
    """Read a bag into its folder, unless that was done before; return what is known of it.

    Raises:
        BagError: the bag cannot be read.
        DatasetError: it holds nothing of use.
    """
    key = _key(job)
    if (job.folder / RESULT).is_file():
        before = _staged_before(job.folder / RESULT)
        if before.get("key") == key:
            on_bytes(before["bytes"])
            return before
    shutil.rmtree(job.folder, ignore_errors=True)
    job.folder.mkdir(parents=True)
    try:
        result = STAGES[kind_of(job.task)](job.bag, job.folder, job.task, job.settings, on_bytes)
    except Exception:
        shutil.rmtree(job.folder, ignore_errors=True)
        raise
    files = data_files(job.bag)
    result |= {
        "key": key,
        "name": job.name,
        "sha256": files_sha256(files),
        "rows_sha256": file_sha256(job.folder / ROWS),
        "bytes": sum(file.stat().st_size for file in files),
    }
    write_json(job.folder / RESULT, result)
    return result


def _staged_before(path: Path) -> dict[str, Any]:
    try:
        return read_json(path)
    except ValueError:  # the power went before it was on the disk
        return {}


def data_files(bag: Path) -> list[Path]:
    """Return the files of a bag that hold messages.

    Raises:
        BagError: there is none.
    """
    if bag.is_file():
        return [bag]
    if (bag / "metadata.yaml").is_file():
        about = read_yaml(bag / "metadata.yaml").get("rosbag2_bagfile_information", {})
        files = [bag / Path(name).name for name in about.get("relative_file_paths", [])]
        if files and all(file.is_file() for file in files):
            return files
    raise BagError(f"{bag}: no bag, expected a rosbag2 directory, an .mcap or a .db3 file")


def files_sha256(files: list[Path]) -> str:
    """Return the hash of a file, or of the hashes of several."""
    digests = [file_sha256(file) for file in files]
    joined = hashlib.sha256("".join(digests).encode()).hexdigest()
    return digests[0] if len(digests) == 1 else joined


def _key(job: Job) -> str:
    """Return what tells whether rows that are there are of this bag and these settings."""
    settings = {k: v for k, v in asdict(job.settings).items() if k not in _PLAN_ONLY}
    files = [(f.name, f.stat().st_size, f.stat().st_mtime_ns) for f in data_files(job.bag)]
    told = repr((nn_perception.__version__, job.task, job.name, sorted(settings.items()), files))
    return hashlib.sha256(told.encode()).hexdigest()


def count_blocks(
    folder: Path, kind: str, result: Mapping[str, Any], classes: Mapping[str, int], block_s: float
) -> Int64Array:
    """Return how many rows of each class each block of time has, (B, C).

    Of inertial samples, rest and motion are counted as two classes: a part of rests alone could
    not be evaluated, and one without any rest is easier or harder than the others.

    Raises:
        DatasetError: the stamps span more blocks than any recording.
    """
    block_ns = round(block_s * 1e9)
    blocks = (result["last_ns"] - result["first_ns"]) // block_ns + 1
    if blocks > _MOST_BLOCKS:
        raise DatasetError(
            f"{result['name']}: stamps from {result['first_ns'] * 1e-9:.1f} to "
            f"{result['last_ns'] * 1e-9:.1f} s, {blocks:,} blocks of {block_s:g} s, expected "
            f"{_MOST_BLOCKS:,} at most; was the clock set while it was recorded? Leave those "
            "messages out with 'ros2 bag convert', or give a longer --block-s"
        )
    index = np.array([classes[name] for name in result["classes"]], np.int64)
    if kind == "imu":
        index = np.arange(2)
    table = np.zeros((blocks, max(len(classes), len(index))), np.int64)
    for stamps, label in _labelled(folder, kind):
        block = np.clip((stamps - result["first_ns"]) // block_ns, 0, blocks - 1)
        np.add.at(table, (block, index[label]), 1)
    return table


def _labelled(folder: Path, kind: str) -> Iterator[tuple[Int64Array, Int64Array]]:
    if kind == "images":
        for rows in build_images.picture_rows(folder):
            yield rows["stamp"].astype(np.int64), rows["label"].astype(np.int64)
        return
    for stamps, label, _, columns in CHUNKS[kind](folder):
        yield stamps, (columns["moving"] > 0).astype(np.int64) if kind == "imu" else label


@dataclass(frozen=True)
class Written:
    """What of a bag is in the data set.

    Attributes:
        files: for each part its shards.
        rows: for each part its rows.
        counts: (parts, classes) rows.
        pieces: for each part the uninterrupted pieces.
        in_guard: rows left out between parts.
    """

    files: tuple[tuple[str, ...], ...]
    rows: tuple[int, ...]
    counts: Int64Array
    pieces: tuple[int, ...]
    in_guard: int


def write_bag(
    folder: Path,
    target: Path,
    result: Mapping[str, Any],
    kind: str,
    plan: SplitPlan,
    number: int,
    classes: Mapping[str, int],
    left_out: Int64Array,
    metadata: Mapping[str, Any],
) -> Written:
    """Write a bag's rows into the shards of their parts.

    Args:
        folder: where `stage_bag` put them.
        target: the data set's directory.
        result: of `stage_bag`.
        kind: of the data set.
        plan: which block belongs to which part.
        number: of the bag in the plan.
        classes: the data set's classes -> index.
        left_out: numbers of rows that are not to be written, increasing.
        metadata: what each shard says of itself.
    """
    columns = COLUMNS[kind]
    writers = [ShardWriter(target / part, result["name"], columns, metadata) for part in PARTS]
    index = np.array([classes[name] for name in result["classes"]], np.int32)
    counts = np.zeros((len(PARTS), len(classes)), np.int64)
    pieces = _Pieces()
    in_guard, at = 0, 0
    for stamps, label, segment, values in CHUNKS[kind](folder):
        part = plan.part_of(number, stamps)
        in_guard += int((part == NONE).sum())
        gone = np.isin(at + np.arange(len(part)), left_out)
        at += len(part)
        piece = pieces.number(part, segment)
        if "label" in values:
            values["label"] = index[values["label"]]
        for own, writer in enumerate(writers):
            chosen = (part == own) & ~gone
            if not chosen.any():
                continue
            np.add.at(counts[own], index[label[chosen]], 1)
            rows = {name: values[name][chosen] for name in columns if name in values}
            if "piece" in columns:
                rows["piece"] = piece[chosen]
            writer.write(rows)
    for writer in writers:
        writer.close()
    return Written(
        tuple(tuple(f.relative_to(target).as_posix() for f in w.files) for w in writers),
        tuple(writer.rows for writer in writers),
        counts,
        tuple(pieces.of_part.get(own, 0) for own in range(len(PARTS))),
        in_guard,
    )


class _Pieces:
    """Numbers rows in a row of one segment and one part."""

    def __init__(self) -> None:
        self.of_part: dict[int, int] = {}
        self._last: tuple[int, int] | None = None
        self._number = -1

    def number(self, part: Int64Array, segment: Int64Array) -> Int64Array:
        """Return the number of each row's piece."""
        both = np.stack([part, segment], axis=1)
        new = np.ones(len(both), bool)
        new[1:] = (both[1:] != both[:-1]).any(axis=1)
        new[0] = self._last != (int(part[0]), int(segment[0]))
        numbers = self._number + np.cumsum(new)
        for own in part[new].tolist():
            self.of_part[own] = self.of_part.get(own, 0) + 1
        self._last, self._number = (int(part[-1]), int(segment[-1])), int(numbers[-1])
        return numbers
