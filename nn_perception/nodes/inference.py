"""The running part of a node: intake, worker, and the one reference to the model that serves."""

from __future__ import annotations

import threading
import time
import traceback
from collections.abc import Callable, Sequence
from operator import itemgetter
from typing import TYPE_CHECKING, Any, NamedTuple

from rclpy.node import Node

from nn_perception.errors import MessageError, NnPerceptionError
from nn_perception.nodes.intake import Intake
from nn_perception.nodes.model import ActiveModel
from nn_perception.nodes.processing_time import ProcessingTime
from nn_perception.nodes.slots import Slots
from nn_perception.nodes.statistics import HARMLESS_FLAGS, LogThrottle, Statistics
from nn_perception.nodes.subscriptions import InputNode, InputTopic
from nn_perception.nodes.worker import Worker
from nn_perception.tasks.pipeline import overdue

if TYPE_CHECKING:  # it imports OpenCV, which an IMU's node does without
    from nn_perception.nodes.frame_gate import FrameGate

Arrival = tuple[str, Any, float]  # input name, message, time.perf_counter() of its arrival

STATE_LOST = "state_lost"
"""Flag of a swap after which the pipeline had to start anew."""


class Entry(NamedTuple):
    """A message on its way through the pipeline."""

    name: str
    given: Any
    """What the pipeline gets."""
    source: Any
    """What `publish` gets beside the result."""
    arrived: float


