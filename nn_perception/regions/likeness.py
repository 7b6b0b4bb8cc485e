"""How much a stroke looks like a digit on a sheet, rather than a part of a thing or a texture."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from nn_perception.regions.components import Components
from nn_perception.regions.ink import InkMaps

# A logistic regression on 16,460 components of generated frames of training seeds, 3,462 of them
# digits. Half of the others lie below -3.4; of the digits, 0.2 % below -6.1.
_BIAS = -11.0
_CLEAN = -6.2
_CROWDED = -11.8
_WIDE = -7.5
_ODD_STROKE = -8.4
_USUAL_LOG_STROKE = -1.7

_MARGIN = 0.15
"""Width of the surroundings, in sizes."""
_EVEN = 0.13
"""Least spread of the ink's contrast, of its mean: blurred edges have more, flat areas less."""


def likeness(maps: InkMaps, strokes: Components) -> NDArray[np.float64]:
    """Return the log odds (up to a constant) that each stroke is a digit.

    What tells most is the ground around: plain, compared with the contrast of the ink, on paper or
    a board, and restless elsewhere. The rest is how much other ink is near, the width of the
    stroke, and that digits are seldom wider than high. All measures are ratios: they know neither
    scale nor contrast.

    Returns:
        (N,); minus infinity where the ink's contrast is as even as only an area's can be.
    """
    restlessness, crowd, spread = _surroundings(maps, strokes)
    width, height = strokes.boxes[:, 2], strokes.boxes[:, 3]
    stroke = 2.0 * strokes.areas / strokes.outlines / strokes.sizes
    score = (
        _BIAS
        + _CLEAN * np.log(restlessness + 0.02)
        + _CROWDED * crowd
        + _WIDE * np.maximum(np.log(width / height), 0.0)
        + _ODD_STROKE * (np.log(stroke) - _USUAL_LOG_STROKE) ** 2
    )
    return np.where(spread >= _EVEN, score, -np.inf)


def _surroundings(
    maps: InkMaps, strokes: Components
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Return contrast of the ground / of the ink, fraction of ink around, spread of the contrast.

    A stroke's own pixels are told from those of others in its box by nothing here: it costs more
    than it brings.
    """
    ink = cv2.max(maps.dark, maps.light)
    near_ink = cv2.dilate(ink, np.ones((3, 3), np.uint8))
    ground = cv2.subtract(maps.contrast, near_ink)
    margins = np.maximum(2, np.rint(_MARGIN * strokes.sizes)).astype(int).tolist()
    measures = np.empty((len(margins), 3))
    boxes, lights = strokes.boxes.tolist(), strokes.light.tolist()
    for index, ((x, y, w, h), light, margin) in enumerate(zip(boxes, lights, margins, strict=True)):
        box = (slice(y, y + h), slice(x, x + w))
        wide = (
            slice(max(0, y - margin), y + h + margin),
            slice(max(0, x - margin), x + w + margin),
        )
        mean, deviation = cv2.meanStdDev(
            maps.contrast[box], mask=(maps.light if light else maps.dark)[box]
        )
        around = ground[wide]
        plain = around.size - cv2.countNonZero(near_ink[wide])
        others = cv2.countNonZero(ink[wide]) - cv2.countNonZero(ink[box])
        level = max(float(mean[0, 0]), 1.0)
        measures[index] = (
            cv2.mean(around)[0] * around.size / max(plain, 1) / level,
            others / max(around.size - w * h, 1),
            float(deviation[0, 0]) / level,
        )
    return measures[:, 0], measures[:, 1], measures[:, 2]
