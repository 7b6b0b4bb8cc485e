"""Random distortions of a whole image batch at once, on the device that holds it.

``draw`` takes every random number from one generator, ``apply`` uses none. So in data-parallel
training each process draws for the whole batch and applies its share, ``params[rank::ranks]``,
and any number of processes sees the same images.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from nn_perception.errors import ConfigError, nearest

PADDINGS = ("zeros", "border", "reflection")


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

    def __post_init__(self) -> None:
        """Raise ConfigError for a value that is out of its range."""
        limits = {"rotate_deg": 180.0, "shear_deg": 60.0, "mirror": 1.0, "stroke": 1.0}
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if field.name == "padding":
                continue
            limit = limits.get(field.name, math.inf)
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
    """

    affine: Tensor | None = None
    elastic: Tensor | None = None
    stroke: Tensor | None = None
    contrast: Tensor | None = None
    brightness: Tensor | None = None
    erase: Tensor | None = None
    padding: str = "zeros"

    def _map(self, change: Any) -> AugmentParams:
        values = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        return AugmentParams(
            **{k: change(v) if isinstance(v, Tensor) else v for k, v in values.items()}
        )

    def __getitem__(self, part: slice) -> AugmentParams:
        """Return the parameters of part of the batch."""
        return self._map(lambda tensor: tensor[part])

    def to(self, device: torch.device | str) -> AugmentParams:
        """Return the same parameters on another device."""
        return self._map(lambda tensor: tensor.to(device, non_blocking=True))


def draw(
    batch: int,
    config: AugmentConfig,
    generator: torch.Generator,
    device: torch.device | str = "cpu",
) -> AugmentParams:
    """Draw the distortions of ``batch`` images.

    The numbers come from ``generator``, on its own device, so that a seed gives the same images
    on every kind of device when the generator is one of the CPU.

    Args:
        batch: number of images, of all processes together.
        config: the strengths.
        generator: the only source of randomness; it moves on.
        device: where the parameters are wanted.
    """
    unit = torch.rand((14, batch), generator=generator, device=generator.device)
    signed = unit * 2 - 1
    elastic = None
    if config.elastic_px > 0:
        shape = (batch, 2, config.elastic_grid, config.elastic_grid)
        normal = torch.randn(shape, generator=generator, device=generator.device)
        elastic = normal * config.elastic_px
    erase = None
    if config.erase_px > 0:
        erase = torch.stack((unit[9], unit[10], unit[11], unit[12]), dim=1)
        erase = erase * erase.new_tensor([1.0, 1.0, config.erase_px, config.erase_px])
    return AugmentParams(
        affine=_affine(signed, config) if config.warps else None,
        elastic=elastic,
        stroke=signed[6] * config.stroke if config.stroke > 0 else None,
        contrast=1 + signed[7] * config.contrast if config.contrast > 0 else None,
        brightness=signed[8] * config.brightness if config.brightness > 0 else None,
        erase=erase,
        padding=config.padding,
    ).to(device)


def _affine(signed: Tensor, config: AugmentConfig) -> Tensor:
    """Return (B, 2, 3) maps from output to source pixels from uniform (14, B) in -1..1.

    ``source = S R K p + t`` with scale S, rotation R and horizontal shear K.
    """
    angle = signed[0] * math.radians(config.rotate_deg)
    slant = torch.tan(signed[5] * math.radians(config.shear_deg))
    size = torch.exp(signed[3] * math.log1p(config.scale))
    stretch = torch.exp(signed[4] * 0.5 * math.log1p(config.stretch))
    flip = torch.where(signed[13] * 0.5 + 0.5 < config.mirror, -1.0, 1.0)
    x_scale, y_scale = flip * size * stretch, size / stretch
    cos, sin = torch.cos(angle), torch.sin(angle)
    row_x = torch.stack((x_scale * cos, x_scale * (cos * slant - sin)), dim=1)
    row_y = torch.stack((y_scale * sin, y_scale * (sin * slant + cos)), dim=1)
    linear = torch.stack((row_x, row_y), dim=1)
    shift = (signed[1:3] * config.shift_px).T.unsqueeze(2)
    return torch.cat((linear, shift), dim=2)


def apply(images: Tensor, params: AugmentParams) -> Tensor:
    """Distort images as drawn.

    Args:
        images: (B, C, H, W), uint8 or float in 0..255, on the device of ``params``.
        params: one entry for each image.

    Returns:
        (B, C, H, W) float32 in 0..255.

    Raises:
        ConfigError: the batch is not as long as the parameters.
    """
    if params.affine is not None and len(params.affine) != len(images):
        raise ConfigError(
            f"augmentation: got {len(images)} images for {len(params.affine)} drawn parameters; "
            f"slice the parameters as the images"
        )
    # Under autocast the product that makes the reading places would round them to bfloat16.
    with torch.autocast(images.device.type, enabled=False):
        return _apply(images.to(torch.float32), params)


