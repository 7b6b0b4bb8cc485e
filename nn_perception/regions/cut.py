"""Cut digits as MNIST was made.

Y. LeCun, C. Cortes, C. Burges, "The MNIST database of handwritten digits": the ink's box is scaled
to fit 20x20 with its aspect ratio kept, anti-aliased, and placed in 28x28 so that the centre of
mass lies in the middle. Measured on the 60,000 training images: that is pixel 14 counted from 0,
rounded (mean 14.0, all between 13.5 and 14.5).
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from nn_perception.regions.components import Components
from nn_perception.regions.ink import Image, InkMaps

CROP = 28
BOX = 20
CENTRE = 14.0
_FLOOR = 0.35
"""Fraction of the ink's contrast that counts as ground: noise, shade, the blur's foot."""
_FULL = 1.1
"""Fraction of the ink's mean contrast that becomes white: MNIST's strokes are saturated."""
_LEVEL_RAD = 0.05
"""Tilt below which a digit is cut as it is."""
_EDGE = 90
"""Brightness of the ink, of 255, from which a pixel is inside the tight box."""
_AROUND = np.ones((3, 3), np.uint8)


def cut_digits(
    grey: Image, maps: InkMaps, digits: Components, angles_rad: NDArray[np.float64]
) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    """Cut digits out of a frame.

    Args:
        grey: (H, W) frame.
        maps: its ground and ink.
        digits: N strokes found in those.
        angles_rad: (N,) tilt of their lines, which is turned back.

    Returns:
        Boxes of the ink in the frame (N, 4): left, top, width, height in pixels; and crops
        (N, 28, 28), full contrast.
    """
    cuts = []
    boxes = np.zeros((len(digits.boxes), 4), np.float32)
    rows = zip(digits.boxes.tolist(), digits.seeds.tolist(), digits.light.tolist(), strict=True)
    for index, ((box, seeds, light), angle) in enumerate(
        zip(rows, angles_rad.tolist(), strict=True)
    ):
        ink, mask = _stroke(grey, maps, box, seeds, light)
        cut, inner = cut_ink(ink, mask, angle)
        cuts.append(cut)
        boxes[index] = (box[0] * maps.scale + inner[0], box[1] * maps.scale + inner[1], *inner[2:])
    return boxes, place(cuts)


def _stroke(
    grey: Image, maps: InkMaps, box: list[int], seeds: list[list[int]], light: bool
) -> tuple[Image, Image]:
    """Return contrast with the ground, and mask, of one digit, in pixels of the frame."""
    left, top, width, height = box
    part = (slice(top, top + height), slice(left, left + width))
    mask, others = (maps.light if light else maps.dark)[part], False
    count, labels = cv2.connectedComponents(mask, connectivity=8, ltype=cv2.CV_16U)
    if count > 2:  # another digit reaches into the box, or this one has two parts
        first, second = (labels[y - top, x - left] for x, y in seeds)
        own = (labels == first) | (labels == second)
        mask, others = own.view(np.uint8) * np.uint8(255), True
    ground, scale = maps.ground[part], maps.scale
    if scale > 1:
        size = (width * scale, height * scale)
        mask = np.asarray(cv2.resize(mask, size, interpolation=cv2.INTER_NEAREST), np.uint8)
        ground = np.asarray(cv2.resize(ground, size, interpolation=cv2.INTER_LINEAR), np.uint8)
    image = grey[top * scale : (top + height) * scale, left * scale : (left + width) * scale]
    rows, columns = image.shape  # one pixel short where the frame is no multiple of the scale
    mask, ground = mask[:rows, :columns], ground[:rows, :columns]
    ink = cv2.subtract(image, ground) if light else cv2.subtract(ground, image)
    if others:
        ink = cv2.bitwise_and(ink, cv2.dilate(mask, _AROUND))
    return np.asarray(ink, np.uint8), mask


def cut_ink(
    ink: Image, mask: Image, angle_rad: float = 0.0
) -> tuple[Image | None, tuple[int, int, int, int]]:
    """Bring one digit to MNIST's box.

    Its slant is left as it is: taking it out by moments, as older classifiers want it, made more
    digits of generated frames wrong (0.67 % instead of 0.62 % by half of the slant, 0.85 % by all).

    Args:
        ink: (H, W) contrast of the ink with its ground, bright on black, nothing else in it.
        mask: (H, W) 255 where the ink is, by which its level is measured.
        angle_rad: tilt of its line, which is turned back.

    Returns:
        (h, w), the longer side 20, full contrast; None if there is no ink. And the tight box of
        the ink before turning: left, top, width, height.
    """
    whole = (0, 0, ink.shape[1], ink.shape[0])
    level = cv2.mean(ink, mask)[0] * _FULL
    if level < 1.0:
        return None, whole
    gain = 255.0 / ((1.0 - _FLOOR) * level)
    full = np.asarray(cv2.addWeighted(ink, gain, ink, 0.0, -gain * _FLOOR * level), np.uint8)
    box = inner = _tight(full)
    if abs(angle_rad) > _LEVEL_RAD:
        full = _turned(full, angle_rad)
        inner = _tight(full)
    left, top, width, height = inner
    if not width or not height:
        return None, whole
    scale = BOX / max(width, height)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    method = cv2.INTER_AREA if scale < 1.0 else cv2.INTER_LINEAR
    tight = full[top : top + height, left : left + width]
    return np.asarray(cv2.resize(tight, size, interpolation=method), np.uint8), box


def _tight(full: Image) -> tuple[int, int, int, int]:
    """Return the box of what is ink rather than the foot of its blur."""
    edge = cv2.threshold(full, _EDGE, 255, cv2.THRESH_BINARY)[1]
    left, top, width, height = cv2.boundingRect(edge)
    return left, top, width, height


def place(digits: list[Image | None]) -> NDArray[np.uint8]:
    """Place digits of at most 20x20 in 28x28, their centres of mass at pixel 14.

    Returns:
        (N, 28, 28), the brightest pixel of each 255; black for None.
    """
    crops = np.zeros((len(digits), CROP, CROP), np.uint8)
    boxes = np.zeros((len(digits), BOX, BOX), np.float32)
    for box, digit in zip(boxes, digits, strict=True):
        if digit is not None:
            box[: digit.shape[0], : digit.shape[1]] = digit
    brightest = boxes.max((1, 2), initial=0.0)
    boxes = np.rint(boxes * (255.0 / np.maximum(brightest, 1.0))[:, None, None])
    rows, columns = _centres(boxes)
    for crop, box, digit, row, column in zip(crops, boxes, digits, rows, columns, strict=True):
        if digit is not None:
            height, width = digit.shape
            top = min(max(row, 0), CROP - height)
            left = min(max(column, 0), CROP - width)
            crop[top : top + height, left : left + width] = box[:height, :width]
    return crops


def _centres(boxes: NDArray[np.float32]) -> tuple[list[int], list[int]]:
    """Return the first row and column that put the centre of mass of each box at pixel 14."""
    index = np.arange(BOX, dtype=np.float32)
    total = np.maximum(boxes.sum((1, 2)), 1.0)
    row = boxes.sum(2) @ index / total
    column = boxes.sum(1) @ index / total
    return np.rint(CENTRE - row).astype(int).tolist(), np.rint(CENTRE - column).astype(int).tolist()


def _turned(ink: Image, angle_rad: float) -> Image:
    """Turn a digit so that its line is level, on a canvas that holds all of it."""
    height, width = ink.shape
    side = int(np.ceil(np.hypot(height, width)))
    cosine, sine = float(np.cos(angle_rad)), float(np.sin(angle_rad))
    centre_x, centre_y, middle = 0.5 * (width - 1), 0.5 * (height - 1), 0.5 * (side - 1)
    turn = np.array(
        [
            [cosine, sine, middle - cosine * centre_x - sine * centre_y],
            [-sine, cosine, middle + sine * centre_x - cosine * centre_y],
        ]
    )
    return np.asarray(cv2.warpAffine(ink, turn, (side, side), flags=cv2.INTER_LINEAR), np.uint8)
