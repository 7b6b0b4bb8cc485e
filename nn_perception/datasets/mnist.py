"""MNIST and its idx files.

Format (Y. LeCun, C. Cortes, C. Burges, "The MNIST database of handwritten digits"): two zero
bytes, a type byte, the number of dimensions, one big-endian int32 for each dimension, then the
values in C order, big-endian. Files are read plain or gzip-compressed, whatever their name.
"""

from __future__ import annotations

import gzip
import math
import struct
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any, Literal

import numpy as np
from numpy.typing import NDArray

from nn_perception.datasets.arrays import ImageSet
from nn_perception.datasets.download import dataset_directory
from nn_perception.datasets.environment import data_from_environment
from nn_perception.datasets.test_guard import check_test_part
from nn_perception.errors import DatasetError

DIGIT_NAMES = tuple(str(digit) for digit in range(10))
REPAIR = "get it again, for example with 'nn-perception download mnist'"

Split = Literal["train", "test"]
_PREFIX = {"train": "train", "test": "t10k"}
_KINDS = (("images", 3), ("labels", 1))
_SUBFOLDERS = ("", "digits", "mnist", "MNIST/raw")
_IDX_DTYPES = {8: ">u1", 9: ">i1", 11: ">i2", 12: ">i4", 13: ">f4", 14: ">f8"}
_MAX_GZIP_RATIO = 1032  # of the deflate format itself


def read_idx(path: Path) -> NDArray[Any]:
    """Read one idx file, plain or gzip-compressed.

    Returns:
        The array, in native byte order, writable.

    Raises:
        DatasetError: the file is missing, is no idx file, is cut short, is too long, or its
            compression is damaged.
    """
    try:
        with path.open("rb") as raw:
            compressed = raw.read(2) == b"\x1f\x8b"
            raw.seek(0)
            limit = path.stat().st_size * (_MAX_GZIP_RATIO if compressed else 1)
            if not compressed:
                return _read_stream(raw, path, limit)
            with gzip.GzipFile(fileobj=raw) as unpacked:
                return _read_stream(unpacked, path, limit)
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise DatasetError(
            f"{path}: the gzip compression is damaged ({error}), expected a complete gzip file; "
            f"{REPAIR}"
        ) from error
    except OSError as error:
        raise DatasetError(
            f"{path}: cannot be read ({error.strerror or error}), expected an idx file; {REPAIR}"
        ) from error


def _read_stream(stream: IO[bytes] | gzip.GzipFile, path: Path, limit: int) -> NDArray[Any]:
    magic = stream.read(4)
    known = len(magic) == 4 and magic[:2] == b"\0\0" and magic[2] in _IDX_DTYPES
    if not known or not 1 <= magic[3] <= 8:
        raise DatasetError(
            f"{path}: starts with {magic.hex(' ') or 'nothing'}, expected an idx header "
            f"(00 00 08 03 for images, 00 00 08 01 for labels); {REPAIR}"
        )
    dtype, ndim = np.dtype(_IDX_DTYPES[magic[2]]), magic[3]
    header = stream.read(4 * ndim)
    if len(header) != 4 * ndim:
        raise DatasetError(f"{path}: ends within its header, expected {ndim} sizes; {REPAIR}")
    shape = struct.unpack(f">{ndim}I", header)
    size = math.prod(shape) * dtype.itemsize
    wanted = f"the header promises {shape}, that is {size} bytes of data"
    if size > limit:  # before memory is asked for
        raise DatasetError(f"{path}: truncated or damaged: {wanted}, more than it holds; {REPAIR}")
    data = bytearray(stream.read(size))
    if len(data) != size:
        raise DatasetError(f"{path}: truncated: {wanted}, there are {len(data)}; {REPAIR}")
    if stream.read(1):
        raise DatasetError(f"{path}: too long: {wanted}, there are more; {REPAIR}")
    values = np.frombuffer(data, dtype).reshape(shape)
    return values.astype(dtype.newbyteorder("="), copy=False)


