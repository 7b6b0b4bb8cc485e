"""Accuracy on pictures as a poorer camera would have taken them.

The strengths were fixed before any model was trained. They lie near severity 2 to 3 of CIFAR-10-C
(D. Hendrycks, T. Dietterich, "Benchmarking neural network robustness to common corruptions and
perturbations", ICLR 2019); JPEG and the halved resolution are stronger than its severity 5.
Nothing is drawn: the same pictures give the same figures.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Protocol

import cv2
import numpy as np
import numpy.typing as npt

from nn_perception.datasets.arrays import ImageSet

Images = npt.NDArray[np.uint8]

BRIGHTNESS = 38.0
"""Added or taken away, in 0..255 units: 0.15 of the range."""
CONTRAST = 0.5
"""Factor of the distance from the picture's mean."""
BLUR_SIDE = 0.7 / 32
"""Standard deviation of the Gaussian blur as a part of the picture's height: 0.7 of 32 pixels."""
JPEG_QUALITY = 30
"""On libjpeg's scale."""
REDUCTION = 2
"""Factor by which pictures are reduced before they are enlarged again."""
SHIFT = 0.12
"""Shift along each axis as a part of the picture's size: 4 of 32 pixels."""


class Classifier(Protocol):
    """What gives scores (N, K) for pictures."""

    def classify(self, images: Images) -> npt.NDArray[np.float64]:
        """Return the scores of each class."""
        ...


def brighter(images: Images) -> Images:
    """Add `BRIGHTNESS`."""
    return _to_uint8(images + np.float32(BRIGHTNESS))


def darker(images: Images) -> Images:
    """Take `BRIGHTNESS` away."""
    return _to_uint8(images - np.float32(BRIGHTNESS))


def less_contrast(images: Images) -> Images:
    """Halve the distance of all values from the mean of their picture and channel."""
    mean = images.mean(axis=(1, 2), keepdims=True, dtype=np.float32)
    return _to_uint8(mean + CONTRAST * (images - mean))


def blurred(images: Images) -> Images:
    """Blur, with the border repeated outside."""
    sigma = BLUR_SIDE * images.shape[1]
    return _each(
        images,
        lambda image: cv2.GaussianBlur(image, (0, 0), sigma, borderType=cv2.BORDER_REPLICATE),
    )


def jpeg(images: Images) -> Images:
    """Compress and decompress."""
    return _each(images, _through_jpeg)


def half_size(images: Images) -> Images:
    """Reduce by area averaging and enlarge linearly, as a picture from twice the distance."""
    height, width = images.shape[1:3]
    small = (max(1, width // REDUCTION), max(1, height // REDUCTION))

    def changed(image: Images) -> Images:
        reduced = cv2.resize(image, small, interpolation=cv2.INTER_AREA)
        return cv2.resize(reduced, (width, height), interpolation=cv2.INTER_LINEAR)  # type: ignore[return-value]

    return _each(images, changed)


def off_centre(images: Images) -> Images:
    """Shift along both axes, with the border repeated; picture i goes to corner i modulo 4."""
    rows, columns = (round(SHIFT * size) for size in images.shape[1:3])
    result = np.empty_like(images)
    for corner, (down, right) in enumerate(((1, 1), (1, -1), (-1, 1), (-1, -1))):
        part = images[corner::4]
        wide = np.pad(part, ((0, 0), (rows, rows), (columns, columns), (0, 0)), mode="edge")
        top, left = rows - down * rows, columns - right * columns
        result[corner::4] = wide[:, top : top + part.shape[1], left : left + part.shape[2]]
    return result


SHIFTS: Mapping[str, Callable[[Images], Images]] = MappingProxyType(
    {
        "brighter": brighter,
        "darker": darker,
        "less_contrast": less_contrast,
        "blurred": blurred,
        "jpeg": jpeg,
        "half_size": half_size,
        "off_centre": off_centre,
    }
)
"""Each takes and returns uint8 (N, H, W, C), RGB where C is 3."""


def evaluate_shifts(pipeline: Classifier, data: ImageSet) -> dict[str, float]:
    """Return the accuracy on each kind of changed pictures, and their ``mean``, 0 to 1.

    Args:
        pipeline: a classifier whose classes are those of the data, in the same order.
        data: labelled pictures.
    """
    accuracies = {
        name: float((pipeline.classify(change(data.images)).argmax(axis=1) == data.labels).mean())
        for name, change in SHIFTS.items()
    }
    return {**accuracies, "mean": sum(accuracies.values()) / len(accuracies)}


def _to_uint8(values: npt.NDArray[np.float32]) -> Images:
    return np.rint(values).clip(0, 255).astype(np.uint8)


def _each(images: Images, change: Callable[[Images], object]) -> Images:
    changed = [np.asarray(change(np.ascontiguousarray(image)), np.uint8) for image in images]
    return np.stack(changed).reshape(images.shape)  # OpenCV drops the axis of a single channel


def _through_jpeg(image: Images) -> object:
    # The order of channels is OpenCV's, since colours are stored at half the resolution.
    _, data = cv2.imencode(".jpg", image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    decoded = np.asarray(cv2.imdecode(data, cv2.IMREAD_UNCHANGED), np.uint8)
    return decoded.reshape(image.shape)[..., ::-1]
