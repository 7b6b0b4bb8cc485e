"""Frames, boxes in them, and classes of them."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from nn_perception.datasets.detection_messages import read_detections
from nn_perception.errors import MessageError
from nn_perception.image_codecs import compressed_size
from nn_perception.image_encodings import find_encoding
from nn_perception.messages import decode_image, frame_id
from nn_perception.tasks.image_results import RegionsResult, Result
from nn_perception.viewing.rerun_recording import RerunRecording
from nn_perception.viewing.views import Source, View, below, flat, path, source_of

JPEG, PNG = "image/jpeg", "image/png"
JPEG_QUALITY = 85
SMALL_SIDE = 64
"""Of pictures up to this size JPEG leaves little, and saves nothing."""
SHOWN_CLASSES = 3


class Pictures:
    """Shows what comes from cameras, and what is said of it."""

    def __init__(
        self,
        recording: RerunRecording,
        group: str,
        image_topics: Collection[str],
        max_image_hz: float = 0.0,
    ) -> None:
        """Prepare for some cameras.

        Args:
            recording: shows it.
            group: see `View`.
            image_topics: of the bag.
            max_image_hz: images a second of each topic at most, by their stamps; 0: all.
        """
        self._recording, self._group = recording, group
        self._images = sorted(image_topics, key=lambda topic: (topic.count("/"), topic))
        self._period_ns = 1e9 / max_image_hz if max_image_hz else 0.0
        self._shown_ns: dict[str, tuple[int, float]] = {}  # the last stamp, and when one is due
        self._topic_of_frame: dict[str, str] = {}
        self._boxes_of: dict[str, dict[Source, str]] = {}

    def image(self, topic: str, stamp_ns: int, message: Any) -> None:
        """Show sensor_msgs/Image or CompressedImage, unless it comes too early.

        Raises:
            MessageError: it cannot be decoded.
        """
        self._topic_of_frame.setdefault(frame_id(message), topic)
        if not self._is_due(topic, stamp_ns):
            return
        file, media_type = encoded(message)
        entity = self._entity(topic)
        self._recording.place(entity, View("picture", topic, self._group))
        self._recording.picture(entity, stamp_ns, file, media_type)

    def detections(self, topic: str, stamp_ns: int, message: Any) -> None:
        """Show vision_msgs/Detection2DArray in the image that its name is nearest to.

        Raises:
            MessageError: a box is none.
        """
        found, source = read_detections(message), source_of(topic)
        labels = [
            label if source.is_truth or math.isnan(score) else f"{label} {score:.0%}"
            for label, score in zip(found.labels, found.scores.tolist(), strict=True)
        ]
        self._boxes(self._image_of(topic), source, stamp_ns, found.boxes_xywh, labels)

    def classification(self, topic: str, stamp_ns: int, message: Any) -> None:
        """Show vision_msgs/Classification as a text."""
        source = source_of(topic)
        pairs = [(str(each.class_id), float(each.score)) for each in message.results]
        self._classes(source, stamp_ns, pairs)

    def answer(self, source: Source, result: Result) -> None:
        """Show what a model says of a frame."""
        if isinstance(result, RegionsResult):
            topic = self._topic_of_frame.get(result.frame_id, self._images[0])
            best = result.scores.max(axis=1, initial=0.0).tolist()
            labels = [f"{label} {p:.0%}" for label, p in zip(result.answers, best, strict=True)]
            self._boxes(topic, source, result.stamp_ns, result.boxes_xywh, labels)
            return
        pairs = list(zip(result.labels, result.scores.tolist(), strict=True))
        self._classes(source, result.stamp_ns, pairs if result.accepted else [])

    def finish(self) -> None:
        """Hide the labels of true boxes where others have theirs at the same places."""
        for entities in self._boxes_of.values():
            for source, entity in entities.items():
                if source.is_truth and not all(each.is_truth for each in entities):
                    self._recording.hide_labels(entity)

    def _boxes(
        self, topic: str, source: Source, stamp_ns: int, boxes_xywh: Any, labels: Sequence[str]
    ) -> None:
        if topic:
            entity = below(self._entity(topic), source.name)
            self._boxes_of.setdefault(topic, {})[source] = entity
        else:
            entity = path(self._group, "boxes", source.name)
            self._recording.place(entity, View("picture", source.name, self._group))
        self._recording.boxes(entity, stamp_ns, boxes_xywh, labels, source.colour)

    def _classes(self, source: Source, stamp_ns: int, pairs: Sequence[tuple[str, float]]) -> None:
        best = sorted(pairs, key=lambda pair: -pair[1])[:SHOWN_CLASSES]
        lines = [label if source.is_truth else f"{label}  {score:.1%}" for label, score in best]
        entity = path(self._group, "classification", source.name)
        self._recording.place(entity, View("text", source.name, self._group))
        self._recording.text(entity, stamp_ns, "# " + "\n\n".join(lines or ["not known"]))

    def _entity(self, topic: str) -> str:
        return path(self._group, "camera", flat(topic))

    def _image_of(self, topic: str) -> str:
        """Return the image topic that has most leading names in common; empty: there is none."""
        parts = topic.split("/")

        def common(image: str) -> int:
            pairs = zip(parts, image.split("/"), strict=False)
            return next((i for i, (a, b) in enumerate(pairs) if a != b), len(parts))

        return max(self._images, key=common, default="")

    def _is_due(self, topic: str, stamp_ns: int) -> bool:
        """Tell whether an image is to be shown; the rate holds on average."""
        if not self._period_ns:
            return True
        last_ns, due_ns = self._shown_ns.get(topic, (stamp_ns, float(stamp_ns)))
        if stamp_ns < last_ns:  # the clock jumped back: the old time must not count
            due_ns = stamp_ns
        # A camera's stamps jitter: one that comes a little early is the one that was due.
        if stamp_ns < due_ns - self._period_ns / 4:
            return False
        is_late = stamp_ns - due_ns > self._period_ns
        self._shown_ns[topic] = stamp_ns, (stamp_ns if is_late else due_ns) + self._period_ns
        return True


def encoded(message: Any) -> tuple[bytes, str]:
    """Return an image message as a file that a viewer shows, and its media type.

    A JPEG or PNG file is handed on as it came; pixels become JPEG, or PNG where they are few.

    Raises:
        MessageError: see `decode_image`.
    """
    if hasattr(message, "encoding"):
        pixels = decode_image(message, 1 if find_encoding(message.encoding).layout == "mono" else 3)
        return _encoded_pixels(pixels)
    data = bytes(message.data)
    compressed_size(data)
    if "bayer" not in str(message.format):
        return data, JPEG if data.startswith(b"\xff\xd8") else PNG
    return _encoded_pixels(decode_image(message, 3))


def _encoded_pixels(pixels: NDArray[np.uint8]) -> tuple[bytes, str]:
    image = pixels if pixels.ndim == 2 else cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR)
    if max(pixels.shape[:2]) <= SMALL_SIDE:
        done, file = cv2.imencode(".png", image)
    else:
        done, file = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    if not done:
        raise MessageError("size", f"OpenCV cannot encode a picture of {pixels.shape}")
    return file.tobytes(), PNG if max(pixels.shape[:2]) <= SMALL_SIDE else JPEG
