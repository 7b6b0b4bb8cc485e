"""Asks another node for its lifecycle state and sets its parameters, over its real services."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState, GetState
from rcl_interfaces.srv import GetParameters, SetParameters
from rclpy.client import Client
from rclpy.node import Node
from rclpy.parameter import Parameter, parameter_value_to_python

from nn_perception.errors import NnPerceptionError

CALL_TIMEOUT_S = 5.0


class RemoteError(NnPerceptionError):
    """A node that does not answer."""


class RemoteNode:
    """The services of one lifecycle node. `node` must be spun by another thread."""

    def __init__(self, node: Node, target: str, alive: Callable[[], None] = lambda: None) -> None:
        """Create the clients of the parameter services; those of the lifecycle come with their use.

        A security policy has to grant each client that there is, and not everybody who sets
        parameters needs to change a node's state.

        Args:
            node: creates the clients; spun by somebody else's thread.
            target: fully qualified name of the node that is asked.
            alive: called while waiting; raises when waiting is pointless.
        """
        self.target = target
        self._alive = alive
        self._set = node.create_client(SetParameters, f"{target}/set_parameters")
        self._get = node.create_client(GetParameters, f"{target}/get_parameters")
        self._node = node
        self._lifecycle: dict[Any, Client] = {}

    def state(self, timeout_s: float = CALL_TIMEOUT_S) -> str:
        """Return the lifecycle state: unconfigured, inactive, active, finalized.

        Raises:
            RemoteError: no answer in time.
        """
        client = self._lifecycle_client(GetState, "get_state")
        answer = self._call(client, GetState.Request(), timeout_s)
        return str(answer.current_state.label)

    def wait_for_state(self, label: str, timeout_s: float = 20.0) -> None:
        """Wait until the node is in a lifecycle state.

        Raises:
            RemoteError: it is not in time.
        """
        deadline = time.monotonic() + timeout_s
        state = "not there"
        while (remaining := deadline - time.monotonic()) > 0:
            self._alive()
            try:
                state = self.state(min(remaining, 1.0))
            except RemoteError:
                continue
            if state == label:
                return
            time.sleep(0.01)  # between two questions, not instead of one
        raise RemoteError(
            f"{self.target} is {state} after {timeout_s:.0f} s, expected {label}: see its log"
        )

    def change_state(self, transition: int, timeout_s: float = 30.0, *, label: str = "") -> bool:
        """Ask for a lifecycle transition (``lifecycle_msgs/Transition``); return its success.

        Args:
            transition: its number; without effect where a label is given.
            timeout_s: longest wait.
            label: its name.

        Raises:
            RemoteError: no answer in time.
        """
        request = ChangeState.Request(transition=Transition(id=transition, label=label))
        client = self._lifecycle_client(ChangeState, "change_state")
        return bool(self._call(client, request, timeout_s).success)

    def get_parameters(
        self, names: Sequence[str], timeout_s: float = CALL_TIMEOUT_S
    ) -> dict[str, Any]:
        """Return the values of parameters; None for what the node does not have.

        Raises:
            RemoteError: no answer in time.
        """
        answer = self._call(self._get, GetParameters.Request(names=list(names)), timeout_s)
        # A node that lacks one of them may answer with nothing at all.
        values = [parameter_value_to_python(value) for value in answer.values]
        return dict(zip(names, values or [None] * len(names), strict=True))

    def set_parameter(self, name: str, value: Any, timeout_s: float = 30.0) -> tuple[bool, str]:
        """Set a parameter and wait; return whether the node took it, and why not.

        Raises:
            RemoteError: no answer in time.
        """
        answer = self._call(self._set, _request(name, value), timeout_s)
        return bool(answer.results[0].successful), str(answer.results[0].reason)

    def request_parameter(self, name: str, value: Any, done: Callable[[bool, str], None]) -> None:
        """Set a parameter without waiting; ``done(success, reason)`` is called in the spin thread.

        Raises:
            RemoteError: the node's parameter service is not there.
        """
        self._wait_for_service(self._set, CALL_TIMEOUT_S)

        def finished(future: Any) -> None:
            result = future.result().results[0]
            done(bool(result.successful), str(result.reason))

        self._set.call_async(_request(name, value)).add_done_callback(finished)

    def _lifecycle_client(self, kind: Any, service: str) -> Client:
        if kind not in self._lifecycle:
            self._lifecycle[kind] = self._node.create_client(kind, f"{self.target}/{service}")
        return self._lifecycle[kind]

    def _call(self, client: Client, request: Any, timeout_s: float) -> Any:
        deadline = time.monotonic() + timeout_s
        self._wait_for_service(client, timeout_s)
        answered = threading.Event()
        future = client.call_async(request)
        future.add_done_callback(lambda _: answered.set())
        while not answered.wait(min(0.2, max(0.0, deadline - time.monotonic()))):
            self._alive()
            if time.monotonic() >= deadline:
                client.remove_pending_request(future)
                raise RemoteError(
                    f"{client.srv_name} did not answer within {timeout_s:.1f} s; is it spinning?"
                )
        return future.result()

    def _wait_for_service(self, client: Client, timeout_s: float) -> None:
        deadline = time.monotonic() + timeout_s
        while not client.wait_for_service(timeout_sec=0.2):
            self._alive()
            if time.monotonic() >= deadline:
                raise RemoteError(
                    f"no service {client.srv_name} within {timeout_s:.1f} s: is the node running, "
                    "in this ROS_DOMAIN_ID?"
                )


def _request(name: str, value: Any) -> SetParameters.Request:
    return SetParameters.Request(parameters=[Parameter(name, value=value).to_parameter_msg()])
