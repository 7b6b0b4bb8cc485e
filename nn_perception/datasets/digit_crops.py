"""What a digit finder cuts out of generated camera frames: digits, and what is none."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from nn_perception.datasets.arrays import ImageSet
from nn_perception.datasets.digit_frames import DigitFrames
from nn_perception.datasets.negatives_ink import is_bar
from nn_perception.regions.boxes import intersection_over_union
from nn_perception.regions.cut import CROP
from nn_perception.regions.digits import DigitFinder, DigitFinderSettings

SAME_IOU = 0.5
"""A region that overlaps a digit by so much shows it."""
OTHER_IOU = 0.1
"""One that overlaps none by more than this shows none; what lies between says nothing clear."""

EASY = DigitFinderSettings(min_likeness=-30.0, min_likeness_alone=-30.0, max_regions=1000)
"""What a network shall tell from digits: much more than usual goes through to it."""


class DigitCrops(NamedTuple):
    """Crops as the finder makes them, (N, 28, 28) uint8.

    Attributes:
        digits: crops that show a digit.
        labels: the digit of each.
        others: crops that show none. Upright bars are left out: by its looks such a one is a 1.
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
    frames, finder = DigitFrames(digits, photographs, seed=seed), DigitFinder(EASY)
    shown: list[NDArray[np.uint8]] = []
    labels: list[NDArray[np.int64]] = []
    others: list[NDArray[np.uint8]] = []
    for index in range(count):
        frame = frames[index]
        grey = np.asarray(cv2.cvtColor(frame.image, cv2.COLOR_RGB2GRAY), np.uint8)
        found = finder(grey)
        if not len(found.crops):
            continue
        overlap = intersection_over_union(found.boxes_xywh, frame.boxes_xywh)
        best = overlap.max(axis=1, initial=0.0)
        same = best >= SAME_IOU
        shown.append(found.crops[same])
        labels.append(
            frame.labels[overlap[same].argmax(axis=1)] if same.any() else frame.labels[:0]
        )
        rest = found.crops[best <= OTHER_IOU]
        others.append(rest[[not is_bar(crop) for crop in rest]] if len(rest) else rest)
    empty = np.empty((0, CROP, CROP), np.uint8)
    return DigitCrops(
        np.concatenate([empty, *shown]),
        np.concatenate([np.empty(0, np.int64), *labels]),
        np.concatenate([empty, *others]),
    )
