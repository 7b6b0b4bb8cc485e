"""Labels of a bag, and which of them belongs to a frame."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nn_perception.datasets.bag_types import default_typestore
from nn_perception.datasets.bags import BagReader
from nn_perception.datasets.build_settings import BuildSettings
from nn_perception.datasets.detection_messages import DETECTION_ARRAY, read_detections
from nn_perception.datasets.vision_msgs import CLASSIFICATION
from nn_perception.errors import BagError, DatasetError, MessageError, nearest
from nn_perception.messages import stamp_ns

STRING = "std_msgs/msg/String"
LABEL_TYPES = (CLASSIFICATION, DETECTION_ARRAY, STRING)
Int64Array = NDArray[np.int64]
_PEEK = 200
"""Frames by which is told whether labels have the stamps of frames."""


@dataclass
class Labels:
    """Labels in the order of their times.

    Attributes:
        names: classes in the order in which they came.
        time_ns: (N,) header stamps; bag times of labels without a header.
        label: (N,) class of each, index into ``names``; of boxes -1.
        boxes: (N,) boxes of each message of boxes, with their classes; empty for other labels.
        how: ``exact``, ``nearest`` or ``hold``.
        by_bag_time: whether times are bag times.
        dropped: labels left out, by reason.
    """

    names: tuple[str, ...]
    time_ns: Int64Array
    label: Int64Array
    boxes: list[tuple[NDArray[np.float32], Int64Array]] = field(default_factory=list)
    how: str = "exact"
    by_bag_time: bool = False
    dropped: Counter[str] = field(default_factory=Counter)

    def of(self, stamps: Int64Array, limit_s: float, hold_s: float) -> Int64Array:
        """Return the row of the label of each frame, -1 where it has none.

        Args:
            stamps: (N,) of the frames; bag times where labels have no header.
            limit_s: how far a label may be from its frame where stamps differ.
            hold_s: how long a label holds.
        """
        times = self.time_ns
        if not len(times):
            return np.full(len(stamps), -1)
        before = np.searchsorted(times, stamps, side="right") - 1
        row = np.maximum(before, 0)
        if self.how == "exact":
            return np.where(times[row] == stamps, row, -1)
        if self.how == "hold":
            held = (before >= 0) & (stamps - times[row] <= round(hold_s * 1e9))
            return np.where(held, row, -1)
        after = np.minimum(row + 1, len(times) - 1)
        close = np.where(abs(times[after] - stamps) < abs(times[row] - stamps), after, row)
        return np.where(abs(times[close] - stamps) <= round(limit_s * 1e9), close, -1)


def read_labels(
    reader: BagReader,
    topic: str,
    settings: BuildSettings,
    known: tuple[str, ...],
    frames: Iterator[Int64Array],
) -> Labels:
    """Read all labels of a topic; pictures are not touched.

    Args:
        reader: open.
        topic: of any of `LABEL_TYPES`.
        settings: how labels and frames meet, and which labels are left out.
        known: the classes that there may be; empty: any.
        frames: stamps of frames, of which the first are looked at.

    Raises:
        BagError: the topic cannot be read.
        DatasetError: a label is none of the classes, or there is none at all.
    """
    msgtype = reader.topics[topic].type
    names: dict[str, int] = {}
    found = _Found(reader.path, topic, known, settings.skip_labels, names)
    for time_ns, message in _messages(reader, topic, msgtype):
        try:
            found.add(time_ns, message, msgtype)
        except MessageError as error:
            found.dropped[f"labels {error.kind}"] += 1
    if not names:
        raise DatasetError(
            f"{reader.path}: {topic} has no label that can be used "
            f"({_reasons(found.dropped)}); record labels, or choose another --topic label=TOPIC"
        )
    order = np.argsort(found.times, kind="stable")
    labels = Labels(
        tuple(names),
        np.array(found.times, np.int64)[order],
        np.array(found.labels, np.int64)[order],
        [found.boxes[i] for i in order] if found.boxes else [],
        by_bag_time=msgtype == STRING,
        dropped=found.dropped,
    )
    labels.how = settings.labels if settings.labels != "auto" else _how(labels, frames)
    _drop_conflicts(labels)
    return labels


def _messages(reader: BagReader, topic: str, msgtype: str) -> Iterator[tuple[int, Any]]:
    decode = default_typestore().deserialize_cdr
    for batch in reader.batches([topic]):
        for row, time_ns in enumerate(batch.time_ns.tolist()):
            try:
                yield time_ns, decode(batch.message(row), msgtype)
            except Exception as error:  # bytes that do not fit the type raise anything
                raise BagError(
                    f"{reader.path}: a message of {topic!r} at {time_ns} ns is no {msgtype} "
                    f"({error}); record it again"
                ) from error


@dataclass
class _Found:
    path: Path
    topic: str
    known: tuple[str, ...]
    skip: tuple[str, ...]
    names: dict[str, int]
    times: list[int] = field(default_factory=list)
    labels: list[int] = field(default_factory=list)
    boxes: list[tuple[NDArray[np.float32], Int64Array]] = field(default_factory=list)
    dropped: Counter[str] = field(default_factory=Counter)

    def add(self, time_ns: int, message: Any, msgtype: str) -> None:
        if msgtype == DETECTION_ARRAY:
            read = read_detections(message)
            index = np.array([self._index(label) for label in read.labels], np.int64)
            self.boxes.append((read.boxes_xywh[index >= 0], index[index >= 0]))
            self.times.append(stamp_ns(message))
            self.labels.append(-1)
            return
        if msgtype == STRING:
            label, at = str(message.data).strip(), time_ns
        else:
            label = str(message.results[0].class_id) if len(message.results) else ""
            at = stamp_ns(message)
        self.times.append(at)
        self.labels.append(self._index(label))  # -1 too: it ends what an earlier label holds

    def _index(self, label: str) -> int:
        if not label or label in self.skip:
            reason = (
                f"labels '{label}', which are to be skipped" if label else "labels without text"
            )
            self.dropped[reason] += 1
            return -1
        if self.known and label not in self.known:
            raise DatasetError(
                f"{self.path}: {self.topic} has the label {label!r}{nearest(label, self.known)}, "
                f"expected one of {', '.join(self.known)}; correct it, or leave its pictures out "
                f"with --skip-label {label!r}"
            )
        return self.names.setdefault(label, len(self.names))


def _how(labels: Labels, frames: Iterator[Int64Array]) -> str:
    """Tell how labels and frames meet by the first frames."""
    if labels.by_bag_time:
        return "hold"
    seen: list[Int64Array] = []
    for stamps in frames:
        seen.append(stamps)
        if sum(map(len, seen)) >= _PEEK:
            break
    same = bool(seen) and np.isin(np.concatenate(seen), labels.time_ns).any()
    return "exact" if same else "nearest"


def _drop_conflicts(labels: Labels) -> None:
    """Of labels with one stamp keep the last; those that say different things say nothing."""
    if labels.boxes or not len(labels.time_ns):
        return
    last = np.append(np.diff(labels.time_ns) > 0, True)
    group = np.cumsum(np.concatenate([[0], last[:-1]]))
    low = np.full(int(group[-1]) + 1, np.iinfo(np.int64).max)
    high = np.full(len(low), -2)
    np.minimum.at(low, group, labels.label)
    np.maximum.at(high, group, labels.label)
    labels.time_ns = labels.time_ns[last]
    labels.label = np.where(low == high, labels.label[last], -1)
    if (low != high).any():
        labels.dropped["stamps with different labels"] += int((low != high).sum())


def _reasons(dropped: Counter[str]) -> str:
    return ", ".join(f"{count} {reason}" for reason, count in dropped.items()) or "it is empty"
