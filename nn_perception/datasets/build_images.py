"""A bag's labelled pictures as rows on disk.

What is kept of a picture is what makes the network's input the same as in the live node. The task
`digits` takes 28x28 grey whatever the network, so `prepare_image`, which the node runs too, is
applied here and its result stored. The size of `objects` is the network's choice: the picture or
the part of it that the node would look at is stored as it was recorded (compressed pictures as the
file that came), and prepared when it is loaded; a given ``size`` stores it prepared.
Boxes are cut as the node cuts them (`cut_box`); with digits, what counts is what the node's finder
finds, and the box says which digit it is.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import cv2
import numpy as np
from numpy.typing import NDArray

from nn_perception.datasets.bag_batches import Batch
from nn_perception.datasets.bags import BagReader
from nn_perception.datasets.build_labels import LABEL_TYPES, Int64Array, Labels, read_labels
from nn_perception.datasets.build_settings import BuildSettings
from nn_perception.datasets.build_spool import Spool
from nn_perception.datasets.build_truth import choose
from nn_perception.datasets.bulk_cdr import header_stamps
from nn_perception.datasets.digit_crops import SAME_IOU
from nn_perception.errors import DatasetError, MessageError
from nn_perception.image_cdr import compressed_from_cdr, image_from_cdr
from nn_perception.messages import decode_image
from nn_perception.regions.boxes import intersection_over_union
from nn_perception.regions.crops import check_boxes, cut_box
from nn_perception.regions.digits import DigitFinder, DigitFinderSettings
from nn_perception.tasks.classification import ImagePreprocessing, prepare_image, to_channels
from nn_perception.tasks.digits.pipeline import PREPROCESSING as DIGITS
from nn_perception.tasks.image_pipeline import IMAGE, IMAGE_TYPES
from nn_perception.tasks.objects.pipeline import preprocessing as object_preprocessing
from nn_perception.tasks.pipeline import InputSpec

ROWS, PIXELS = "rows.bin", "pixels.bin"
SIDE = 8
"""Of the small grey copy by which pictures are compared."""
DIGIT_NAMES = tuple("0123456789")
COLUMNS: Mapping[str, tuple[str, str]] = {
    "stamp_ns": ("int64", "ns"),
    "label": ("int32", ""),
    "image": ("binary", "grey level or RGB, 0..255"),
    "file": ("bool", "true: a JPEG or PNG file; false: rows of pixels"),
    "height": ("int32", "px"),
    "width": ("int32", "px"),
    "channels": ("int32", ""),
    "box_xywh": ("list[float32,4]", "px, in the frame; NaN: all of it"),
    "thumbnail": ("binary[64]", "8x8 grey levels"),
}
"""Of the shards."""
ROW = np.dtype(
    [
        ("stamp", "<i8"),
        ("label", "<i4"),
        ("at", "<i8"),
        ("bytes", "<i8"),
        ("file", "?"),
        ("shape", "<i4", (3,)),
        ("box", "<f4", (4,)),
        ("thumbnail", "u1", (SIDE * SIDE,)),
    ]
)
_CHUNK_BYTES, _CHUNK_ROWS = 16 << 20, 4096
_INPUT = InputSpec(IMAGE, IMAGE_TYPES, "newest")
_LABEL = InputSpec("label", LABEL_TYPES, "every")
_WHOLE = np.full(4, np.nan, np.float32)
Image = NDArray[np.uint8]


def stored_preprocessing(task: str, settings: BuildSettings) -> ImagePreprocessing | None:
    """Return how pictures are prepared before they are stored; None: they are not."""
    if task == "digits":
        return DIGITS
    return object_preprocessing(settings.size) if settings.size else None


def stage_images(
    bag: Path,
    folder: Path,
    task: str,
    settings: BuildSettings,
    on_bytes: Callable[[int], object],
) -> dict[str, Any]:
    """Write the labelled pictures of a bag into ``folder``.

    Args:
        bag: a rosbag2 directory, or a bare MCAP or SQLite file.
        folder: an empty directory.
        task: decides what of a frame is kept.
        settings: topics, and how labels and frames meet.
        on_bytes: told how many bytes of messages were read.

    Returns:
        What is to be known of the bag, for JSON.

    Raises:
        BagError: the bag cannot be read, or lacks a topic.
        DatasetError: a label is not known, or no frame has one.
    """
    known = settings.classes or (DIGIT_NAMES if task == "digits" else ())
    with BagReader(bag) as reader:
        topics = choose(bag, reader.topics, (_INPUT, _LABEL), settings.topics)
        topic = topics[IMAGE]
        stamps = (header_stamps(batch) for batch in reader.batches([topic]))
        labels = read_labels(reader, topics["label"], settings, known, stamps)
        pictures = _Pictures(folder, task, stored_preprocessing(task, settings), labels, settings)
        with (folder / PIXELS).open("wb") as pictures.pixels:
            read = image_from_cdr if reader.topics[topic].type == IMAGE_TYPES[0] else None
            for batch in reader.batches([topic]):
                pictures.add(batch, read or compressed_from_cdr)
                on_bytes(int(batch.size.sum()))
    rows = pictures.rows
    if not len(rows):
        reasons = ", ".join(f"{n} {why}" for why, n in pictures.dropped.items()) or "there is none"
        raise DatasetError(
            f"{bag}: no frame of {topic} has a label of {topics['label']} ({reasons}; labels "
            f"and frames meet by '{labels.how}'); give --labels nearest or hold and a larger "
            "--max-gap-s, or name the right topics with --topic"
        )
    low, high = pictures.span
    seconds = (high - low) * 1e-9
    return {
        "topics": topics,
        "rows": len(rows),
        "first_ns": low,
        "last_ns": high,
        "start_ns": low,
        "labels": labels.how,
        "rates_hz": {"image_raw": (pictures.frames - 1) / seconds if seconds > 0 else 0.0},
        "frames": pictures.frames,
        "dropped": dict(labels.dropped + pictures.dropped),
        "classes": list(labels.names),
    }


@dataclass
class _View:
    """A picture to store, as pixels (H, W, C) or as the file that came, with its class."""

    pixels: Image
    label: int
    box: NDArray[np.float32]
    file: bytes | None = None


class _Pictures:
    """Takes frames, and writes what of them is kept."""

    pixels: BinaryIO

    def __init__(
        self,
        folder: Path,
        task: str,
        prepare: ImagePreprocessing | None,
        labels: Labels,
        settings: BuildSettings,
    ) -> None:
        self.rows = Spool(folder / ROWS, ROW)
        self.dropped: Counter[str] = Counter()
        self.frames = 0
        self.span = (2**63 - 1, -(2**63))
        self._task, self._prepare, self._labels = task, prepare, labels
        self._settings = settings
        self._channels = 1 if task == "digits" else 3
        self._finder = DigitFinder(DigitFinderSettings()) if task == "digits" else None
        self._at = 0

    def add(self, batch: Batch, read: Callable[[memoryview], Any]) -> None:
        """Take the frames of a batch."""
        settings = self._settings
        stamps = header_stamps(batch)
        times = batch.time_ns if self._labels.by_bag_time else stamps
        found = self._labels.of(times, settings.gap_s("images"), settings.hold_s)
        self.frames += len(batch)
        low, high = self.span
        self.span = (min(low, int(stamps.min())), max(high, int(stamps.max())))
        written = []
        for row, label in enumerate(found.tolist()):
            if label < 0 or (not self._labels.boxes and self._labels.label[label] < 0):
                self.dropped["frames without a label"] += 1
                continue
            try:
                message = read(batch.view(row))
                views = self._views(message, label)
            except MessageError as error:
                self.dropped[f"frames {error.kind}"] += 1
                continue
            written += [self._write(int(stamps[row]), view) for view in views]
        if written:
            self.rows.append(np.concatenate(written))

    def _views(self, message: Any, label: int) -> list[_View]:
        image = decode_image(message, self._channels)
        if self._labels.boxes:
            boxes, classes = self._labels.boxes[label]
            cut = self._digits if self._finder is not None else self._cut
            return cut(image, boxes, classes)
        compressed = self._prepare is None and not hasattr(message, "encoding")
        # A mosaic in a file cannot be told from a grey picture later: its format says it here.
        compressed = compressed and not message.format.startswith("bayer")
        file = message.data.tobytes() if compressed else None
        return [_View(self._prepared(image), int(self._labels.label[label]), _WHOLE, file)]

    def _cut(self, image: Image, boxes: NDArray[np.float32], classes: Int64Array) -> list[_View]:
        views = []
        for box, label in zip(boxes, classes.tolist(), strict=True):
            checked = check_boxes(box[None], image.shape[:2])
            for reason in checked.refused:
                self.dropped[f"boxes {reason}"] += 1
            for good in checked.boxes_xywh:  # one or none
                views.append(_View(self._prepared(cut_box(image, good, 1.0)), label, good))
        return views

    def _digits(self, image: Image, boxes: NDArray[np.float32], classes: Int64Array) -> list[_View]:
        assert self._finder is not None
        found = self._finder(image)
        overlap = intersection_over_union(found.boxes_xywh, boxes)
        best = overlap.max(axis=1, initial=0.0)
        same = np.flatnonzero(best >= SAME_IOU)
        true = overlap[same].argmax(axis=1) if len(same) else np.zeros(0, np.int64)
        self.dropped["boxes that the finder missed"] += len(boxes) - len(np.unique(true))
        self.dropped["regions without a true box"] += len(best) - len(same)
        return [
            _View(found.crops[i][..., None], int(classes[t]), found.boxes_xywh[i])
            for i, t in zip(same.tolist(), true.tolist(), strict=True)
        ]

    def _prepared(self, image: Image) -> Image:
        if self._prepare is not None:
            return prepare_image(image, self._prepare).transpose(1, 2, 0)
        return image if image.ndim == 3 else image[..., None]

    def _write(self, stamp: int, view: _View) -> NDArray[Any]:
        data = view.pixels.tobytes() if view.file is None else view.file
        self.pixels.write(data)
        row = np.zeros(1, ROW)
        row["stamp"], row["label"], row["at"], row["bytes"] = stamp, view.label, self._at, len(data)
        row["file"], row["shape"], row["box"] = view.file is not None, view.pixels.shape, view.box
        row["thumbnail"] = thumbnail(view.pixels)
        self._at += len(data)
        return row


def thumbnail(image: Image) -> Image:
    """Return the small grey copy (64,) of a picture (H, W, C), by which pictures are compared."""
    grey = to_channels(image, 1)
    while min(grey.shape) >= 16 * SIDE:  # halves are taken much faster, and are means as well
        grey = np.asarray(cv2.resize(grey, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA))
    small = cv2.resize(np.ascontiguousarray(grey), (SIDE, SIDE), interpolation=cv2.INTER_AREA)
    return np.asarray(small, np.uint8).reshape(-1)


def picture_rows(folder: Path) -> Iterator[NDArray[Any]]:
    """Iterate over what is known of the pictures, without their pixels."""
    return Spool(folder / ROWS, ROW).chunks()


def image_chunks(folder: Path) -> Iterator[tuple[Int64Array, Int64Array, Int64Array, Any]]:
    """Iterate over (stamps, class index, segment, columns of the shards)."""
    rows = Spool(folder / ROWS, ROW)
    with (folder / PIXELS).open("rb") as pixels:
        for chunk in rows.chunks(_CHUNK_ROWS):
            ends = np.cumsum(chunk["bytes"])
            cuts = np.flatnonzero(np.diff(ends // _CHUNK_BYTES, prepend=0))
            for part in np.split(chunk, cuts[cuts > 0]):
                yield _columns(part, pixels)


def _columns(
    rows: NDArray[Any], pixels: BinaryIO
) -> tuple[Int64Array, Int64Array, Int64Array, dict[str, Any]]:
    pixels.seek(int(rows["at"][0]))
    images = np.empty(len(rows), object)
    images[:] = [pixels.read(size) for size in rows["bytes"].tolist()]
    thumbnails = np.empty(len(rows), object)
    thumbnails[:] = [small.tobytes() for small in rows["thumbnail"]]
    columns = {
        "stamp_ns": rows["stamp"],
        "label": rows["label"],
        "image": images,
        "file": rows["file"],
        "height": rows["shape"][:, 0],
        "width": rows["shape"][:, 1],
        "channels": rows["shape"][:, 2],
        "box_xywh": rows["box"],
        "thumbnail": thumbnails,
    }
    label = rows["label"].astype(np.int64)
    return rows["stamp"].astype(np.int64), label, np.zeros(len(rows), np.int64), columns
