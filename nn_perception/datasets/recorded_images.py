"""Pictures of a data set that was built from bags."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from nn_perception.datasets.arrays import ImageSet, UInt8Array
from nn_perception.datasets.recorded import LEARNED, Shard, open_shards, read_manifest
from nn_perception.errors import DatasetError, MessageError
from nn_perception.image_codecs import decode_compressed


def load_recorded_images(
    path: Path, split: Literal["train", "test"], convert: Callable[[UInt8Array], UInt8Array]
) -> ImageSet:
    """Read the pictures of a data set, one row group at a time.

    Args:
        path: its directory.
        split: ``"train"`` takes the parts train and validation, and says which is which;
            ``"test"`` takes the part test.
        convert: applied to each (H, W, C) picture.

    Raises:
        DatasetError: the data set is damaged, of another kind, was prepared for another size of
            pictures, or has nothing in these parts.
    """
    manifest = read_manifest(path, "images")
    parts = LEARNED if split == "train" else ("test",)
    images: list[UInt8Array] = []
    labels: list[NDArray[Any]] = []
    sources: list[str] = []
    validation: list[bool] = []
    for part, shard in open_shards(path, "images", parts):
        for rows in Groups(shard):
            found = [convert(picture) for picture in pictures(path, rows)]
            images += found
            labels.append(rows["label"])
            sources += [shard.source] * len(found)
            validation += [part == "validation"] * len(found)
    _check_shapes(path, images, manifest["prepared"])
    return ImageSet.create(
        np.stack(images),
        np.concatenate(labels).astype(np.int64),
        manifest["classes"],
        Path(path).resolve().name,
        sources=np.array(sources),
        validation=np.array(validation) if any(validation) else None,
    )


class Groups:
    """The row groups of a shard with pictures, read one at a time."""

    def __init__(self, shard: Shard) -> None:
        self._file = shard.file

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return map(self._read, range(self._file.num_row_groups))

    def spread(self, count: int) -> Iterator[dict[str, Any]]:
        """Iterate over at most ``count`` groups, from the first to the last."""
        last = self._file.num_row_groups - 1
        return map(self._read, np.unique(np.linspace(0, last, count).astype(int)).tolist())

    def _read(self, group: int) -> dict[str, Any]:
        columns = ["label", "image", "file", "height", "width", "channels"]
        table = self._file.read_row_group(group, columns=columns)
        rows = {name: table[name].to_numpy() for name in columns if name != "image"}
        return rows | {"image": table["image"]}


def pictures(path: Path, rows: Mapping[str, Any]) -> Iterator[UInt8Array]:
    """Iterate over the pictures (H, W, C) of rows as `Groups` gives them.

    Raises:
        DatasetError: a picture is damaged.
    """
    shapes = np.stack([rows[name] for name in ("height", "width", "channels")], axis=1).tolist()
    for image, is_file, shape in zip(rows["image"], rows["file"], shapes, strict=True):
        if not is_file:
            yield np.frombuffer(image.as_buffer(), np.uint8).reshape(shape)
            continue
        try:
            yield decode_compressed(image.as_py(), "", shape[2]).reshape(shape)
        except MessageError as error:
            raise DatasetError(f"{path}: a picture cannot be read ({error})") from error


def _check_shapes(path: Path, images: list[UInt8Array], prepared: Mapping[str, Any] | None) -> None:
    shapes = {image.shape for image in images}
    if len(shapes) > 1:
        low, high = min(shapes), max(shapes)
        raise DatasetError(
            f"{path}: pictures of {len(shapes)} sizes, from {low[1]}x{low[0]} to "
            f"{high[1]}x{high[0]}, expected one; give the size to bring them to"
        )
    if prepared is None:
        return
    stored = tuple(prepared[key] for key in ("height", "width", "channels"))
    asked = shapes.pop()
    if asked != stored:
        raise DatasetError(
            f"{path}: its pictures were prepared for a network that takes {stored[1]}x{stored[0]} "
            f"with {stored[2]} channel(s), and this one takes {asked[1]}x{asked[0]} with "
            f"{asked[2]}; build it again with --size {asked[0]}, or without --size to keep the "
            "pictures as they were recorded"
        )
