"""The other end of a live node for inertial measurement units: sends samples, takes answers."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import rclpy
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rclpy.serialization import serialize_message
from sensor_msgs.msg import Imu

from nn_perception.nodes.frames import ClientError, raw_stamp_ns
from nn_perception.nodes.node_client import NodeClient

DEPTH = 2000
RELIABLE = QoSProfile(depth=DEPTH, reliability=ReliabilityPolicy.RELIABLE)
FIRST_STAMP_NS = 1000 * 1_000_000_000
"""Samples before it are probes, which `ImuClient.answers` leaves out."""
PROBE_PERIOD_NS = 5_000_000


class Answer(NamedTuple):
    """One message from the node: its stamp, when it was received (monotonic), its bytes."""

    stamp_ns: int
    received_s: float
    raw: bytes


class ImuClient(NodeClient):
    """Publishes serialised samples of one or several units and keeps what comes back, as bytes."""

    def __init__(
        self,
        target: str,
        *,
        outputs: dict[str, Any] | None = None,
        imus: Sequence[str] = ("",),
        input_topic: str = "imu/data_raw",
        qos: QoSProfile = RELIABLE,
        context: rclpy.Context | None = None,
        alive: Callable[[], None] = lambda: None,
    ) -> None:
        """Create publishers and subscriptions.

        Args:
            target: fully qualified name of the node.
            outputs: topic -> message class of what the node answers to each sample; None:
                ``imu/data``.
            imus: names of the units as the parameter ``imus`` has them.
            input_topic: where the node listens, behind the name of the unit.
            qos: of the publishers of samples.
            context: see `NodeClient`.
            alive: see `NodeClient`.
        """
        super().__init__(target, context=context, alive=alive)
        self._answers: dict[str, list[Answer]] = {}
        self._probes: dict[str, int] = {}
        self._publishers = []
        for imu in imus:
            prefix = f"{imu}/" if imu else ""
            self._publishers.append(self.node.create_publisher(Imu, f"{prefix}{input_topic}", qos))
            for topic, message_class in (outputs or {"imu/data": Imu}).items():
                self._subscribe(f"{prefix}{topic}", message_class)
        self.spin()

    def _subscribe(self, topic: str, message_class: Any) -> None:
        self._answers[topic], self._probes[topic] = [], 0
        store = partial(self._on_answer, topic)
        self.node.create_subscription(message_class, topic, store, RELIABLE, raw=True)

    def connect(self, timeout_s: float = 20.0, *, lifecycle: bool = True) -> None:
        """Wait until the node is active, and answers to samples of every unit get through.

        Args:
            timeout_s: longest wait.
            lifecycle: False for a plain node, which has no state to ask for.

        Raises:
            ClientError: it did not happen in time.
        """
        deadline = time.monotonic() + timeout_s
        if lifecycle:
            self.remote.wait_for_state("active", timeout_s)
        self._probes = dict.fromkeys(self._probes, 0)
        stamp_ns = 0
        while not all(self._probes.values()):
            if time.monotonic() > deadline:
                silent = [topic for topic, count in self._probes.items() if not count]
                raise ClientError(
                    f"no answers on {', '.join(silent)} within {timeout_s:.0f} s: check topics, "
                    "ROS_DOMAIN_ID and the node's log"
                )
            self._alive()
            # Stamps rise, since a pipeline may refuse one that does not.
            stamp_ns += PROBE_PERIOD_NS
            for unit in range(len(self._publishers)):
                self.publish(sample(stamp_ns), unit)
            self._wait(lambda: all(self._probes.values()), 0.05)

    def publish(self, raw: bytes, unit: int = 0) -> float:
        """Publish a serialised sample of a unit; return the time before (monotonic seconds)."""
        before_s = time.monotonic()
        self._publishers[unit].publish(raw)
        return before_s

    def answers(self, topic: str = "imu/data") -> list[Answer]:
        """Return the answers on a topic so far, in the order of arrival, without probes."""
        return self._answers[topic].copy()

    def wait_for_answers(
        self, count: int, topic: str = "imu/data", timeout_s: float = 10.0
    ) -> list[Answer]:
        """Wait for this many answers on a topic and return them.

        Raises:
            ClientError: they did not come in time.
        """
        self.wait_for(lambda: len(self._answers[topic]) >= count, timeout_s)
        return self.answers(topic)

    def wait_for_silence(self, timeout_s: float) -> None:
        """Wait until no further answer has come for this long."""
        known = -1
        while (count := self.count) != known:
            known = count
            self._wait(lambda seen=count: self.count > seen, timeout_s)  # type: ignore[misc]

    @property
    def count(self) -> int:
        """Answers on all topics together, without probes."""
        return sum(map(len, self._answers.values()))

    def forget(self) -> None:
        """Drop the answers so far."""
        with self._changed:
            for answers in self._answers.values():
                answers.clear()

    def _on_answer(self, topic: str, raw: bytes) -> None:
        now = time.monotonic()
        stamp_ns = raw_stamp_ns(raw)
        if stamp_ns < FIRST_STAMP_NS:
            self._probes[topic] += 1
        else:
            self._answers[topic].append(Answer(stamp_ns, now, raw))
        # Whoever begins to wait after this line has seen the answer; at thousands of answers a
        # second a lock for each is what the client would spend its time on.
        if self._waiting:
            with self._changed:
                self._changed.notify_all()


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
