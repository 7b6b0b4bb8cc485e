"""Classifies whole camera frames: sensor_msgs/Image in, vision_msgs/Classification out."""

from __future__ import annotations

import sys
from typing import Any

from sensor_msgs.msg import CompressedImage, Image
from vision_msgs.msg import Classification, LabelInfo, ObjectHypothesis, VisionClass

from nn_perception.nodes.base import LATCHED, PerceptionNode
from nn_perception.nodes.model import ActiveModel
from nn_perception.nodes.run import Executable, run
from nn_perception.nodes.subscriptions import InputTopic

EXECUTABLE = Executable(
    name="image_classifier",
    summary="Classifies whole camera frames with a trained model.",
    topics=(
        ("subscribes", "image_raw", "sensor_msgs/Image (image_transport: raw)"),
        ("subscribes", "image_raw/compressed", "sensor_msgs/CompressedImage (compressed)"),
        ("publishes", "classification", "vision_msgs/Classification, every class, best first"),
        ("publishes", "label_info", "vision_msgs/LabelInfo (latched)"),
        ("publishes", "~/active_model", "diagnostic_msgs/DiagnosticStatus (latched)"),
        ("publishes", "/diagnostics", "diagnostic_msgs/DiagnosticArray"),
    ),
)


class ImageClassifier(PerceptionNode):
    """The lifecycle node ``image_classifier``."""

    executable = EXECUTABLE.name
    input_types = ("sensor_msgs/msg/Image", "sensor_msgs/msg/CompressedImage")

    def __init__(self, **kwargs: Any) -> None:
        """See `PerceptionNode`."""
        super().__init__(**kwargs)
        self._label_info = self.create_publisher(LabelInfo, "label_info", LATCHED)

    def input_topics(self) -> tuple[InputTopic, ...]:
        """Subscribe to raw or compressed images."""
        if self.value("image_transport") == "raw":
            return (self.input_topic("image_raw", "image_raw", Image),)
        return (self.input_topic("image_raw", self._compressed_topic(), CompressedImage),)

    def make_outputs(self, model: ActiveModel) -> None:
        """Publish classifications."""
        depth = self.value("output_depth")
        self._classification = self.output(Classification, "classification", depth)

    def model_changed(self, model: ActiveModel) -> None:
        """Publish the class names of the model that now runs."""
        message = LabelInfo(threshold=0.0)
        message.header.stamp = self.get_clock().now().to_msg()
        message.class_map = [
            VisionClass(class_id=number, class_name=label)
            for number, label in enumerate(model.bundle.labels)
        ]
        self._label_info.publish(message)

    def publish_result(self, name: str, result: Any, source: Any) -> None:
        """Publish all scores, the best first, under the header of the image."""
        order = (-result.scores).argsort(kind="stable")
        self._classification.publish(
            Classification(
                header=source.header,
                results=[
                    ObjectHypothesis(
                        class_id=str(result.labels[index]), score=float(result.scores[index])
                    )
                    for index in order
                ],
            )
        )

    def _compressed_topic(self) -> str:
        """Follow a remapping of ``image_raw/compressed``, else one of ``image_raw``.

        The second is what image_transport does: its topics lie below the base topic.
        """
        own = "image_raw/compressed"
        if self.resolve_topic_name(own) != self.resolve_topic_name(own, only_expand=True):
            return own
        return self.resolve_topic_name("image_raw") + "/compressed"


def main(args: list[str] | None = None) -> int:
    """Run the node until it is told to stop; return the exit code."""
    return run([(EXECUTABLE, ImageClassifier)], args)


if __name__ == "__main__":
    sys.exit(main())
