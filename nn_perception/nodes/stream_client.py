"""The other end of a live node for a stream of samples: sends bytes, keeps the answers as bytes."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from functools import partial
from typing import Any, NamedTuple

from rclpy.qos import QoSProfile, ReliabilityPolicy

from nn_perception.nodes.frames import ClientError, raw_stamp_ns
from nn_perception.nodes.node_client import NodeClient

DEPTH = 2000
RELIABLE = QoSProfile(depth=DEPTH, reliability=ReliabilityPolicy.RELIABLE)
FIRST_STAMP_NS = 1000 * 1_000_000_000
"""Samples before it are probes, which `StreamClient.answers` leaves out."""
PROBE_PERIOD_NS = 5_000_000


class Answer(NamedTuple):
    """One message from the node: its stamp, when it was received (monotonic), its bytes."""

    stamp_ns: int
    received_s: float
    raw: bytes


class StreamClient(NodeClient, ABC):
    """Publishes serialised messages and keeps what comes back, as bytes.

    A subclass calls `add_publisher` and `add_output`, then `spin`.
    """

    def __init__(self, target: str, **arguments: Any) -> None:
        """See `NodeClient`."""
        super().__init__(target, **arguments)
        self._answers: dict[str, list[Answer]] = {}
        self._probes: dict[str, int] = {}
        self._publishers: list[Any] = []

    @abstractmethod
    def probe(self, stamp_ns: int) -> None:
        """Publish what makes the node answer on every output."""

    def add_publisher(self, message_class: Any, topic: str, qos: QoSProfile = RELIABLE) -> None:
        """Publish on a further topic; `publish` numbers them."""
        self._publishers.append(self.node.create_publisher(message_class, topic, qos))

    def add_output(self, topic: str, message_class: Any) -> None:
        """Keep the answers on a topic."""
        self._answers[topic], self._probes[topic] = [], 0
        store = partial(self._on_answer, topic)
        self.node.create_subscription(message_class, topic, store, RELIABLE, raw=True)

    def connect(self, timeout_s: float = 20.0, *, lifecycle: bool = True) -> None:
        """Wait until the node is active, and answers on every output get through.

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
            self.probe(stamp_ns)
            self._wait(lambda: all(self._probes.values()), 0.05)

    def publish(self, raw: bytes, unit: int = 0) -> float:
        """Publish by one of the publishers; return the time before (monotonic seconds)."""
        before_s = time.monotonic()
        self._publishers[unit].publish(raw)
        return before_s

    def answers(self, topic: str = "") -> list[Answer]:
        """Return the answers on a topic so far, in the order of arrival, without probes.

        Args:
            topic: the first one by default.
        """
        return self._answers[topic or self.outputs[0]].copy()

    @property
    def outputs(self) -> tuple[str, ...]:
        """The topics of the answers."""
        return tuple(self._answers)

    def wait_for_answers(
        self, count: int, topic: str = "", timeout_s: float = 10.0
    ) -> list[Answer]:
        """Wait for this many answers on a topic and return them.

        Raises:
            ClientError: they did not come in time.
        """
        self.wait_for(lambda: len(self._answers[topic or self.outputs[0]]) >= count, timeout_s)
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
