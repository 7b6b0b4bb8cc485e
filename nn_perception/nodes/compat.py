"""Repairs to what rclpy's lifecycle node leaves undone, in one release or in all."""

from __future__ import annotations

import traceback
from typing import Any

from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn


def answer_forbidden_transitions(node: LifecycleNode) -> None:
    """Let ``change_state`` say no to a transition that the state does not allow.

    rclpy 7 (Jazzy) raises out of the executor instead, and the caller waits for ever.
    """
    service = node._service_change_state
    original = service.callback

    def callback(request: Any, response: Any) -> Any:
        try:
            return original(request, response)
        except Exception as error:
            node.get_logger().error(f"refused the transition: {error}")
            response.success = False
            return response

    service.callback = callback


def report_errors(node: LifecycleNode) -> None:
    """Log what a transition's callback raises; rclpy takes it for an ERROR and says nothing."""

    def reported(callback: Any) -> Any:
        def call(state: LifecycleState) -> TransitionCallbackReturn:
            try:
                return callback(state)
            except Exception:
                text = f"{callback.__name__} failed: {traceback.format_exc()}"
                node.get_logger().error(text)
                raise

        return call

    for state_id, callback in node._callbacks.items():
        node._callbacks[state_id] = reported(callback)


def leave_graph(node: LifecycleNode) -> None:
    """Free the state machine of a destroyed node.

    rclpy forgets it, and the node would stay in the graph until Python's next collection.
    """
    node._state_machine.destroy_when_not_in_use()
