"""What a replay gives about ranges: answers and true poses, kept as numbers."""

from __future__ import annotations

from array import array
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from nn_perception.datasets.bags import BagReader
from nn_perception.datasets.imu_truth import StampedRows, pose_from_cdr
from nn_perception.datasets.uwb import UwbSequence
from nn_perception.datasets.uwb_bags import (
    ANCHORS_TOPIC,
    STRING,
    TAGS_TOPIC,
    truth_and_segments,
)
from nn_perception.errors import BagError
from nn_perception.tasks.uwb.model import Prediction
from nn_perception.tasks.uwb.site import Site

_SETTINGS = {"anchors": ANCHORS_TOPIC, "tags": TAGS_TOPIC}


class Replayed(NamedTuple):
    """Ranges that a pipeline answered, and what it said of them.

    Attributes:
        sequence: N rows in order of their stamps, with the truth where the bag has it.
        answers: bias that was taken off, and standard deviation of what is left.
    """

    sequence: UwbSequence
    answers: Prediction


class UwbRecording:
    """Grows with each answered range; numbers only, since an hour has a million of them.

    Attributes:
        dropped: answers of anchors or tags whose place is not known.
    """

    def __init__(self) -> None:
        self.dropped = 0
        self._poses = StampedRows()
        self._stamps, self._links = array("q"), array("l")
        self._values = array("d")

    def add_truth(self, data: bytes) -> None:
        """Take one serialised true pose."""
        pose = pose_from_cdr(data)
        if pose is not None:
            self._poses.add(*pose)

    def add(self, site: Site, result: Any) -> None:
        """Take one answer of a pipeline with that site."""
        if result.tag not in site.tags or result.anchor not in site.anchors:
            self.dropped += 1
            return
        self._stamps.append(result.stamp_ns)
        self._links.extend(
            (list(site.tags).index(result.tag), list(site.anchors).index(result.anchor))
        )
        self._values.extend((result.raw_m, result.bias_m, result.sigma_m))

    def replayed(self, name: str, site: Site) -> Replayed | None:
        """Return the answered ranges, brought into order; None where there are none.

        For truth and segments see `truth_and_segments`.
        """
        if not self._stamps:
            return None
        # Differences of whole numbers: stamps of today do not fit into a float64.
        stamps = np.array(self._stamps, np.int64)
        order = np.argsort(stamps, kind="stable")
        start_ns = int(stamps[order[0]])
        time_s = (stamps[order] - start_ns).astype(np.float64) * 1e-9
        links = np.array(self._links, np.int64).reshape(-1, 2)[order]
        raw, bias, sigma = np.array(self._values, np.float64).reshape(-1, 3)[order].T
        sequence = UwbSequence(
            name=name,
            time_s=time_s,
            tag=links[:, 0],
            anchor=links[:, 1],
            range_m=raw,
            anchors=site.anchors,
            tags=site.tags,
            source="bag",
            start_ns=start_ns,
            **truth_and_segments(time_s, start_ns, self._poses),
        )
        return Replayed(sequence, Prediction(bias, sigma))


def settings_in_bag(path: Path) -> dict[str, str]:
    """Return the settings ``anchors`` and ``tags`` of a pipeline that a bag tells.

    Raises:
        BagError: the bag cannot be read, or one of them changes.
    """
    found: dict[str, str] = {}
    with BagReader(path) as bag:
        for setting, topic in _SETTINGS.items():
            there = next((name for name in (topic, topic[1:]) if name in bag.topics), None)
            if there is None or bag.topics[there].type != STRING:
                continue
            texts = {message.data for _, _, message in bag.messages([there])}
            if len(texts) > 1:
                raise BagError(
                    f"{path}: {there} has {len(texts)} different texts, expected one; cut the bag "
                    f"where they change, or give --set {setting}=TEXT"
                )
            if texts:
                found[setting] = texts.pop()
    return found
