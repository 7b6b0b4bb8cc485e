"""Replay: a recorded bag through the pipeline that a node runs, without DDS."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Protocol

from nn_perception.datasets.bags import BagReader
from nn_perception.errors import BagError, MessageError
from nn_perception.evaluation.latency import LatencyRecorder
from nn_perception.tasks.pipeline import InputSpec, Pipeline

ProgressCallback = Callable[[int], None]
"""Called with the number of input messages done since the last call."""


class Evaluation(Protocol):
    """Compares a pipeline's results with the truth; each task has one."""

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
        engine = self.latency.to_dict().get("engine", {})
        skipped = ", ".join(f"{count} x {kind}" for kind, count in self.bad.items())
        return [
            ("messages / answers", f"{self.messages} / {self.answered}"),
            ("skipped", skipped or "none"),
            ("speed", f"{self.rate_hz:,.0f} messages/s, {self.times_real_time:,.0f} x real time"),
            ("engine", f"p50 {engine.get('p50', 0.0):.3f} ms, p99 {engine.get('p99', 0.0):.3f} ms"),
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
    with BagReader(bag) as reader:
        chosen = choose_topics(reader.topics, pipeline.inputs, evaluation.truth, topics or {})
        done = Replay(topics=chosen)
        inputs = {chosen[spec.name]: spec.name for spec in pipeline.inputs}
        truths = {chosen[s.name]: s.name for s in evaluation.truth if s.name in chosen}
        first_ns = last_ns = 0
        for topic, time_ns, message in reader.messages([*inputs, *truths]):
            if topic in truths:
                evaluation.add_truth(truths[topic], message, time_ns)
                continue
            first_ns, last_ns = first_ns or time_ns, time_ns
            _process(pipeline, evaluation, done, inputs[topic], message, time_ns)
            if on_progress is not None and done.messages % 100 == 0:
                on_progress(100)
    if on_progress is not None:
        on_progress(done.messages % 100)
    done.seconds = time.perf_counter() - start
    done.bag_seconds = (last_ns - first_ns) * 1e-9
    if done.messages == 0:
        raise BagError(f"{bag}: no message on {', '.join(inputs)}; choose a topic with messages")
    return done


def _process(
    pipeline: Pipeline,
    evaluation: Evaluation,
    done: Replay,
    name: str,
    message: Any,
    time_ns: int,
) -> None:
    done.messages += 1
    try:
        result = pipeline.process(name, message)
    except MessageError as error:
        done.bad[error.kind] += 1
        done.bad_example.setdefault(error.kind, str(error))
        return
    if result is None:
        return
    done.answered += 1
    for stage, seconds in result.stage_s.items():
        done.latency.add(stage, seconds)
    evaluation.add_result(message, result, time_ns)


def choose_topics(
    available: Mapping[str, Any],
    inputs: tuple[InputSpec, ...],
    truths: tuple[InputSpec, ...],
    wanted: Mapping[str, str],
) -> dict[str, str]:
    """Return the bag's topic of each input, and of each truth that the bag has.

    Args:
        available: topic -> information with ``.type``.
        inputs: what the pipeline needs.
        truths: what the evaluation can use.
        wanted: topics named by the user, by input name.

    Raises:
        BagError: a needed topic is missing, of a wrong type, or ambiguous.
    """
    known = {spec.name for spec in (*inputs, *truths)}
    for name in wanted:
        if name not in known:
            raise BagError(f"'{name}' is no input here; expected one of {', '.join(sorted(known))}")
    chosen: dict[str, str] = {}
    for spec in (*inputs, *truths):
        topic = _choose(available, spec, wanted.get(spec.name), needed=spec in inputs)
        if topic is not None:
            chosen[spec.name] = topic
    return chosen


def _choose(
    available: Mapping[str, Any], spec: InputSpec, wanted: str | None, *, needed: bool
) -> str | None:
    listing = ", ".join(f"{topic} ({info.type})" for topic, info in available.items())
    types = " or ".join(spec.types)
    if wanted is not None:
        topic = wanted if wanted in available else f"/{wanted}"
        if topic not in available:
            raise BagError(f"the bag has no topic '{wanted}'; it has: {listing}")
        if available[topic].type not in spec.types:
            raise BagError(f"{topic} is {available[topic].type}; '{spec.name}' needs {types}")
        return topic
    fitting = [topic for topic, info in available.items() if info.type in spec.types]
    named = [topic for topic in fitting if spec.name in topic.split("/")]
    if len(named) == 1:
        return named[0]
    if len(fitting) == 1 and needed:
        return fitting[0]
    if not needed:
        return None
    if fitting:
        raise BagError(
            f"several topics could be '{spec.name}': {', '.join(fitting)}; choose one with "
            f"--topic {spec.name}=TOPIC"
        )
    raise BagError(f"the bag has no topic of type {types}; it has: {listing or 'no topics'}")
