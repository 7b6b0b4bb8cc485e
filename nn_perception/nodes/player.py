"""Plays a bag into a live classifier, for the demo, the benchmark and the tests."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import rclpy

from nn_perception.datasets.bags import BagReader
from nn_perception.errors import NnPerceptionError
from nn_perception.evaluation.replay import choose_topics
from nn_perception.nodes.client import ClassifierClient
from nn_perception.nodes.playback import Playback
from nn_perception.tasks.image_pipeline import ImageClassificationPipeline

Settings = Mapping[int, Mapping[str, Any]]
"""Frame index -> parameters that are set just before that frame."""

IMMEDIATELY = 0.0
"""The rate at which each frame waits for the answer to the one before: lock-step."""


class PlayerError(NnPerceptionError):
    """Frames that cannot be played."""


def play_bag(
    bag: Path,
    *,
    rate: float = 1.0,
    topic: str | None = None,
    settings: Settings | None = None,
    target: str = "/image_classifier",
    image_topic: str = "/image_raw",
    result_topic: str = "/classification",
    answer_timeout_s: float = 2.0,
    context: rclpy.Context | None = None,
    alive: Callable[[], None] = lambda: None,
    on_progress: Callable[[int], None] = lambda _: None,
) -> Playback:
    """Play the image topic of a bag into an active classifier and collect its answers.

    Args:
        bag: a rosbag2 directory, or a bare MCAP or SQLite file.
        rate: 1.0 is recorded speed; `IMMEDIATELY` sends each frame after the answer to the last.
        topic: the bag's image topic; None takes the only one.
        settings: parameters to set on the classifier, through its parameter service.
        target: fully qualified name of the classifier.
        image_topic: where the classifier listens.
        result_topic: where it answers.
        answer_timeout_s: longest wait for an answer in lock-step, and for the last ones.
        context: an initialised ROS context; None makes one.
        alive: called while waiting; raises when waiting is pointless.
        on_progress: called with the number of frames sent since the last call.

    Raises:
        BagError: the bag cannot be read or has no such topic.
        ClientError: the classifier does not get active, listen or answer.
        PlayerError: two frames share a stamp, so that answers could not be told apart.
    """
    wanted = {} if topic is None else {"image_raw": topic}
    with BagReader(bag) as reader:
        inputs = ImageClassificationPipeline.inputs
        name = choose_topics(reader.topics, inputs, (), wanted)["image_raw"]
        with ClassifierClient(
            target,
            message_type=reader.topics[name].type,
            image_topic=image_topic,
            result_topic=result_topic,
            context=context,
            alive=alive,
        ) as client:
            client.connect()
            frames = ((time_ns, raw) for _, time_ns, raw in reader.raw_messages([name]))
            return play_frames(
                client,
                frames,
                rate=rate,
                settings=settings,
                answer_timeout_s=answer_timeout_s,
                on_progress=on_progress,
            )


def play_frames(
    client: ClassifierClient,
    frames: Iterable[tuple[int, bytes]],
    *,
    rate: float = 1.0,
    settings: Settings | None = None,
    answer_timeout_s: float = 2.0,
    on_progress: Callable[[int], None] = lambda _: None,
) -> Playback:
    """Play serialised frames through a connected client; see `play_bag`.

    Args:
        client: `ClassifierClient.connect` was called on it.
        frames: (time in nanoseconds, serialised message) in order of time.
        rate: see `play_bag`.
        settings: see `play_bag`.
        answer_timeout_s: see `play_bag`.
        on_progress: see `play_bag`.

    Raises:
        PlayerError: see `play_bag`.
    """
    first_change = client.forget()
    pending = {index: dict(values) for index, values in (settings or {}).items()}
    requests = 0
    pace = _Pace(rate)
    sent: dict[int, float] = {}
    for index, (time_ns, raw) in enumerate(frames):
        pace.wait(time_ns)
        changes = pending.pop(index, {})
        client.request(index, changes)
        requests += len(changes)
        stamp_ns, published_s = client.publish(raw)
        if sent.setdefault(stamp_ns, published_s) != published_s:
            raise PlayerError(
                f"frame {index} has the stamp {stamp_ns} ns of an earlier one: answers could not "
                "be told apart; record a bag with header stamps"
            )
        if rate == IMMEDIATELY:
            client.wait_for_answer(stamp_ns, answer_timeout_s)
        on_progress(1)
    if pending:
        raise PlayerError(
            f"parameters were to be set at frame {min(pending)}, but only {len(sent)} were there"
        )
    return client.finish(list(sent.items()), requests, first_change, answer_timeout_s)


class _Pace:
    """Holds frames back until their time, counted from the first one by a monotonic clock."""

    def __init__(self, rate: float) -> None:
        if rate < 0.0:
            raise PlayerError(f"the rate is {rate}, expected 0 (lock-step) or more")
        self._rate = rate
        self._start: tuple[float, int] | None = None

    def wait(self, time_ns: int) -> None:
        if self._rate == IMMEDIATELY:
            return
        if self._start is None:
            self._start = (time.monotonic(), time_ns)
        due_s = self._start[0] + (time_ns - self._start[1]) * 1e-9 / self._rate
        remaining = due_s - time.monotonic()
        if remaining > 0.0:
            time.sleep(remaining)
