"""Data sets straight from bags: read, align, divide, write; see `nn-perception dataset`.

A bag is read once, in pieces, into rows on disk (`build_images`, `build_imu`, `build_uwb`), one
process for each bag. When all are read the blocks of time are divided among the parts, and the rows
go into Parquet files. All that happens in a hidden directory beside the data set, which gets its
name at the very end; a build that was killed, or ended by an error, goes on with the bags that it
had read.
"""

from __future__ import annotations

import hashlib
import shutil
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

import nn_perception
from nn_perception.datasets import build_images
from nn_perception.datasets.build_bag import (
    COLUMNS,
    Job,
    Written,
    count_blocks,
    stage_bag,
    write_bag,
)
from nn_perception.datasets.build_duplicates import near_duplicates
from nn_perception.datasets.build_jobs import run_jobs
from nn_perception.datasets.build_place import BAGS, DATASET, workplace
from nn_perception.datasets.build_settings import PARTS, BuildSettings, Kind, kind_of
from nn_perception.datasets.build_shards import file_sha256, require_pyarrow
from nn_perception.datasets.build_split import SplitPlan, block_length_s, plan_split
from nn_perception.datasets.build_spool import write_json
from nn_perception.datasets.build_summary import DatasetSummary
from nn_perception.datasets.recorded import DATASET_FILE, FORMAT
from nn_perception.datasets.sources import find_sources
from nn_perception.errors import BagError, DatasetError

OnProgress = Callable[[int, int], object]
"""Called with the bytes of bags that were read, and those that there are."""


def build_dataset(
    bags: Sequence[Path],
    task: str,
    out: Path,
    settings: BuildSettings = BuildSettings(),  # noqa: B008 (it is frozen)
    on_progress: OnProgress = lambda done, total: None,
) -> DatasetSummary:
    """Build a data set.

    Args:
        bags: rosbag2 directories, bare MCAP or SQLite files, or directories of these.
        task: what it is for, see `build_settings.KINDS`.
        out: the directory to make.
        settings: how.
        on_progress: see `OnProgress`.

    Returns:
        What was built, and what was left out.

    Raises:
        BagError: a bag cannot be read, or lacks a topic.
        ConfigError: a setting cannot be used.
        DatasetError: nothing usable, ``out`` is there already, or it cannot be written.
    """
    kind, out = kind_of(task), Path(out)
    require_pyarrow()
    found = find_bags(bags)
    if out.exists():
        raise DatasetError(f"{out}: is there already; remove it or give another directory")
    with workplace(out) as place:
        jobs = _jobs(found, place / BAGS, task, settings)
        results, skipped = _stage(jobs, settings, on_progress)
        target = place / DATASET
        shutil.rmtree(target, ignore_errors=True)
        target.mkdir()
        manifest = _write(target, kind, task, jobs, results, settings)
        manifest["skipped"] = skipped
        write_json(target / DATASET_FILE, manifest)
        if settings.plots:
            from nn_perception.evaluation.dataset_page import write_dataset_page

            write_dataset_page(target)
        target.rename(out)
    return DatasetSummary(out, manifest)


def find_bags(paths: Sequence[Path]) -> list[Path]:
    """Return the bags at some paths, in their order and each once.

    Raises:
        BagError: there is none.
    """
    expected = "expected a bag, or a directory of bags"
    found: list[Path] = []
    for path in paths:
        try:
            found += find_sources(path, lambda _: False, expected)
        except DatasetError as error:
            raise BagError(str(error)) from error
    unique = list({bag.resolve(): bag for bag in found}.values())
    if not unique:
        raise BagError(f"no bag was given, {expected}")
    return unique


def _jobs(bags: Sequence[Path], folder: Path, task: str, settings: BuildSettings) -> list[Job]:
    names: Counter[str] = Counter()
    jobs = []
    for bag in bags:
        path = bag.resolve()
        stem = path.stem if path.suffix in (".mcap", ".db3") else path.name
        names[stem] += 1
        name = stem if names[stem] == 1 else f"{stem}_{names[stem]}"
        jobs.append(Job(bag, name, folder / name, task, settings))
    return jobs


def _stage(
    jobs: list[Job], settings: BuildSettings, on_progress: OnProgress
) -> tuple[list[dict[str, Any]], list[dict[str, str]]]:
    """Read all bags; take those that could not be read out of ``jobs``."""
    results, skipped, kept = [], [], []
    for job, result in zip(jobs, run_jobs(stage_bag, jobs, settings, on_progress), strict=True):
        if isinstance(result, dict):
            results.append(result)
            kept.append(job)
        else:
            skipped.append({"name": job.name, "reason": str(result)})
    jobs[:] = kept
    if not results:
        reasons = "; ".join(entry["reason"] for entry in skipped)
        raise BagError(f"none of {len(skipped)} bag(s) can be used: {reasons}")
    seen: dict[str, str] = {}
    for result in results:
        # Of the rows, not of the file: a copy may be compressed, or of the other storage.
        other = seen.setdefault(result["rows_sha256"], result["name"])
        if other != result["name"]:
            raise DatasetError(
                f"{result['name']} and {other} are the same recording, expected each once, since "
                "one could be trained on and the other tested with; leave one out"
            )
    return results, skipped


