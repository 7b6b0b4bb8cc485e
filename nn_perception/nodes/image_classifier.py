"""Classifies camera frames, or regions of them: images in, classifications or detections out."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Mapping
from typing import Any

from builtin_interfaces.msg import Time
from rclpy.publisher import Publisher
from rclpy.qos import QoSProfile
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Header
from vision_msgs.msg import (
    Classification,
    Detection2DArray,
    LabelInfo,
    ObjectHypothesis,
    VisionClass,
)

from nn_perception import detections_cdr as cdr
from nn_perception.image_cdr import RawHeader, Stamp, compressed_from_cdr, image_from_cdr
from nn_perception.nodes.base import PerceptionNode
from nn_perception.nodes.debug_images import DebugImages
from nn_perception.nodes.declaration import LATCHED
from nn_perception.nodes.frame_gate import FrameGate
from nn_perception.nodes.image_counts import ImageCounts
from nn_perception.nodes.model import ActiveModel
from nn_perception.nodes.run import COMMON_TOPICS, Executable, run
from nn_perception.nodes.subscriptions import InputTopic
from nn_perception.tasks.image_pipeline import BOXES, IMAGE
from nn_perception.tasks.image_results import ClassificationResult, RegionsResult
from nn_perception.tasks.region_modes import OF_REGIONS
from nn_perception.topic_names import prefixes

EXECUTABLE = Executable(
    name="image_classifier",
    summary="Classifies camera frames, or regions of them, with a trained model.",
    topics=(
        ("subscribes", "image_raw", "sensor_msgs/Image (image_transport: raw)"),
        ("subscribes", "image_raw/compressed", "sensor_msgs/CompressedImage (compressed)"),
        ("subscribes", "boxes", "vision_msgs/Detection2DArray (regions: detections)"),
        ("publishes", "classification", "vision_msgs/Classification, best first; empty: not known"),
        ("publishes", "detections", "vision_msgs/Detection2DArray (regions: detections, digits)"),
        ("publishes", "label_info", "vision_msgs/LabelInfo (latched)"),
        ("publishes", "~/debug/image", "sensor_msgs/Image, drawn only for subscribers"),
        *COMMON_TOPICS,
    ),
)

HYPOTHESES = 3
"""Classes of each detection that are published, the best ones."""
BOXES_WAITING = 10
"""Boxes messages of a camera that may wait, at least: all are needed, and they are small."""


class ImageClassifier(PerceptionNode):
    """The lifecycle node ``image_classifier``: one or several cameras, one model."""

    executable = EXECUTABLE.name
    input_types = ("sensor_msgs/msg/Image", "sensor_msgs/msg/CompressedImage")
    settings = ("regions", "cameras", "keep_percent", "max_regions", "match_timeout_s")

    def __init__(self, **kwargs: Any) -> None:
        """See `PerceptionNode`."""
        self._counts = ImageCounts()
        self._debug: DebugImages | None = None
        super().__init__(**kwargs)
        self._label_info = self.create_publisher(LabelInfo, "label_info", LATCHED)

    def frame_gate(self) -> FrameGate:
        """Limit the rate of each camera."""
        return FrameGate(lambda: self.value("max_rate_hz"))

    def behind_answers(self) -> Callable[[], None]:
        """Draw when the answers are published."""

        def draw() -> None:
            if self._debug is not None:
                self._debug.publish()

        return draw

    def input_topics(self) -> tuple[InputTopic, ...]:
        """Subscribe to the images of each camera, and to their boxes, all as bytes."""
        found = []
        compressed = self.value("image_transport") == "compressed"
        self._read_image = compressed_from_cdr if compressed else image_from_cdr
        boxes_waiting = max(BOXES_WAITING, self.value("queue_size"))
        for prefix in self.prefixes():
            name = f"{prefix}{IMAGE}"
            topic = self._compressed_topic(name) if compressed else name
            kind = CompressedImage if compressed else Image
            found.append(self.input_topic(name, topic, kind, raw=True))
            if self.value("regions") == "detections":
                name = f"{prefix}{BOXES}"
                boxes = self.input_topic(
                    name, name, Detection2DArray, raw=True, waiting=boxes_waiting
                )
                found.append(boxes)
        return tuple(found)

    def prefixes(self) -> tuple[str, ...]:
        """Return what stands before the topics of each camera.

        Raises:
            ConfigError: the parameter ``cameras`` is not of its grammar.
        """
        return prefixes("cameras", self.value("cameras"))

    def make_outputs(self, model: ActiveModel) -> None:
        """Publish classifications or detections of each camera, and debug images."""
        depth = self.value("output_depth")
        if self.value("regions") in OF_REGIONS:
            kind, topic = Detection2DArray, "detections"
        else:
            kind, topic = Classification, "classification"
        self._answers = {
            prefix: self.output(kind, f"{prefix}{topic}", depth) for prefix in self.prefixes()
        }
        newest = QoSProfile(depth=1)
        images: dict[str, Publisher] = {
            prefix: self.output(Image, f"~/{prefix.lstrip('/')}debug/image", newest)
            for prefix in self.prefixes()
        }
        self._debug = DebugImages(images, lambda: self.value("debug_max_rate_hz"))

    def _release(self) -> None:
        super()._release()
        self._debug = None  # it may hold frames

    def model_changed(self, model: ActiveModel) -> None:
        """Publish the class names of the model that now runs."""
        # The threshold of this message is one of probabilities, by which nothing is left out
        # here: whether an input is known is another question, see the parameter keep_percent.
        message = LabelInfo(threshold=0.0)
        message.header.stamp = self.get_clock().now().to_msg()
        message.class_map = [
            VisionClass(class_id=number, class_name=label)
            for number, label in enumerate(model.bundle.labels)
        ]
        self._label_info.publish(message)

    def details(self) -> Mapping[str, str]:
        """Show what was not answered, and why."""
        model = self._inference.model
        threshold = -math.inf if model is None else getattr(model.pipeline, "threshold", -math.inf)
        text = f"{threshold:.4f}" if math.isfinite(threshold) else "none"
        return {"known_threshold": text, **self._counts.rows()}

    def take_in(self, name: str, message: bytes) -> tuple[Any, Any]:
        """Read a serialised image or boxes; see `PerceptionNode.take_in`."""
        if name.endswith(BOXES):
            return cdr.boxes_from_cdr(message), None
        image = self._read_image(message)
        if self._debug is not None:
            self._debug.frame(name.removesuffix(IMAGE), image)
        return image, None

    def publish_result(self, name: str, result: Any, source: Any) -> None:
        """Publish under the stamp and frame of the image, which the result has."""
        prefix = name.removesuffix(IMAGE).removesuffix(BOXES)
        if isinstance(result, RegionsResult):
            self._answers[prefix].publish(detections(result))
        else:
            self._answers[prefix].publish(classification(result))
        self._counts.count(result)
        if self._debug is not None:
            self._debug.result(prefix, result)

    def _compressed_topic(self, base: str) -> str:
        """Follow a remapping of ``image_raw/compressed``, else one of ``image_raw``.

        The second is what image_transport does: its topics lie below the base topic.
        """
        own = f"{base}/compressed"
        if self.resolve_topic_name(own) != self.resolve_topic_name(own, only_expand=True):
            return own
        return self.resolve_topic_name(base) + "/compressed"


def classification(result: ClassificationResult) -> Classification:
    """Return all classes, the best first; none for a frame that shows none of them."""
    seconds, nanoseconds = divmod(result.stamp_ns, 1_000_000_000)
    order = (-result.scores).argsort(kind="stable") if result.accepted else ()
    return Classification(
        header=Header(stamp=Time(sec=seconds, nanosec=nanoseconds), frame_id=result.frame_id),
        results=[
            ObjectHypothesis(class_id=str(result.labels[i]), score=float(result.scores[i]))
            for i in order
        ],
    )


def detections(result: RegionsResult) -> bytes:
    """Return a serialised vision_msgs/Detection2DArray in reading order.

    The ``id`` of a detection is LINE/POSITION, both from 0.
    """
    best = cdr.best_first(result.labels, result.scores, HYPOTHESES)
    parts = (cdr.centres(result.boxes_xywh), best, cdr.line_ids(result.lines))
    found = [cdr.Found(*each) for each in zip(*parts, strict=True)]
    stamp = Stamp(*divmod(result.stamp_ns, 1_000_000_000))
    return cdr.detections_to_cdr(RawHeader(stamp, result.frame_id), found)


def main(args: list[str] | None = None) -> int:
    """Run the node until it is told to stop; return the exit code."""
    return run([(EXECUTABLE, ImageClassifier)], args)


if __name__ == "__main__":
    sys.exit(main())
