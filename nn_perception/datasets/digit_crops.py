"""What a digit finder cuts out of generated camera frames: digits, and what is none."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from nn_perception.datasets.arrays import ImageSet
from nn_perception.datasets.digit_frames import DigitFrames
from nn_perception.regions.boxes import intersection_over_union
from nn_perception.regions.digits import DigitFinder

SAME_IOU = 0.5
"""A region that overlaps a digit by so much shows it."""
OTHER_IOU = 0.1
"""One that overlaps none by more than this shows none; what lies between says nothing clear."""


class DigitCrops(NamedTuple):
    """Crops as the finder makes them, (N, 28, 28) uint8.

    Attributes:
        digits: crops that show a digit.
        labels: the digit of each.
        others: crops that show none.
    """

    digits: NDArray[np.uint8]
    labels: NDArray[np.int64]
    others: NDArray[np.uint8]


def cut_from_frames(
    digits: ImageSet, photographs: Sequence[NDArray[np.uint8]], count: int, seed: int
) -> DigitCrops:
    """Generate frames and cut out what the finder finds in them.

    Args:
        digits: what is written in the frames.
        photographs: where the frames are taken; none: made-up ones.
        count: of frames.
        seed: of the frames, see `DigitFrames`.
    """
    frames, finder = DigitFrames(digits, photographs, seed=seed), DigitFinder()
    shown: list[NDArray[np.uint8]] = []
    labels: list[NDArray[np.int64]] = []
    others: list[NDArray[np.uint8]] = []
    for index in range(count):
        frame = frames[index]
        grey = np.asarray(cv2.cvtColor(frame.image, cv2.COLOR_RGB2GRAY), np.uint8)
        found = finder(grey)
        if not len(found.crops):
            continue
        if not len(frame.labels):
            others.append(found.crops)
            continue
        overlap = intersection_over_union(found.boxes_xywh, frame.boxes_xywh)
        nearest, best = overlap.argmax(axis=1), overlap.max(axis=1)
        same = best >= SAME_IOU
        shown.append(found.crops[same])
        labels.append(frame.labels[nearest[same]])
        others.append(found.crops[best <= OTHER_IOU])
    empty = np.empty((0, 28, 28), np.uint8)
    return DigitCrops(
        np.concatenate([empty, *shown]),
        np.concatenate([np.empty(0, np.int64), *labels]),
        np.concatenate([empty, *others]),
    )
