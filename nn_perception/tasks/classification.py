"""Pictures as the input of a classifier, and its outputs as probabilities."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import cv2
import numpy as np
import numpy.typing as npt

Image = npt.NDArray[np.uint8]
Scores = npt.NDArray[np.float64]


@dataclass(frozen=True)
class ImagePreprocessing:
    """How a picture becomes the network's input. No defaults: a bundle must say all of it.

    Attributes:
        channels: 1 (grey) or 3 (RGB).
        height: rows of the network's input.
        width: columns of the network's input.
        fit: ``"center_crop"`` cuts the largest central part of the input's aspect ratio,
            ``"stretch"`` takes the whole frame.
        polarity: ``"as_is"``, or ``"bright_on_dark"``: a picture whose border is brighter than
            mid-grey (ink on paper) is inverted, since MNIST is bright ink on black.
    """

    channels: Literal[1, 3]
    height: int
    width: int
    fit: Literal["center_crop", "stretch"]
    polarity: Literal["as_is", "bright_on_dark"]


def softmax(logits: npt.NDArray[Any], temperature: float = 1.0) -> Scores:
    """Return probabilities (N, K) of logits (N, K), in float64."""
    scaled = logits.astype(np.float64) / temperature
    scaled -= scaled.max(axis=1, keepdims=True)
    scores: Scores = np.exp(scaled)
    scores /= scores.sum(axis=1, keepdims=True)
    return scores


def prepare_image(image: Image, settings: ImagePreprocessing) -> Image:
    """Pre-process one picture, (H, W), (H, W, 1) or (H, W, 3) RGB, to (C, height, width).

    Training, evaluation and the live pipeline all call this one function.
    """
    image = to_channels(image, settings.channels)
    if settings.fit == "center_crop":
        image = center_crop(image, settings.width / settings.height)
    if image.shape[:2] != (settings.height, settings.width):
        image = resize(image, settings.width, settings.height)
    if settings.polarity == "bright_on_dark" and border_mean(image) > 127.5:
        image = np.subtract(255, image, dtype=np.uint8)
    return image[None] if image.ndim == 2 else np.ascontiguousarray(image.transpose(2, 0, 1))


def converter(settings: ImagePreprocessing) -> Callable[[Image], Image]:
    """Return `prepare_image` for `load_image_set`: it keeps pictures as (height, width, C)."""

    def convert(image: Image) -> Image:
        return prepare_image(image, settings).transpose(1, 2, 0)

    return convert


def to_channels(image: Image, channels: int) -> Image:
    """Bring a picture to grey (H, W) or RGB (H, W, 3)."""
    if image.ndim == 3 and image.shape[2] == 1:
        image = image[:, :, 0]
    if channels == 1 and image.ndim == 3:
        return cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)  # type: ignore[return-value]
    if channels == 3 and image.ndim == 2:
        return cv2.cvtColor(image, cv2.COLOR_GRAY2RGB)  # type: ignore[return-value]
    return image


def center_crop(image: Image, aspect: float) -> Image:
    """Cut the largest central view of an aspect ratio (width / height)."""
    height, width = image.shape[:2]
    if width > height * aspect:
        size = max(1, round(height * aspect))
        start = (width - size) // 2
        return image[:, start : start + size]
    size = max(1, round(width / aspect))
    start = (height - size) // 2
    return image[start : start + size]


def resize(image: Image, width: int, height: int) -> Image:
    """Resize by area when shrinking (no aliasing), bilinear when enlarging."""
    shrinks = image.shape[0] >= height and image.shape[1] >= width
    method = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    return cv2.resize(image, (width, height), interpolation=method)  # type: ignore[return-value]


def border_mean(image: Image) -> float:
    """Return the mean of the outermost pixels, 0 to 255."""
    height, width = image.shape[:2]
    border = image.reshape(height * width, -1).take(_border(height, width), axis=0)
    return float(border.mean())


@functools.lru_cache(maxsize=16)
def _border(height: int, width: int) -> npt.NDArray[np.intp]:
    """Return the flat indices of the outermost pixels."""
    inside = np.zeros((height, width), bool)
    inside[1:-1, 1:-1] = True
    return np.flatnonzero(~inside)
