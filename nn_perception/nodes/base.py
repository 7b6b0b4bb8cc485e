"""The lifecycle node that every perception node derives from.

Three things run apart on purpose: intake (`subscriptions`, a thread that only stores), inference
(`inference`, the one thread that touches the pipeline) and control (parameters and the hot swap,
`hot_swap`, transitions, diagnostics: here, in the executor of this node).
"""

from __future__ import annotations

import threading
import traceback
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from diagnostic_msgs.msg import DiagnosticStatus
from rcl_interfaces.msg import SetParametersResult
from rclpy.clock import JumpHandle, JumpThreshold
from rclpy.duration import Duration
from rclpy.lifecycle import LifecycleState, TransitionCallbackReturn
from rclpy.publisher import Publisher
from rclpy.qos import QoSProfile
from std_msgs.msg import Float64

from nn_perception.errors import NnPerceptionError
from nn_perception.nodes.compat import leave_graph
from nn_perception.nodes.declaration import LATCHED, sensor_qos
from nn_perception.nodes.diagnostics import Health, active_model, diagnostics
from nn_perception.nodes.hot_swap import HotSwap
from nn_perception.nodes.inference import Inference
from nn_perception.nodes.model import ActiveModel, check_task
from nn_perception.nodes.processing_time import TOPIC as TIMING_TOPIC
from nn_perception.nodes.processing_time import ProcessingTime
from nn_perception.nodes.subscriptions import InputTopic
from nn_perception.nodes.table_node import SUCCESS, TableNode
from nn_perception.tasks import get_task

if TYPE_CHECKING:
    from nn_perception.nodes.frame_gate import FrameGate

FAILURE = TransitionCallbackReturn.FAILURE
ERROR = TransitionCallbackReturn.ERROR


