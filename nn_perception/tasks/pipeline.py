"""What every pipeline offers to nodes and to replay."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from nn_perception.bundle import Bundle
from nn_perception.engine import Engine
from nn_perception.errors import MessageError


@dataclass(frozen=True)
class InputSpec:
    """One input of a pipeline.

    Attributes:
        name: the name that `Pipeline.process` takes, and the default relative topic.
        types: the message types that it accepts.
        policy: ``"newest"`` when an unprocessed message may be replaced by a newer one (images),
            ``"every"`` when each counts (IMU samples, ranges).
    """

    name: str
    types: tuple[str, ...]
    policy: Literal["newest", "every"]


class Result(Protocol):
    """What a pipeline gives for a message."""

    @property
    def stamp_ns(self) -> int:
        """Stamp of the input message, nanoseconds."""
        ...

    @property
    def frame_id(self) -> str:
        """Frame of the input message."""
        ...

    @property
    def stage_s(self) -> Mapping[str, float]:
        """Seconds spent in each stage of the pipeline."""
        ...


class Pipeline(Protocol):
    """Turns input messages into results. One thread at a time.

    A pipeline may have ``process_many``, for groups, and ``at_once``, how many messages make a
    group of a recording; ``settle``, which a node calls when the answers are published: for work
    that none of them had to wait for; and ``overdue``, which is called after each group and returns
    a `MessageError` for each message that waited in vain.

    The same object serves a live node and a replay, so that both give the same numbers.
    """

    bundle: Bundle
    engine: Engine

    @property
    def inputs(self) -> tuple[InputSpec, ...]:
        """What it takes; of the class: those that it has with its default settings."""
        ...

    def reset(self) -> None:
        """Forget all state: on activation, a clock jump, or a swap of models."""
        ...

    def process(self, name: str, message: Any) -> Any:
        """Process one message of the input ``name``; return a `Result`, or None for no answer yet.

        Raises:
            MessageError: the message cannot be used; the pipeline can go on with the next.
        """
        ...


def overdue(pipeline: Any) -> Sequence[MessageError]:
    """Return what a pipeline has given up waiting for since the last call; most never wait."""
    take = getattr(pipeline, "overdue", None)
    errors: Sequence[MessageError] = () if take is None else take()
    return errors
