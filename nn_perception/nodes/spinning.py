"""A node spun by an executor in a thread of its own."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from rclpy.executors import Executor, ExternalShutdownException, SingleThreadedExecutor
from rclpy.node import Node

from nn_perception.errors import ConfigError

try:
    from rclpy.experimental import EventsExecutor
except ImportError:  # rclpy of Humble and Iron
    EventsExecutor = None

SPIN_TIMEOUT_S = 0.2


class SpinThread:
    """Spins one node until it is stopped."""

    def __init__(
        self, node: Node, on_error: Callable[[Exception], None], executor: str = "auto"
    ) -> None:
        """Start the thread.

        Args:
            node: belongs to this thread until `stop`; create its entities before.
            on_error: called in the thread with what a callback or the deserialisation of a
                message raised, such as a string that is not UTF-8. Spinning goes on.
            executor: ``"auto"`` (events where rclpy has it), ``"events"`` or
                ``"single_threaded"``.

        Raises:
            ConfigError: the events executor was asked for and is not there.
        """
        self._node = node
        self._on_error = on_error
        self._running = True
        self._executor = _create_executor(executor, node)
        self._executor.add_node(node)
        self._thread = threading.Thread(target=self._spin, name=node.get_name(), daemon=True)
        self._thread.start()

    def stop(self, timeout_s: float = 5.0) -> bool:
        """Stop the thread and give the node back; False when the thread did not end.

        The node must then not be destroyed: the thread may still use it.
        """
        self._running = False
        if self._node.context.ok():
            self._executor.wake()
        self._thread.join(timeout_s)
        if self._thread.is_alive():
            return False
        self._executor.remove_node(self._node)
        self._executor.shutdown()
        return True

    def _spin(self) -> None:
        spin_once = self._executor.spin_once
        checked_s = -SPIN_TIMEOUT_S
        while self._running:
            now_s = time.monotonic()
            if now_s - checked_s >= SPIN_TIMEOUT_S:  # asking it for each message would be dear
                checked_s = now_s
                if not self._node.context.ok():
                    return
            try:
                spin_once(timeout_sec=SPIN_TIMEOUT_S)
            except ExternalShutdownException:
                return
            except Exception as error:
                if self._running and self._node.context.ok():
                    self._on_error(error)


def _create_executor(kind: str, node: Node) -> Executor:
    if kind == "events" and EventsExecutor is None:
        raise ConfigError(
            "parameter 'intake_executor' is 'events', but this rclpy has no events executor: "
            "choose auto or single_threaded"
        )
    if kind != "single_threaded" and EventsExecutor is not None:
        # Its spin() runs no callback in rclpy 9.1; spin_once does, and is the fastest there is.
        return EventsExecutor(context=node.context)
    return SingleThreadedExecutor(context=node.context)
