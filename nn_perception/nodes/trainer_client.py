"""The other end of a trainer node: its services and its status."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

from diagnostic_msgs.msg import DiagnosticStatus
from std_srvs.srv import Trigger

from nn_perception.nodes.declaration import LATCHED
from nn_perception.nodes.frames import ClientError
from nn_perception.nodes.node_client import NodeClient


class TrainerClient(NodeClient):
    """Gives orders to a trainer and keeps what it says."""

    def __init__(self, target: str = "/trainer", **arguments: Any) -> None:
        """Connect; see `NodeClient`."""
        super().__init__(target, **arguments)
        self._statuses: list[dict[str, str]] = []
        self._train = self.node.create_client(Trigger, f"{target}/train")
        self._cancel = self.node.create_client(Trigger, f"{target}/cancel")
        self.subscribe(DiagnosticStatus, f"{target}/status", self._store, LATCHED)
        self.spin()

    def train(self, timeout_s: float = 10.0) -> tuple[bool, str]:
        """Call ``~/train``; return its answer.

        Raises:
            ClientError: there was none in time.
        """
        return self._call(self._train, timeout_s)

    def cancel(self, timeout_s: float = 10.0) -> tuple[bool, str]:
        """Call ``~/cancel``; see `train`."""
        return self._call(self._cancel, timeout_s)

    @property
    def statuses(self) -> list[dict[str, str]]:
        """Everything that came on ``~/status``: its rows, ``level`` and ``message``."""
        return self._statuses.copy()

    @property
    def status(self) -> dict[str, str]:
        """The last status; empty before the first."""
        return self._statuses[-1] if self._statuses else {}

    def forget(self) -> None:
        """Let only what comes from now on count."""
        self._statuses.clear()

    def wait_for_status(
        self, accept: Callable[[dict[str, str]], bool], timeout_s: float = 60.0
    ) -> dict[str, str]:
        """Wait for a status that is accepted, and return the first such one.

        Raises:
            ClientError: none came in time.
        """
        self.wait_for(lambda: any(accept(status) for status in self.statuses), timeout_s)
        return next(status for status in self.statuses if accept(status))

    def wait_for_state(self, *states: str, timeout_s: float = 60.0) -> dict[str, str]:
        """Wait for a status with one of these states; see `wait_for_status`."""
        return self.wait_for_status(lambda status: status["state"] in states, timeout_s)

    def wait_for_end(self, timeout_s: float = 120.0) -> dict[str, str]:
        """Wait for the end of a training and return the last status."""
        return self.wait_for_state("done", "failed", "cancelled", timeout_s=timeout_s)

    def _store(self, message: DiagnosticStatus) -> None:
        level = ("OK", "WARN", "ERROR", "STALE")[message.level[0]]
        rows = {item.key: item.value for item in message.values}
        self._statuses.append({**rows, "level": level, "message": message.message})

    def _call(self, client: Any, timeout_s: float) -> tuple[bool, str]:
        deadline = time.monotonic() + timeout_s
        while not client.wait_for_service(timeout_sec=0.2):
            self._alive()
            if time.monotonic() > deadline:
                raise ClientError(f"no service {client.srv_name} within {timeout_s:.0f} s")
        answered = threading.Event()
        future = client.call_async(Trigger.Request())
        future.add_done_callback(lambda _: answered.set())
        while not answered.wait(0.1):
            self._alive()
            if time.monotonic() > deadline:
                raise ClientError(f"{client.srv_name} did not answer within {timeout_s:.0f} s")
        answer = future.result()
        return bool(answer.success), str(answer.message)
