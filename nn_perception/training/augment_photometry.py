"""Distortions of values: strokes, contrast, brightness, gamma, colours; and of a poor camera.

The camera's are blur, resolution, noise and JPEG. All are batched matrix products or
element-wise, so that each image has its own strength at no cost.
"""

from __future__ import annotations

import functools
import math

import torch
import torch.nn.functional as F
from torch import Tensor

from nn_perception.errors import ConfigError

LUMA = (0.299, 0.587, 0.114)
"""Weights of red, green and blue in the luminance (ITU-R BT.601)."""

NOISE_POOL = 1 << 20
"""Standard normal numbers that all noise is cut from; a cut begins anywhere among them."""

# ITU-T T.81 (1992), tables K.1 (luminance) and K.2 (chrominance), rows of increasing frequency.
LUMINANCE_STEPS = (
    (16, 11, 10, 16, 24, 40, 51, 61),
    (12, 12, 14, 19, 26, 58, 60, 55),
    (14, 13, 16, 24, 40, 57, 69, 56),
    (14, 17, 22, 29, 51, 87, 80, 62),
    (18, 22, 37, 56, 68, 109, 103, 77),
    (24, 35, 55, 64, 81, 104, 113, 92),
    (49, 64, 78, 87, 103, 121, 120, 101),
    (72, 92, 95, 98, 112, 100, 103, 99),
)
CHROMINANCE_STEPS = (
    (17, 18, 24, 47, 99, 99, 99, 99),
    (18, 21, 26, 66, 99, 99, 99, 99),
    (24, 26, 56, 99, 99, 99, 99, 99),
    (47, 66, 99, 99, 99, 99, 99, 99),
    *((99,) * 8,) * 4,
)


def change_stroke(images: Tensor, weight: Tensor) -> Tensor:
    """Blend images with their local maximum (weight above 0) or minimum (below); (B, 1, 1, 1)."""
    thicker = F.max_pool2d(images, 3, stride=1, padding=1)
    thinner = -F.max_pool2d(-images, 3, stride=1, padding=1)
    target = torch.where(weight > 0, thicker, thinner)
    return torch.lerp(images, target, weight.abs())


def change_gamma(images: Tensor, exponent: Tensor) -> Tensor:
    """Raise values, 0..1 for black..white, to a power: (B, C, H, W) and (B,)."""
    unit = images.clamp(0, 255) / 255
    return unit.pow(exponent.reshape(-1, 1, 1, 1)) * 255


def colour_maps(saturation: Tensor, hue_rad: Tensor) -> Tensor:
    """Return (B, 3, 3) maps of RGB values that keep the luminance: factors and angles (B,).

    The distance from grey, seen along the grey axis, is a plane. It is turned about the axis
    (Rodrigues) and scaled; then grey is added until the luminance is what it was.
    """
    cos, sin = torch.cos(hue_rad).reshape(-1, 1, 1), torch.sin(hue_rad).reshape(-1, 1, 1)
    identity = torch.eye(3, device=saturation.device)
    grey = torch.full((3, 3), 1 / 3, device=saturation.device)
    cross = torch.tensor([[0.0, -1, 1], [1, 0, -1], [-1, 1, 0]], device=saturation.device)
    turn = grey + (identity - grey) * cos + cross / math.sqrt(3) * sin
    luma = torch.tensor(LUMA, device=saturation.device).expand(3, 3)
    return luma + (turn - luma @ turn) * saturation.reshape(-1, 1, 1)


def change_colours(images: Tensor, maps: Tensor) -> Tensor:
    """Apply maps (B, 3, 3) to RGB images (B, 3, H, W).

    Raises:
        ConfigError: the images are not RGB.
    """
    if images.shape[1] != 3:
        raise ConfigError(
            f"augment.saturation and augment.hue_deg: got images of {images.shape[1]} channels, "
            f"expected 3 (RGB); set both to 0"
        )
    return (maps @ images.flatten(2)).reshape(images.shape)


def lose_resolution(images: Tensor, blur: Tensor | None, pixelate: Tensor | None) -> Tensor:
    """Blur each image, then reduce and enlarge it; both are one matrix along each axis."""
    height, width = images.shape[2:]
    rows = _loss_matrix(height, blur, pixelate)
    columns = rows if width == height else _loss_matrix(width, blur, pixelate)
    return rows.unsqueeze(1) @ images @ columns.mT.unsqueeze(1)


def _loss_matrix(length: int, blur: Tensor | None, pixelate: Tensor | None) -> Tensor:
    if blur is None:
        assert pixelate is not None
        return _pixelate_matrix(length, pixelate)
    if pixelate is None:
        return _blur_matrix(length, blur)
    return _pixelate_matrix(length, pixelate) @ _blur_matrix(length, blur)


def _blur_matrix(length: int, sigma: Tensor) -> Tensor:
    """Return (B, length, length): Gaussian weights, of sum 1 at the border too."""
    place = torch.arange(length, dtype=torch.float32, device=sigma.device)
    squared = (place.unsqueeze(1) - place).square()
    # Below 0.1 pixels the neighbours' weights vanish; 0 would divide by zero.
    weights = torch.exp(-squared / (2 * sigma.clamp(min=0.1).square().reshape(-1, 1, 1)))
    return weights / weights.sum(dim=2, keepdim=True)


