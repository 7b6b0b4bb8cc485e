"""Where ink is in a frame, whatever the light: darker or lighter than the ground around it."""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]

CELL = 8
"""Pixels of the searched image on a side of one cell of the ground's map."""
_GROUND_CELLS = 11
"""Window of the median, cells: the ground under ink is what most of the window shows."""
_CONTRAST_CELLS = 3
"""Window of the local contrast, cells: a stroke is measured against the strongest one nearby."""


class InkMaps(NamedTuple):
    """Ground and ink of one frame. All have the shape of the searched image.

    Attributes:
        scale: pixels of the frame per pixel of the searched image, a whole number.
        size: (height, width) of the part of the maps that the frame covers; the rest is padding.
        ground: brightness without the ink.
        contrast: difference from the ground, of either sign.
        dark: 255 where there is ink that is darker than the ground.
        light: 255 where there is ink that is lighter than the ground.
    """

    scale: int
    size: tuple[int, int]
    ground: Image
    contrast: Image
    dark: Image
    light: Image


def find_ink(
    grey: Image, *, max_pixels: int, min_contrast: int, relative_threshold: float
) -> InkMaps:
    """Tell ink from ground.

    The ground is the median of a wide window at an eighth of the resolution: strokes do not move
    it, nor do the edges of a sheet, which a mean would surround with halos. Ink differs from it by
    more than a fraction of the greatest difference nearby, so that pale and bold strokes both get
    their edge at about half their own contrast.

    Args:
        grey: (H, W) frame.
        max_pixels: a larger frame is shrunk before.
        min_contrast: least difference between ink and ground, grey levels.
        relative_threshold: fraction of the local contrast from which a pixel is ink.
    """
    height, width = grey.shape
    scale = max(1, int(np.ceil(np.sqrt(height * width / max_pixels))))
    image = _padded(grey, CELL * scale)
    if scale > 1:
        image = _shrunk(image, scale)
    # Halves sensor noise; strokes of two pixels and more keep their contrast.
    image = np.asarray(cv2.blur(image, (3, 3)), np.uint8)
    ground = _enlarged(np.asarray(cv2.medianBlur(_shrunk(image, CELL), _GROUND_CELLS), np.uint8))
    darker = np.asarray(cv2.subtract(ground, image), np.uint8)
    lighter = np.asarray(cv2.subtract(image, ground), np.uint8)
    contrast = np.asarray(cv2.max(darker, lighter), np.uint8)
    threshold = _threshold(contrast, min_contrast, relative_threshold)
    return InkMaps(
        scale,
        (-(-height // scale), -(-width // scale)),
        ground,
        contrast,
        np.asarray(cv2.compare(darker, threshold, cv2.CMP_GT), np.uint8),
        np.asarray(cv2.compare(lighter, threshold, cv2.CMP_GT), np.uint8),
    )


def _threshold(difference: Image, lowest: int, fraction: float) -> Image:
    """Return the least difference of ink at each pixel: a fraction of the contrast around it."""
    strongest = np.asarray(cv2.dilate(difference, np.ones((5, 5), np.uint8)), np.uint8)
    contrast = cv2.dilate(
        _shrunk(strongest, CELL), np.ones((_CONTRAST_CELLS, _CONTRAST_CELLS), np.uint8)
    )
    levels = np.maximum(np.asarray(contrast, np.float32) * fraction, lowest)
    return _enlarged(cv2.blur(levels, (3, 3)).astype(np.uint8))


def _padded(image: Image, multiple: int) -> Image:
    """Repeat the last row and column up to whole cells: OpenCV shrinks those ten times faster."""
    below, right = -image.shape[0] % multiple, -image.shape[1] % multiple
    if not below and not right:
        return image
    padded = cv2.copyMakeBorder(image, 0, below, 0, right, cv2.BORDER_REPLICATE)
    return np.asarray(padded, np.uint8)


def _shrunk(image: Image, factor: int) -> Image:
    size = (image.shape[1] // factor, image.shape[0] // factor)
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)


def _enlarged(image: Image) -> Image:
    size = (image.shape[1] * CELL, image.shape[0] * CELL)
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_LINEAR), np.uint8)
