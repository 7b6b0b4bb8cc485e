"""The other end of a live node for UWB ranges: sends poses and ranges, takes answers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from nav_msgs.msg import Odometry
from rclpy.qos import QoSProfile
from rclpy.serialization import serialize_message
from sensor_msgs.msg import Range

from nn_perception.nodes.stream_client import RELIABLE, StreamClient


class UwbClient(StreamClient):
    """Publishes serialised poses, and ranges of one or several tags; publisher 0 is the poses'."""

    def __init__(
        self,
        target: str,
        *,
        probe_to: tuple[str, Sequence[float]],
        tags: Sequence[str] = ("",),
        qos: QoSProfile = RELIABLE,
        **arguments: Any,
    ) -> None:
        """Create publishers and subscriptions.

        Args:
            target: fully qualified name of the node.
            probe_to: name and position of an anchor, by whose ranges the connection is probed.
            tags: names of the tags where they are several.
            qos: of the publishers.
            arguments: see `NodeClient`.
        """
        super().__init__(target, **arguments)
        self._anchor, self._anchor_m = probe_to
        self.add_publisher(Odometry, "odom", qos)
        for tag in tags:
            prefix = f"{tag}/" if tag else ""
            self.add_publisher(Range, f"{prefix}uwb/range", qos)
            self.add_output(f"{prefix}uwb/range_corrected", Range)
        self.spin()

    def probe(self, stamp_ns: int) -> None:
        """Publish a pose two metres from the anchor, and a range of each tag."""
        x, y, z = self._anchor_m
        self.publish(pose(stamp_ns, (x - 2.0, y, z)))
        for tag in range(1, len(self._publishers)):
            self.publish(range_to(stamp_ns, self._anchor, 2.0), tag)


def pose(
    stamp_ns: int,
    position_m: Sequence[float] = (0.0, 0.0, 0.0),
    orientation_xyzw: Sequence[float] = (0.0, 0.0, 0.0, 1.0),
    variance_m2: float = 0.0,
) -> bytes:
    """Return a serialised nav_msgs/Odometry."""
    message = Odometry(child_frame_id="base_link")
    message.header.stamp.sec, message.header.stamp.nanosec = divmod(stamp_ns, 1_000_000_000)
    message.header.frame_id = "map"
    place, turn = message.pose.pose.position, message.pose.pose.orientation
    place.x, place.y, place.z = map(float, position_m)
    turn.x, turn.y, turn.z, turn.w = map(float, orientation_xyzw)
    for index in (0, 7, 14):
        message.pose.covariance[index] = variance_m2
    return bytes(serialize_message(message))


def range_to(stamp_ns: int, anchor: str, range_m: float, max_range_m: float = 0.0) -> bytes:
    """Return a serialised sensor_msgs/Range."""
    message = Range(range=float(range_m), max_range=max_range_m)
    message.header.stamp.sec, message.header.stamp.nanosec = divmod(stamp_ns, 1_000_000_000)
    message.header.frame_id = anchor
    return bytes(serialize_message(message))
