"""Labelled images from what people have: MNIST files, a folder for each class, .npz, bags."""

from __future__ import annotations

import dataclasses
import re
import warnings
import zipfile
import zlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from nn_perception.datasets.arrays import ImageSet, UInt8Array
from nn_perception.datasets.mnist import has_mnist, load_mnist
from nn_perception.datasets.recorded import is_dataset
from nn_perception.datasets.recorded_images import load_recorded_images
from nn_perception.datasets.test_guard import check_test_part
from nn_perception.errors import DatasetError, nearest

PICTURE_SUFFIXES = frozenset(
    {".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp", ".pgm", ".ppm"}
)
LAYOUTS = (
    "expected a directory of MNIST idx files, a folder with one sub-folder of pictures per class, "
    "or an .npz (or a directory with just one) with 'images' uint8 (N,H,W) or (N,H,W,C) and "
    "'labels'"
)

Split = Literal["train", "test"]
_SPLIT_FOLDERS = {"train", "test", "val", "valid", "validation"}
_KEY_PATTERNS = (
    ("images", "labels", "source"),
    ("{}_images", "{}_labels", "{}_source"),
    ("x_{}", "y_{}", "source_{}"),
)


def load_image_set(
    path: Path,
    *,
    split: Split = "test",
    size: tuple[int, int] | None = None,
    channels: int | None = None,
    class_names: Sequence[str] | None = None,
    convert: Callable[[UInt8Array], UInt8Array] | None = None,
) -> ImageSet:
    """Read labelled images, whatever of the layouts they are in.

    Args:
        path: directory of MNIST idx files; folder of pictures per class (``train`` and ``test``
            above the classes are understood); data set built from bags, whose part validation
            comes with the training part and is marked; or ``.npz`` (``train_images`` and so on
            too; with ``source`` or ``train_source``, text that says where each image is from).
        split: which part, where the layout has parts.
        size: (height, width) in pixels that every image is brought to: area averaging to shrink,
            linear to enlarge, the aspect ratio is not kept. None leaves the images as they are,
            and then all must be of one size.
        channels: 1 converts to grey, 3 to RGB; None keeps what is there.
        class_names: the classes in the wanted order, for example a bundle's labels; the classes
            found must be among them. None takes the classes as found, in natural order.
        convert: applied to each (H, W, C) picture after ``size`` and ``channels``, for example a
            pipeline's pre-processing, which brings pictures of all sizes to one.

    Returns:
        The set. Pictures that could not be read are named in its ``skipped``, and a warning
        counts them.

    Raises:
        DatasetError: nothing there, an unknown layout, damage, or a class that is not known.
    """
    if channels not in (None, 1, 3):
        raise DatasetError(f"channels is {channels}, expected 1 (grey), 3 (RGB) or None")
    if not path.exists():
        raise DatasetError(f"{path}: does not exist, {LAYOUTS}; correct the path")
    if split == "test":
        check_test_part(f"{path}: what is evaluated of it")
    if is_dataset(path):
        made = load_recorded_images(path, split, _converter(size, channels, convert))
        aligned, known = _align(made.labels, made.class_names, class_names, made.source)
        return ImageSet.create(
            made.images, aligned, known, made.source,
            sources=made.sources, validation=made.validation,
        )  # fmt: skip
    path = _only_npz(path) or path
    if path.is_file():
        found = _read_npz(path, split, class_names)
    elif has_mnist(path, split):
        found = load_mnist(path, split)
    else:
        return _load_folder(path, split, _converter(size, channels, convert), class_names)
    labels, known = _align(found.labels, found.class_names, class_names, found.source)
    images = found.images
    if size is not None or channels is not None or convert is not None:
        images = np.stack(list(map(_converter(size, channels, convert), images)))
    return ImageSet.create(images, labels, known, found.source, sources=found.sources)


def _only_npz(path: Path) -> Path | None:
    """Return the one .npz of a directory that holds nothing else to read."""
    if not path.is_dir() or any(entry.is_dir() for entry in path.iterdir()):
        return None
    found = list(path.glob("*.npz"))
    return found[0] if len(found) == 1 else None


