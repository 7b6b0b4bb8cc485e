"""Handwritten digits in a camera frame: find them, read their order, cut them as MNIST was."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from nn_perception.regions.broken import join_broken
from nn_perception.regions.components import Components, find_components, is_digit_like
from nn_perception.regions.cut import CROP, cut_digits
from nn_perception.regions.ink import InkMaps, find_ink
from nn_perception.regions.likeness import Likeness, measure_likeness, odds_in_company
from nn_perception.regions.lines import group_lines
from nn_perception.regions.settings import DigitFinderSettings

__all__ = ["DigitFinder", "DigitFinderSettings", "FoundDigits"]


_POOL = 4
"""Candidates that are compared with each other, for each region that is kept: bounds the time."""


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
        strokes = find_components(
            maps.dark, maps.light, maps.size, settings.max_size_fraction * min(maps.size)
        )
        digits, dropped = _likeliest(maps, strokes, settings)
        if not len(digits.boxes):
            return _nothing()
        lines = group_lines(
            digits.boxes, max_tilt_deg=settings.max_tilt_deg, max_gap=settings.max_gap
        )
        boxes, crops = cut_digits(grey, maps, digits.take(lines.order), lines.angles_rad)
        return FoundDigits(boxes, lines.lines, crops, dropped)


def _likeliest(
    maps: InkMaps, strokes: Components, settings: DigitFinderSettings
) -> tuple[Components, int]:
    """Return the likeliest digits, whole again if broken, and how many are dropped."""
    digits = strokes.take(is_digit_like(strokes, settings))
    likeness = measure_likeness(maps, digits)
    digits, likeness, beyond = _best(
        digits, likeness, likeness.odds, settings.min_likeness_alone, _POOL * settings.max_regions
    )
    digits, whole = join_broken(digits, strokes)
    digits, likeness = digits.take(whole), likeness.take(whole)
    odds = odds_in_company(maps, digits, likeness)
    digits, _, dropped = _best(digits, likeness, odds, settings.min_likeness, settings.max_regions)
    return digits, beyond + dropped


def _best(
    digits: Components,
    likeness: Likeness,
    odds: NDArray[np.float64],
    least: float,
    count: int,
) -> tuple[Components, Likeness, int]:
    """Return those with the best odds, at most ``count``, and how many were more."""
    likely = np.flatnonzero(odds >= least)
    best = likely[np.argsort(-odds[likely], kind="stable")[:count]]
    return digits.take(best), likeness.take(best), len(likely) - len(best)


def _nothing() -> FoundDigits:
    return FoundDigits(
        np.zeros((0, 4), np.float32),
        np.zeros(0, np.int32),
        np.zeros((0, CROP, CROP), np.uint8),
        0,
    )
