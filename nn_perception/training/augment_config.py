"""How images are distorted: the configuration, and what was drawn for one batch."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from nn_perception.errors import ConfigError, nearest

PADDINGS = ("zeros", "border", "reflection")
_LIMITS = {
    "rotate_deg": 180.0,
    "shear_deg": 60.0,
    "mirror": 1.0,
    "stroke": 1.0,
    "saturation": 1.0,
    "hue_deg": 180.0,
    "degrade": 1.0,
    "jpeg_quality": 100.0,
}


@dataclass(frozen=True)
class AugmentConfig:
    """How strongly images are distorted; the default changes nothing.

    Unless stated otherwise, a value v draws uniformly from -v to v, for each image.

    Attributes:
        rotate_deg: rotation about the image centre, degrees.
        shift_px: shift along each axis, pixels.
        scale: size; 0.1 draws a factor from 1/1.1 to 1.1 (uniform in its logarithm).
        stretch: width against height; the same law, the area stays.
        shear_deg: horizontal slant, degrees.
        elastic_px: standard deviation of a smooth random displacement along each axis, pixels.
        elastic_grid: its control points along each axis; fewer are smoother.
        mirror: probability of a left-right flip.
        stroke: bright strokes thinner or thicker: weight (at most 1) of the 3x3 minimum or
            maximum of the image against the image.
        contrast: contrast about the image's mean; 0.2 draws a factor from 0.8 to 1.2.
        brightness: an offset, in 0..255 units.
        erase_px: largest side of one rectangle that is set to the image's mean; sides are drawn
            from 0 to this, pixels.
        padding: what is seen beyond the border: ``"zeros"``, ``"border"`` or ``"reflection"``.
        gamma: exponent of the value (0..1 for black..white); 0.2 draws from 1/1.2 to 1.2 (uniform
            in its logarithm).
        saturation: factor of the colours' distance from grey; RGB only; 0.2 draws 0.8 to 1.2.
        hue_deg: rotation of the colours about the grey axis, degrees; RGB only.
        degrade: probability with which an image gets each of the four below, independently.
        blur_px: largest standard deviation of a Gaussian blur; drawn from 0 to this, pixels.
        pixelate: loss of resolution: the image is reduced (area average) by a factor and enlarged
            again (linear); 1 draws a factor from 1 to 2 (uniform in its logarithm).
        noise: largest standard deviation of independent noise on each value; drawn from 0 to
            this, in 0..255 units.
        jpeg_quality: lowest quality of a JPEG compression (libjpeg's scale, colours at half the
            resolution); drawn from this to 100; 0 is none.
    """

    rotate_deg: float = 0.0
    shift_px: float = 0.0
    scale: float = 0.0
    stretch: float = 0.0
    shear_deg: float = 0.0
    elastic_px: float = 0.0
    elastic_grid: int = 5
    mirror: float = 0.0
    stroke: float = 0.0
    contrast: float = 0.0
    brightness: float = 0.0
    erase_px: float = 0.0
    padding: str = "zeros"
    gamma: float = 0.0
    saturation: float = 0.0
    hue_deg: float = 0.0
    degrade: float = 0.5
    blur_px: float = 0.0
    pixelate: float = 0.0
    noise: float = 0.0
    jpeg_quality: float = 0.0

    def __post_init__(self) -> None:
        """Raise ConfigError for a value that is out of its range."""
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if field.name == "padding":
                continue
            limit = _LIMITS.get(field.name, math.inf)
            number = isinstance(value, int | float) and not isinstance(value, bool)
            if not (number and math.isfinite(value) and 0 <= value <= limit):
                raise ConfigError(
                    f"augment.{field.name}: got {value!r}, expected a number from 0 to {limit:g}"
                )
        if not isinstance(self.elastic_grid, int) or self.elastic_grid < 2:
            raise ConfigError(
                f"augment.elastic_grid: got {self.elastic_grid!r}, "
                f"expected a whole number of at least 2"
            )
        if self.padding not in PADDINGS:
            raise ConfigError(
                f"augment.padding: got {self.padding!r}{nearest(str(self.padding), PADDINGS)} "
                f"(expected one of: {', '.join(PADDINGS)})"
            )

    @property
    def warps(self) -> bool:
        """Whether pixels are moved, which needs a resampling of the image."""
        names = ("rotate_deg", "shift_px", "scale", "stretch", "shear_deg", "elastic_px", "mirror")
        return any(getattr(self, name) > 0 for name in names)

    @property
    def needs_more(self) -> bool:
        """Whether something is drawn for which the first numbers of a batch do not suffice."""
        names = ("gamma", "saturation", "hue_deg", "blur_px", "pixelate", "noise", "jpeg_quality")
        return any(getattr(self, name) > 0 for name in names)


@dataclass(frozen=True)
class AugmentParams:
    """The drawn distortions of one batch; every tensor has the batch as its first axis.

    None stands for "not done". Slicing (``params[1::2]``) takes part of the batch.

    Attributes:
        affine: (B, 2, 3) float: where an output pixel reads, ``source = affine @ (x, y, 1)``;
            x right, y down, pixels, the origin in the image centre.
        elastic: (B, 2, G, G) float: displacement (x, y) of the reading place at the control
            points (row, column), pixels.
        stroke: (B,) float in -1..1: weight of the local maximum (above 0) or minimum (below).
        contrast: (B,) float: factor about the mean.
        brightness: (B,) float: offset, 0..255 units.
        erase: (B, 4) float: centre x, y as fractions of the image size, width, height in pixels.
        padding: what is seen beyond the border.
        gamma: (B,) float: exponent.
        colour: (B, 3, 3) float: map of RGB values.
        blur: (B,) float: standard deviation, pixels; 0 is none.
        pixelate: (B,) float: factor, at least 1; 1 is none.
        noise: (B, 2) float: standard deviation, 0..255 units, and from 0 to 1 which noise it is.
        jpeg: (B,) float: quality, 1..100; 0 is none.
    """

    affine: Tensor | None = None
    elastic: Tensor | None = None
    stroke: Tensor | None = None
    contrast: Tensor | None = None
    brightness: Tensor | None = None
    erase: Tensor | None = None
    padding: str = "zeros"
    gamma: Tensor | None = None
    colour: Tensor | None = None
    blur: Tensor | None = None
    pixelate: Tensor | None = None
    noise: Tensor | None = None
    jpeg: Tensor | None = None

    def _map(self, change: Any) -> AugmentParams:
        values = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        return AugmentParams(
            **{k: change(v) if isinstance(v, Tensor) else v for k, v in values.items()}
        )

    def __getitem__(self, part: slice | Tensor) -> AugmentParams:
        """Return the parameters of part of the batch."""
        return self._map(lambda tensor: tensor[part])

    def to(self, device: torch.device | str) -> AugmentParams:
        """Return the same parameters on another device."""
        return self._map(lambda tensor: tensor.to(device, non_blocking=True))
