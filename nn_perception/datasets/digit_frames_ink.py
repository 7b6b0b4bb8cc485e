"""The ink of a generated frame: digits drawn where a layout places them, with exact boxes.

Coordinates are pixels counted from pixel edges, as in `digit_frames_layout`.
"""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from nn_perception.datasets.arrays import ImageSet
from nn_perception.datasets.digit_frames_layout import (
    Float32Array,
    Float64Array,
    Placed,
    corners_of,
    project,
)

EDGE_PX = 3
"""No ink is nearer to the frame's edge."""

_STROKE_TILE_PX = 2.6  # a usual stroke of MNIST
_MIN_STROKE_PX = 2.0  # in the frame
_SUPERSAMPLING = 1.5


class Written(NamedTuple):
    """What is written in a frame; boxes are of the ink itself (coverage of at least a half)."""

    coverage: Float32Array  # (H, W), 0 to 1: how much of each pixel is ink
    boxes_xywh: Float32Array  # (N, 4)
    labels: NDArray[np.int64]  # (N,)
    lines: NDArray[np.int32]  # (N,)


def write(
    placed: list[Placed], digits: ImageSet, size: tuple[int, int], pen: float, min_px: float
) -> Written:
    """Put digits into a frame.

    A digit that would leave the frame or come out smaller than ``min_px`` (its larger side) is
    left out, and so is what lies beyond it in its line: a line has no holes.

    Args:
        placed: in reading order.
        digits: tiles.
        size: rows and columns of the frame.
        pen: how much wider than the tile's own the strokes are on each side, in tile pixels.
        min_px: see above.
    """
    coverage = np.zeros(size, np.float32)
    boxes: list[Float32Array] = []
    labels: list[int] = []
    lines: list[int] = []
    for line in sorted({each.line for each in placed}):
        drawn = [
            (each, _draw(each, digits.images[each.tile, ..., 0], size, pen))
            for each in placed
            if each.line == line
        ]
        for each, (patch, corner) in _longest_run(drawn, size, min_px):
            boxes.append(_box(patch, corner))
            labels.append(int(digits.labels[each.tile]))
            lines.append(line)
            part = coverage[
                corner[1] : corner[1] + patch.shape[0], corner[0] : corner[0] + patch.shape[1]
            ]
            np.maximum(part, patch, out=part)
    known = sorted(set(lines))
    return Written(
        coverage,
        np.asarray(boxes, np.float32).reshape(-1, 4),
        np.asarray(labels, np.int64),
        np.asarray([known.index(line) for line in lines], np.int32),
    )


Drawn = tuple[Placed, tuple[Float32Array, tuple[int, int]]]


def _longest_run(drawn: list[Drawn], size: tuple[int, int], min_px: float) -> list[Drawn]:
    best: list[Drawn] = []
    run: list[Drawn] = []
    for entry in drawn:
        patch, (x, y) = entry[1]
        inside = (
            x >= EDGE_PX
            and y >= EDGE_PX
            and x + patch.shape[1] <= size[1] - EDGE_PX
            and y + patch.shape[0] <= size[0] - EDGE_PX
        )
        large = inside and (patch >= 0.5).any() and _box(patch, (0, 0))[2:].max() >= min_px
        run = [*run, entry] if large else []
        best = run if len(run) > len(best) else best
    return best


def _box(patch: Float32Array, corner: tuple[int, int]) -> Float32Array:
    rows, columns = np.nonzero(patch >= 0.5)
    left, top = columns.min(), rows.min()
    width, height = columns.max() + 1 - left, rows.max() + 1 - top
    return np.array([corner[0] + left, corner[1] + top, width, height], np.float32)


def _draw(
    placed: Placed, tile: NDArray[np.uint8], size: tuple[int, int], pen: float
) -> tuple[Float32Array, tuple[int, int]]:
    """Return the coverage of one digit and its upper left corner (x, y) in the frame."""
    fine = max(1.0, placed.scale * _SUPERSAMPLING)
    pen = max(pen, (_MIN_STROKE_PX / placed.scale - _STROKE_TILE_PX) / 2.0)
    mask = widen(tile, fine, pen)
    if not mask.any():
        return np.zeros((1, 1), np.float32), (0, 0)
    zoom = mask.shape[0] / tile.shape[0]
    seen = project(placed.matrix, corners_of(mask > 0.0) / zoom)
    left, top = np.floor(seen.min(axis=0)).astype(int) - 1
    right, bottom = np.ceil(seen.max(axis=0)).astype(int) + 1
    # OpenCV counts from pixel centres: half a pixel to and fro.
    to_frame = _shift(-0.5 - left, -0.5 - top) @ placed.matrix @ np.diag([1 / zoom, 1 / zoom, 1.0])
    matrix = to_frame @ _shift(0.5, 0.5)
    patch = cv2.warpPerspective(mask, matrix, (int(right - left), int(bottom - top)))
    return np.asarray(patch, np.float32), (int(left), int(top))


def _shift(x: float, y: float) -> Float64Array:
    return np.array([[1.0, 0.0, x], [0.0, 1.0, y], [0.0, 0.0, 1.0]])


def widen(tile: NDArray[np.uint8], zoom: float, pen: float) -> Float32Array:
    """Enlarge a tile to a soft mask, 0 to 1, with strokes wider by ``pen`` tile pixels a side.

    A pen that would break a stroke or close a loop is not taken: the digit must stay itself.
    """
    side = round(tile.shape[0] * zoom)
    zoom = side / tile.shape[0]
    large = cv2.resize(tile, (side, side), interpolation=cv2.INTER_CUBIC).astype(np.float32)
    smooth = cv2.GaussianBlur(large / 255.0, (0, 0), 0.35 * zoom)
    plain = np.clip((smooth - 0.45) * zoom + 0.5, 0.0, 1.0)
    radius = round(abs(pen) * zoom)
    if not radius:
        return np.asarray(plain, np.float32)
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1))
    other = cv2.dilate(plain, kernel) if pen > 0.0 else cv2.erode(plain, kernel)
    if _topology(np.asarray(other)) != _topology(plain):
        return np.asarray(plain, np.float32)
    return np.asarray(other, np.float32)


def _topology(mask: NDArray[np.floating]) -> tuple[int, int]:
    ink = (mask >= 0.5).astype(np.uint8)
    parts, _ = cv2.connectedComponents(ink, connectivity=8)
    holes, _ = cv2.connectedComponents(1 - ink, connectivity=4)
    return parts, holes
