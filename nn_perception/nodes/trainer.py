"""Trains on the robot: services ~/train and ~/cancel, models that are set on other nodes."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from diagnostic_msgs.msg import DiagnosticStatus
from rclpy.lifecycle import LifecycleState, TransitionCallbackReturn
from std_srvs.srv import Trigger

from nn_perception.errors import NnPerceptionError
from nn_perception.jobs import status as states
from nn_perception.jobs.files import Workplace
from nn_perception.jobs.locking import Lock
from nn_perception.jobs.recovery import look_back
from nn_perception.jobs.status import Status
from nn_perception.nodes.compat import leave_graph
from nn_perception.nodes.declaration import LATCHED
from nn_perception.nodes.run import Executable, run
from nn_perception.nodes.table_node import TableNode
from nn_perception.nodes.trainer_messages import diagnostics, status_message
from nn_perception.nodes.trainer_worker import TrainerWorker
from nn_perception.tasks import get_task

EXECUTABLE = Executable(
    name="trainer",
    summary="Trains a model on recorded data and sets it on running nodes when it is better.",
    topics=(
        ("serves", "~/train", "std_srvs/Trigger, begins a training or goes on with it"),
        ("serves", "~/cancel", "std_srvs/Trigger, ends it within a second"),
        ("publishes", "~/status", "diagnostic_msgs/DiagnosticStatus (latched)"),
        ("publishes", "/diagnostics", "diagnostic_msgs/DiagnosticArray"),
    ),
)

CANCEL_TIMEOUT_S = 5.0
"""Longest wait for a training that was told to end; it takes less than one."""


class TrainerNode(TableNode):
    """The lifecycle node ``trainer``.

    Configured, it holds the lock of its directory; active, it takes orders. A training runs in a
    child process; a thread of this one watches it, and sets models over ROS's services.
    """

    executable = EXECUTABLE.name

    def __init__(self, **kwargs: Any) -> None:
        """Declare the parameters; nothing is locked or started before the transitions.

        Raises:
            NnPerceptionError: a parameter given at start cannot be used.
        """
        super().__init__(**kwargs)
        self._lock: Lock | None = None
        self._worker: TrainerWorker | None = None
        self._active = False
        self._publishing = threading.Lock()
        self._status = Status(message="unconfigured")
        try:
            self._declare()
        except BaseException:
            self.destroy_node()
            raise

    def _declare(self) -> None:
        self.declare_table()
        self._task = get_task(self.value("task")).name
        self._latched = self.create_publisher(DiagnosticStatus, "~/status", LATCHED)
        self.create_service(Trigger, "~/train", self._on_train)
        self.create_service(Trigger, "~/cancel", self._on_cancel)
        self._diagnostics = self.create_diagnostics(self._publish_diagnostics)
        self._tell(self._status)

    @property
    def out(self) -> Path:
        """The directory below which bundles are written."""
        home = Path(os.environ.get("ROS_HOME") or Path.home() / ".ros")
        return Path(self.value("out") or home / "nn_perception" / "models").expanduser().absolute()

    # Lifecycle. rclpy swallows exceptions of these callbacks, so each reports its own.

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Lock the directory, and look at what an earlier trainer left there."""
        place = Workplace(self.out)
        try:
            self._lock = Lock(place)
            self._worker = TrainerWorker(self, place, self._lock.descriptor, self._tell)
        except NnPerceptionError as error:
            self._release()
            self._tell(Status(states.FAILED, f"not configured: {error}"))
            self.get_logger().error(self._status.message)
            return TransitionCallbackReturn.FAILURE
        self._tell(look_back(place))
        self.get_logger().info(f"writes into {self.out}; {self._status.message}")
        return super().on_configure(state)

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Take orders; a deployment that was cut short is put right first."""
        assert self._worker is not None
        self._active = True
        self._worker.recover(self._status)
        return super().on_activate(state)

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Take no orders; a training that runs is cancelled, and ~/train goes on with it later."""
        self._active = False
        if self._worker is not None and not self._worker.stop(CANCEL_TIMEOUT_S):
            return TransitionCallbackReturn.ERROR
        return super().on_deactivate(state)

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Let others write into the directory."""
        self._release()
        return super().on_cleanup(state)

    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Release everything, from any state."""
        self._release()
        return super().on_shutdown(state)

    def on_error(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Release everything; the node can be configured again."""
        self._release()
        return TransitionCallbackReturn.SUCCESS

    def destroy_node(self) -> None:
        """End the training before what it uses goes away."""
        self._release()
        super().destroy_node()
        leave_graph(self)

    def _release(self) -> None:
        self._active = False
        worker, self._worker = self._worker, None
        if worker is not None:
            worker.close(CANCEL_TIMEOUT_S)
        lock, self._lock = self._lock, None
        if lock is not None:
            lock.release()

    # Services.

    def _on_train(self, _request: Any, response: Any) -> Any:
        try:
            response.message = self._train()
            response.success = True
        except NnPerceptionError as error:
            response.success, response.message = False, str(error)
            self.get_logger().warning(f"refused ~/train: {error}")
        return response

    def _train(self) -> str:
        if not self.value("allow_model_changes"):
            raise NnPerceptionError(
                "allow_model_changes is false: start the trainer with true to train"
            )
        if self._worker is None or not self._active:
            raise NnPerceptionError(
                f"the trainer is not active ({self._status.message}): configure and activate it"
            )
        return self._worker.train(self.values())

    def _on_cancel(self, _request: Any, response: Any) -> Any:
        worker = self._worker
        if worker is None or not worker.busy:
            response.success, response.message = False, "nothing runs that could be cancelled"
            return response
        response.success = worker.stop(CANCEL_TIMEOUT_S)
        response.message = self._status.message
        return response

    # What the node tells about itself.

    def _tell(self, status: Status) -> None:
        """Publish a status; called in the worker's thread, too."""
        with self._publishing:
            self._status = status
            if self.context.ok():
                self._latched.publish(self._message())

    def _message(self) -> DiagnosticStatus:
        return status_message(self.get_fully_qualified_name(), self._task, self._status)

    def _publish_diagnostics(self) -> None:
        stamp = self.get_clock().now().to_msg()
        self._diagnostics.publish(diagnostics(self._message(), stamp))


def main(args: Sequence[str] | None = None) -> int:
    """Run the node until it is told to stop; return the exit code."""
    return run([(EXECUTABLE, TrainerNode)], None if args is None else list(args))


if __name__ == "__main__":
    sys.exit(main())
