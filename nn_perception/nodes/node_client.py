"""What every client of a live node needs: a ROS node in a thread, services, diagnostics."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Any, TypeVar

import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.node import Node
from rclpy.qos import QoSProfile

from nn_perception.nodes.frames import ClientError
from nn_perception.nodes.remote import RemoteNode
from nn_perception.nodes.spinning import SpinThread

Client = TypeVar("Client", bound="NodeClient")


class NodeClient(AbstractContextManager["NodeClient"]):
    """The other end of one live node. A subclass adds what is sent and what comes back."""

    def __init__(
        self,
        target: str,
        *,
        context: rclpy.Context | None = None,
        alive: Callable[[], None] = lambda: None,
    ) -> None:
        """Create the node; a subclass adds publishers and subscriptions and then calls `spin`.

        Args:
            target: fully qualified name of the node at the other end.
            context: an initialised ROS context; None makes one, from the environment.
            alive: called while waiting; raises when waiting is pointless, such as
                `NodeProcess.check_running`.
        """
        self._own_context = context is None
        self.context = context or rclpy.Context()
        if self._own_context:
            self.context.init()
        self._alive = alive
        self._changed = threading.Condition()
        self._waiting = 0  # threads in `_wait`
        self._diagnostics: dict[str, str] = {}
        self._errors: list[Exception] = []
        self._spin: SpinThread | None = None
        self.node = Node("perception_client", context=self.context, use_global_arguments=False)
        self.node.create_subscription(DiagnosticArray, "/diagnostics", self._on_diagnostics, 10)
        self.remote = RemoteNode(self.node, target, alive)
        self._status_name = f"{target.lstrip('/')}: "

    def spin(self) -> None:
        """Start the thread that takes messages in."""
        self._spin = SpinThread(self.node, self._errors.append)

    def __enter__(self: Client) -> Client:
        return self

    def close(self) -> None:
        """Stop, and free what was created."""
        if self._spin is None or self._spin.stop():
            self.node.destroy_node()
        if self._own_context:
            self.context.try_shutdown()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def diagnostics(self) -> dict[str, str]:
        """The node's last diagnostics by key, with ``level`` and ``message``; empty before."""
        return self._diagnostics

    def wait_for_diagnostics(
        self, accept: Callable[[Mapping[str, str]], bool], timeout_s: float = 10.0
    ) -> dict[str, str]:
        """Wait for diagnostics that `accept` likes, and return them.

        Raises:
            ClientError: none came in time.
        """
        self.wait_for(lambda: bool(self._diagnostics) and accept(self._diagnostics), timeout_s)
        return self._diagnostics

    def next_diagnostics(self, timeout_s: float = 10.0) -> dict[str, str]:
        """Wait for diagnostics that the node has not sent yet, and return them.

        Raises:
            ClientError: none came in time.
        """
        known = self._diagnostics
        self.wait_for(lambda: self._diagnostics is not known, timeout_s)
        return self._diagnostics

    def subscribe(
        self, message_type: Any, topic: str, store: Callable[[Any], None], qos: QoSProfile
    ) -> None:
        """Subscribe to a further topic; ``store`` gets each message, and `wait_for` notices."""

        def callback(message: Any) -> None:
            with self._changed:
                store(message)
                self._changed.notify_all()

        self.node.create_subscription(message_type, topic, callback, qos)

    def wait_for(self, condition: Callable[[], bool], timeout_s: float = 10.0) -> None:
        """Wait until a condition on received messages holds.

        Raises:
            ClientError: it does not in time.
        """
        deadline = time.monotonic() + timeout_s
        while not self._wait(condition, 0.2):
            self._alive()
            if time.monotonic() > deadline:
                raise ClientError(
                    f"waited {timeout_s:.0f} s in vain for something from {self.remote.target}; "
                    f"its last diagnostics: {self._diagnostics or 'none'}"
                )

    def _wait(self, condition: Callable[[], bool], timeout_s: float) -> bool:
        with self._changed:
            self._waiting += 1
            try:
                return self._changed.wait_for(condition, timeout_s)
            finally:
                self._waiting -= 1

    def _on_diagnostics(self, array: DiagnosticArray) -> None:
        for status in array.status:
            if status.name.startswith(self._status_name):
                values = {item.key: item.value for item in status.values}
                with self._changed:
                    level = ("OK", "WARN", "ERROR", "STALE")[status.level[0]]
                    self._diagnostics = {**values, "level": level, "message": status.message}
                    self._changed.notify_all()