def _read_npz(path: Path, split: str, class_names: Sequence[str] | None) -> ImageSet:
    try:
        loaded = np.load(path, allow_pickle=False)
        if not isinstance(loaded, np.lib.npyio.NpzFile):
            raise DatasetError(f"{path}: is one bare array, {LAYOUTS}; save it with np.savez")
        with loaded as archive:
            return _npz_arrays(archive, path, split, class_names)
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise DatasetError(
            f"{path}: cannot be read as .npz ({error}), {LAYOUTS}; pickled objects are never "
            "loaded: save plain arrays with np.savez_compressed"
        ) from error


def _npz_arrays(
    archive: Mapping[str, NDArray[Any]],
    path: Path,
    split: str,
    class_names: Sequence[str] | None,
) -> ImageSet:
    for patterns in _KEY_PATTERNS:
        images_key, labels_key, source_key = (pattern.format(split) for pattern in patterns)
        if images_key in archive and labels_key in archive:
            break
    else:
        raise DatasetError(
            f"{path}: holds {sorted(archive) or 'nothing'}, expected 'images' and 'labels', or "
            f"'{split}_images' and '{split}_labels'; rename the arrays"
        )
    images, labels = archive[images_key], archive[labels_key]
    if images.ndim == 3:
        images = images[..., np.newaxis]
    if labels.ndim != 1 or labels.dtype.kind not in "iu":
        raise DatasetError(
            f"{path}: '{labels_key}' is {labels.dtype} of shape {labels.shape}, "
            "expected integers (N,); store one class index per image"
        )
    if "class_names" in archive:
        names = tuple(str(name) for name in np.atleast_1d(archive["class_names"]))
    elif class_names is not None:  # the file knows indices only: they count the wanted classes
        names = tuple(class_names)
    else:
        names = tuple(str(index) for index in range(_class_count(labels, path)))
    # One text for all of them says nothing about each.
    sources = archive.get(source_key)
    if sources is not None and sources.ndim == 0:
        sources = None
    # All checks before _convert and _align touch the values; errors name the whole path.
    checked = ImageSet.create(images, labels, names, str(path), sources=sources)
    return dataclasses.replace(checked, source=path.name)


def _class_count(labels: NDArray[Any], path: Path) -> int:
    highest = int(labels.max()) if labels.size else 0
    if highest > 65535:
        raise DatasetError(
            f"{path}: the highest label is {highest}, expected class indices from 0; renumber them"
        )
    return highest + 1


def _load_folder(
    path: Path,
    split: str,
    convert: Callable[[UInt8Array], UInt8Array],
    class_names: Sequence[str] | None,
) -> ImageSet:
    folders = _class_folders(path, split)
    names = tuple(folder.name for folder in folders)
    images: list[UInt8Array] = []
    labels: list[int] = []
    skipped: list[str] = []
    for label, folder in enumerate(folders):
        for file in sorted(folder.iterdir(), key=_natural):
            if file.suffix.lower() not in PICTURE_SUFFIXES or file.name.startswith("."):
                continue
            image = read_picture(file)
            if image is None:
                skipped.append(f"{folder.name}/{file.name}")
                continue
            images.append(convert(image))
            labels.append(label)
    _report(path, skipped, len(images))
    aligned, known = _align(np.asarray(labels, np.int64), names, class_names, str(path))
    return ImageSet.create(_stack(images, path), aligned, known, path.resolve().name, skipped)


def _class_folders(path: Path, split: str) -> list[Path]:
    folders = sorted(
        (entry for entry in path.iterdir() if entry.is_dir() and not entry.name.startswith(".")),
        key=_natural,
    )
    names = {folder.name.lower() for folder in folders}
    if split in names and names <= _SPLIT_FOLDERS:
        inner = next(folder for folder in folders if folder.name.lower() == split)
        return _class_folders(inner, split)
    if not folders:
        raise DatasetError(
            f"{path}: has no sub-folders and no MNIST files, {LAYOUTS}; "
            "put the pictures of each class into a folder that bears its name"
        )
    return folders