def load_mnist(directory: Path, split: Split) -> ImageSet:
    """Read one official split of MNIST: (N, 28, 28, 1) uint8, bright ink on black.

    Args:
        directory: holds ``train-images-idx3-ubyte`` and so on, with or without ``.gz``, or with
            a dot instead of the second dash.
        split: ``"train"`` (60,000) or ``"test"`` (10,000).

    Raises:
        DatasetError: a file is missing or damaged, or the two files do not belong together.
    """
    if split not in _PREFIX:
        raise DatasetError(f"split is {split!r}, expected 'train' or 'test'")
    if split == "test":
        check_test_part(f"{directory}: MNIST's test part")
    paths = {kind: _find_file(directory, split, kind, ndim) for kind, ndim in _KINDS}
    missing = [_file_name(split, kind, ndim) for kind, ndim in _KINDS if paths[kind] is None]
    if missing:
        raise DatasetError(
            f"{directory}: {' and '.join(missing)} not found, expected the files of MNIST; {REPAIR}"
        )
    arrays = {kind: read_idx(path) for kind, path in paths.items() if path is not None}
    for (kind, ndim), unit in zip(_KINDS, ((28, 28), ()), strict=True):
        array = arrays[kind]
        if array.dtype != np.uint8 or array.ndim != ndim or array.shape[1:] != unit:
            raise DatasetError(
                f"{paths[kind]}: holds {array.dtype} of shape {array.shape}, expected uint8 "
                f"{('N', *unit)} as the {kind} of MNIST; {REPAIR}"
            )
    return ImageSet.create(arrays["images"], arrays["labels"], DIGIT_NAMES, f"mnist/{split}")


def find_mnist(
    data: Path | None = None, splits: Sequence[Split] = ("train", "test")
) -> Path | None:
    """Return the directory with the files of MNIST, or None when there is none anywhere.

    Looked at in this order: ``data``; ``$NN_PERCEPTION_DATA``; the cache of ``nn-perception
    download mnist``. In each, the directory itself and its ``digits``, ``mnist`` and
    ``MNIST/raw`` folders.

    Args:
        data: a directory to look into, and nowhere else.
        splits: what has to be there; both files of each.

    Raises:
        DatasetError: ``data`` holds no MNIST (nothing else is taken in its place), a set that was
            found is incomplete, or ``$NN_PERCEPTION_DATA`` is no directory.
    """
    if data is not None:
        found = _search(data, splits)
        if found is None:
            raise DatasetError(
                f"{data}: no MNIST there, expected {_file_name('train', 'images', 3)}.gz and its "
                f"three companions; {REPAIR}"
            )
        return found
    directory = data_from_environment()
    found = _search(directory, splits) if directory is not None else None
    return found or _search(dataset_directory("mnist"), splits)


def has_mnist(directory: Path, split: Split) -> bool:
    """Tell whether the directory holds images or labels of this split of MNIST."""
    return any(_find_file(directory, split, kind, ndim) is not None for kind, ndim in _KINDS)


def _search(root: Path, splits: Sequence[Split]) -> Path | None:
    for folder in (root / name for name in _SUBFOLDERS):
        wanted = [(split, kind, ndim) for split in splits for kind, ndim in _KINDS]
        missing = [_file_name(*file) for file in wanted if _find_file(folder, *file) is None]
        if not missing:
            return folder
        if len(missing) < len(wanted):
            raise DatasetError(
                f"{folder}: MNIST is incomplete there, without {', '.join(missing)}; {REPAIR}"
            )
    return None


def _file_name(split: str, kind: str, ndim: int) -> str:
    return f"{_PREFIX[split]}-{kind}-idx{ndim}-ubyte"


def _find_file(directory: Path, split: str, kind: str, ndim: int) -> Path | None:
    dashed = _file_name(split, kind, ndim)
    dotted = f"{_PREFIX[split]}-{kind}.idx{ndim}-ubyte"
    for name in (dashed, dotted, f"{dashed}.gz", f"{dotted}.gz"):
        if (directory / name).is_file():
            return directory / name
    return None
