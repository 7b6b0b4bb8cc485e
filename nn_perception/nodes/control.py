"""The control of a node: parameters, transitions and timers, in a thread of the node's own.

One executor for several nodes would let the model build of one hold up the parameters, transitions
and diagnostics of all.
"""

from __future__ import annotations

import contextlib
import gc
import queue
import sys
import threading
import traceback
from typing import TYPE_CHECKING

from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor

from nn_perception.nodes.process import LOOK_S

if TYPE_CHECKING:
    from nn_perception.nodes.table_node import TableNode

SPIN_TIMEOUT_S = 0.5


class Stop:
    """The wish to end, which a signal handler may express at any moment, within another one, too.

    Not a `threading.Event`: a handler that runs while its own thread is inside ``set`` or ``wait``
    would wait for a lock that this very thread holds. `queue.SimpleQueue.put` is reentrant.
    """

    def __init__(self) -> None:
        self._requests: queue.SimpleQueue[None] = queue.SimpleQueue()
        self.requested = False

    def request(self) -> None:
        """Wake `wait`; any number of times, from anywhere."""
        self.requested = True
        self._requests.put(None)

    def wait(self) -> None:
        """Wait for the first request."""
        while not self.requested:
            with contextlib.suppress(queue.Empty):
                self._requests.get(timeout=LOOK_S)


class ControlThread:
    """Starts a node as its parameter ``autostart`` says, then spins it until the stop."""

    def __init__(self, node: TableNode, stop: Stop) -> None:
        """Start the thread.

        Args:
            node: belongs to this thread until `join`.
            stop: ends the thread; requested by it when the ROS context ends.
        """
        self.name = node.get_name()
        self._node = node
        self._stop = stop
        self._executor = SingleThreadedExecutor(context=node.context)
        self._executor.add_node(node)
        self._thread = threading.Thread(target=self._run, name=f"{self.name}_control", daemon=True)
        self._thread.start()

    def wake(self) -> None:
        """Let the thread see the stop at once."""
        self._executor.wake()

    def join(self, timeout_s: float) -> bool:
        """Wait for the end and give the node back; False when the thread did not end."""
        self._thread.join(timeout_s)
        if self._thread.is_alive():
            return False
        self._executor.shutdown()
        return True

    def _run(self) -> None:
        try:
            if not self._stop.requested:
                self._node.autostart()
        except Exception:
            self._report("could not start by itself")
        frozen = 0
        while not self._stop.requested and self._node.context.ok():
            if frozen != len(sys.modules):
                # Modules stay; with a model, which may come late, come those of its backend. A full
                # collection that looks through them stops every thread for 20 to 170 ms.
                frozen = len(sys.modules)
                gc.freeze()
            try:
                self._executor.spin_once(timeout_sec=SPIN_TIMEOUT_S)
            except ExternalShutdownException:
                break
            except Exception:
                # Such as a request that is not valid UTF-8. The stream must not end for it.
                self._report("a callback failed")
        self._stop.request()

    def _report(self, what: str) -> None:
        self._node.get_logger().error(f"{what}: {traceback.format_exc()}")
