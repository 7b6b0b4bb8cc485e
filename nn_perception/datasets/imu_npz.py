"""Read .npz files of arrays; nothing stored in them is ever unpickled."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nn_perception.errors import DatasetError

Layout = Mapping[str, tuple[str, tuple[Any, ...]]]
"""For each array its kind and shape, see `read_npz`."""

REPAIR = "get the file again and compare its sha256 with the one stated beside it"
_MAX_RATIO = 1032  # of the deflate format itself


def read_npz(path: Path, layout: Layout) -> dict[str, NDArray[Any]]:
    """Read arrays of an .npz file; nothing is unpickled.

    Args:
        path: the file.
        layout: for each array its kind (``f``, ``i``, ``b``, ``U``, as in ``numpy.dtype.kind``)
            and its shape, where a letter stands for any size, the same for each array.

    Returns:
        The arrays of ``layout``; others in the file are not looked at.

    Raises:
        DatasetError: the file is missing or damaged, or an array is missing, of another kind or
            shape.
    """
    names = array_names(path)
    missing = [name for name in layout if name not in names]
    if missing:
        raise DatasetError(
            f"{path}: holds {', '.join(sorted(names)) or 'nothing'}, expected also "
            f"{', '.join(missing)}; {REPAIR}"
        )
    arrays: dict[str, NDArray[Any]] = {}
    try:
        with np.load(path, allow_pickle=False) as file:
            for name in layout:
                arrays[name] = file[name]
    except (OSError, ValueError, EOFError, MemoryError, zlib.error, zipfile.BadZipFile) as error:
        raise DatasetError(
            f"{path}: {name} cannot be read ({error}), expected a plain array; {REPAIR}"
        ) from error
    _check_layout(arrays, layout, path)
    return arrays


def _check_layout(arrays: dict[str, NDArray[Any]], layout: Layout, path: Path) -> None:
    sizes: dict[str, int] = {}
    for name, (kind, shape) in layout.items():
        array = arrays[name]
        fits = array.dtype.kind == kind and array.ndim == len(shape)
        for size, wanted in zip(array.shape, shape, strict=False):
            fits &= size == (sizes.setdefault(wanted, size) if isinstance(wanted, str) else wanted)
        if not fits:
            named = tuple(sizes.get(size, size) for size in shape)
            raise DatasetError(
                f"{path}: {name} is {array.dtype} of shape {array.shape}, expected kind {kind!r} "
                f"of shape {named}; {REPAIR}"
            )


def array_names(path: Path) -> set[str]:
    """Return the names of a file's arrays.

    Raises:
        DatasetError: the file is missing or damaged, or unpacks to more than it can hold.
    """
    try:
        with zipfile.ZipFile(path) as file:
            entries = file.infolist()
    except (OSError, zipfile.BadZipFile) as error:
        raise DatasetError(
            f"{path}: cannot be read ({error}), expected a complete .npz file; {REPAIR}"
        ) from error
    for entry in entries:
        if entry.file_size > max(entry.compress_size, 1) * _MAX_RATIO:
            raise DatasetError(f"{path}: {entry.filename} promises more than it holds; {REPAIR}")
    return {entry.filename[: -len(".npy")] for entry in entries}
