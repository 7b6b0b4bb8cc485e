"""Connected strokes of ink, their measures, and which of them can be a digit."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

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
        seeds: (N, 2, 2) x, y of one pixel of each of its parts; one part stands there twice.
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
        columns: list[Any] = [values[chosen] for values in self]
        return Components(*columns)


def find_components(dark: Image, light: Image, size: tuple[int, int], longest: float) -> Components:
    """Return the connected strokes of two masks (8 neighbours), without specks.

    Outlines are followed instead of labelling all pixels: on a frame with little ink that is five
    times as fast.

    Args:
        dark: (H, W), 255 where there is ink darker than its ground.
        light: (H, W), 255 where there is lighter ink.
        size: (height, width) of the part that the frame covers. What touches its edge is cut off by
            it, and left out.
        longest: greatest longer side of a component, pixels; greater ones are left out.
    """
    both: Any = [_follow(dark, False, size, longest), _follow(light, True, size, longest)]
    return Components(*(np.concatenate(values) for values in zip(*both, strict=True)))


def _follow(mask: Image, light: bool, size: tuple[int, int], longest: float) -> Components:
    contours, hierarchy = cv2.findContours(mask, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    count = len(contours)
    lengths = np.fromiter(map(len, contours), np.int64, count)
    parents = np.asarray(hierarchy[0, :, 3] if count else (), np.int32)
    # A line of n pixels is passed twice but for its ends.
    outer = np.flatnonzero((parents < 0) & (lengths >= 2 * (_SMALLEST_PX - 1)))
    boxes = np.array([cv2.boundingRect(contours[i]) for i in outer.tolist()], np.int32)
    left, top, width, height = boxes.reshape(-1, 4).T
    longer = np.maximum(width, height)
    kept = (longer >= _SMALLEST_PX) & (longer <= longest)
    kept &= (left > 0) & (top > 0) & (left + width < size[1]) & (top + height < size[0])
    chosen = outer[kept]
    areas, outlines, holes = _measure(contours, parents, lengths, chosen)
    seeds = np.array([contours[i][0, 0].tolist() for i in chosen.tolist()], np.int32)
    return Components(
        boxes.reshape(-1, 4)[kept],
        np.repeat(seeds.reshape(-1, 1, 2), 2, axis=1),
        areas[chosen],
        outlines[chosen],
        holes[chosen],
        np.full(len(chosen), light),
    )


def _measure(
    contours: Sequence[Any],
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


def is_digit_like(components: Components, settings: DigitFinderSettings) -> NDArray[np.bool_]:
    """Tell which components have the size and shape of a digit."""
    width, height = components.boxes[:, 2], components.boxes[:, 3]
    longer = components.sizes
    fill = components.areas / (longer * longer)
    stroke = 2.0 * components.areas / components.outlines
    return np.asarray(
        (longer >= settings.min_size_px)
        & (width >= settings.min_aspect * height)
        & (width <= settings.max_aspect * height)
        & (fill >= settings.min_fill)
        & (fill <= settings.max_fill)
        & (stroke <= settings.max_stroke_fraction * longer)
        & (components.holes <= settings.max_holes)
    )
