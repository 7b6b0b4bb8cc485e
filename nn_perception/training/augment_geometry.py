"""Distortions that move pixels: affine maps and smooth displacements; and one that hides some."""

from __future__ import annotations

import functools
import math
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor

if TYPE_CHECKING:
    from nn_perception.training.augment_config import AugmentConfig


def affine_maps(signed: Tensor, config: AugmentConfig) -> Tensor:
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


def warp(images: Tensor, affine: Tensor, elastic: Tensor | None, padding: str) -> Tensor:
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


def erase_rectangles(images: Tensor, erase: Tensor) -> Tensor:
    """Set one rectangle of each image to the image's mean; ``erase`` is that of the parameters."""
    height, width = images.shape[2:]
    x = torch.arange(width, device=images.device) + 0.5
    y = torch.arange(height, device=images.device) + 0.5
    centre_x, centre_y, side_x, side_y = erase.T.unsqueeze(2)
    inside_x = (x - centre_x * width).abs() < side_x / 2
    inside_y = (y - centre_y * height).abs() < side_y / 2
    inside = (inside_y.unsqueeze(2) & inside_x.unsqueeze(1)).unsqueeze(1)
    return torch.where(inside, images.mean(dim=(2, 3), keepdim=True), images)
