"""The other end of a live node for inertial measurement units: sends samples, takes answers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rclpy.qos import QoSProfile
from rclpy.serialization import serialize_message
from sensor_msgs.msg import Imu

from nn_perception.nodes.stream_client import FIRST_STAMP_NS, RELIABLE, Answer, StreamClient

__all__ = ["FIRST_STAMP_NS", "RELIABLE", "Answer", "ImuClient", "sample"]


class ImuClient(StreamClient):
    """Publishes serialised samples of one or several units."""

    def __init__(
        self,
        target: str,
        *,
        outputs: dict[str, Any] | None = None,
        imus: Sequence[str] = ("",),
        input_topic: str = "imu/data_raw",
        qos: QoSProfile = RELIABLE,
        **arguments: Any,
    ) -> None:
        """Create publishers and subscriptions.

        Args:
            target: fully qualified name of the node.
            outputs: topic -> message class of what the node answers to each sample; None:
                ``imu/data``.
            imus: names of the units as the parameter ``imus`` has them.
            input_topic: where the node listens, behind the name of the unit.
            qos: of the publishers of samples.
            arguments: see `NodeClient`.
        """
        super().__init__(target, **arguments)
        for imu in imus:
            prefix = f"{imu}/" if imu else ""
            self.add_publisher(Imu, f"{prefix}{input_topic}", qos)
            for topic, message_class in (outputs or {"imu/data": Imu}).items():
                self.add_output(f"{prefix}{topic}", message_class)
        self.spin()

    def probe(self, stamp_ns: int) -> None:
        """Publish a sample of each unit."""
        for unit in range(len(self._publishers)):
            self.publish(sample(stamp_ns), unit)


def sample(
    stamp_ns: int,
    gyro_rad_s: Sequence[float] = (0.0, 0.0, 0.0),
    accel_m_s2: Sequence[float] = (0.0, 0.0, 9.81),
    frame_id: str = "imu_link",
) -> bytes:
    """Return a serialised sensor_msgs/Imu without orientation."""
    message = Imu()
    message.header.stamp.sec, message.header.stamp.nanosec = divmod(stamp_ns, 1_000_000_000)
    message.header.frame_id = frame_id
    message.orientation_covariance[0] = -1.0  # not known, as REP-145 has it for raw data
    rate, force = message.angular_velocity, message.linear_acceleration
    rate.x, rate.y, rate.z = map(float, gyro_rad_s)
    force.x, force.y, force.z = map(float, accel_m_s2)
    return bytes(serialize_message(message))
