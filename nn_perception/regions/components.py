"""Connected strokes of ink, their measures, and which of them can be a digit."""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from nn_perception.regions.ink import Image
from nn_perception.regions.settings import DigitFinderSettings

_SMALLEST_PX = 4
"""Longer side of the smallest part of a broken digit; what is smaller is noise."""


class Components(NamedTuple):
    """Connected strokes, in arrays over the components.

    Attributes:
        boxes: (N, 4) left, top, width, height, pixels of the searched image.
        seeds: (N, 2) x, y of one pixel of each.
        areas: (N,) pixels of ink.
        outlines: (N,) pixels on the outlines, those of holes included.
        holes: (N,) number of holes.
        light: (N,) whether the ink is lighter than the ground.
    """

    boxes: NDArray[np.int32]
    seeds: NDArray[np.int32]
    areas: NDArray[np.float64]
    outlines: NDArray[np.int64]
    holes: NDArray[np.int64]
    light: NDArray[np.bool_]

    @property
    def sizes(self) -> NDArray[np.int32]:
        """(N,) longer sides of the boxes."""
        longer: NDArray[np.int32] = self.boxes[:, 2:].max(1)
        return longer

    def take(self, chosen: NDArray[np.bool_] | NDArray[np.intp]) -> Components:
        """Return some of the components."""
        return Components(*(values[chosen] for values in self))


def find_components(dark: Image, light: Image, longest: float) -> Components:
    """Return the connected strokes of two masks (8 neighbours), without specks.

    Outlines are followed instead of labelling all pixels: on a frame with little ink that is five
    times as fast.

    Args:
        dark: (H, W), 255 where there is ink darker than its ground.
        light: (H, W), 255 where there is lighter ink.
        longest: greatest longer side of a component, pixels; greater ones are left out.
    """
    both = [_follow(dark, False, longest), _follow(light, True, longest)]
    return Components(*(np.concatenate(values) for values in zip(*both, strict=True)))


def _follow(mask: Image, light: bool, longest: float) -> Components:
    contours, hierarchy = cv2.findContours(mask, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    count = len(contours)
    lengths = np.fromiter(map(len, contours), np.int64, count)
    parents = hierarchy[0, :, 3] if count else np.zeros(0, np.int32)
    outer = (parents < 0) & (lengths >= _SMALLEST_PX)
    boxes = np.zeros((count, 4), np.int32)
    for index in np.flatnonzero(outer).tolist():
        boxes[index] = cv2.boundingRect(contours[index])
    longer = boxes[:, 2:].max(1, initial=0)
    kept = np.flatnonzero(outer & (longer >= _SMALLEST_PX) & (longer <= longest))
    areas, outlines, holes = _measure(contours, parents, lengths, kept)
    return Components(
        boxes[kept],
        np.array([contours[index][0, 0] for index in kept.tolist()], np.int32).reshape(-1, 2),
        areas[kept],
        outlines[kept],
        holes[kept],
        np.full(len(kept), light),
    )


def _measure(
    contours: tuple[NDArray[np.int32], ...] | list[NDArray[np.int32]],
    parents: NDArray[np.int32],
    lengths: NDArray[np.int64],
    kept: NDArray[np.intp],
) -> tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.int64]]:
    """Return pixels of ink, pixels on outlines and holes of all contours; valid for ``kept``.

    Pixel centres are lattice points, so that Pick's theorem counts the pixels exactly: with area A
    and B points on the outline, A + B / 2 + 1 lie in it, and A - B / 2 + 1 are within a hole's.
    """
    wanted = np.zeros(len(contours), bool)
    wanted[kept] = True
    inner = np.flatnonzero((parents >= 0) & wanted[parents])
    areas = np.zeros(len(contours))
    for index in kept.tolist() + inner.tolist():
        areas[index] = cv2.contourArea(contours[index])
    owners = parents[inner]
    ink = areas + 0.5 * lengths + 1.0
    np.subtract.at(ink, owners, areas[inner] - 0.5 * lengths[inner] + 1.0)
    outlines = lengths.copy()
    np.add.at(outlines, owners, lengths[inner])
    return ink, outlines, np.bincount(owners, minlength=len(contours))


def is_digit_like(
    components: Components, size: tuple[int, int], settings: DigitFinderSettings
) -> NDArray[np.bool_]:
    """Tell which components have the size and shape of a digit.

    Args:
        components: measured strokes.
        size: (height, width) of the frame, in pixels of the searched image. What touches its edge
            is cut off by it, and no whole digit.
        settings: the gates.
    """
    left, top, width, height = components.boxes.T
    longer = components.sizes
    fill = components.areas / (longer * longer)
    stroke = 2.0 * components.areas / components.outlines
    within = (left > 0) & (top > 0) & (left + width < size[1]) & (top + height < size[0])
    return (  # type: ignore[no-any-return]
        within
        & (longer >= settings.min_size_px)
        & (width >= settings.min_aspect * height)
        & (width <= settings.max_aspect * height)
        & (fill >= settings.min_fill)
        & (fill <= settings.max_fill)
        & (stroke <= settings.max_stroke_fraction * longer)
        & (components.holes <= settings.max_holes)
    )
