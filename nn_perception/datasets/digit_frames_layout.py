"""Where the digits of a generated frame lie: lines of handwriting on a sheet, seen by a camera.

Coordinates are pixels counted from pixel edges: the first pixel of a row reaches from 0 to 1.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from nn_perception.datasets.arrays import ImageSet

Float32Array = NDArray[np.float32]
Float64Array = NDArray[np.float64]
Range = tuple[float, float]

TILE_BOX_PX = 20
"""The larger side of a digit's ink in a tile: MNIST was made so."""
PITCH = (1.6, 2.2)
"""From line to line over the height of the text. Less, and lines could touch."""
GAP = (0.15, 0.5)
"""Between the boxes of neighbours over the height of the text, before perspective."""
MIN_GAP_PX = 5.0

_JITTER = (0.93, 1.07)  # of the size of a digit within its line
_INK = 96  # of 255: what counts as ink when a tile is cut to its ink


class Placed(NamedTuple):
    """One digit: which tile, its line, and how it gets from its tile into the frame."""

    tile: int
    line: int
    matrix: Float64Array  # (3, 3), pixels of the tile -> pixels of the frame
    scale: float  # pixels of the sheet for one of the tile


def view_of_sheet(
    draw: np.random.Generator, size: tuple[int, int], tilt_deg: float, turn_deg: float
) -> Float64Array:
    """Return the homography (3, 3) from a sheet to the frame.

    The sheet's origin is near the frame's centre, where one pixel of it is about one of the frame.
    A pinhole camera with 40 to 65 degrees of horizontal view looks at it.

    Args:
        draw: source of random numbers.
        size: rows and columns of the frame.
        tilt_deg: largest angle between the sheet and the sensor.
        turn_deg: largest angle in the sheet's plane.
    """
    height, width = size
    focal_px = 0.5 * width / math.tan(math.radians(draw.uniform(40.0, 65.0)) / 2.0)
    # Angle and axis of the tilt: small angles are as frequent as large ones.
    tilt, around = math.radians(draw.uniform(0.0, tilt_deg)), draw.uniform(0.0, 2.0 * math.pi)
    turn = math.radians(np.clip(draw.normal(0.0, turn_deg / 2.0), -turn_deg, turn_deg))
    tilted, _ = cv2.Rodrigues(np.array([math.cos(around), math.sin(around), 0.0]) * tilt)
    turned, _ = cv2.Rodrigues(np.array([0.0, 0.0, turn]))
    rotation = tilted @ turned
    camera = np.array([[focal_px, 0.0, width / 2], [0.0, focal_px, height / 2], [0.0, 0.0, 1.0]])
    place = np.array([0.0, 0.0, focal_px])
    return np.asarray(camera @ np.column_stack([rotation[:, 0], rotation[:, 1], place]))


def project(matrix: Float64Array, points: Float64Array) -> Float64Array:
    """Apply a homography (3, 3) to points (N, 2)."""
    mapped = points @ matrix[:, :2].T + matrix[:, 2]
    return np.asarray(mapped[:, :2] / mapped[:, 2:])


def smallest_scale(matrix: Float64Array, corners: Float64Array) -> float:
    """Return the pixels of the frame that one pixel of the sheet has at least at some points.

    The smaller singular value of the homography's derivative at each of the points (N, 2).
    """
    step = 1e-3
    here = project(matrix, corners)
    across = (project(matrix, corners + np.array([step, 0.0])) - here) / step
    down = (project(matrix, corners + np.array([0.0, step])) - here) / step
    derivatives = np.stack([across, down], axis=2)
    return float(np.linalg.svd(derivatives, compute_uv=False).min())