def augment(images: Tensor, config: AugmentConfig, generator: torch.Generator) -> Tensor:
    """Draw and apply: (B, C, H, W) uint8 or float in 0..255 -> float32 in 0..255."""
    return apply(images, draw(len(images), config, generator, images.device))


def _apply(result: Tensor, params: AugmentParams) -> Tensor:
    if params.affine is not None:
        result = _warp(result, params.affine, params.elastic, params.padding)
    if params.stroke is not None:
        result = _change_stroke(result, params.stroke.reshape(-1, 1, 1, 1))
    if params.contrast is not None:
        mean = result.mean(dim=(2, 3), keepdim=True)
        result = mean + (result - mean) * params.contrast.reshape(-1, 1, 1, 1)
    if params.brightness is not None:
        result = result + params.brightness.reshape(-1, 1, 1, 1)
    if params.erase is not None:
        result = _erase(result, params.erase)
    if params.contrast is not None or params.brightness is not None:
        result = result.clamp(0, 255)
    return result


def _warp(images: Tensor, affine: Tensor, elastic: Tensor | None, padding: str) -> Tensor:
    """Resample each image where its affine map and its displacement point, bilinearly.

    The reading places are linear in all parameters, so one matrix product with the fixed basis
    functions of all pixels makes them: 3 of the affine map and G*G of the displacement.
    """
    batch, _, height, width = images.shape
    points = 0 if elastic is None else elastic.shape[-1]
    basis = _basis(height, width, points, images.device)
    weights = affine if elastic is None else torch.cat((affine, elastic.flatten(2)), dim=2)
    # grid_sample counts -1..1 from the first pixel's outer edge to the last one's.
    to_unit = weights.new_tensor([2 / width, 2 / height]).reshape(1, 2, 1)
    places = (weights * to_unit).reshape(batch * 2, -1) @ basis
    grid = places.reshape(batch, 2, height, width).permute(0, 2, 3, 1).contiguous()
    return F.grid_sample(images, grid, mode="bilinear", padding_mode=padding, align_corners=False)


@functools.lru_cache(maxsize=16)
def _basis(height: int, width: int, points: int, device: torch.device) -> Tensor:
    """Return (3 + points**2, height * width): x, y, 1 and the spline weights of every pixel."""
    x = torch.arange(width, dtype=torch.float32) - (width - 1) / 2
    y = torch.arange(height, dtype=torch.float32) - (height - 1) / 2
    rows = [x.repeat(height), y.repeat_interleave(width), torch.ones(height * width)]
    basis = torch.stack(rows)
    if points:
        spline = torch.einsum("gy,hx->ghyx", _spline(height, points), _spline(width, points))
        basis = torch.cat((basis, spline.reshape(points * points, -1)))
    return basis.to(device)


def _spline(length: int, points: int) -> Tensor:
    """Return (points, length) cubic B-spline weights with unit energy at every pixel.

    Dividing by the root of the sum of squares keeps the displacement's standard deviation what
    the configuration says, at the border as in the middle.
    """
    place = torch.linspace(0, points - 1, length)
    distance = (place - torch.arange(points, dtype=torch.float32).unsqueeze(1)).abs()
    near = 2 / 3 - distance**2 + distance**3 / 2
    far = (2 - distance).clamp(min=0) ** 3 / 6
    weights = torch.where(distance < 1, near, far)
    return weights / weights.square().sum(dim=0, keepdim=True).sqrt()


def _change_stroke(images: Tensor, weight: Tensor) -> Tensor:
    thicker = F.max_pool2d(images, 3, stride=1, padding=1)
    thinner = -F.max_pool2d(-images, 3, stride=1, padding=1)
    target = torch.where(weight > 0, thicker, thinner)
    return torch.lerp(images, target, weight.abs())


def _erase(images: Tensor, erase: Tensor) -> Tensor:
    height, width = images.shape[2:]
    x = torch.arange(width, device=images.device) + 0.5
    y = torch.arange(height, device=images.device) + 0.5
    centre_x, centre_y, side_x, side_y = erase.T.unsqueeze(2)
    inside_x = (x - centre_x * width).abs() < side_x / 2
    inside_y = (y - centre_y * height).abs() < side_y / 2
    inside = (inside_y.unsqueeze(2) & inside_x.unsqueeze(1)).unsqueeze(1)
    return torch.where(inside, images.mean(dim=(2, 3), keepdim=True), images)
