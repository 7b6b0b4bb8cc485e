"""Replay: a recorded bag through the pipeline that a node runs, without DDS."""

from __future__ import annotations

import contextlib
import gc
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, NamedTuple, Protocol

from nn_perception.datasets.bags import BagReader
from nn_perception.errors import BagError, MessageError, NnPerceptionError
from nn_perception.evaluation.latency import LatencyRecorder
from nn_perception.evaluation.topics import choose_topics
from nn_perception.tasks.pipeline import InputSpec, Pipeline, overdue

__all__ = ["CHUNK", "Evaluation", "ProgressCallback", "Replay", "choose_topics", "replay"]

ProgressCallback = Callable[[int], None]
"""Called with the number of input messages done since the last call."""


CHUNK = 256
"""Messages that a pipeline with ``process_many`` gets together, where it does not say how many."""

_COLLECT_AFTER = 100_000
"""Objects that are made before Python looks for garbage; 700 else."""


class Evaluation(Protocol):
    """Compares a pipeline's results with the truth; each task has one.

    Truth and results come in any order. An evaluation may have ``raw_types``, message types that
    it wants serialised. Truths of these types come so to `add_truth`; inputs to ``take_in(name,
    data)``: it returns what the pipeline gets and what `add_result` gets, as a node's intake does,
    or raises `MessageError`. It may have ``inputs``, where those of a pipeline depend on its
    settings, and ``add_unanswered(message)`` for inputs whose answer comes with a later one.
    """

    truth: ClassVar[tuple[InputSpec, ...]]

    def add_truth(self, name: str, message: Any, time_ns: int) -> None:
        """Take one message of a truth topic."""
        ...

    def add_result(self, message: Any, result: Any, time_ns: int) -> None:
        """Take one result and the input message that caused it."""
        ...


@dataclass
class Replay:
    """What a replay measured.

    Attributes:
        topics: the bag's topic of each input and truth.
        messages: input messages read.
        answered: results given.
        bad: messages skipped, by kind.
        bad_example: one full text per kind.
        seconds: wall time of the whole, reading included.
        bag_seconds: recorded time of the input messages.
        latency: seconds per stage.
    """

    topics: dict[str, str]
    messages: int = 0
    answered: int = 0
    bad: Counter[str] = field(default_factory=Counter)
    bad_example: dict[str, str] = field(default_factory=dict)
    seconds: float = 0.0
    bag_seconds: float = 0.0
    latency: LatencyRecorder = field(default_factory=LatencyRecorder)

    @property
    def rate_hz(self) -> float:
        """Input messages per second of wall time."""
        return self.messages / self.seconds if self.seconds else 0.0

    @property
    def times_real_time(self) -> float:
        """Recorded time over wall time."""
        return self.bag_seconds / self.seconds if self.seconds else 0.0

    def summary(self) -> list[tuple[str, object]]:
        """Return the rows of the table for people."""
        stages = self.latency.to_dict()
        stage = "engine" if "engine" in stages else next(iter(stages), "engine")
        times = stages.get(stage, {})
        skipped = ", ".join(f"{count} x {kind}" for kind, count in self.bad.items())
        return [
            ("messages / answers", f"{self.messages} / {self.answered}"),
            ("skipped", skipped or "none"),
            ("speed", f"{self.rate_hz:,.0f} messages/s, {self.times_real_time:,.0f} x real time"),
            (stage, f"p50 {times.get('p50', 0.0):.3f} ms, p99 {times.get('p99', 0.0):.3f} ms"),
        ]

    def to_dict(self) -> dict[str, Any]:
        """Return the figures for JSON."""
        return {
            "topics": self.topics,
            "messages": self.messages,
            "answered": self.answered,
            "bad_messages": dict(self.bad),
            "seconds": self.seconds,
            "bag_seconds": self.bag_seconds,
            "messages_per_s": self.rate_hz,
            "times_real_time": self.times_real_time,
            "latency_ms": self.latency.to_dict(),
        }