class Inference:
    """Feeds the messages of some topics through `model`, one thread at a time.

    Attributes:
        model: what serves. Replacing it is the hot swap: the worker reads it before each message,
            or before each group of messages that waited together.
        statistics: counts and latencies since the process started.
        problem: why nothing can be answered any more, empty otherwise.
        timing: gets the time of each answer.
    """

    def __init__(
        self,
        node: Node,
        take_in: Callable[[str, Any], tuple[Any, Any]],
        publish: Callable[[str, Any, Any], None],
        at_once: int = 1,
        gate: FrameGate | None = None,
        behind: Callable[[], None] | None = None,
    ) -> None:
        """Prepare; nothing runs yet.

        Args:
            node: for its name, context, logger and the parameters ``queue_size``,
                ``log_period_s`` and ``intake_executor``.
            take_in: called in the worker's thread with (input name, message); gives what the
                pipeline gets and what ``publish`` gets; raises MessageError.
            publish: called in the worker's thread with (input name, result, what ``take_in`` gave
                for it).
            at_once: most messages that are taken from the queue together; above 1 only with
                pipelines that have ``process_many``.
            gate: for camera frames, and None for streams of samples. Each input then has slots of
                its own, all that wait are taken together, and nothing runs in the intake's thread.
            behind: called in the worker's thread when the answers to a group are published.
        """
        self.model: ActiveModel | None = None
        self.statistics = Statistics()
        self.problem = ""
        self.timing: ProcessingTime | None = None
        self._node = node
        self._take_in = take_in
        self._publish = publish
        self._at_once = at_once
        self._gate = gate
        self._behind = behind
        self._throttle = LogThrottle(lambda: self._value("log_period_s"))
        self._reset_wanted = threading.Event()
        self._serving: ActiveModel | None = None  # the model of the last message; worker's thread
        self._retired: ActiveModel | None = None  # the one before, until the answers are out
        self._inputs: InputNode | None = None
        self._worker: Worker[Arrival] | None = None

    def start(self, topics: Sequence[InputTopic]) -> None:
        """Start the worker, then subscribe; after an error `stop` cleans up what was started."""
        self.problem = ""
        self._serving = None
        self.reset()
        worker = self._worker = self._make_worker(topics)
        worker.start()
        by_input = self._gate is not None
        self.statistics.activated((topic.name for topic in topics), by_input)
        executor = self._value("intake_executor")
        self._inputs = InputNode(
            self._node, topics, self._store(worker), self._undecodable, executor
        )

    def _make_worker(self, topics: Sequence[InputTopic]) -> Worker[Arrival]:
        name, queue_size = f"{self._node.get_name()}_worker", self._value("queue_size")
        gate = self._gate
        if gate is None:
            intake: Intake[Arrival] = Intake(queue_size * len(topics))
            return Worker(name, intake, self._handle, self._worker_died, self._at_once)
        depths = {topic.name: topic.waiting or queue_size for topic in topics}
        slots: Slots[Arrival] = Slots(
            depths, itemgetter(0), lambda arrival: gate.replaced(*arrival[:2])
        )
        limit = len(topics)
        return Worker(name, slots, self._handle, self._worker_died, limit, direct=False)

    def _store(self, worker: Worker[Arrival]) -> Callable[[str, Any], None]:
        """Return what the thread of the subscriptions does with a message."""
        gate, statistics = self._gate, self.statistics

        def store(name: str, message: Any) -> None:
            now = time.perf_counter()
            kept_all = worker.give((name, message, now), now)
            statistics.received(name, dropped_one=not kept_all)

        def store_frame(name: str, message: Any) -> None:
            now = time.perf_counter()
            if gate is not None and not gate.admits(name, message, now):
                statistics.received(name, dropped_one=False)
                statistics.throttled(name)
                return
            kept_all = worker.give((name, message, now), now)
            statistics.received(name, dropped_one=not kept_all)
            if not kept_all:
                statistics.dropped_from(name)

        return store if gate is None else store_frame

    def stop(self) -> bool:
        """Stop intake and worker; return False when a thread did not end. May be called twice."""
        inputs, self._inputs = self._inputs, None
        worker, self._worker = self._worker, None
        ended = [part.stop() for part in (inputs, worker) if part is not None]
        self.statistics.deactivated()
        if worker is not None and all(ended) and self._serving is not None:
            self._serving.pipeline.reset()  # frames that wait for boxes need not stay in memory
            self._serving = None
        if not all(ended):
            self.problem = "a thread did not end within its time: restart the node"
            self._node.get_logger().error(self.problem)
        return all(ended)

    def reset(self) -> None:
        """Let the pipeline forget its state before the next message."""
        self._reset_wanted.set()

    def _handle(self, arrivals: list[Arrival]) -> None:
        """Answer messages that waited together, or count why not. Raises nothing."""
        model = self.model  # read once: a swap takes effect with the next messages
        if model is None:
            return
        taken = time.perf_counter()
        entries: list[Entry] = []
        try:
            self._prepare(model)
            entries = self._take_all_in(arrivals)
            answers = _process(model.pipeline, entries)
        except Exception as error:
            count = len(entries) or len(arrivals)
            self._internal(error, f"could not answer {count} message(s)", count)
            return
        since = time.perf_counter()
        for entry, answer in zip(entries, answers, strict=True):
            if isinstance(answer, MessageError):
                self._skip(answer)
            elif answer is not None:
                since = self._answer(entry, answer, taken, since)
        self._settle(model)

    def _settle(self, model: ActiveModel) -> None:
        """Do what the answers did not have to wait for."""
        self._retired = None
        settle = getattr(model.pipeline, "settle", None)
        try:
            if settle is not None:
                settle()
            for late in overdue(model.pipeline):
                self._skip(late)
            if self._behind is not None:
                self._behind()
        except Exception as error:
            self._internal(error, "what follows an answer failed", 0)

    def _take_all_in(self, arrivals: list[Arrival]) -> list[Entry]:
        entries = []
        for name, message, arrived in arrivals:
            if self._gate is not None and not self._gate.wants(name, message):
                self.statistics.throttled(name)
                continue
            try:
                entries.append(Entry(name, *self._take_in(name, message), arrived))
            except MessageError as error:
                self._skip(error)
        return entries

    def _answer(self, entry: Entry, result: Any, taken: float, since: float) -> float:
        """Publish one result and count it; return the time afterwards. Raises nothing."""
        try:
            self._publish(entry.name, result, entry.source)
            published = time.perf_counter()
            if self.timing is not None:
                self.timing.answered(taken, published)
        except Exception as error:
            self._internal(error, "could not publish a result", 1)
            return time.perf_counter()
        self.statistics.published(
            {
                "wait": taken - entry.arrived,
                **result.stage_s,
                "publish": published - since,
                "total": published - entry.arrived,
            }
        )
        flags = getattr(result, "flags", ())
        if flags:
            self.statistics.flagged(flags)
            for flag in set(flags) - HARMLESS_FLAGS:
                text = f"a result of {entry.name} ({result.frame_id}) is flagged '{flag}'"
                self._warn(f"flag {flag}", text)
        return published

    def _prepare(self, model: ActiveModel) -> None:
        """Bring the pipeline's state into line with what happened since the last message."""
        previous, self._serving = self._serving, model
        if previous is not None and previous is not model:
            self._retired = previous  # to free a network takes time: behind the answers
            self._hand_over(previous, model)
        if self._reset_wanted.is_set():
            self._reset_wanted.clear()
            model.pipeline.reset()

    def _hand_over(self, previous: ActiveModel, model: ActiveModel) -> None:
        """Let a new pipeline go on with the state of the old one, where it has one."""
        adopt = getattr(model.pipeline, "adopt", None)
        if adopt is None:
            return
        try:
            adopted = adopt(previous.pipeline)
        except Exception as error:
            adopted = False
            self._internal(error, "a state was not taken over", 0)
        if not adopted:
            model.pipeline.reset()
            self.statistics.flagged((STATE_LOST,))
            self._node.get_logger().warning(
                f"{model.name} could not take over the state of {previous.name}: it starts anew"
            )

    def _skip(self, error: MessageError) -> None:
        self.statistics.bad(error.kind, str(error))
        self._warn(error.kind, f"skipped a message: {error}")

    def _internal(self, error: Exception, what: str, count: int) -> None:
        """Count messages that an error of ours left unanswered; to be called in ``except``."""
        if not self._node.context.ok():  # nothing can be published: the process is ending
            return
        self.reset()  # a state that such an error left behind must not spoil what follows
        self.statistics.internal_error(f"{type(error).__name__}: {error}", count)
        self._warn("internal", f"{what}: {traceback.format_exc()}")

    def _worker_died(self, error: BaseException) -> None:
        self.problem = f"the worker thread ended by {type(error).__name__}: {error}; restart"
        self._node.get_logger().fatal(self.problem)

    def _undecodable(self, error: Exception) -> None:
        """Count a message that could not be deserialised. Called in the intake's thread."""
        self.statistics.bad("undecodable", str(error))
        self._warn("undecodable", f"a message could not be deserialised: {error}")

    def _warn(self, kind: str, text: str) -> None:
        held_back = self._throttle.allow(kind)
        if held_back is not None:
            more = f" ({held_back} more of this kind since the last line)" if held_back else ""
            self._node.get_logger().warning(f"{text}{more}")

    def _value(self, name: str) -> Any:
        return self._node.get_parameter(name).value


def _process(pipeline: Any, entries: Sequence[Entry]) -> Sequence[Any]:
    """Return a result, a MessageError or None for each entry, in order."""
    if not entries:
        return ()
    process_many = getattr(pipeline, "process_many", None)
    if process_many is None:
        return [_process_one(pipeline, entry) for entry in entries]
    answers: Sequence[Any] = process_many([(entry.name, entry.given) for entry in entries])
    if len(answers) != len(entries):
        raise NnPerceptionError(
            f"{type(pipeline).__name__}.process_many gave {len(answers)} answers to "
            f"{len(entries)} messages; it must give one for each"
        )
    return answers


def _process_one(pipeline: Any, entry: Entry) -> Any:
    try:
        return pipeline.process(entry.name, entry.given)
    except MessageError as error:
        return error
