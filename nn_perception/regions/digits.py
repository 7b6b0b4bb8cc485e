"""Handwritten digits in a camera frame: find them, read their order, cut them as MNIST was."""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from nn_perception.regions.components import Components, find_components
from nn_perception.regions.cut import CROP, cut_ink, place
from nn_perception.regions.ink import Image, InkMaps, find_ink
from nn_perception.regions.lines import group_lines
from nn_perception.regions.settings import DigitFinderSettings

__all__ = ["DigitFinder", "DigitFinderSettings", "FoundDigits"]


class FoundDigits(NamedTuple):
    """Candidates for digits, in reading order.

    Attributes:
        boxes_xywh: (N, 4) box of the ink: left, top, width, height, pixels of the frame.
        lines: (N,) text line, 0 at the top; sorted; left to right within one.
        crops: (N, 28, 28) bright ink on black, as MNIST was made.
        dropped: candidates left out since there were more than ``max_regions``.
    """

    boxes_xywh: NDArray[np.float32]
    lines: NDArray[np.int32]
    crops: NDArray[np.uint8]
    dropped: int


class _Candidates(NamedTuple):
    """Candidates of both polarities; boxes in pixels of the searched image."""

    parts: tuple[Components, Components]
    light: NDArray[np.bool_]
    indices: NDArray[np.intp]
    boxes: NDArray[np.int32]


class DigitFinder:
    """Finds candidates for handwritten digits, dark on light and light on dark."""

    def __init__(self, settings: DigitFinderSettings | None = None) -> None:
        self.settings = settings or DigitFinderSettings()

    def __call__(self, grey: NDArray[np.uint8]) -> FoundDigits:
        """Find the candidates of one frame.

        Args:
            grey: (H, W), 8 bit, any size and content.
        """
        if not grey.size:
            return _nothing()
        settings = self.settings
        maps = find_ink(
            grey,
            max_pixels=settings.max_pixels,
            min_contrast=settings.min_contrast,
            relative_threshold=settings.relative_threshold,
        )
        candidates = self._candidates(maps)
        if not len(candidates.indices):
            return _nothing()
        kept = self._best(candidates)
        boxes = candidates.boxes[kept]
        lines = group_lines(boxes, max_tilt_deg=settings.max_tilt_deg, max_gap=settings.max_gap)
        crops = _cut(grey, maps, candidates, kept[lines.order], lines.angles_rad)
        return FoundDigits(
            (boxes[lines.order] * maps.scale).astype(np.float32),
            lines.lines,
            crops,
            len(candidates.indices) - len(kept),
        )

    def _candidates(self, maps: InkMaps) -> _Candidates:
        dark = find_components(maps.dark, maps.size, self.settings)
        light = find_components(maps.light, maps.size, self.settings)
        return _Candidates(
            (dark, light),
            np.repeat([False, True], [len(dark.indices), len(light.indices)]),
            np.concatenate([dark.indices, light.indices]),
            np.concatenate([dark.boxes, light.boxes]),
        )

    def _best(self, candidates: _Candidates) -> NDArray[np.intp]:
        """Return at most ``max_regions`` candidates, the largest."""
        sizes = candidates.boxes[:, 2:].max(1)
        return np.argsort(-sizes, kind="stable")[: self.settings.max_regions]


def _cut(
    grey: Image,
    maps: InkMaps,
    candidates: _Candidates,
    chosen: NDArray[np.intp],
    angles_rad: NDArray[np.float64],
) -> NDArray[np.uint8]:
    digits = []
    for candidate, angle in zip(chosen.tolist(), angles_rad.tolist(), strict=True):
        light = bool(candidates.light[candidate])
        left, top, width, height = candidates.boxes[candidate].tolist()
        part = (slice(top, top + height), slice(left, left + width))
        labels = candidates.parts[light].labels[part]
        mask = (labels == candidates.indices[candidate]).view(np.uint8) * np.uint8(255)
        ground = maps.ground[part]
        if maps.scale > 1:
            size = (width * maps.scale, height * maps.scale)
            mask = np.asarray(cv2.resize(mask, size, interpolation=cv2.INTER_NEAREST), np.uint8)
            ground = np.asarray(cv2.resize(ground, size), np.uint8)
            part = tuple(slice(s.start * maps.scale, s.stop * maps.scale) for s in part)  # type: ignore
        image = grey[part]
        mask, ground = (
            mask[: image.shape[0], : image.shape[1]],
            ground[: image.shape[0], : image.shape[1]],
        )
        ink = cv2.subtract(image, ground) if light else cv2.subtract(ground, image)
        digits.append(cut_ink(np.asarray(ink, np.uint8), mask, angle))
    return place(digits)


def _nothing() -> FoundDigits:
    return FoundDigits(
        np.zeros((0, 4), np.float32),
        np.zeros(0, np.int32),
        np.zeros((0, CROP, CROP), np.uint8),
        0,
    )
