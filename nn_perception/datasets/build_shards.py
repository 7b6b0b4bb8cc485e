"""Parquet files of a data set: columns with units, and in each the bag that it is from."""

from __future__ import annotations

import hashlib
import importlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nn_perception.errors import DatasetError

GROUP_ROWS = 65536
GROUP_BYTES = 16 << 20
SHARD_BYTES = 256 << 20
"""A file is ended when so much was put into it, before compression."""
METADATA_KEY = b"nn_perception"

Columns = Mapping[str, tuple[str, str]]
"""Name -> (type of Arrow, unit; empty where there is none)."""


def require_pyarrow() -> Any:
    """Import pyarrow.

    Raises:
        DatasetError: it cannot be imported.
    """
    try:
        importlib.import_module("pyarrow.parquet")
        return importlib.import_module("pyarrow")
    except ImportError as error:
        raise DatasetError(
            f"data sets are Parquet files, which need pyarrow ({error}); "
            "pip install nn_perception[train]"
        ) from error


def release_memory() -> None:
    """Give back what Arrow keeps for its next arrays; it keeps more the more there were."""
    require_pyarrow().default_memory_pool().release_unused()


def arrow_type(name: str) -> Any:
    """Return the type of a name such as ``float64``, ``binary`` or ``list[float32,4]``."""
    arrow = require_pyarrow()
    if name.startswith("list["):
        inner, size = name[5:-1].split(",")
        return arrow.list_(arrow_type(inner), int(size))
    if name.startswith("binary["):
        return arrow.binary(int(name[7:-1]))
    return getattr(arrow, name if name != "bool" else "bool_")()


class ShardWriter:
    """Writes the rows of one bag that belong to one part, in files of limited size."""

    def __init__(
        self, folder: Path, stem: str, columns: Columns, metadata: Mapping[str, Any]
    ) -> None:
        arrow = require_pyarrow()
        self.files: list[Path] = []
        self.rows = 0
        self._folder, self._stem = folder, stem
        fields = [
            arrow.field(name, arrow_type(kind), metadata={"unit": unit} if unit else None)
            for name, (kind, unit) in columns.items()
        ]
        text = json.dumps(dict(metadata), sort_keys=True)
        self._schema = arrow.schema(fields, metadata={METADATA_KEY: text.encode()})
        self._writer: Any = None
        self._written = 0

    def write(self, columns: Mapping[str, Any]) -> None:
        """Write rows as one row group; arrays of NumPy, or lists."""
        arrow = require_pyarrow()
        arrays = [_array(columns[field.name], field.type) for field in self._schema]
        table = arrow.Table.from_arrays(arrays, schema=self._schema)
        if self._writer is None:
            self._open()
        self._writer.write_table(table, row_group_size=max(1, len(table)))
        self.rows += len(table)
        self._written += table.nbytes
        if self._written >= SHARD_BYTES:
            self.close()

    def close(self) -> None:
        """End the file that is open."""
        writer, self._writer, self._written = self._writer, None, 0
        if writer is not None:
            writer.close()

    def _open(self) -> None:
        parquet = importlib.import_module("pyarrow.parquet")
        self._folder.mkdir(parents=True, exist_ok=True)
        path = self._folder / f"{self._stem}-{len(self.files):05d}.parquet"
        self._writer = parquet.ParquetWriter(
            path,
            self._schema,
            compression="zstd",
            compression_level=1,
            use_dictionary=False,
            write_statistics=False,
        )
        self.files.append(path)


def _array(values: Any, kind: Any) -> Any:
    arrow = require_pyarrow()
    if arrow.types.is_fixed_size_list(kind):
        flat = arrow.array(values.reshape(-1), kind.value_type)
        return arrow.FixedSizeListArray.from_arrays(flat, kind.list_size)
    return arrow.array(values, kind)


def file_sha256(path: Path) -> str:
    """Return the hash of a file."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while block := stream.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
