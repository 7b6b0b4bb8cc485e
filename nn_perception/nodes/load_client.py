"""The other end of several live nodes: sends bytes, and notes when each answer left its node."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from types import TracebackType
from typing import Any

import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.node import Node
from sensor_msgs.msg import Image

from nn_perception.nodes.camera_client import FRAMES
from nn_perception.nodes.frames import ClientError, raw_stamp_ns
from nn_perception.nodes.remote import RemoteNode
from nn_perception.nodes.spinning import SpinThread
from nn_perception.nodes.stream_client import RELIABLE

OnAnswer = Callable[[str, int, int, bytes], None]
"""Gets the topic, the answer's header stamp, when it was published (both ns), and its bytes."""


class LoadClient(AbstractContextManager["LoadClient"]):
    """Publishes on some topics and gets the answers of some nodes, in one process.

    The time of an answer is that at which its node gave it to DDS, by the system's clock: what
    this process is late by in receiving it does not count as the node's.
    """

    def __init__(
        self,
        targets: Sequence[str],
        *,
        inputs: Mapping[str, Any],
        outputs: Mapping[str, Any],
        on_answer: OnAnswer,
        alive: Callable[[], None] = lambda: None,
    ) -> None:
        """Create publishers and subscriptions.

        Args:
            targets: names of the nodes.
            inputs: topic -> message class of what is sent.
            outputs: topic -> message class of the answers.
            on_answer: called in the receiving thread.
            alive: called while waiting; raises when waiting is pointless.
        """
        self._alive = alive
        self._on_answer = on_answer
        self.errors: list[Exception] = []
        self.diagnostics: dict[str, dict[str, str]] = {}
        self._contexts: list[rclpy.Context] = []
        self._nodes: list[Node] = []
        # Each with shared memory of its own, as the drivers of a camera and of an IMU have it: what
        # all send from one segment shows in the memory of all receivers.
        self._publishers = {
            topic: self._make_node().create_publisher(
                kind, topic, FRAMES if kind is Image else RELIABLE
            )
            for topic, kind in inputs.items()
        }
        self._receiver, self._control = self._make_node(), self._make_node()
        for topic, kind in outputs.items():
            self._receiver.create_subscription(
                kind, topic, self._callback(topic), RELIABLE, raw=True
            )
        self._control.create_subscription(
            DiagnosticArray, "/diagnostics", self._on_diagnostics, 100
        )
        self.remotes = {name: RemoteNode(self._control, f"/{name}", alive) for name in targets}
        # The events executor of rclpy 9.1 cannot give a message's info with its bytes.
        self._threads = [
            SpinThread(self._receiver, self.errors.append, "single_threaded"),
            SpinThread(self._control, self.errors.append),
        ]

    def publish(self, topic: str, raw: bytes) -> None:
        """Publish a serialised message."""
        self._publishers[topic].publish(raw)

    def wait_until_active(self, timeout_s: float = 30.0) -> None:
        """Wait until all nodes are.

        Raises:
            RemoteError: one is not in time.
        """
        for remote in self.remotes.values():
            remote.wait_for_state("active", timeout_s)

    def wait_for(self, condition: Callable[[], bool], what: str, timeout_s: float = 20.0) -> None:
        """Wait for something that the threads bring about, asking a hundred times a second.

        Raises:
            ClientError: it did not come in time.
        """
        deadline_s = time.monotonic() + timeout_s
        while not condition():
            self._alive()
            if time.monotonic() > deadline_s:
                raise ClientError(f"waited {timeout_s:.0f} s in vain for {what}: see the logs")
            time.sleep(0.01)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop the threads and free what was created."""
        stopped = [thread.stop() for thread in self._threads]
        if all(stopped):
            for node in self._nodes:
                node.destroy_node()
        for context in self._contexts:
            context.try_shutdown()

    def _make_node(self) -> Node:
        """Create a node in a context, and so with a DDS participant, of its own."""
        context = rclpy.Context()
        context.init()
        self._contexts.append(context)
        name = f"load_{len(self._contexts)}"
        self._nodes.append(Node(name, context=context, use_global_arguments=False))
        return self._nodes[-1]

    def _callback(self, topic: str) -> Callable[[bytes, Any], None]:
        on_answer = self._on_answer

        def take(raw: bytes, info: Any) -> None:
            on_answer(topic, raw_stamp_ns(raw), info["source_timestamp"], raw)

        return take

    def _on_diagnostics(self, array: DiagnosticArray) -> None:
        for status in array.status:
            name = status.name.partition(":")[0]
            values = {item.key: item.value for item in status.values}
            with suppress(IndexError):
                values["level"] = ("OK", "WARN", "ERROR", "STALE")[status.level[0]]
            self.diagnostics[name] = {**values, "message": status.message}
