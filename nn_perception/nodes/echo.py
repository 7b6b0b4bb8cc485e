"""Answers every message at once without looking at it: the floor that benchmarks compare with."""

from __future__ import annotations

import signal
import sys
import threading

import rclpy
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rclpy.signals import SignalHandlerOptions
from sensor_msgs.msg import Image, Imu, Range
from vision_msgs.msg import Classification

from nn_perception.nodes.spinning import SpinThread

IMU = "--imu"
"""Echo samples of an IMU, as bytes, in place of images."""
UWB = "--uwb"
"""Likewise UWB ranges."""


def main(args: list[str] | None = None) -> int:
    """Echo until a signal comes: headers of images, or whole samples (``--imu``, ``--uwb``)."""
    args = sys.argv if args is None else args
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    rclpy.init(args=args, signal_handler_options=SignalHandlerOptions.NO)
    node = Node("echo")
    if IMU in args:
        _echo_samples(node, Imu, "imu/data_raw", "imu/data")
    elif UWB in args:
        _echo_samples(node, Range, "uwb/range", "uwb/range_corrected")
    else:
        _echo_headers(node)
    spin = SpinThread(node, lambda error: print(error, file=sys.stderr))
    stop.wait()
    if spin.stop():
        node.destroy_node()
    rclpy.try_shutdown()
    return 0


def _echo_headers(node: Node) -> None:
    publisher = node.create_publisher(Classification, "classification", 10)

    def answer(message: Image) -> None:
        publisher.publish(Classification(header=message.header))

    node.create_subscription(Image, "image_raw", answer, _sensor_data(10))


def _echo_samples(node: Node, message_type: type, source: str, target: str) -> None:
    publisher = node.create_publisher(message_type, target, 400)
    qos = _sensor_data(400)
    node.create_subscription(message_type, source, publisher.publish, qos, raw=True)


def _sensor_data(depth: int) -> QoSProfile:
    return QoSProfile(depth=depth, reliability=ReliabilityPolicy.BEST_EFFORT)


if __name__ == "__main__":
    sys.exit(main())