def _pixelate_matrix(length: int, factor: Tensor) -> Tensor:
    """Return (B, length, length): area average over ``factor`` pixels, linear interpolation."""
    cells = (length / factor).round().clamp(1, length).reshape(-1, 1, 1)
    size = length / cells
    index = torch.arange(length, dtype=torch.float32, device=factor.device)
    cell, pixel = index.unsqueeze(1), index
    overlap = torch.minimum(pixel + 1, (cell + 1) * size) - torch.maximum(pixel, cell * size)
    reduce = overlap.clamp(min=0) / size
    # The same index arrays with changed parts: rows are pixels now, columns cells.
    place = ((index.unsqueeze(1) + 0.5) / size - 0.5).clamp(min=0).minimum(cells - 1)
    enlarge = (1 - (place - index).abs()).clamp(min=0)
    return enlarge @ reduce


def add_noise(images: Tensor, noise: Tensor) -> Tensor:
    """Add normal noise: ``noise`` (B, 2) is the standard deviation and, 0 to 1, which noise."""
    count = images[0].numel()
    pool = _noise_pool(max(NOISE_POOL, 4 * count), images.device)
    cuts = pool.unfold(0, count, 1)
    chosen = (noise[:, 1] * len(cuts)).long().clamp(max=len(cuts) - 1)
    return images + (cuts[chosen] * noise[:, :1]).reshape(images.shape)


@functools.lru_cache(maxsize=4)
def _noise_pool(size: int, device: torch.device) -> Tensor:
    """Return fixed standard normal numbers, the same on every device."""
    return torch.randn(size, generator=torch.Generator().manual_seed(0)).to(device)


def compress(images: Tensor, quality: Tensor) -> Tensor:
    """Compress images as JPEG does: 8x8 DCT, each frequency rounded to multiples of a step.

    Colours (BT.601) have half the resolution, and are enlarged linearly, as libjpeg does. The
    lossless part that would follow changes nothing.

    Args:
        images: (B, C, H, W) in 0..255, C is 1 or 3.
        quality: (B,) 1..100 of libjpeg's scale; 0 leaves the image as it is.
    """
    chosen = torch.nonzero(quality > 0).squeeze(1)
    height, width = images.shape[2:]
    part = images[chosen].clamp(0, 255)
    part = F.pad(part, (0, -width % 16, 0, -height % 16), mode="replicate")
    low = quality[chosen].clamp(1, 100)
    percent = torch.where(low < 50, 5000 / low, 200 - 2 * low).reshape(-1, 1, 1, 1)
    if images.shape[1] == 3:
        to_ycc = _ycc(images.device)
        planes = (to_ycc @ part.flatten(2)).reshape(part.shape)
        luma = _quantise(planes[:, :1] - 128, LUMINANCE_STEPS, percent) + 128
        chroma = _quantise(F.avg_pool2d(planes[:, 1:], 2), CHROMINANCE_STEPS, percent)
        chroma = F.interpolate(chroma, scale_factor=2, mode="bilinear")
        planes = torch.cat((luma, chroma), dim=1)
        part = (torch.linalg.inv(to_ycc) @ planes.flatten(2)).reshape(part.shape)
    else:
        part = _quantise(part - 128, LUMINANCE_STEPS, percent) + 128
    return images.index_copy(0, chosen, part[..., :height, :width])


def _quantise(planes: Tensor, steps: tuple[tuple[int, ...], ...], percent: Tensor) -> Tensor:
    height, width = planes.shape[2:]
    rows, columns = _dct(height, planes.device), _dct(width, planes.device)
    base = torch.tensor(steps, dtype=torch.float32, device=planes.device)
    step = ((base * percent + 50) / 100).floor().clamp(1, 255)
    step = step.repeat(1, 1, height // 8, width // 8)
    frequencies = rows @ planes @ columns.T
    return rows.T @ ((frequencies / step).round() * step) @ columns


@functools.lru_cache(maxsize=16)
def _dct(length: int, device: torch.device) -> Tensor:
    """Return the orthonormal 8-point DCT-II of each 8 values: (length, length), block-diagonal."""
    n = torch.arange(8, dtype=torch.float64)
    matrix = torch.cos(math.pi / 8 * (n + 0.5) * n.unsqueeze(1)) / 2
    matrix[0] /= math.sqrt(2)
    return torch.kron(torch.eye(length // 8), matrix.float()).to(device)


@functools.lru_cache(maxsize=4)
def _ycc(device: torch.device) -> Tensor:
    """Return the (3, 3) map from RGB to luminance, blue and red difference, without offsets."""
    red, green, blue = LUMA
    rows = [
        [red, green, blue],
        [-red / (2 - 2 * blue), -green / (2 - 2 * blue), 0.5],
        [0.5, -green / (2 - 2 * red), -blue / (2 - 2 * red)],
    ]
    return torch.tensor(rows, device=device)
