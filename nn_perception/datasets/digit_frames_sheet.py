"""A sheet with writing, put into the picture of a place."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from nn_perception.datasets import digit_frames_camera as camera
from nn_perception.datasets.arrays import ImageSet
from nn_perception.datasets.digit_frames_ink import EDGE_PX, Written, write
from nn_perception.datasets.digit_frames_layout import (
    Float32Array,
    Float64Array,
    lay_out,
    project,
    view_of_sheet,
)
from nn_perception.datasets.digit_frames_settings import FrameSettings

# Red, green and blue against grey: white, cream, yellow note, pale green, cardboard, white board.
_LIGHT_TINTS = ((0, 0, 0), (8, 2, -18), (12, 8, -60), (-12, 10, -6), (30, 0, -45), (-4, 0, 6))
# Slate, blackboard, blue wall, wood, black label.
_DARK_TINTS = ((0, 0, 0), (-15, 10, -8), (-15, -5, 25), (25, 0, -25), (3, 0, -3))
# Black, blue, red, green, violet.
_DARK_INKS = ((0, 0, 0), (-40, -20, 110), (130, -30, -30), (-30, 50, -20), (60, -40, 70))
# White, yellow, light blue, orange.
_LIGHT_INKS = ((0, 0, 0), (20, 15, -80), (-50, 5, 40), (50, -5, -70))

_LIGHT_SHEET = (130.0, 245.0)
_DARK_SHEET = (12.0, 95.0)
_INK_LIMITS = (6.0, 252.0)
_TINT_OF_LIGHT = 0.03
_DENSITY = (0.85, 1.0)  # of the ink: how much it hides the sheet
_MARGIN = 0.06  # of a sheet's sides, not written on


class Colours(NamedTuple):
    """RGB of sheet and ink, grey levels 0 to 255, and their difference in grey."""

    sheet: Float32Array
    ink: Float32Array
    contrast: float


def make_picture(
    draw: np.random.Generator,
    digits: ImageSet,
    photographs: Sequence[NDArray[np.uint8]],
    size: tuple[int, int],
    settings: FrameSettings,
) -> tuple[Written, NDArray[np.uint8]]:
    """Write on a sheet, put it into a place, and take a picture (H, W, 3) of it."""
    empty = draw.random() < settings.empty_share
    full = draw.random() < settings.full_share
    view = view_of_sheet(draw, size, settings.tilt_deg, settings.turn_deg)
    outline = _outline(draw, size, view, full)
    placed = lay_out(
        draw,
        digits,
        view,
        _block(outline, size, full),
        max_lines=settings.max_lines,
        max_digits=settings.max_digits,
        height_px=settings.height_px,
    )
    pen = draw.uniform(*settings.pen_tile_px)
    least = settings.height_px[0]
    written = write([] if empty else placed, digits, size, pen, least)
    light = _light(draw, size, written, settings.min_light)
    picture = camera.scene(draw, photographs, size)
    if not (empty and draw.random() < 0.5):
        mask = _mask(project(view, outline), size)
        if not full:
            _throw_shadow(draw, picture, mask)
        _paint(draw, picture, mask, photographs, written, light, view, settings)
    tint = draw.uniform(1.0 - _TINT_OF_LIGHT, 1.0 + _TINT_OF_LIGHT, 3).astype(np.float32)
    picture *= light[..., None] * tint
    smallest = written.boxes_xywh[:, 2:].max(axis=1, initial=0.0).min(initial=60.0)
    return written, camera.develop(
        draw, camera.blur(draw, picture, float(smallest)), settings.noise
    )


def _outline(
    draw: np.random.Generator, size: tuple[int, int], view: Float64Array, full: bool
) -> Float64Array:
    """Return the corners (4, 2) of the sheet on its own plane, around."""
    height, width = size
    if full:  # larger than what any view sees
        half_width, half_height, x, y = 2.0 * width, 2.0 * height, 0.0, 0.0
    else:
        half_width = 0.5 * width * draw.uniform(0.5, 0.95)
        half_height = 0.5 * min(2.0 * half_width * draw.uniform(0.45, 0.95), 0.95 * height)
        x = draw.uniform(-1.0, 1.0) * (0.5 * width - half_width)
        y = draw.uniform(-1.0, 1.0) * (0.5 * height - half_height)
    signs = np.array([[-1.0, -1.0], [1.0, -1.0], [1.0, 1.0], [-1.0, 1.0]])
    return signs * [half_width, half_height] + [x, y]


def _block(outline: Float64Array, size: tuple[int, int], full: bool) -> Float64Array:
    """Return upper left and lower right corner (2, 2) of what may be written on."""
    if full:
        half = np.array([size[1], size[0]]) * 0.46
        return np.stack([-half, half])
    low, high = outline.min(axis=0), outline.max(axis=0)
    margin = _MARGIN * (high - low) + EDGE_PX
    return np.stack([low + margin, high - margin])


def _light(
    draw: np.random.Generator, size: tuple[int, int], written: Written, least: float
) -> Float32Array:
    """Return the light (H, W), made softer where it is less than the least at a digit."""
    field = camera.light(draw, size) * np.float32(draw.uniform(0.7, 1.0))
    worst = _worst(field, written)
    if worst < least:
        field **= np.float32(math.log(least) / math.log(worst))
    return field


def _worst(light: Float32Array, written: Written) -> float:
    """Return the least light within a digit's box; 1 when there is no digit."""
    worst = 1.0
    for left, top, width, height in written.boxes_xywh.astype(int):
        worst = min(worst, float(light[top : top + height, left : left + width].min()))
    return worst


