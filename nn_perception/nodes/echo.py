"""A node that answers each image at once with a fixed classification: the floor of any node.

Written as an rclpy tutorial would write it, for the benchmark to compare with.
"""

from __future__ import annotations

import contextlib
import sys

import rclpy
from rclpy.executors import ExternalShutdownException
from rclpy.node import Node
from rclpy.qos import qos_profile_sensor_data
from sensor_msgs.msg import Image
from vision_msgs.msg import Classification, ObjectHypothesis


class Echo(Node):
    """``image_raw`` in, ten equal scores with the header of the image out on ``classification``."""

    def __init__(self) -> None:
        """Subscribe and publish."""
        super().__init__("echo")
        self._scores = [ObjectHypothesis(class_id=str(i), score=0.1) for i in range(10)]
        self._publisher = self.create_publisher(Classification, "classification", 10)
        self.create_subscription(Image, "image_raw", self._answer, qos_profile_sensor_data)

    def _answer(self, image: Image) -> None:
        self._publisher.publish(Classification(header=image.header, results=self._scores))


def main(args: list[str] | None = None) -> int:
    """Run until a signal."""
    rclpy.init(args=args)
    node = Echo()
    with contextlib.suppress(KeyboardInterrupt, ExternalShutdownException):
        rclpy.spin(node)
    node.destroy_node()
    rclpy.try_shutdown()
    return 0


if __name__ == "__main__":
    sys.exit(main())
