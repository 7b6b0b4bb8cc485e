"""Connected strokes of ink, and which of them can be a digit."""

from __future__ import annotations

from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from nn_perception.regions.ink import Image
from nn_perception.regions.settings import DigitFinderSettings

Labels = NDArray[Any]


class Components(NamedTuple):
    """Connected parts of one mask.

    Attributes:
        labels: (H, W) index of the component of each pixel, 0 where there is none.
        indices: (N,) labels of the components kept.
        boxes: (N, 4) left, top, width, height, pixels of the mask.
        areas: (N,) pixels of ink.
    """

    labels: Labels
    indices: NDArray[np.intp]
    boxes: NDArray[np.int32]
    areas: NDArray[np.int32]


def find_components(
    mask: Image, size: tuple[int, int], settings: DigitFinderSettings
) -> Components:
    """Return the components of a mask that have the size and shape of a digit.

    Args:
        mask: (H, W), 255 where there is ink.
        size: (height, width) of the part that counts. What touches its edge is cut off by it, and
            left out.
        settings: the gates.
    """
    labels, stats = _label(mask)
    left, top, width, height, area = stats.T
    longer = np.maximum(width, height)
    fill = area / np.maximum(longer * longer, 1)
    keep = (
        (longer >= settings.min_size_px)
        & (longer <= settings.max_size_fraction * min(size))
        & (width >= settings.min_aspect * height)
        & (width <= settings.max_aspect * height)
        & (fill >= settings.min_fill)
        & (fill <= settings.max_fill)
        & (left > 0)
        & (top > 0)
        & (left + width < size[1])
        & (top + height < size[0])
    )
    keep[0] = False  # the ground
    indices = np.flatnonzero(keep)
    return Components(labels, indices, stats[indices, :4], stats[indices, 4])


def _label(mask: Image) -> tuple[Labels, NDArray[np.int32]]:
    try:  # a third of the time that 32 bits take; only a frame of noise has more components
        found = cv2.connectedComponentsWithStats(mask, connectivity=8, ltype=cv2.CV_16U)
    except cv2.error:
        found = cv2.connectedComponentsWithStats(mask, connectivity=8, ltype=cv2.CV_32S)
    return np.asarray(found[1]), np.asarray(found[2], np.int32)
