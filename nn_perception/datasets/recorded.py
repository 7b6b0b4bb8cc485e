"""Data sets that were built from bags: what they say of themselves, and their shards."""

from __future__ import annotations

import importlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nn_perception.datasets.build_settings import PARTS
from nn_perception.datasets.build_shards import METADATA_KEY, file_sha256, require_pyarrow
from nn_perception.datasets.test_guard import check_test_part
from nn_perception.errors import DatasetError

DATASET_FILE = "dataset.json"
FORMAT = 1
LEARNED = ("train", "validation")
"""What `train` reads; `evaluate` reads ``test``."""


def is_dataset(path: Path | str) -> bool:
    """Whether a directory is a data set that was built from bags."""
    return (Path(path) / DATASET_FILE).is_file()


@dataclass(frozen=True)
class Shard:
    """One open file of a data set.

    Attributes:
        source: name of the bag.
        metadata: what the file says of itself.
        file: a ``pyarrow.parquet.ParquetFile``.
    """

    source: str
    metadata: Mapping[str, Any]
    file: Any


def read_manifest(path: Path, kind: str = "") -> dict[str, Any]:
    """Read what a data set says of itself.

    Args:
        path: its directory.
        kind: ``images``, ``imu`` or ``uwb``; empty: any.

    Raises:
        DatasetError: it is damaged, of another kind, or of a later format.
    """
    file = Path(path) / DATASET_FILE
    try:
        manifest: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
        version, found = int(manifest["format"]), str(manifest["kind"])
        _ = (manifest["sha256"], manifest["task"], manifest["sources"], manifest["parts"])
    except OSError as error:
        raise DatasetError(f"{file}: cannot be read ({error.strerror or error})") from error
    except (ValueError, KeyError, TypeError) as error:
        raise DatasetError(f"{file}: damaged ({error!r}); build the data set again") from error
    if version != FORMAT:
        raise DatasetError(
            f"{file}: format {version}, expected {FORMAT}; build the data set again, or use the "
            "version of nn_perception that made it"
        )
    if kind and found != kind:
        raise DatasetError(
            f"{path}: a data set for the task '{manifest['task']}' ({found}), expected {kind}; "
            "build one for this task with 'nn-perception dataset'"
        )
    return manifest


def open_shards(path: Path, kind: str, parts: Sequence[str]) -> Iterator[tuple[str, Shard]]:
    """Open the files of some parts one after the other, each checked against its hash.

    Returns:
        Iterator of (part, shard), in order of part, bag and time.

    Raises:
        DatasetError: the parts have no rows, or a file is missing or damaged.
    """
    if "test" in parts:
        check_test_part(f"{path}: the part test")
    manifest = read_manifest(path, kind)
    require_pyarrow()
    if not any(manifest["parts"][part]["rows"] for part in parts):
        share = "/".join(str(manifest["parts"][part]["rows"]) for part in PARTS)
        raise DatasetError(
            f"{path}: has nothing in {' and '.join(parts)} (rows of train/validation/test: "
            f"{share}); build it with another --split"
        )
    return _open(Path(path), manifest, parts)


def _open(
    path: Path, manifest: Mapping[str, Any], parts: Sequence[str]
) -> Iterator[tuple[str, Shard]]:
    parquet = importlib.import_module("pyarrow.parquet")
    for part in parts:
        for entry in manifest["parts"][part]["files"]:
            file = path / entry["file"]
            if not file.is_file() or file_sha256(file) != entry["sha256"]:
                what = "damaged or changed" if file.is_file() else "missing"
                raise DatasetError(f"{file}: {what}; build the data set again")
            with parquet.ParquetFile(file, pre_buffer=False) as opened:
                metadata = json.loads(opened.schema_arrow.metadata[METADATA_KEY])
                yield part, Shard(metadata["source"], metadata, opened)


def provenance(path: Path) -> dict[str, Any]:
    """Return what a bundle states of the data set that it was trained on."""
    manifest = read_manifest(path)
    return {
        "sha256": manifest["sha256"],
        "task": manifest["task"],
        "sources": [
            {"name": source["name"], "sha256": source["sha256"]} for source in manifest["sources"]
        ],
    }