def replay(
    bag: Path,
    pipeline: Pipeline,
    evaluation: Evaluation,
    *,
    topics: Mapping[str, str] | None = None,
    on_progress: ProgressCallback | None = None,
) -> Replay:
    """Run the pipeline over a bag, in recorded order, as fast as it goes.

    A message that the pipeline refuses is skipped and counted, as in the node.

    Args:
        bag: a rosbag2 directory, or a bare MCAP or SQLite file.
        pipeline: from `nn_perception.tasks.loading.open_pipeline`.
        evaluation: takes results and truth.
        topics: the bag's topic for an input or truth, by name; those not named are found by type.
        on_progress: see `ProgressCallback`.

    Raises:
        BagError: the bag cannot be read, or an input's topic is missing or ambiguous.
    """
    pipeline.reset()
    start = time.perf_counter()
    with BagReader(bag) as reader, _rare_collections():
        specs = getattr(evaluation, "inputs", pipeline.inputs)
        chosen = choose_topics(reader.topics, specs, evaluation.truth, topics or {})
        done = Replay(topics=chosen)
        inputs = {chosen[spec.name]: spec.name for spec in specs}
        truths = {chosen[s.name]: s.name for s in evaluation.truth if s.name in chosen}
        raw_types = getattr(evaluation, "raw_types", ())
        raw = {topic for topic in chosen.values() if reader.topics[topic].type in raw_types}
        run = _Run(pipeline, evaluation, done)
        first_ns = last_ns = 0
        for topic, time_ns, message in reader.messages([*inputs, *truths], raw):
            if topic in truths:
                evaluation.add_truth(truths[topic], message, time_ns)
                continue
            first_ns, last_ns = first_ns or time_ns, time_ns
            run.add(inputs[topic], message, time_ns, raw=topic in raw)
            if on_progress is not None and done.messages % 100 == 0:
                on_progress(100)
        run.flush()
    if on_progress is not None:
        on_progress(done.messages % 100)
    done.seconds = time.perf_counter() - start
    done.bag_seconds = (last_ns - first_ns) * 1e-9
    if done.messages == 0:
        raise BagError(f"{bag}: no message on {', '.join(inputs)}; choose a topic with messages")
    return done


@contextlib.contextmanager
def _rare_collections() -> Iterator[None]:
    """Let Python look for garbage in cycles rarely: nothing here makes any, and it cost 6 %."""
    before = gc.get_threshold()
    gc.set_threshold(_COLLECT_AFTER, *before[1:])
    try:
        yield
    finally:
        gc.set_threshold(*before)


class _Entry(NamedTuple):
    """A message that waits: for the pipeline, and for the evaluation."""

    name: str
    given: Any
    kept: Any
    time_ns: int


class _Run:
    """Collects messages and runs the pipeline on as many as it takes together."""

    def __init__(self, pipeline: Pipeline, evaluation: Any, done: Replay) -> None:
        self._pipeline, self._evaluation, self._done = pipeline, evaluation, done
        self._add_unanswered = getattr(evaluation, "add_unanswered", None)
        self._process_many = getattr(pipeline, "process_many", None)
        self._limit = 1 if self._process_many is None else getattr(pipeline, "at_once", CHUNK)
        self._waiting: list[_Entry] = []

    def add(self, name: str, message: Any, time_ns: int, *, raw: bool) -> None:
        """Take one input message; ``raw`` when it is serialised."""
        self._done.messages += 1
        if raw:
            try:
                given, kept = self._evaluation.take_in(name, message)
            except MessageError as error:
                self._bad(error)
                return
        else:
            given = kept = message
        self._waiting.append(_Entry(name, given, kept, time_ns))
        if len(self._waiting) >= self._limit:
            self.flush()

    def flush(self) -> None:
        """Answer what waits."""
        waiting, self._waiting = self._waiting, []
        done, latency, add_result = self._done, self._done.latency, self._evaluation.add_result
        for entry, answer in zip(waiting, self._answers(waiting), strict=True):
            if isinstance(answer, MessageError):
                self._bad(answer)
            elif answer is not None:
                done.answered += 1
                latency.add_all(answer.stage_s)
                add_result(entry.kept, answer, entry.time_ns)
            elif self._add_unanswered is not None:
                self._add_unanswered(entry.kept)
        for error in overdue(self._pipeline):
            self._bad(error)

    def _answers(self, entries: Sequence[_Entry]) -> Sequence[Any]:
        """Return a result, a `MessageError` or None for each."""
        if self._process_many is None:
            return [self._answer(entry) for entry in entries]
        if not entries:
            return ()
        answers: Sequence[Any] = self._process_many([(e.name, e.given) for e in entries])
        if len(answers) != len(entries):
            raise NnPerceptionError(
                f"{type(self._pipeline).__name__}.process_many gave {len(answers)} answers to "
                f"{len(entries)} messages; it must give one for each"
            )
        return answers

    def _answer(self, entry: _Entry) -> Any:
        try:
            return self._pipeline.process(entry.name, entry.given)
        except MessageError as error:
            return error

    def _bad(self, error: MessageError) -> None:
        self._done.bad[error.kind] += 1
        self._done.bad_example.setdefault(error.kind, str(error))
