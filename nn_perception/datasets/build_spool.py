"""Rows of a recording on disk while a data set is built: written once, read in pieces."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

CHUNK = 65536
"""Rows that are held at a time."""


class Spool:
    """A file of rows of one structured type, in memory a piece at a time."""

    def __init__(self, path: Path, dtype: np.dtype[Any]) -> None:
        """Open the rows that are there; `append` makes more."""
        self.path, self.dtype = path, dtype
        self._bytes = path.stat().st_size if path.is_file() else 0

    def __len__(self) -> int:
        return self._bytes // self.dtype.itemsize

    def append(self, rows: NDArray[Any]) -> None:
        """Write rows behind the others."""
        with self.path.open("ab") as stream:
            stream.write(np.ascontiguousarray(rows, self.dtype).data)
        self._bytes += rows.size * self.dtype.itemsize

    def read(self, start: int = 0, stop: int | None = None) -> NDArray[Any]:
        """Return rows ``start`` to ``stop`` (excluded), those that there are."""
        stop = len(self) if stop is None else min(stop, len(self))
        count = max(0, stop - start)
        if not count:
            return np.zeros(0, self.dtype)
        return np.fromfile(self.path, self.dtype, count, offset=start * self.dtype.itemsize)

    def chunks(self, size: int = CHUNK) -> Iterator[NDArray[Any]]:
        """Iterate over all rows."""
        for start in range(0, len(self), size):
            yield self.read(start, start + size)

    def first_at(self, stamp_ns: int) -> int:
        """Return the first row whose ``stamp`` is not before a time; stamps must not decrease."""
        low, high = 0, len(self)
        while low < high:
            middle = (low + high) // 2
            if int(self.read(middle, middle + 1)["stamp"][0]) < stamp_ns:
                low = middle + 1
            else:
                high = middle
        return low


def write_json(path: Path, values: Mapping[str, Any]) -> None:
    """Write beside, and rename: nobody sees half of it."""
    beside = path.with_name(f"{path.name}.partial")
    text = json.dumps(values, indent=1, allow_nan=False, sort_keys=True)
    beside.write_text(text + "\n", encoding="utf-8")
    beside.replace(path)


def read_json(path: Path) -> dict[str, Any]:
    """Read what `write_json` wrote."""
    values: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return values
