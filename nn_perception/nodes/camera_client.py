"""The other end of a live classifier of one or several cameras: sends frames and boxes as bytes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import cv2
import numpy as np
from builtin_interfaces.msg import Time
from numpy.typing import NDArray
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rclpy.serialization import serialize_message
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Header
from vision_msgs.msg import Classification, Detection2DArray

from nn_perception.detections_cdr import Found, centres, detections_to_cdr
from nn_perception.image_cdr import RawHeader, Stamp
from nn_perception.messages import array_to_image_fields
from nn_perception.nodes.stream_client import StreamClient
from nn_perception.tasks.image_pipeline import BOXES, IMAGE
from nn_perception.tasks.region_modes import OF_REGIONS

FRAMES = QoSProfile(depth=10, reliability=ReliabilityPolicy.RELIABLE)
"""A publisher keeps as many frames, of a megabyte each."""


class CameraClient(StreamClient):
    """Publishes serialised frames of some cameras, and boxes; keeps the answers as bytes.

    Publishers are numbered by camera; with boxes, ``2 * camera`` is its images' and the next one
    its boxes'.
    """

    def __init__(
        self,
        target: str = "/image_classifier",
        *,
        cameras: Sequence[str] = ("",),
        regions: str = "full",
        compressed: bool = False,
        qos: QoSProfile = FRAMES,
        **arguments: Any,
    ) -> None:
        """Create publishers and subscriptions.

        Args:
            target: fully qualified name of the node.
            cameras: names of the cameras where they are several.
            regions: the node's parameter of this name, which tells topics and types.
            compressed: whether frames are sensor_msgs/CompressedImage.
            qos: of the publishers.
            arguments: see `NodeClient`.
        """
        super().__init__(target, **arguments)
        self._boxes, self._compressed = regions == "detections", compressed
        kind = CompressedImage if compressed else Image
        answer = regions in OF_REGIONS
        for camera in cameras:
            prefix = f"{camera}/" if camera else ""
            self.add_publisher(kind, f"{prefix}{IMAGE}{'/compressed' * compressed}", qos)
            if self._boxes:
                self.add_publisher(Detection2DArray, f"{prefix}{BOXES}", qos)
            self.add_output(
                f"{prefix}{'detections' if answer else 'classification'}",
                Detection2DArray if answer else Classification,
            )
        self.spin()

    def probe(self, stamp_ns: int) -> None:
        """Publish a small frame of each camera, with no boxes where boxes are needed."""
        picture = frame(stamp_ns, np.zeros((32, 32), np.uint8), "mono8")
        if self._compressed:
            picture = compressed_frame(stamp_ns, np.zeros((32, 32), np.uint8))
        for number in range(len(self._publishers)):
            is_boxes = self._boxes and number % 2 == 1
            self.publish(boxes(stamp_ns, ()) if is_boxes else picture, number)


def frame(stamp_ns: int, pixels: NDArray[Any], encoding: str, frame_id: str = "camera") -> bytes:
    """Return a serialised sensor_msgs/Image; see `array_to_image_fields` for pixels."""
    fields = array_to_image_fields(pixels, encoding)
    return bytes(serialize_message(Image(header=_header(stamp_ns, frame_id), **fields)))


def compressed_frame(
    stamp_ns: int, pixels: NDArray[np.uint8], extension: str = "png", frame_id: str = "camera"
) -> bytes:
    """Return a serialised sensor_msgs/CompressedImage of grey or BGR pixels."""
    data = cv2.imencode(f".{extension}", pixels)[1].tobytes()
    message = CompressedImage(header=_header(stamp_ns, frame_id), format=extension, data=data)
    return bytes(serialize_message(message))


def boxes(stamp_ns: int, boxes_xywh: Iterable[Sequence[float]], frame_id: str = "camera") -> bytes:
    """Return a serialised vision_msgs/Detection2DArray of boxes of left, top, width and height."""
    corners = np.array(list(boxes_xywh), np.float64).reshape(-1, 4)
    found = [Found(box, (), "") for box in centres(corners)]
    return detections_to_cdr(RawHeader(Stamp(*divmod(stamp_ns, 1_000_000_000)), frame_id), found)


def _header(stamp_ns: int, frame_id: str) -> Header:
    seconds, nanoseconds = divmod(stamp_ns, 1_000_000_000)
    return Header(stamp=Time(sec=seconds, nanosec=nanoseconds), frame_id=frame_id)
