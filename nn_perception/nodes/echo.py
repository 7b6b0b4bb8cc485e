"""Answers every image at once without looking at it: the floor that the benchmark compares with."""

from __future__ import annotations

import signal
import sys
import threading

import rclpy
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rclpy.signals import SignalHandlerOptions
from sensor_msgs.msg import Image
from vision_msgs.msg import Classification

from nn_perception.nodes.spinning import SpinThread


def main(args: list[str] | None = None) -> int:
    """Echo the header of each ``image_raw`` on ``classification`` until a signal comes."""
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    rclpy.init(args=args, signal_handler_options=SignalHandlerOptions.NO)
    node = Node("echo")
    publisher = node.create_publisher(Classification, "classification", 10)

    def answer(message: Image) -> None:
        publisher.publish(Classification(header=message.header))

    qos = QoSProfile(depth=10, reliability=ReliabilityPolicy.BEST_EFFORT)
    node.create_subscription(Image, "image_raw", answer, qos)
    spin = SpinThread(node, lambda error: print(error, file=sys.stderr))
    stop.wait()
    if spin.stop():
        node.destroy_node()
    rclpy.try_shutdown()
    return 0


if __name__ == "__main__":
    sys.exit(main())
