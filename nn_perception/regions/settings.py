"""All gates of the search for digits, with their defaults."""

from __future__ import annotations

import math
from dataclasses import dataclass

from nn_perception.errors import ConfigError


@dataclass(frozen=True)
class DigitFinderSettings:
    """What counts as a digit. Lengths in px are of the searched image, see ``max_pixels``.

    Attributes:
        max_regions: candidates that are cut at most; the best are kept, the rest is counted.
        max_pixels: a frame with more pixels is shrunk by a whole factor before the search. Crops
            are cut from the full frame all the same.
        min_contrast: least difference between ink and ground, grey levels.
        relative_threshold: what is ink, as a fraction of the strongest contrast nearby.
        min_size_px: least longer side of a digit's box.
        max_size_fraction: greatest longer side, as a fraction of the frame's shorter side.
        min_aspect: least width / height of a box (a one).
        max_aspect: greatest width / height (a tilted seven or two).
        min_fill: least area of ink / (longer side)^2: thin pens, ones.
        max_fill: greatest such fraction: broad brushes; what has more is a blob.
        max_stroke_fraction: greatest stroke width / longer side.
        max_holes: greatest number of holes: an eight has two, noise adds some.
        min_likeness_alone: least log odds that a stroke is a digit, by itself, to be looked at any
            further; see `nn_perception.regions.likeness`.
        min_likeness: least log odds with those around considered; lower lets more through.
        max_tilt_deg: greatest tilt of a text line, either way.
        max_gap: greatest distance of neighbours on a line, in sizes of digits, centre to centre.
    """

    max_regions: int = 128
    max_pixels: int = 700_000
    min_contrast: int = 12
    relative_threshold: float = 0.4
    min_size_px: int = 12
    max_size_fraction: float = 0.75
    min_aspect: float = 0.06
    max_aspect: float = 2.2
    min_fill: float = 0.04
    max_fill: float = 0.62
    max_stroke_fraction: float = 0.5
    max_holes: int = 4
    min_likeness_alone: float = -6.0
    min_likeness: float = -3.0
    max_tilt_deg: float = 32.0
    max_gap: float = 3.5

    def __post_init__(self) -> None:
        """Check the ranges.

        Raises:
            ConfigError: a value out of its range.
        """
        for name, low, high in (
            ("max_regions", 1, 65_535),
            ("max_pixels", 4096, math.inf),
            ("min_contrast", 1, 254),
            ("relative_threshold", 0.05, 0.95),
            ("min_size_px", 4, math.inf),
            ("max_size_fraction", 0.0, 1.0),
            ("min_aspect", 0.0, 1.0),
            ("max_aspect", 1.0, math.inf),
            ("min_fill", 0.0, 1.0),
            ("max_fill", 0.0, 1.0),
            ("max_stroke_fraction", 0.0, 1.0),
            ("max_holes", 2, math.inf),
            ("min_likeness_alone", -math.inf, math.inf),
            ("min_likeness", -math.inf, math.inf),
            ("max_tilt_deg", 0.0, 45.0),
            ("max_gap", 0.5, math.inf),
        ):
            value = getattr(self, name)
            if not low <= value <= high:  # not a number fails too
                raise ConfigError(f"{name} is {value}, expected {low} to {high}; correct it")
