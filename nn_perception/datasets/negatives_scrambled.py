"""Pictures of things with the things destroyed, but not their colours and their grain.

A network that went by colour and grain would take these for the things; as negatives they make it
go by shape.
"""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray

UInt8Image = NDArray[np.uint8]

_BLOCK_SHARE = 8
"""Blocks along a side of a shuffled picture: 4 x 4 pixels of 32 x 32."""


def scrambled(images: UInt8Image, seed: int) -> UInt8Image:
    """Destroy what pictures show, and keep their colours and their local statistics.

    Each picture is changed in one way by chance: its blocks change places, a small part is
    enlarged, the phases of its spectrum become random, it is blurred beyond recognition, or only
    its lines or columns are mixed.

    Args:
        images: (N, H, W) or (N, H, W, 3) uint8, at least 8 pixels a side.
        seed: the same gives the same.

    Returns:
        As many pictures, of the same shape.
    """
    rng = np.random.default_rng(seed)
    result = np.empty_like(images)
    for index, image in enumerate(images):
        way = _WAYS[int(rng.integers(len(_WAYS)))]
        result[index] = way(rng, image)
    return result


def _shuffled(rng: np.random.Generator, image: UInt8Image) -> UInt8Image:
    """Blocks change places, and each is turned round by chance."""
    height, width = image.shape[:2]
    share = _BLOCK_SHARE if rng.random() < 0.7 else _BLOCK_SHARE // 2
    block_y, block_x = max(1, height // share), max(1, width // share)
    starts = [
        (y, x)
        for y in range(0, height - block_y + 1, block_y)
        for x in range(0, width - block_x + 1, block_x)
    ]
    result = image.copy()  # what the blocks do not cover stays
    for (y, x), source in zip(starts, rng.permutation(len(starts)), strict=True):
        from_y, from_x = starts[int(source)]
        block = image[from_y : from_y + block_y, from_x : from_x + block_x]
        result[y : y + block_y, x : x + block_x] = block[:: int(rng.choice((-1, 1)))]
    return result


def _enlarged(rng: np.random.Generator, image: UInt8Image) -> UInt8Image:
    """A quarter of the side, enlarged to the whole: paint, tyre or tarmac, but no thing."""
    height, width = image.shape[:2]
    part_y, part_x = max(2, height // 4), max(2, width // 4)
    y, x = int(rng.integers(height - part_y + 1)), int(rng.integers(width - part_x + 1))
    part = np.ascontiguousarray(image[y : y + part_y, x : x + part_x])
    return np.asarray(cv2.resize(part, (width, height), interpolation=cv2.INTER_CUBIC), np.uint8)


def _phaseless(rng: np.random.Generator, image: UInt8Image) -> UInt8Image:
    """Random phases, the same added to all channels: spectrum and colours stay."""
    pixels = image.reshape(*image.shape[:2], -1).astype(np.float64)
    spectrum = np.fft.rfft2(pixels, axes=(0, 1))
    noise = np.fft.rfft2(rng.standard_normal(image.shape[:2]))[..., None]
    phase = np.exp(1j * np.angle(noise))
    phase[0, 0] = 1.0  # the mean colour
    changed = np.fft.irfft2(spectrum * phase, s=image.shape[:2], axes=(0, 1))
    return np.clip(changed + 0.5, 0, 255).astype(np.uint8).reshape(image.shape)


def _blurred(rng: np.random.Generator, image: UInt8Image) -> UInt8Image:
    """So soft that only patches of colour are left."""
    sigma = rng.uniform(0.18, 0.35) * min(image.shape[:2])
    soft = cv2.GaussianBlur(image, (0, 0), sigma, borderType=cv2.BORDER_REFLECT)
    return np.asarray(soft, np.uint8)


def _mixed_lines(rng: np.random.Generator, image: UInt8Image) -> UInt8Image:
    """Rows or columns in another order."""
    axis = int(rng.integers(2))
    return np.take(image, rng.permutation(image.shape[axis]), axis=axis)


_WAYS: tuple[Callable[[np.random.Generator, UInt8Image], UInt8Image], ...] = (
    _shuffled,
    _shuffled,
    _enlarged,
    _enlarged,
    _phaseless,
    _blurred,
    _mixed_lines,
)
