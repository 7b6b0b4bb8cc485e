"""Whose answer is it? Each one of a run with swaps is computed again, by one model alone.

An answer that neither model gives by itself, with the state that the stream had, would be a mixture
of old and new.
"""

from __future__ import annotations

import copy
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from nn_perception.bench.mixed_sources import NAMES, Source
from nn_perception.bench.streaming import with_stamp
from nn_perception.inertial.cdr import ImuCdr
from nn_perception.tasks.loading import open_pipeline
from nn_perception.tasks.pipeline import Pipeline
from nn_perception.tasks.uwb.cdr import RangeCdr, odometry_from_cdr

MEMORY = 12
"""Samples by which a new model may serve before it shows: a filter's block, and some."""
TOLERANCE = 1e-5
"""Samples are answered in groups live and one by one here: float32 networks round differently."""


class Kept(NamedTuple):
    """One answer as it came."""

    stamp_ns: int
    sent_ns: int
    answered_ns: int
    raw: bytes


class Attributed(NamedTuple):
    """Whose answers those of a topic are.

    Attributes:
        answers: how many there were.
        mixed: those that neither model gives.
        turns: how often the model changed from one answer to the next.
    """

    answers: int
    mixed: int
    turns: int


def count(owners: Sequence[str]) -> Attributed:
    """Count what `attribute_*` found: names of models in order, empty where it is neither."""
    known = [owner for owner in owners if owner]
    turns = sum(old != new for old, new in pairwise(known))
    return Attributed(len(owners), len(owners) - len(known), turns)


def by_template(
    answers: Sequence[Kept],
    source: Source,
    expected: Mapping[str, Sequence[Any]],
    same: Callable[[bytes, Any], bool],
) -> list[str]:
    """Return the owner of each answer of a node whose answers depend on the message alone.

    Args:
        answers: in the order in which they were given.
        source: of the messages.
        expected: model -> its answer to each template.
        same: tells whether an answer's bytes say what was expected.
    """
    first_ns = min((answer.stamp_ns for answer in answers), default=0)
    owners = []
    for answer in answers:
        number = round((answer.stamp_ns - first_ns) * 1e-9 * source.rate_hz)
        place = number % len(source.templates)
        matches = [name for name in NAMES if same(answer.raw, expected[name][place])]
        owners.append(matches[0] if len(matches) == 1 else "")
    return owners


def expected_classifications(place: Path, source: Source) -> dict[str, list[Any]]:
    """Return the results of both models for each frame."""
    from nn_perception.image_cdr import image_from_cdr
    from nn_perception.nodes.image_classifier import classification

    found = {}
    for name in NAMES:
        pipeline = open_pipeline(place / name, device="cpu", settings={"keep_percent": 100.0})
        results = (pipeline.process("image_raw", image_from_cdr(raw)) for raw in source.templates)
        found[name] = [_hypotheses(classification(result)) for result in results]
    return found


def same_classification(raw: bytes, expected: Any) -> bool:
    """Tell whether a serialised classification has these classes in order, with these scores."""
    from rclpy.serialization import deserialize_message
    from vision_msgs.msg import Classification

    labels, scores = _hypotheses(deserialize_message(raw, Classification))
    return bool(labels == expected[0] and _close(scores, expected[1]))


def _hypotheses(message: Any) -> tuple[list[str], list[float]]:
    return [one.class_id for one in message.results], [one.score for one in message.results]


def expected_ranges(
    place: Path, source: Source, pose: bytes, settings: Mapping[str, Any]
) -> dict[str, list[tuple[float, float]]]:
    """Return range and variance by both models for each range, at one pose."""
    found: dict[str, list[tuple[float, float]]] = {}
    for name in NAMES:
        pipeline = open_pipeline(place / name, device="cpu", settings=settings)
        pipeline.process("odom", odometry_from_cdr(pose))
        found[name] = []
        for number, raw in enumerate(source.templates):
            reading = RangeCdr(with_stamp(raw, 1000 * (number + 1))).reading()
            result = pipeline.process("range", reading)
            found[name].append((result.range_m, result.sigma_m**2))
    return found


