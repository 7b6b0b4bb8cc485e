"""The other end of a live classifier: sends frames and takes answers."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

import rclpy
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import CompressedImage, Image
from vision_msgs.msg import Classification

from nn_perception.nodes.frames import ClientError, probe, raw_stamp_ns
from nn_perception.nodes.node_client import NodeClient
from nn_perception.nodes.playback import Frame, ParameterChange, Playback

RELIABLE = QoSProfile(depth=200, reliability=ReliabilityPolicy.RELIABLE)
MESSAGE_TYPES: Mapping[str, Any] = {
    "sensor_msgs/msg/Image": Image,
    "sensor_msgs/msg/CompressedImage": CompressedImage,
}
PROBE_STAMP_NS = 0


class ClassifierClient(NodeClient):
    """Publishes serialised frames to a classifier node and takes its answers in."""

    def __init__(
        self,
        target: str = "/image_classifier",
        *,
        message_type: str = "sensor_msgs/msg/Image",
        image_topic: str = "/image_raw",
        result_topic: str = "/classification",
        context: rclpy.Context | None = None,
        alive: Callable[[], None] = lambda: None,
    ) -> None:
        """Create publisher, subscription and service clients.

        Args:
            target: fully qualified name of the classifier node.
            message_type: ``"sensor_msgs/msg/Image"`` or ``"sensor_msgs/msg/CompressedImage"``.
            image_topic: where the classifier listens.
            result_topic: where it answers.
            context: an initialised ROS context; None makes one, from the environment.
            alive: called while waiting; raises when waiting is pointless, such as
                `NodeProcess.check_running`.

        Raises:
            ClientError: another message type.
        """
        if message_type not in MESSAGE_TYPES:
            raise ClientError(
                f"cannot play {message_type}; expected one of: {', '.join(MESSAGE_TYPES)}"
            )
        super().__init__(target, context=context, alive=alive)
        self._answers: dict[int, list[tuple[float, Classification]]] = {}
        self._changes: list[ParameterChange] = []
        self._message_class = MESSAGE_TYPES[message_type]
        self._publisher = self.node.create_publisher(self._message_class, image_topic, RELIABLE)
        self._results = self.node.create_subscription(
            Classification, result_topic, self._on_answer, RELIABLE
        )
        self.spin()

    def connect(self, timeout_s: float = 20.0, *, lifecycle: bool = True) -> None:
        """Wait until the node is active and frames and answers get through.

        Args:
            timeout_s: longest wait.
            lifecycle: False for a plain node, which has no state to ask for.

        Matched endpoints do not prove that yet: one side can know the other before it is known.
        So a small frame with the stamp 0 is sent until an answer to it comes back.

        Raises:
            ClientError: it did not happen in time.
        """
        deadline = time.monotonic() + timeout_s
        if lifecycle:
            self.remote.wait_for_state("active", timeout_s)
        while PROBE_STAMP_NS not in self._answers:
            if time.monotonic() > deadline:
                raise ClientError(
                    f"no answer on {self._results.topic_name} to frames on "
                    f"{self._publisher.topic_name} within {timeout_s:.0f} s "
                    f"({self._publisher.get_subscription_count()} subscriptions, "
                    f"{self._results.get_publisher_count()} publishers matched): check topics, "
                    "ROS_DOMAIN_ID and the node's log"
                )
            self._publisher.publish(probe(self._message_class))
            self._wait(lambda: PROBE_STAMP_NS in self._answers, 0.1)

    def publish(self, raw: bytes) -> tuple[int, float]:
        """Publish one serialised frame; return its stamp in nanoseconds and the time before."""
        stamp_ns = raw_stamp_ns(raw)
        published_s = time.monotonic()
        self._publisher.publish(bytes(raw))  # a no-op for bytes, a copy of a memoryview
        return stamp_ns, published_s

    def wait_for_answer(self, stamp_ns: int, timeout_s: float) -> bool:
        """Wait for an answer to the frame of a stamp; False when none came in time."""
        return self._wait(lambda: stamp_ns in self._answers, timeout_s)

    def answers(self, stamp_ns: int) -> list[Classification]:
        """Return the answers so far to the frame of a stamp."""
        with self._changed:
            return [message for _, message in self._answers.get(stamp_ns, [])]

    def request(self, frame_index: int, settings: Mapping[str, Any]) -> None:
        """Set parameters of the node without waiting; `Playback.changes` holds the outcome."""
        for name, value in settings.items():
            self._request_one(frame_index, name, value)

    def finish(
        self, sent: list[tuple[int, float]], requests: int, first_change: int, drain_s: float
    ) -> Playback:
        """Wait for the answers that are still to come, and sum up.

        Args:
            sent: (stamp, publish time) of each frame.
            requests: parameter changes whose outcome is to be awaited.
            first_change: how many changes were recorded before this playback.
            drain_s: longest wait without a further answer.
        """
        stamps = {stamp_ns for stamp_ns, _ in sent}
        self.wait_for(lambda: len(self._changes) - first_change >= requests, 60.0)
        known = -1
        while known < (count := self._count(stamps)) < len(stamps):
            known = count
            self._wait_for_more(stamps, known, drain_s)
        with self._changed:
            frames = tuple(
                _frame(index, stamp_ns, published_s, self._answers.get(stamp_ns, []))
                for index, (stamp_ns, published_s) in enumerate(sent)
            )
            strays = self._answers.keys() - stamps - {PROBE_STAMP_NS}
        ends = [frame.received_s or frame.published_s for frame in frames]
        return Playback(
            frames=frames,
            changes=tuple(self._changes[first_change:]),
            stray_answers=len(strays),
            duration_s=max(ends) - frames[0].published_s if frames else 0.0,
            diagnostics=dict(self._diagnostics),
        )

    def forget(self) -> int:
        """Drop the answers of an earlier playback; return how many changes are recorded."""
        with self._changed:
            self._answers.clear()
            return len(self._changes)

    @property
    def change_count(self) -> int:
        """How many changes were answered so far, since this client was made."""
        return len(self._changes)

    def _request_one(self, frame_index: int, name: str, value: Any) -> None:
        start_s = time.monotonic()

        def done(ok: bool, reason: str) -> None:
            end_s = time.monotonic()
            change = ParameterChange(frame_index, name, value, ok, reason, start_s, end_s)
            with self._changed:
                self._changes.append(change)
                self._changed.notify_all()

        self.remote.request_parameter(name, value, done)

    def _count(self, stamps: set[int]) -> int:
        return len(self._answers.keys() & stamps)

    def _wait_for_more(self, stamps: set[int], known: int, timeout_s: float) -> None:
        self._wait(lambda: self._count(stamps) > known, timeout_s)

    def _on_answer(self, message: Classification) -> None:
        now = time.monotonic()
        stamp = message.header.stamp
        with self._changed:
            stamp_ns = stamp.sec * 1_000_000_000 + stamp.nanosec
            self._answers.setdefault(stamp_ns, []).append((now, message))
            self._changed.notify_all()


def _frame(
    index: int,
    stamp_ns: int,
    published_s: float,
    answers: list[tuple[float, Classification]],
) -> Frame:
    if not answers:
        return Frame(index, stamp_ns, published_s)
    received_s, message = answers[0]
    return Frame(
        index,
        stamp_ns,
        published_s,
        received_s,
        tuple(hypothesis.class_id for hypothesis in message.results),
        tuple(hypothesis.score for hypothesis in message.results),
        len(answers),
    )
