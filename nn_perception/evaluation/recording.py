"""Answers as bags."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from nn_perception.datasets.bags import BagWriter


def write_results(
    path: Path,
    topic: str,
    message_type: str,
    results: Iterable[tuple[int, Any]],
    to_message: Callable[[Any], Any],
) -> None:
    """Write results as a bag of one topic.

    Args:
        path: the bag to make.
        topic: where they are recorded.
        message_type: of the messages.
        results: pairs of a time in nanoseconds and a result.
        to_message: makes the message of a result.

    Raises:
        BagError: the bag cannot be made.
    """
    with BagWriter(path) as bag:
        bag.add_topic(topic, message_type)
        for time_ns, result in results:
            bag.write(topic, time_ns, to_message(result))