def same_range(raw: bytes, expected: tuple[float, float]) -> bool:
    """Tell whether a serialised range has this range and variance."""
    import struct

    cdr = RangeCdr(raw)
    (variance_m2,) = struct.unpack_from("<f", raw, len(raw) - 4)
    return _close((cdr.range_m, variance_m2), expected)


def imu_owners(
    place: Path,
    messages: Sequence[bytes],
    same: Callable[[int, Any], bool],
    settings: Mapping[str, Any] | None = None,
) -> list[str]:
    """Return the owner of each answer of a node whose pipeline has a state.

    The stream is run again, model after model: where an answer is not what the current model gives,
    the other one has taken over here or a few samples before, or it is a mixture.

    Args:
        place: directory of the two bundles.
        messages: serialised samples in order.
        same: gets the index of a message and a result; tells whether they agree.
        settings: of the pipeline.
    """
    fresh = {name: open_pipeline(place / name, device="cpu", settings=settings) for name in NAMES}
    current, owners = NAMES[0], list[str]()
    pipeline = _clone(fresh[current])
    before: deque[tuple[int, Pipeline]] = deque(maxlen=MEMORY)
    for index, message in enumerate(messages):
        before.append((index, _clone(pipeline)))
        if same(index, _step(pipeline, message)):
            owners.append(current)
            continue
        other = NAMES[1 - NAMES.index(current)]
        taken_over = _take_over(fresh[other], before, messages, same)
        if taken_over is None and index == 0:  # it may have served from the start
            taken_over = _clone(fresh[other]), 0
            if not same(0, _step(taken_over[0], message)):
                taken_over = None
        if taken_over is None:
            owners.append("")
            continue
        pipeline, since = taken_over
        current = other
        owners[since:] = [other] * (index + 1 - since)
        before.clear()
    return owners


def _take_over(
    fresh: Pipeline,
    before: Sequence[tuple[int, Pipeline]],
    messages: Sequence[bytes],
    same: Callable[[int, Any], bool],
) -> tuple[Pipeline, int] | None:
    """Let a model go on at each of the last samples; return the latest at which all agrees."""
    last = before[-1][0]
    for index, old in reversed(before):
        pipeline: Any = _clone(fresh)
        pipeline.adopt(_clone(old))
        agree = [same(n, _step(pipeline, messages[n])) for n in range(index, last + 1)]
        if all(agree):
            return pipeline, index
    return None


def _step(pipeline: Any, message: bytes) -> Any:
    """Process a sample as a node does: what is due comes behind the answer."""
    result = pipeline.process("imu", ImuCdr(message).reading())
    pipeline.settle()
    return result


def _clone(pipeline: Any) -> Any:
    """Copy a pipeline's state; engine and bundle are shared."""
    shared = (pipeline.engine, pipeline.bundle)
    return copy.deepcopy(pipeline, {id(part): part for part in shared})


def same_orientation(raw: bytes, result: Any) -> bool:
    """Tell whether a serialised sensor_msgs/Imu has this orientation and covariance."""
    doubles = _doubles(raw, 13)
    covariance = np.ravel(result.covariance_rad2)
    return _close(doubles[:4], result.orientation_xyzw) and _close(doubles[4:], covariance)


def same_rate(raw: bytes, raw_bias: bytes, result: Any) -> bool:
    """Tell whether a sensor_msgs/Imu has this rate, and a Vector3Stamped beside it this bias."""
    rate, bias = _doubles(raw, 16)[13:], _doubles(raw_bias, 3)
    return _close(rate, result.gyro_rad_s) and _close(bias, result.bias_rad_s)


def _doubles(raw: bytes, count: int) -> Any:
    """Return the first doubles behind the header of a little-endian message."""
    (length,) = np.frombuffer(raw, "<u4", 1, 12)
    return np.frombuffer(raw, "<f8", count, 4 + ((12 + int(length) + 7) & ~7))


def _close(found: ArrayLike, expected: ArrayLike) -> bool:
    found, expected = np.asarray(found, np.float64), np.asarray(expected, np.float64)
    scale = float(np.abs(expected).max(initial=0.0))
    return found.shape == expected.shape and bool(
        (np.abs(found - expected) <= TOLERANCE * scale).all()
    )
