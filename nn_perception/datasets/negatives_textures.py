"""Textures made by rule: what fills a picture without being a thing. Float32 in 0 to 1."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray

FloatImage = NDArray[np.float32]

Texture = Callable[[np.random.Generator, int], FloatImage]


def power_noise(rng: np.random.Generator, size: int, exponent: float) -> FloatImage:
    """Return noise whose amplitude falls with frequency f as f ** -exponent, (size, size).

    0 is white noise; photographs are near 1; 2 and more look like clouds.
    """
    fy = np.fft.fftfreq(size)[:, None]
    fx = np.fft.rfftfreq(size)[None]
    frequency = np.hypot(fy, fx)
    frequency[0, 0] = 1.0
    spectrum = np.fft.rfft2(rng.standard_normal((size, size))) * frequency**-exponent
    return stretch(np.fft.irfft2(spectrum, s=(size, size)))


def white_noise(rng: np.random.Generator, size: int) -> FloatImage:
    """Return uniform or normal noise around a random level, of random contrast."""
    contrast = rng.uniform(0.05, 0.5)
    noise = (
        rng.uniform(-1.0, 1.0, (size, size))
        if rng.random() < 0.5
        else rng.standard_normal((size, size))
    )
    return clipped(rng.uniform(0.0, 1.0) + contrast * noise)


def cloud_noise(rng: np.random.Generator, size: int) -> FloatImage:
    """Return 1/f noise of a random exponent and contrast."""
    return levels(rng, power_noise(rng, size, rng.uniform(0.5, 2.5)))


def gradient(rng: np.random.Generator, size: int) -> FloatImage:
    """Return a smooth ramp, straight or around a point, with a little noise at times."""
    y, x = _grid(size)
    if rng.random() < 0.5:
        angle = rng.uniform(0.0, 2 * np.pi)
        ramp = x * np.cos(angle) + y * np.sin(angle)
    else:
        cy, cx = rng.uniform(-0.3, 1.3, 2)
        ramp = np.hypot(y - cy, x - cx)
    picture = stretch(ramp ** rng.uniform(0.5, 2.0) if ramp.min() >= 0 else ramp)
    if rng.random() < 0.5:
        picture = clipped(picture + rng.normal(0.0, rng.uniform(0.0, 0.06), (size, size)))
    return levels(rng, picture)


def flat(rng: np.random.Generator, size: int) -> FloatImage:
    """Return one grey level, with sensor noise at times."""
    sigma = rng.choice((0.0, 0.01, 0.03))
    return clipped(rng.uniform(0.0, 1.0) + rng.normal(0.0, sigma, (size, size)))


def stripes(rng: np.random.Generator, size: int) -> FloatImage:
    """Return parallel bands, hard or soft, of at least four in the picture."""
    y, x = _grid(size)
    angle = rng.uniform(0.0, np.pi)
    count = rng.uniform(4.0, max(5.0, size / 4))
    wave = np.sin(2 * np.pi * (count * (x * np.cos(angle) + y * np.sin(angle)) + rng.random()))
    return levels(rng, _harden(rng, wave))


def checkers(rng: np.random.Generator, size: int) -> FloatImage:
    """Return a chessboard, turned and at times sheared."""
    u, v = _turned(rng, size)
    count = rng.uniform(2.5, max(3.0, size / 5))
    shift = rng.random(2)
    wave = np.sin(np.pi * (count * u + shift[0])) * np.sin(np.pi * (count * v + shift[1]))
    return levels(rng, _harden(rng, wave))


def grid(rng: np.random.Generator, size: int) -> FloatImage:
    """Return two families of lines, as of a window front, tiles or squared paper."""
    u, v = _turned(rng, size)
    count = rng.uniform(2.0, max(3.0, size / 6), 2)
    shift, width = rng.random(2), rng.uniform(0.15, 0.5)
    line = ((count[0] * u + shift[0]) % 1.0 < width) | ((count[1] * v + shift[1]) % 1.0 < width)
    picture = line.astype(np.float32)
    return levels(rng, picture if rng.random() < 0.5 else 1.0 - picture)


def voronoi(rng: np.random.Generator, size: int) -> FloatImage:
    """Return cells around random points, each of its own level, or the distance to its point."""
    points = rng.random((int(rng.integers(4, 24)), 2))
    y, x = _grid(size)
    distance = np.hypot(y[..., None] - points[:, 0], x[..., None] - points[:, 1])
    if rng.random() < 0.5:
        cells = rng.random(len(points))[distance.argmin(axis=2)]
        return np.asarray(cells, np.float32)
    return levels(rng, stretch(distance.min(axis=2)))


def plasma(rng: np.random.Generator, size: int) -> FloatImage:
    """Return a sum of waves of several directions."""
    y, x = _grid(size)
    total = np.zeros((size, size))
    for _ in range(4):
        fy, fx, phase = rng.normal(0.0, 3.0), rng.normal(0.0, 3.0), rng.uniform(0.0, 2 * np.pi)
        total += np.sin(2 * np.pi * (fy * y + fx * x) + phase)
    return levels(rng, stretch(total))


def foliage(rng: np.random.Generator, size: int) -> FloatImage:
    """Return leaf-like speckle: fine noise whose contrast follows coarse noise."""
    fine = power_noise(rng, size, rng.uniform(0.2, 0.9))
    coarse = power_noise(rng, size, 1.5)
    return levels(rng, stretch(fine * (0.2 + coarse)))


def speckle(rng: np.random.Generator, size: int) -> FloatImage:
    """Return salt, pepper or both on a flat ground."""
    picture = np.full((size, size), rng.choice((0.0, 0.0, 0.5, 1.0)), np.float32)
    chance = rng.random((size, size))
    share = rng.uniform(0.02, 0.4)
    picture[chance < share] = 1.0
    picture[chance > 1.0 - share * rng.random()] = 0.0
    return picture


def horizon(rng: np.random.Generator, size: int) -> FloatImage:
    """Return an even sky over textured ground, as a camera outdoors sees without any thing."""
    y, x = _grid(size)
    edge = rng.uniform(0.2, 0.8) + rng.normal(0.0, 0.15) * (x - 0.5)
    edge = edge + rng.uniform(0.0, 0.2) * (power_noise(rng, size, 1.5)[:1] - 0.5)  # hills, roofs
    sky = levels(rng, gradient(rng, size))
    ground = levels(rng, power_noise(rng, size, rng.uniform(0.3, 1.5)))
    return np.where(y < edge, sky, ground).astype(np.float32)


TEXTURES: tuple[Texture, ...] = (
    white_noise,
    cloud_noise,
    gradient,
    flat,
    stripes,
    checkers,
    grid,
    voronoi,
    plasma,
    foliage,
    speckle,
    horizon,
)


def random_texture(rng: np.random.Generator, size: int) -> FloatImage:
    """Return one of `TEXTURES`, blurred at times, since cameras are not always in focus."""
    picture = TEXTURES[int(rng.integers(len(TEXTURES)))](rng, size)
    if rng.random() < 0.25:
        picture = blur(picture, rng.uniform(0.4, 0.06 * size))
    return picture


def blur(image: FloatImage, sigma: float) -> FloatImage:
    """Blur by a Gaussian of standard deviation sigma, pixels."""
    blurred = cv2.GaussianBlur(image, (0, 0), sigma, borderType=cv2.BORDER_REFLECT)
    return blurred.astype(np.float32, copy=False)


def stretch(image: NDArray[np.floating]) -> FloatImage:
    """Bring the values linearly to 0 to 1; a flat picture becomes 0."""
    low, high = float(image.min()), float(image.max())
    return np.asarray((image - low) / max(high - low, 1e-9), np.float32)


def levels(rng: np.random.Generator, image: FloatImage) -> FloatImage:
    """Give a picture in 0 to 1 a random darkest and brightest level, either way round."""
    first, second = rng.random(2)
    if abs(second - first) < 0.15:
        second = first + 0.15 if first < 0.5 else first - 0.15
    return np.asarray(first + (second - first) * image, np.float32)


def clipped(image: NDArray[np.floating]) -> FloatImage:
    """Clip to 0 to 1."""
    return np.asarray(np.clip(image, 0.0, 1.0), np.float32)


def to_uint8(image: NDArray[np.floating]) -> NDArray[np.uint8]:
    """Bring 0 to 1 to 0 to 255."""
    return np.asarray(np.clip(image * 255.0 + 0.5, 0.0, 255.0), np.uint8)


def _grid(size: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    axis = (np.arange(size) + 0.5) / size
    return np.broadcast_to(axis[:, None], (size, size)), np.broadcast_to(axis, (size, size))


def _turned(rng: np.random.Generator, size: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return two axes that are turned by some degrees, and sheared a little."""
    y, x = _grid(size)
    angle = rng.normal(0.0, 0.15) if rng.random() < 0.5 else rng.uniform(0.0, np.pi)
    lean = angle + rng.normal(0.0, 0.1)
    return x * np.cos(angle) + y * np.sin(angle), y * np.cos(lean) - x * np.sin(lean)


def _harden(rng: np.random.Generator, wave: NDArray[np.float64]) -> FloatImage:
    """Turn a wave in -1 to 1 into bands of soft or hard edges."""
    return clipped(0.5 + 0.5 * wave * rng.choice((1.0, 3.0, 30.0)))
