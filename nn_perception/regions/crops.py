"""Parts of a frame: boxes that come from elsewhere, checked and cut out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

MIN_SIDE_PX = 4.0
"""A box that shows less of the frame than this tells a classifier nothing."""


class CheckedBoxes(NamedTuple):
    """Boxes that can be cut out.

    Attributes:
        boxes_xywh: (N, 4) left, top, width, height in pixels, clipped to the frame.
        refused: how many were not taken, by reason: ``not_finite``, ``outside``, ``too_small``.
    """

    boxes_xywh: NDArray[np.float32]
    refused: Mapping[str, int]


def check_boxes(boxes_xywh: NDArray[Any], size: tuple[int, int]) -> CheckedBoxes:
    """Clip boxes to a frame and leave out those that cannot be looked at.

    Args:
        boxes_xywh: (N, 4), any numbers.
        size: (height, width) of the frame in pixels.
    """
    refused: Counter[str] = Counter()
    boxes = np.asarray(boxes_xywh, np.float64).reshape(-1, 4)
    height, width = size

    def keep(good: Any, reason: str) -> NDArray[np.float64]:
        refused[reason] += int(len(good) - good.sum())
        kept: NDArray[np.float64] = boxes[good]
        return kept

    # A coordinate beyond any picture is no place: it would overflow in what follows.
    boxes = keep((np.abs(boxes) < 1e9).all(axis=1), "not_finite")
    low = np.clip(boxes[:, :2], 0.0, (width, height))
    high = np.clip(boxes[:, :2] + np.maximum(boxes[:, 2:], 0.0), 0.0, (width, height))
    seen = (high > low).all(axis=1) | (boxes[:, 2:] <= 0.0).any(axis=1)
    boxes = np.concatenate((low, high - low), axis=1)
    boxes = keep(seen, "outside")
    boxes = keep((boxes[:, 2:] >= MIN_SIDE_PX).all(axis=1), "too_small")
    found = {reason: count for reason, count in refused.items() if count}
    return CheckedBoxes(boxes.astype(np.float32), found)


def cut_box(image: NDArray[np.uint8], box_xywh: NDArray[Any], aspect: float) -> NDArray[np.uint8]:
    """Cut a box out of a frame with as much of its surroundings as an aspect ratio asks for.

    A classifier saw its objects with their proportions in training: the shorter side is widened,
    about the box's centre, and moved where the frame ends; what is wider than the frame is clipped.

    Args:
        image: (H, W) or (H, W, 3).
        box_xywh: within the frame, see `check_boxes`.
        aspect: width / height of the view.

    Returns:
        A view of the frame.
    """
    x, y, w, h = (float(value) for value in box_xywh)
    wide, tall = max(w, h * aspect), max(h, w / aspect)
    left, right = _interval(x + w / 2, wide, image.shape[1])
    top, bottom = _interval(y + h / 2, tall, image.shape[0])
    return image[top:bottom, left:right]


def _interval(centre: float, length: float, limit: int) -> tuple[int, int]:
    """Return whole pixels about a centre, moved into 0..limit."""
    count = min(max(1, round(length)), limit)
    start = min(max(0, round(centre - length / 2)), limit - count)
    return start, start + count