def _mask(corners: Float64Array, size: tuple[int, int]) -> Float32Array:
    """Return how much of each pixel (H, W) a polygon covers."""
    mask = np.zeros(size, np.uint8)
    fixed = np.rint(np.clip(corners - 0.5, -8000, 8000) * 16).astype(np.int32)
    cv2.fillConvexPoly(mask, fixed, 255, cv2.LINE_AA, 4)
    return mask.astype(np.float32) / np.float32(255.0)


def _throw_shadow(draw: np.random.Generator, picture: Float32Array, mask: Float32Array) -> None:
    shift = draw.uniform(-10.0, 10.0, 2)
    matrix = np.array([[1.0, 0.0, shift[0]], [0.0, 1.0, shift[1]]])
    moved = cv2.warpAffine(mask, matrix, (mask.shape[1], mask.shape[0]))
    soft = cv2.blur(moved, (int(draw.integers(3, 16)),) * 2)
    picture *= 1.0 - np.float32(draw.uniform(0.1, 0.5)) * soft[..., None]


def _paint(
    draw: np.random.Generator,
    picture: Float32Array,
    mask: Float32Array,
    photographs: Sequence[NDArray[np.uint8]],
    written: Written,
    light: Float32Array,
    view: Float64Array,
    settings: FrameSettings,
) -> None:
    """Put the sheet, its rules and the ink into the picture."""
    density = draw.uniform(*_DENSITY)
    worst = _worst(light, written) * density * (1.0 - _TINT_OF_LIGHT)
    least = settings.min_contrast / worst
    colours = _colours(draw, least, dark=draw.random() < settings.dark_share)
    size = mask.shape[:2]
    depth = draw.uniform(0.5, max(0.6, min(5.0, colours.contrast / 8.0)))
    texture = camera.sheet_texture(draw, photographs, (size[0], size[1])) * np.float32(depth)
    ground = colours.sheet + texture[..., None]
    if draw.random() < settings.ruled_share:
        rules = _rules(draw, view, (size[0], size[1])) * np.float32(draw.uniform(0.1, 0.25))
        ground += rules[..., None] * (colours.ink - colours.sheet)
    covered = np.nonzero(written.coverage)  # a few percent of the frame
    amount = written.coverage[covered] * np.float32(density)
    ground[covered] += amount[:, None] * (colours.ink - ground[covered])
    if mask.min() == 1.0:
        picture[:] = ground
    else:
        picture += mask[..., None] * (ground - picture)


def _colours(draw: np.random.Generator, least: float, *, dark: bool) -> Colours:
    """Choose sheet and ink that differ by at least some grey levels."""
    low, high = _DARK_SHEET if dark else _LIGHT_SHEET
    if dark:
        sheet = draw.uniform(low, min(high, max(low, _INK_LIMITS[1] - least)))
        room = _INK_LIMITS[1] - sheet
    else:
        sheet = draw.uniform(max(low, min(high, least + _INK_LIMITS[0])), high)
        room = sheet - _INK_LIMITS[0]
    contrast = least + max(room - least, 0.0) * draw.uniform(0.0, 1.0) ** 0.8
    tints, inks = (_DARK_TINTS, _LIGHT_INKS) if dark else (_LIGHT_TINTS, _DARK_INKS)
    tint = np.asarray(tints[int(draw.integers(len(tints)))]) * draw.uniform(0.3, 1.2)
    colour = np.asarray(inks[int(draw.integers(len(inks)))]) * draw.uniform(0.3, 1.0)
    grey = sheet + contrast if dark else sheet - contrast
    return Colours(
        camera.with_luma(tint.tolist(), sheet), camera.with_luma(colour.tolist(), grey), contrast
    )


def _rules(draw: np.random.Generator, view: Float64Array, size: tuple[int, int]) -> Float32Array:
    """Return how much of each pixel is a rule: lines, or squares, of a sheet for writing."""
    mask = np.zeros(size, np.uint8)
    reach, step = 2.0 * max(size), draw.uniform(18.0, 60.0)
    offsets = np.arange(-reach, reach, step) + draw.uniform(0.0, step)
    squares = draw.random() < 0.4
    for offset in offsets:
        ends = [[[-reach, offset], [reach, offset]], [[offset, -reach], [offset, reach]]]
        for line in ends[: 2 if squares else 1]:
            seen = project(view, np.asarray(line))
            (x0, y0), (x1, y1) = np.rint(np.clip(seen, -8000, 8000) * 16).astype(int).tolist()
            cv2.line(mask, (x0, y0), (x1, y1), 255, 1, cv2.LINE_AA, 4)
    return mask.astype(np.float32) / np.float32(255.0)