def _report(path: Path, skipped: Sequence[str], read: int) -> None:
    named = ", ".join(skipped[:3]) + (", ..." if len(skipped) > 3 else "")
    if not read:
        detail = f"{len(skipped)} pictures, none can be read ({named})" if skipped else "no picture"
        raise DatasetError(
            f"{path}: {detail} in its sub-folders, {LAYOUTS}; known picture files are "
            + " ".join(sorted(PICTURE_SUFFIXES))
        )
    if skipped:
        warnings.warn(
            f"{path}: {len(skipped)} of {read + len(skipped)} pictures cannot be read and were "
            f"skipped: {named}",
            stacklevel=4,
        )


def read_picture(path: Path, channels: int | None = None) -> UInt8Array | None:
    """Return (H, W, 1) or (H, W, 3) RGB, 8 bit, turned as its EXIF says; None if unreadable.

    Args:
        path: a picture file.
        channels: 1 converts to grey, 3 to RGB; None keeps what is there.
    """
    try:
        data = path.read_bytes()
        if not data or _is_cut(data):
            return None
        image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_ANYCOLOR)
    except (OSError, cv2.error):
        return None
    if image is None:
        return None
    pixels = np.asarray(image, dtype=np.uint8)
    pixels = pixels[..., np.newaxis] if pixels.ndim == 2 else pixels[..., ::-1]
    return _convert(pixels, None, channels)


def _is_cut(data: bytes) -> bool:
    """Tell whether the end mark is missing: OpenCV gives a half-grey picture, and no error."""
    ends = ((b"\x89PNG", b"IEND"), (b"\xff\xd8", b"\xff\xd9"))
    return any(data.startswith(start) and end not in data for start, end in ends)


def _converter(
    size: tuple[int, int] | None,
    channels: int | None,
    convert: Callable[[UInt8Array], UInt8Array] | None,
) -> Callable[[UInt8Array], UInt8Array]:
    def converted(image: UInt8Array) -> UInt8Array:
        result = _convert(image, size, channels)
        return result if convert is None else convert(result)

    return converted


def _convert(image: UInt8Array, size: tuple[int, int] | None, channels: int | None) -> UInt8Array:
    """Bring one (H, W, C) image to a size and a number of channels."""
    result: NDArray[Any] = image
    if channels == 1 and image.shape[2] == 3:
        result = cv2.cvtColor(np.ascontiguousarray(image), cv2.COLOR_RGB2GRAY)[..., np.newaxis]
    elif channels == 3 and image.shape[2] == 1:
        result = np.repeat(image, 3, axis=2)
    if size is not None and result.shape[:2] != tuple(size):
        height, width = size
        shrinks = height <= result.shape[0] and width <= result.shape[1]
        how = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
        result = cv2.resize(np.ascontiguousarray(result), (width, height), interpolation=how)
        result = result.reshape(height, width, -1)
    return result.astype(np.uint8, copy=False)


def _stack(images: list[UInt8Array], path: Path) -> UInt8Array:
    if len({image.shape[2] for image in images}) > 1:  # grey among colour: all become RGB
        images = [_convert(image, None, 3) for image in images]
    shapes = {image.shape[:2] for image in images}
    if len(shapes) > 1:
        low, high = min(shapes), max(shapes)
        raise DatasetError(
            f"{path}: pictures of {len(shapes)} sizes, from {low[1]}x{low[0]} to "
            f"{high[1]}x{high[0]}, expected one; give the size to bring them to"
        )
    return np.stack(images)


def _align(
    labels: NDArray[Any], found: Sequence[str], wanted: Sequence[str] | None, source: str
) -> tuple[NDArray[np.int64], tuple[str, ...]]:
    """Renumber labels from the classes found to the classes wanted, by name."""
    if wanted is None:
        return labels.astype(np.int64), tuple(found)
    order = {name: index for index, name in enumerate(wanted)}
    unknown = [name for index, name in enumerate(found) if name not in order and index in labels]
    if unknown:
        raise DatasetError(
            f"{source}: class {unknown[0]!r} is not known, expected one of {', '.join(wanted)}"
            f"{nearest(unknown[0], wanted)}; rename or remove it"
        )
    table = np.asarray([order.get(name, -1) for name in found], dtype=np.int64)
    return table[labels], tuple(wanted)


def _natural(path: Path) -> list[tuple[int, str]]:
    """Sort key by which ``class2`` comes before ``class10``."""
    parts = re.split(r"(\d+)", path.name.lower())
    return [(int(part), "") if part.isdigit() else (-1, part) for part in parts]
