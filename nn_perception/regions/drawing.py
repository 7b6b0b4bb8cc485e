"""What was found, drawn into a picture: boxes, classes, scores and lines of text.

Everything is legible on light and on dark ground: lines have a dark edge, text stands on a plate of
its own, and sizes follow those of the picture.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]
Colour = tuple[int, int, int]

SMALLEST_SIDE = 240
"""A picture with a shorter side is enlarged by a whole number, since text needs room,"""
LARGEST_SIDE = 960
"""but not beyond this length of the longer side."""

FONT = cv2.FONT_HERSHEY_SIMPLEX
BLACK, WHITE, GREY = (0, 0, 0), (255, 255, 255), (40, 40, 40)
# Okabe and Ito's colours, which people with weak colour vision, too, can tell apart.
PALETTE: tuple[Colour, ...] = (
    (86, 180, 233),
    (230, 159, 0),
    (0, 158, 115),
    (240, 228, 66),
    (213, 94, 0),
    (204, 121, 167),
    (0, 114, 178),
)


class Marked(NamedTuple):
    """One box to draw.

    Attributes:
        box_xywh: left, top, width and height, pixels.
        label: its class.
        score: 0 to 1.
        colour: number of its colour, such as that of the class.
    """

    box_xywh: Sequence[float]
    label: str
    score: float
    colour: int


def draw(
    image: Image, marked: Sequence[Marked], above: Sequence[str] = (), below: Sequence[str] = ()
) -> Image:
    """Draw boxes and lines of text into a copy of a picture.

    Args:
        image: (H, W) grey or (H, W, 3) RGB.
        marked: the boxes; those that leave the picture are cut off.
        above: lines of text at the picture's upper edge.
        below: lines at its lower edge.

    Returns:
        (H, W, 3) RGB, larger by a whole number when the picture was small.
    """
    canvas, enlarged = _canvas(image)
    style = _Style.of(canvas)
    for one in marked:
        _draw_box(canvas, one, enlarged, style)
    for one in marked:  # over all boxes, so that none hides a class
        _draw_label(canvas, one, enlarged, style)
    _draw_lines(canvas, above, style, at_top=True)
    _draw_lines(canvas, below, style, at_top=False)
    return canvas


class _Style(NamedTuple):
    """Sizes that follow the picture's."""

    line_px: int
    font_scale: float
    font_px: int
    text_height: int

    @classmethod
    def of(cls, canvas: Image) -> _Style:
        side = min(canvas.shape[:2])
        line = max(1, round(side / 400))
        scale = max(0.4, side / 1000)
        font_px = max(1, round(side / 600))
        height = cv2.getTextSize("Ag", FONT, scale, font_px)[0][1]
        return cls(line, scale, font_px, height)

    @property
    def plate_height(self) -> int:
        """Of a line of text with its ground."""
        return self.text_height + 2 * self.margin

    @property
    def margin(self) -> int:
        """Around a text."""
        return self.line_px + 2

    def small(self) -> _Style:
        """Return the style of what is less important, on plates of the same height."""
        return self._replace(font_scale=self.font_scale * 0.75)

    def width(self, text: str) -> int:
        return int(cv2.getTextSize(text, FONT, self.font_scale, self.font_px)[0][0])


def _canvas(image: Image) -> tuple[Image, int]:
    """Return a copy to draw into, and by how much it is larger."""
    shorter, longer = sorted(image.shape[:2])
    enlarged = max(1, min(-(-SMALLEST_SIDE // shorter), LARGEST_SIDE // longer))
    canvas: Any = cv2.cvtColor(image, cv2.COLOR_GRAY2RGB) if image.ndim == 2 else image
    if enlarged > 1:
        canvas = np.repeat(np.repeat(canvas, enlarged, axis=0), enlarged, axis=1)
    return np.array(canvas, np.uint8, order="C"), enlarged


def _corners(one: Marked, enlarged: int, canvas: Image) -> tuple[int, int, int, int]:
    """Return left, top, right and bottom in whole pixels, not far from the picture."""
    left, top, width, height = (value * enlarged for value in one.box_xywh)
    rows, columns = canvas.shape[:2]
    xs = np.clip([left, left + width - 1], -16, columns + 16).round()
    ys = np.clip([top, top + height - 1], -16, rows + 16).round()
    return int(xs[0]), int(ys[0]), int(xs[1]), int(ys[1])


def _draw_box(canvas: Image, one: Marked, enlarged: int, style: _Style) -> None:
    left, top, right, bottom = _corners(one, enlarged, canvas)
    for colour, width in (BLACK, style.line_px + 2), (_colour(one), style.line_px):
        cv2.rectangle(canvas, (left, top), (right, bottom), colour, width, cv2.LINE_AA)


def _draw_label(canvas: Image, one: Marked, enlarged: int, style: _Style) -> None:
    """Put class and score above the box, or inside it where there is no room above.

    The score stands behind the class: of boxes side by side, drawn from left to right, a label may
    hide the score before it and no class.
    """
    left, top, _, _ = _corners(one, enlarged, canvas)
    y = top - style.plate_height if top >= style.plate_height else top
    percent, small = f"{one.score * 100:.0f}%", style.small()
    both = style.width(one.label) + small.width(percent) + 4 * style.margin
    x = min(left, canvas.shape[1] - both)
    right = _plate(canvas, one.label, (x, y), _colour(one), style)
    _plate(canvas, percent, (right, y), GREY, small)


def _draw_lines(canvas: Image, lines: Sequence[str], style: _Style, *, at_top: bool) -> None:
    step = style.plate_height + 2
    y = 2 if at_top else canvas.shape[0] - step * len(lines) - 2
    for number, text in enumerate(lines):
        _plate(canvas, text, (2, y + number * step), GREY, style)


def _plate(
    canvas: Image, text: str, left_top: tuple[int, int], ground: Colour, style: _Style
) -> int:
    """Write text on a filled rectangle that is moved into the picture; return its right end."""
    printable = text.encode("ascii", "replace").decode()  # OpenCV's font has no other letters
    width, height = style.width(printable) + 2 * style.margin, style.plate_height
    x = max(0, min(left_top[0], canvas.shape[1] - width))
    y = max(0, min(left_top[1], canvas.shape[0] - height))
    cv2.rectangle(canvas, (x, y), (x + width - 1, y + height - 1), ground, cv2.FILLED)
    bright = 0.299 * ground[0] + 0.587 * ground[1] + 0.114 * ground[2] > 127.5
    cv2.putText(
        canvas,
        printable,
        (x + style.margin, y + height - style.margin),
        FONT,
        style.font_scale,
        BLACK if bright else WHITE,
        style.font_px,
        cv2.LINE_AA,
    )
    return int(x + width)


def _colour(one: Marked) -> Colour:
    return PALETTE[one.colour % len(PALETTE)]