def _write(
    target: Path,
    kind: Kind,
    task: str,
    jobs: Sequence[Job],
    results: Sequence[Mapping[str, Any]],
    settings: BuildSettings,
) -> dict[str, Any]:
    """Divide and write the rows, and return what the data set says of itself."""
    names = _classes(kind, task, results, settings)
    classes = {name: index for index, name in enumerate(names)}
    total_s = sum(result["last_ns"] - result["first_ns"] for result in results) * 1e-9
    block_s = block_length_s(settings, kind, total_s)
    folders = [job.folder for job in jobs]
    counts = [
        count_blocks(folder, kind, result, classes, block_s)
        for folder, result in zip(folders, results, strict=True)
    ]
    plan = plan_split(settings, block_s, [result["first_ns"] for result in results], counts)
    left_out = [np.zeros(0, np.int64)] * len(results)
    alike: dict[str, int] = {}
    if kind == "images" and not settings.keep_near_duplicates:
        rows = [partial(build_images.picture_rows, folder) for folder in folders]
        left_out, alike = near_duplicates(rows, plan)
    metadata = [_metadata(kind, task, result, names, settings) for result in results]
    written = [
        write_bag(
            folders[number], target, result, kind, plan, number, classes, left_out[number],
            metadata[number],
        )
        for number, result in enumerate(results)
    ]  # fmt: skip
    parts = _parts(target, written, results, names)
    dropped = Counter[str]()
    for result in results:
        dropped.update(result["dropped"])
    dropped["rows between two parts"] += sum(each.in_guard for each in written)
    for part, count in alike.items():
        dropped[f"pictures of {part} that look like ones learned from"] += count
    _check_parts(parts, settings, dropped)
    digests = [entry["sha256"] for part in PARTS for entry in parts[part]["files"]]
    return {
        "format": FORMAT,
        "kind": kind,
        "task": task,
        "version": nn_perception.__version__,
        "sha256": hashlib.sha256("".join(digests).encode()).hexdigest(),
        "classes": list(names),
        "units": {name: unit for name, (_, unit) in COLUMNS[kind].items() if unit},
        "prepared": _prepared(kind, task, settings),
        "parts": parts,
        "sources": [_source(result) for result in results],
        "split": _split(plan, settings, results),
        "dropped": {reason: count for reason, count in sorted(dropped.items()) if count},
        "settings": {k: v for k, v in asdict(settings).items() if k not in ("jobs", "plots")},
    }


def _classes(
    kind: Kind, task: str, results: Sequence[Mapping[str, Any]], settings: BuildSettings
) -> tuple[str, ...]:
    if kind != "images":
        return tuple(results[0]["classes"])
    if settings.classes or task == "digits":
        return settings.classes or build_images.DIGIT_NAMES
    return tuple(sorted({name for result in results for name in result["classes"]}))


def _metadata(
    kind: Kind,
    task: str,
    result: Mapping[str, Any],
    names: Sequence[str],
    settings: BuildSettings,
) -> dict[str, Any]:
    """Return what each shard says of itself, so that it can stand alone."""
    metadata = {
        "format": FORMAT,
        "kind": kind,
        "source": result["name"],
        "sha256": result["sha256"],
        "topics": result["topics"],
        "start_ns": result["start_ns"],
        "units": {name: unit for name, (_, unit) in COLUMNS[kind].items() if unit},
    }
    if kind == "images":
        return metadata | {"classes": list(names), "prepared": _prepared(kind, task, settings)}
    return metadata | {
        key: result[key] for key in ("sensor_delay_s", "anchors", "tags") if key in result
    }


def _prepared(kind: Kind, task: str, settings: BuildSettings) -> dict[str, Any] | None:
    if kind != "images":
        return None
    prepare = build_images.stored_preprocessing(task, settings)
    return None if prepare is None else asdict(prepare)


def _parts(
    target: Path,
    written: Sequence[Written],
    results: Sequence[Mapping[str, Any]],
    names: Sequence[str],
) -> dict[str, Any]:
    parts = {}
    for own, part in enumerate(PARTS):
        files = [
            {
                "file": file,
                "source": result["name"],
                "bytes": (target / file).stat().st_size,
                "sha256": file_sha256(target / file),
            }
            for each, result in zip(written, results, strict=True)
            for file in each.files[own]
        ]
        counts = np.sum([each.counts[own] for each in written], axis=0)
        parts[part] = {
            "rows": sum(each.rows[own] for each in written),
            "counts": dict(zip(names, counts.tolist(), strict=True)),
            "pieces": sum(each.pieces[own] for each in written),
            "files": files,
        }
    return parts


def _check_parts(
    parts: Mapping[str, Any], settings: BuildSettings, dropped: Mapping[str, int]
) -> None:
    for part, share in zip(PARTS, settings.split, strict=True):
        if share and not parts[part]["rows"]:
            reasons = ", ".join(f"{count} {reason}" for reason, count in dropped.items() if count)
            raise DatasetError(
                f"nothing is left in {part} (left out: {reasons}); give more or longer "
                "recordings, or another --block-s, --guard-s or --split"
            )


def _source(result: Mapping[str, Any]) -> dict[str, Any]:
    kept = (
        "name", "sha256", "bytes", "topics", "rows", "frames", "first_ns", "last_ns", "labels",
        "alignment", "sensor_delay_s", "anchors", "tags", "rates_hz", "dropped",
    )  # fmt: skip
    return {key: result[key] for key in kept if key in result}


def _split(
    plan: SplitPlan, settings: BuildSettings, results: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    """Return the part of each block of each bag, t: train, v: validation, T: test."""
    letters = np.array(["t", "v", "T"])
    return {
        "by": settings.split_by,
        "shares": list(settings.split),
        "seed": settings.seed,
        "block_s": plan.block_ns * 1e-9,
        "guard_s": plan.guard_ns * 1e-9,
        "blocks": {
            result["name"]: "".join(letters[parts])
            for result, parts in zip(results, plan.parts, strict=True)
        },
    }
