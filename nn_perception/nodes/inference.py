"""The running part of a node: intake, worker, and the one reference to the model that serves."""

from __future__ import annotations

import threading
import time
import traceback
from collections.abc import Callable, Iterable
from typing import Any

from rclpy.node import Node

from nn_perception.errors import MessageError
from nn_perception.nodes.intake import Intake
from nn_perception.nodes.model import ActiveModel
from nn_perception.nodes.statistics import LogThrottle, Statistics
from nn_perception.nodes.subscriptions import InputNode, InputTopic
from nn_perception.nodes.worker import Worker

Arrival = tuple[str, Any, float]  # input name, message, time.perf_counter() of its arrival


class Inference:
    """Feeds the messages of some topics through `model`, in one worker thread.

    Attributes:
        model: what serves. Replacing it is the hot swap: the worker reads it once per message.
        statistics: counts and latencies since the process started.
        problem: why nothing can be answered any more, empty otherwise.
    """

    def __init__(self, node: Node, publish: Callable[[Any, Any], None]) -> None:
        """Prepare; nothing runs yet.

        Args:
            node: for its name, context, logger and the parameters ``queue_size``,
                ``log_period_s`` and ``intake_executor``.
            publish: called in the worker's thread with (result, header of the input).
        """
        self.model: ActiveModel | None = None
        self.statistics = Statistics()
        self.problem = ""
        self._node = node
        self._publish = publish
        self._throttle = LogThrottle()
        self._reset_wanted = threading.Event()
        self._inputs: InputNode | None = None
        self._worker: Worker[Arrival] | None = None

    def start(self, topics: Iterable[InputTopic]) -> None:
        """Start the worker, then subscribe; after an error `stop` cleans up what was started."""
        self.problem = ""
        self.reset()
        intake: Intake[Arrival] = Intake(self._value("queue_size"))
        name = f"{self._node.get_name()}_worker"
        self._worker = Worker(name, intake, self._handle, self._worker_died)
        self._worker.start()
        self.statistics.activated()

        def store(name: str, message: Any) -> None:
            kept_all = intake.put((name, message, time.perf_counter()))
            self.statistics.received(dropped_one=not kept_all)

        executor = self._value("intake_executor")
        self._inputs = InputNode(self._node, topics, store, self._undecodable, executor)

    def stop(self) -> bool:
        """Stop intake and worker; return False when a thread did not end. May be called twice."""
        inputs, self._inputs = self._inputs, None
        worker, self._worker = self._worker, None
        ended = [part.stop() for part in (inputs, worker) if part is not None]
        self.statistics.deactivated()
        if not all(ended):
            self.problem = "a thread did not end within its time: restart the node"
            self._node.get_logger().error(self.problem)
        return all(ended)

    def reset(self) -> None:
        """Let the pipeline forget its state before the next message."""
        self._reset_wanted.set()

    def _handle(self, arrival: Arrival) -> None:
        """Answer one message, or count why not. Raises nothing."""
        try:
            stage_s = self._answer(*arrival)
        except MessageError as error:
            self.statistics.bad(error.kind, str(error))
            self._warn(error.kind, f"skipped a message: {error}")
        except Exception as error:
            if self._node.context.ok():  # else it could not be published: the process is ending
                self.statistics.internal_error(f"{type(error).__name__}: {error}")
                self._warn("internal", f"could not answer a message: {traceback.format_exc()}")
        else:
            if stage_s:
                self.statistics.published(stage_s)

    def _answer(self, name: str, message: Any, arrived: float) -> dict[str, float]:
        """Process and publish one message; return the seconds per stage, empty when no answer."""
        model = self.model  # read once: a swap takes effect with the next message
        if model is None:
            return {}
        taken = time.perf_counter()
        if self._reset_wanted.is_set():
            self._reset_wanted.clear()
            model.pipeline.reset()
        result = model.pipeline.process(name, message)
        if result is None:
            return {}
        processed = time.perf_counter()
        self._publish(result, message.header)
        published = time.perf_counter()
        return {
            "wait": taken - arrived,
            **result.stage_s,
            "publish": published - processed,
            "total": published - arrived,
        }

    def _worker_died(self, error: BaseException) -> None:
        self.problem = f"the worker thread ended by {type(error).__name__}: {error}; restart"
        self._node.get_logger().fatal(self.problem)

    def _undecodable(self, error: Exception) -> None:
        """Count a message that could not be deserialised. Called in the intake's thread."""
        self.statistics.bad("undecodable", str(error))
        self._warn("undecodable", f"a message could not be deserialised: {error}")

    def _warn(self, kind: str, text: str) -> None:
        held_back = self._throttle.allow(kind, self._value("log_period_s"))
        if held_back is not None:
            more = f" ({held_back} more of this kind since the last line)" if held_back else ""
            self._node.get_logger().warning(f"{text}{more}")

    def _value(self, name: str) -> Any:
        return self._node.get_parameter(name).value
