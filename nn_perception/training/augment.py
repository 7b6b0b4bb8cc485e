"""Random distortions of a whole image batch at once, on the device that holds it.

``draw`` takes every random number from one generator, ``apply`` uses none. So in data-parallel
training each process draws for the whole batch and applies its share, ``params[rank::ranks]``,
and any number of processes sees the same images.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from nn_perception.errors import ConfigError
from nn_perception.training.augment_config import AugmentConfig, AugmentParams
from nn_perception.training.augment_geometry import affine_maps, erase_rectangles, warp
from nn_perception.training.augment_photometry import (
    add_noise,
    change_colours,
    change_gamma,
    change_stroke,
    colour_maps,
    compress,
    lose_resolution,
)

__all__ = ["AugmentConfig", "AugmentParams", "apply", "augment", "draw"]


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
    # What was there first is drawn first, always, and all of it: old recipes see their old images.
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
    later = {}
    if config.needs_more:
        more = torch.rand((12, batch), generator=generator, device=generator.device)
        later = {**_draw_colours(more[:3], config), **_draw_degradation(more[3:], config)}
    return AugmentParams(
        affine=affine_maps(signed, config) if config.warps else None,
        elastic=elastic,
        stroke=signed[6] * config.stroke if config.stroke > 0 else None,
        contrast=1 + signed[7] * config.contrast if config.contrast > 0 else None,
        brightness=signed[8] * config.brightness if config.brightness > 0 else None,
        erase=erase,
        padding=config.padding,
        **later,
    ).to(device)


def _draw_colours(unit: Tensor, config: AugmentConfig) -> dict[str, Tensor]:
    signed = unit * 2 - 1
    drawn = {}
    if config.gamma > 0:
        drawn["gamma"] = torch.exp(signed[0] * math.log1p(config.gamma))
    if config.saturation > 0 or config.hue_deg > 0:
        drawn["colour"] = colour_maps(
            1 + signed[1] * config.saturation, signed[2] * math.radians(config.hue_deg)
        )
    return drawn


def _draw_degradation(unit: Tensor, config: AugmentConfig) -> dict[str, Tensor]:
    """From uniform (9, B): whether and how much of each of four, and which noise."""
    done = (unit[:4] < config.degrade).to(unit.dtype)
    drawn = {}
    if config.blur_px > 0:
        drawn["blur"] = done[0] * unit[4] * config.blur_px
    if config.pixelate > 0:
        drawn["pixelate"] = torch.exp(done[1] * unit[5] * math.log1p(config.pixelate))
    if config.noise > 0:
        drawn["noise"] = torch.stack((done[2] * unit[6] * config.noise, unit[7]), dim=1)
    if config.jpeg_quality > 0:
        drawn["jpeg"] = done[3] * torch.lerp(
            torch.full_like(unit[8], config.jpeg_quality), torch.full_like(unit[8], 100.0), unit[8]
        )
    return drawn


def apply(images: Tensor, params: AugmentParams) -> Tensor:
    """Distort images as drawn.

    Args:
        images: (B, C, H, W), uint8 or float in 0..255, on the device of ``params``.
        params: one entry for each image.

    Returns:
        (B, C, H, W) float32 in 0..255.

    Raises:
        ConfigError: the batch is not as long as the parameters, or colours of images that have
            none are to change.
    """
    if params.affine is not None and len(params.affine) != len(images):
        raise ConfigError(
            f"augmentation: got {len(images)} images for {len(params.affine)} drawn parameters; "
            f"slice the parameters as the images"
        )
    # Under autocast the product that makes the reading places would round them to bfloat16.
    with torch.autocast(images.device.type, enabled=False):
        return _degrade(_distort(images.to(torch.float32), params), params)


def augment(images: Tensor, config: AugmentConfig, generator: torch.Generator) -> Tensor:
    """Draw and apply: (B, C, H, W) uint8 or float in 0..255 -> float32 in 0..255."""
    return apply(images, draw(len(images), config, generator, images.device))


def _distort(result: Tensor, params: AugmentParams) -> Tensor:
    """What the scene does: place, shape, light and colours, and something in front of it."""
    if params.affine is not None:
        result = warp(result, params.affine, params.elastic, params.padding)
    if params.stroke is not None:
        result = change_stroke(result, params.stroke.reshape(-1, 1, 1, 1))
    if params.colour is not None:
        result = change_colours(result, params.colour)
    if params.gamma is not None:
        result = change_gamma(result, params.gamma)
    if params.contrast is not None:
        mean = result.mean(dim=(2, 3), keepdim=True)
        result = mean + (result - mean) * params.contrast.reshape(-1, 1, 1, 1)
    if params.brightness is not None:
        result = result + params.brightness.reshape(-1, 1, 1, 1)
    if params.erase is not None:
        result = erase_rectangles(result, params.erase)
    changes = (params.colour, params.contrast, params.brightness)
    return result.clamp(0, 255) if any(change is not None for change in changes) else result


def _degrade(result: Tensor, params: AugmentParams) -> Tensor:
    """What a camera does, in its order: optics, sensor, compression."""
    if params.blur is not None or params.pixelate is not None:
        result = lose_resolution(result, params.blur, params.pixelate)
    if params.noise is not None:
        result = add_noise(result, params.noise)
    if params.jpeg is not None:
        result = compress(result, params.jpeg)
    return result if params.noise is None and params.jpeg is None else result.clamp(0, 255)