class PerceptionNode(TableNode):
    """One pipeline as a lifecycle node; what it subscribes and publishes is up to the subclass.

    A subclass names its `executable` and fills in `input_topics`, `make_outputs` and
    `publish_result`.

    Attributes:
        executable: see `TableNode`.
        input_types: message types that it feeds its pipeline with; the task must take one.
        settings: parameters that the pipeline takes as keyword arguments of the same names. A
            change of one that is not read-only rebuilds the model, as one of ``model`` does.
        at_once: most messages that the pipeline gets together; above 1 it needs ``process_many``.
    """

    input_types: tuple[str, ...] = ()
    settings: tuple[str, ...] = ()
    at_once = 1

    def __init__(self, **kwargs: Any) -> None:
        """Declare the parameters; nothing is loaded or subscribed before the transitions.

        Raises:
            NnPerceptionError: a parameter given at start cannot be used.
        """
        super().__init__(**kwargs)
        self._control = threading.RLock()  # transitions, swaps and diagnostics exclude each other
        self._inference = Inference(
            self,
            self.take_in,
            self.publish_result,
            self.at_once,
            gate=self.frame_gate(),
            behind=self.behind_answers(),
        )
        self._hot_swap = HotSwap(self, self._inference)
        self._outputs: list[Publisher] = []
        self._jump_handle: JumpHandle | None = None
        self._problem = ""  # why the last transition failed
        try:
            self._declare()
        except BaseException:
            self.destroy_node()
            raise

    def _declare(self) -> None:
        self.declare_table()
        self.task = get_task(self.value("task"))
        check_task(self.task, self.executable, self.input_types)
        self._topics = self.input_topics()
        self._latched = self.create_publisher(DiagnosticStatus, "~/active_model", LATCHED)
        self._diagnostics = self.create_diagnostics(self._publish_diagnostics)
        self._jump_handle = self.get_clock().create_jump_callback(
            JumpThreshold(min_forward=None, min_backward=Duration(nanoseconds=-1)),
            post_callback=lambda _jump: self._inference.reset(),
        )
        self.add_on_set_parameters_callback(self._on_set_parameters)
        self.announce()

    # What a subclass defines.

    def input_topics(self) -> tuple[InputTopic, ...]:
        """Return the subscriptions, with resolved topics (see `input_topic`)."""
        raise NotImplementedError

    def make_outputs(self, model: ActiveModel) -> None:
        """Create the publishers of the results with `output`; called at each configuration."""
        raise NotImplementedError

    def model_changed(self, model: ActiveModel) -> None:
        """Tell subscribers about the model that now runs, such as its labels."""

    def check_model(self, model: ActiveModel) -> None:
        """Refuse a model that this node cannot serve; called before it begins to.

        Raises:
            ConfigError: it cannot; the message says what to set.
        """

    def details(self) -> Mapping[str, str]:
        """Return further rows for ``/diagnostics``."""
        return {}

    def take_in(self, name: str, message: Any) -> tuple[Any, Any]:
        """Return what the pipeline gets of a message and what `publish_result` gets of it.

        Called in the worker's thread.

        Args:
            name: of the input.
            message: what came.

        Raises:
            MessageError: the message cannot be used.
        """
        return message, message

    def publish_result(self, name: str, result: Any, source: Any) -> None:
        """Publish a result with the header of its input. Called in the worker's thread.

        Args:
            name: of the input.
            result: the pipeline's.
            source: what `take_in` gave for the message.
        """
        raise NotImplementedError

    def frame_gate(self) -> FrameGate | None:
        """Return what lets camera frames in; None for streams of samples. See `Inference`."""
        return None

    def behind_answers(self) -> Callable[[], None] | None:
        """Return what is to be called in the worker's thread when answers are published."""
        return None

    # For a subclass.

    def input_topic(
        self, name: str, topic: str, kind: Any, *, raw: bool = False, waiting: int | None = None
    ) -> InputTopic:
        """Describe one subscription: remapped, in this node's namespace, QoS overrides applied."""
        resolved = self.resolve_topic_name(topic)
        qos = sensor_qos(self, resolved, self.value("qos_depth"))
        return InputTopic(name, resolved, kind, qos, raw, waiting)

    def output(self, message_type: Any, topic: str, qos: QoSProfile | int) -> Publisher:
        """Create a publisher that is silent while the node is not active, until the clean-up."""
        self._outputs.append(self.create_lifecycle_publisher(message_type, topic, qos))
        return self._outputs[-1]

    # Lifecycle. rclpy swallows exceptions of these callbacks, so each reports its own.

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Load, build and warm up the model; on failure the node stays unconfigured."""
        with self._control:
            try:
                model = self._hot_swap.build()
                self.make_outputs(model)
                self._inference.timing = ProcessingTime(self.output(Float64, TIMING_TOPIC, 10))
            except Exception as error:
                self._release()
                self._fail("not configured", error)
                return FAILURE
            self._inference.model, self._problem = model, ""
            self.announce()
            self.get_logger().info(f"model {model}")
            return super().on_configure(state)

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Start the worker, then the intake."""
        with self._control:
            try:
                super().on_activate(state)
                self._inference.start(self._topics)
            except Exception as error:
                self._inference.stop()
                super().on_deactivate(state)
                self._fail("not activated", error)
                return FAILURE
            self._problem = ""
            return SUCCESS

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Stop the intake, then the worker; the model stays loaded."""
        with self._control:
            stopped = self._inference.stop()
            super().on_deactivate(state)
            return SUCCESS if stopped else ERROR

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Release the model and the publishers."""
        with self._control:
            self._release()
            return super().on_cleanup(state)

    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Release everything, from any state."""
        with self._control:
            self._release()
            return super().on_shutdown(state)

    def on_error(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Release everything; the node is unconfigured afterwards and can be configured again."""
        with self._control:
            self._release()
            why = self._inference.problem or "see the log"
            self._problem = f"an error while leaving the state {state.label}: {why}"
            return SUCCESS

    def destroy_node(self) -> None:
        """Stop the threads before what they use goes away."""
        with self._control:
            self._release()
            if self._jump_handle is not None:
                self._jump_handle.unregister()
                self._jump_handle = None
            super().destroy_node()
            leave_graph(self)

    def _release(self) -> None:
        """Stop the threads, then destroy what they used; nothing to do is no error."""
        self._inference.stop()
        while self._outputs:
            self.destroy_lifecycle_publisher(self._outputs.pop())
        if self._inference.model is not None:
            self._inference.model = None
            self.announce()

    # Parameters.

    def _on_set_parameters(self, changed: Sequence[Any]) -> SetParametersResult:
        with self._control:
            return self._hot_swap.set({parameter.name: parameter.value for parameter in changed})

    # What the node tells about itself.

    def announce(self) -> None:
        """Publish what runs now. A failure here must not undo a swap that took place."""
        try:
            name = self.get_fully_qualified_name()
            model = self._inference.model
            self._latched.publish(active_model(name, self.task.name, model))
            if model is not None:
                self.model_changed(model)
        except Exception:
            if self.context.ok():
                self.get_logger().error(f"cannot announce the model: {traceback.format_exc()}")

    def _fail(self, what: str, error: Exception) -> None:
        self._problem = f"{what}: {error}"
        self.get_logger().error(self._problem)
        if not isinstance(error, NnPerceptionError):
            self.get_logger().error(traceback.format_exc())

    def _publish_diagnostics(self) -> None:
        with self._control:
            health = Health(
                node=self.get_fully_qualified_name(),
                task=self.task.name,
                state=self._state_machine.current_state[1],
                model=self._inference.model,
                problem=self._problem or self._inference.problem,
                counts=self._inference.statistics.snapshot(),
                latency_ms=self._inference.statistics.latency_ms(),
                warn_after_s=self.value("warn_after_s"),
                ordered_queue=self.value("queue_size") > 1,
                swaps=self._hot_swap.swaps,
                refused_swaps=self._hot_swap.refused,
                details=self.details(),
            )
            self._diagnostics.publish(diagnostics(health, self.get_clock().now().to_msg()))