def lay_out(
    draw: np.random.Generator,
    digits: ImageSet,
    view: Float64Array,
    block: Float64Array,
    *,
    max_lines: int,
    max_digits: int,
    height_px: Range,
) -> list[Placed]:
    """Write lines of digits into a rectangle of the sheet.

    Args:
        draw: source of random numbers.
        digits: tiles.
        view: see `view_of_sheet`.
        block: (2, 2) upper left and lower right corner on the sheet, pixels.
        max_lines: 1 to as many, and as fit.
        max_digits: in a line, 1 to as many, and as fit.
        height_px: of the text in the frame: the lower is the least anywhere.

    Returns:
        The digits in reading order; empty when not one fits.
    """
    (left, top), (right, bottom) = block
    corners = np.array([[left, top], [right, top], [left, bottom], [right, bottom]])
    low = height_px[0] / smallest_scale(view, corners) / _JITTER[0]
    high = min(max(height_px[1], low), (bottom - top) / 1.3)
    if high < low:
        return []
    base = math.exp(draw.uniform(math.log(low), math.log(high)))
    pitch = base * draw.uniform(*PITCH)
    rows = min(int(draw.integers(1, max_lines + 1)), 1 + int((bottom - top - 1.3 * base) / pitch))
    first = top + 0.65 * base + draw.uniform(0, bottom - top - 1.3 * base - (rows - 1) * pitch)
    indent = draw.uniform(0.0, 0.4) * (right - left)
    placed: list[Placed] = []
    for row in range(rows):
        count = int(draw.integers(1, max_digits + 1))
        start = left + indent * draw.uniform(0.6, 1.0)
        y = first + row * pitch
        placed += _write_line(draw, digits, view, row, (start, right, y), base, count)
    return placed


def _write_line(
    draw: np.random.Generator,
    digits: ImageSet,
    view: Float64Array,
    row: int,
    place: tuple[float, float, float],
    height: float,
    count: int,
) -> list[Placed]:
    """Write one line from ``place`` (left, right, middle y) on; what does not fit is left out."""
    x, right, y = place
    slant = np.clip(draw.normal(0.0, 0.08), -0.2, 0.2)
    drift = draw.uniform(-0.08, 0.08) * height / max(right - x, 1.0)
    gap = draw.uniform(*GAP)
    placed: list[Placed] = []
    for _ in range(count):
        index = int(draw.integers(len(digits)))
        scale = height / TILE_BOX_PX * draw.uniform(*_JITTER)
        angle = math.radians(np.clip(draw.normal(0.0, 2.5), -5.0, 5.0))
        cos, sin = math.cos(angle) * scale, math.sin(angle) * scale
        linear = np.array([[cos, -sin], [sin, cos]]) @ [[1.0, -slant], [0.0, 1.0]]
        outline = _ink_corners(digits.images[index, ..., 0]) @ linear.T
        low, high = outline.min(axis=0), outline.max(axis=0)
        if x + high[0] - low[0] > right:
            break
        middle = y + drift * (x - place[0]) + draw.uniform(-0.05, 0.05) * height
        shift = [x - low[0], middle - (low[1] + high[1]) / 2]
        matrix = np.eye(3)
        matrix[:2, :2], matrix[:2, 2] = linear, shift
        placed.append(Placed(index, row, view @ matrix, scale))
        x += high[0] - low[0] + max(gap * draw.uniform(0.8, 1.2) * height, MIN_GAP_PX)
    return placed


def _ink_corners(tile: NDArray[np.uint8]) -> Float64Array:
    """Return the corners (4, 2) of the box of a tile's ink, or of an empty tile."""
    ink = tile >= _INK
    return corners_of(ink if ink.any() else np.ones_like(ink))


def corners_of(chosen: NDArray[np.bool_]) -> Float64Array:
    """Return the corners (4, 2) of the box of the pixels chosen, at least one of (H, W)."""
    rows, columns = np.nonzero(chosen)
    x0, x1, y0, y1 = columns.min(), columns.max() + 1, rows.min(), rows.max() + 1
    return np.array([[x0, y0], [x1, y0], [x0, y1], [x1, y1]], np.float64)
