"""A live perception node whose model is changed by another process."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path

from diagnostic_msgs.msg import DiagnosticStatus
from rclpy.node import Node

from nn_perception.jobs.rollout import Running
from nn_perception.nodes.declaration import LATCHED
from nn_perception.nodes.remote import RemoteError, RemoteNode
from nn_perception.share import shipped_models

ASK_TIMEOUT_S = 5.0
SET_TIMEOUT_S = 30.0
_POLL_S = 0.1


class RemoteTarget:
    """One node, over its parameter services and its latched ``~/active_model``.

    Attributes:
        name: fully qualified.
    """

    def __init__(self, node: Node, name: str, alive: Callable[[], None] = lambda: None) -> None:
        """Create clients and a subscription.

        Args:
            node: creates them; spun by another thread.
            name: fully qualified name of the node.
            alive: called while waiting; raises when waiting is pointless.
        """
        self.name = name
        self._alive = alive
        self._remote = RemoteNode(node, name, alive)
        self._changed = threading.Condition()
        self._active: dict[str, str] | None = None
        topic = f"{name}/active_model"
        node.create_subscription(DiagnosticStatus, topic, self._on_active_model, LATCHED)

    def read(self) -> Running:
        """Return what the node runs.

        Raises:
            RemoteError: it does not answer, or is no perception node.
        """
        values = self._remote.get_parameters(("task", "model_root", "model"), ASK_TIMEOUT_S)
        if None in values.values():
            raise RemoteError(
                f"{self.name} has not all of the parameters {', '.join(values)}: it is no "
                "perception node"
            )
        active = self._wait_for(lambda: self._active is not None, ASK_TIMEOUT_S)
        if not active:
            raise RemoteError(f"nothing on {self.name}/active_model within {ASK_TIMEOUT_S:.0f} s")
        found = self._active or {}
        path = found.get("model_path")
        return Running(
            task=str(values["task"]),
            model_root=Path(values["model_root"] or shipped_models()).expanduser(),
            model=str(values["model"]),
            id=found.get("model_id", ""),
            path=Path(path) if path else None,
        )

    def set_model(self, model: str, expected_id: str = "") -> None:
        """Set the parameter ``model``; where one is loaded, wait until the expected one runs.

        Raises:
            RemoteError: the node refuses or does not answer, or another bundle runs then.
        """
        loaded = bool((self._active or {}).get("model_id"))
        successful, reason = self._remote.set_parameter("model", model, SET_TIMEOUT_S)
        if not successful:
            raise RemoteError(f"refused: {reason}")
        if not loaded or not expected_id:
            return
        if not self._wait_for(
            lambda: (self._active or {}).get("model_id") == expected_id, ASK_TIMEOUT_S
        ):
            runs = (self._active or {}).get("model_id", "nothing")
            raise RemoteError(f"it took '{model}', but {runs} runs, expected {expected_id}")

    def _on_active_model(self, message: DiagnosticStatus) -> None:
        with self._changed:
            self._active = {item.key: item.value for item in message.values}
            self._changed.notify_all()

    def _wait_for(self, condition: Callable[[], bool], timeout_s: float) -> bool:
        deadline = time.monotonic() + timeout_s
        with self._changed:
            while not self._changed.wait_for(condition, _POLL_S):
                self._alive()
                if time.monotonic() > deadline:
                    return False
        return True
