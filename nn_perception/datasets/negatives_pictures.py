"""Colour pictures that show no thing of any class, made by rule, for classifiers of objects.

No data set is needed. They teach a network where the classes end ("Deep anomaly detection with
outlier exposure", Hendrycks et al., 2019).
"""

from __future__ import annotations

import string
from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray

from nn_perception.datasets import negatives_textures as textures
from nn_perception.datasets.negatives_digits import draw_no_digit
from nn_perception.datasets.negatives_ink import draw_glyphs, fit_ink, warp_ink

UInt8Image = NDArray[np.uint8]
FloatImage = NDArray[np.float32]
_Maker = Callable[[np.random.Generator, int], FloatImage]

_CHARACTERS = string.ascii_letters + string.digits + "#*+=%&?!"


def picture_negatives(count: int, seed: int, size: int) -> UInt8Image:
    """Return pictures without a thing in them, uint8 (count, size, size, 3), RGB.

    Noise, textures, skies over ground, fronts with windows, shapes and letters, and mixtures of
    two. The same seed gives the same pictures, and fewer of them are the first of more.
    """
    rng = np.random.default_rng(seed)
    makers = [maker for maker, _ in _KINDS]
    limits = np.cumsum([share for _, share in _KINDS])
    limits /= limits[-1]
    pictures = np.empty((count, size, size, 3), np.uint8)
    for index in range(count):
        picture = _one(rng, makers, limits, size)
        if rng.random() < 0.15:
            mask = textures.stretch(textures.random_texture(rng, size))[..., None]
            picture = mask * picture + (1.0 - mask) * _one(rng, makers, limits, size)
        pictures[index] = textures.to_uint8(_as_camera(rng, picture))
    return pictures


def _one(
    rng: np.random.Generator, makers: list[_Maker], limits: NDArray[np.float64], size: int
) -> FloatImage:
    return makers[int(np.searchsorted(limits, rng.random(), side="right"))](rng, size)


def _coloured(rng: np.random.Generator, size: int) -> FloatImage:
    """One texture between two colours, or one of its own for each channel."""
    if rng.random() < 0.6:
        return _between(rng, textures.stretch(textures.random_texture(rng, size)))
    maker = textures.TEXTURES[int(rng.integers(len(textures.TEXTURES)))]
    own = np.stack([maker(rng, size) for _ in range(3)], axis=2)
    grey = own.mean(axis=2, keepdims=True)
    return np.asarray(grey + rng.uniform(0.2, 1.0) * (own - grey), np.float32)


def _coloured_noise(rng: np.random.Generator, size: int) -> FloatImage:
    """1/f noise with the colours of photographs: channels that mostly agree."""
    exponent, colour = rng.uniform(0.6, 2.0), rng.uniform(0.05, 0.6)
    grey = textures.power_noise(rng, size, exponent)[..., None]
    own = np.stack([textures.power_noise(rng, size, exponent) for _ in range(3)], axis=2)
    mixed = (1.0 - colour) * grey + colour * own
    contrast = rng.uniform(0.3, 1.4)
    return textures.clipped(_colour(rng) + contrast * (mixed - 0.5))


def _scene(rng: np.random.Generator, size: int) -> FloatImage:
    """Sky over ground, each of its own colours; at times a road that narrows to the horizon."""
    level = int(rng.uniform(0.15, 0.75) * size)
    sky = _between(rng, textures.gradient(rng, size), pale=True)
    ground = _between(rng, textures.power_noise(rng, size, rng.uniform(0.3, 1.5)))
    picture = np.where((np.arange(size) < level)[:, None, None], sky, ground)
    if rng.random() < 0.4:
        top, bottom = rng.uniform(0.2, 0.8) * size, rng.uniform(-0.2, 0.6, 2) * size
        right = bottom[0] + abs(bottom[1]) + 0.4 * size
        corners = np.array([[top, level], [bottom[0], size], [right, size]])
        picture = _painted(rng, picture.astype(np.float32), corners)
    if rng.random() < 0.5:  # a belt of trees or houses at the horizon
        high = int(rng.uniform(0.05, 0.3) * size) + 1
        belt = _between(rng, textures.foliage(rng, size))
        picture[max(0, level - high) : level] = belt[max(0, level - high) : level]
    return picture.astype(np.float32)


def _front(rng: np.random.Generator, size: int) -> FloatImage:
    """A house front: rows of windows on a wall."""
    wall = _between(rng, textures.power_noise(rng, size, 1.0), contrast=0.2)
    rows, columns = rng.integers(1, 6, 2)
    fill_y, fill_x = rng.uniform(0.35, 0.8, 2)
    slant = rng.normal(0.0, 0.15)
    axis = np.arange(size) / size
    v = (axis[:, None] + slant * axis[None]) * rows + rng.random()
    u = np.broadcast_to(axis[None] * columns + rng.random(), (size, size))
    window = ((v % 1.0 < fill_y) & (u % 1.0 < fill_x))[..., None]
    pane = _between(rng, textures.gradient(rng, size), contrast=0.4)
    return np.where(window, pane, wall).astype(np.float32)


def _shapes(rng: np.random.Generator, size: int) -> FloatImage:
    """Polygons, discs, lines and bands, shaded, over a texture."""
    picture = _background(rng, size)
    for _ in range(int(rng.integers(1, 8))):
        corners = int(rng.integers(3, 7))
        angles = np.sort(rng.uniform(0.0, 2 * np.pi, corners))
        radii = rng.uniform(0.1, 0.6) * size * rng.uniform(0.4, 1.0, corners)
        centre = rng.uniform(0.0, 1.0, 2) * size
        kind = rng.random()
        if kind < 0.2:  # a disc, as a regular polygon
            angles, radii = np.linspace(0.0, 2 * np.pi, 24), np.full(24, radii.max())
        elif kind < 0.45:  # a bar
            long, thin = rng.uniform(0.2, 1.5), rng.uniform(0.02, 0.12)
            turn = rng.uniform(0.0, np.pi)
            angles = turn + np.array([-thin, thin, np.pi - thin, np.pi + thin])
            radii = np.full(4, long * size)
        points = centre + radii[:, None] * np.stack([np.cos(angles), np.sin(angles)], axis=1)
        picture = _painted(rng, picture, points)
    return picture


def _glyphs(rng: np.random.Generator, size: int) -> FloatImage:
    """Letters and digits on a background: signs, print, writing."""
    text = "".join(rng.choice(list(_CHARACTERS), int(rng.integers(1, 5))))
    face = int(rng.integers(8))
    mask = draw_glyphs(rng, text, face, 3 * size)
    shift = rng.normal(0.0, 0.25, 2) * size
    turn = cv2.getRotationMatrix2D((1.5 * size, 1.5 * size), rng.normal(0.0, 15.0), 1.0)
    turn = turn + np.array([[0.0, 0.0, shift[0]], [0.0, 0.0, shift[1]]])
    mask = np.asarray(cv2.warpAffine(mask, turn, (3 * size, 3 * size)), np.uint8)
    small = cv2.resize(mask, (size, size), interpolation=cv2.INTER_AREA)
    alpha = (small.astype(np.float32) / 255.0)[..., None]
    return ((1.0 - alpha) * _background(rng, size) + alpha * _background(rng, size)).astype(
        np.float32
    )


def _ink(rng: np.random.Generator, size: int) -> FloatImage:
    """Ink on an even ground: a page, a sign, what a reader of digits would be given.

    A thing in front of an even wall differs from these by its shape only.
    """
    if rng.random() < 0.5:
        drawing = draw_no_digit(rng)
    else:
        text = _CHARACTERS[int(rng.integers(len(_CHARACTERS)))]
        drawing = fit_ink(warp_ink(rng, draw_glyphs(rng, text, int(rng.integers(8)))))
    large = cv2.resize(drawing, (size, size), interpolation=cv2.INTER_LINEAR)
    alpha = (large.astype(np.float32) / 255.0)[..., None]
    if rng.random() < 0.6:  # black and white, or two greys
        low = 0.0 if rng.random() < 0.5 else rng.uniform(0.0, 0.4)
        high = 1.0 if rng.random() < 0.5 else rng.uniform(low + 0.2, 1.0)
        ends = [np.full(3, low, np.float32), np.full(3, high, np.float32)]
    else:
        ends = [_colour(rng), _colour(rng)]
    ground, ink = ends if rng.random() < 0.6 else ends[::-1]
    return np.asarray((1.0 - alpha) * ground + alpha * ink, np.float32)


def _even(rng: np.random.Generator, size: int) -> FloatImage:
    """One colour, or a soft change between two: walls, skies, a covered lens."""
    if rng.random() < 0.5:
        return np.broadcast_to(_colour(rng), (size, size, 3)).astype(np.float32)
    return _between(rng, textures.gradient(rng, size))


def _noise(rng: np.random.Generator, size: int) -> FloatImage:
    """Independent values: white, in colour or grey, and the same blurred."""
    channels = 3 if rng.random() < 0.7 else 1
    noise = rng.random((size, size, channels)).astype(np.float32)
    if rng.random() < 0.4:
        noise = textures.blur(noise, rng.uniform(0.5, 3.0)).reshape(size, size, channels)
        noise = textures.stretch(noise)
    return np.broadcast_to(noise, (size, size, 3)).astype(np.float32)


_KINDS: tuple[tuple[_Maker, float], ...] = (
    (_coloured, 0.25),
    (_coloured_noise, 0.15),
    (_scene, 0.15),
    (_front, 0.10),
    (_shapes, 0.15),
    (_glyphs, 0.08),
    (_ink, 0.16),
    (_even, 0.05),
    (_noise, 0.05),
)


def _background(rng: np.random.Generator, size: int) -> FloatImage:
    choice = rng.random()
    if choice < 0.3:
        return _even(rng, size)
    return _coloured_noise(rng, size) if choice < 0.6 else _coloured(rng, size)


def _painted(
    rng: np.random.Generator, picture: FloatImage, points: NDArray[np.floating]
) -> FloatImage:
    """Fill a polygon with a shaded colour; points are x, y in pixels."""
    size = picture.shape[0]
    mask = np.zeros((size, size), np.uint8)
    fixed = np.round(np.clip(points, -4 * size, 5 * size) * 16).astype(np.int32)
    cv2.fillPoly(mask, [fixed], 255, cv2.LINE_AA, 4)
    alpha = (mask.astype(np.float32) / 255.0)[..., None]
    shade = 1.0 + rng.uniform(0.0, 0.6) * (textures.gradient(rng, size)[..., None] - 0.5)
    return ((1.0 - alpha) * picture + alpha * _colour(rng) * shade).astype(np.float32)


def _colour(rng: np.random.Generator, pale: bool = False) -> FloatImage:
    """Return an RGB colour, (3,), less vivid than chance alone would make it."""
    colour = rng.random(3)
    grey = colour.mean()
    colour = grey + rng.uniform(0.0, 1.0) * (colour - grey)
    return np.asarray(0.5 + 0.5 * colour if pale else colour, np.float32)


def _between(
    rng: np.random.Generator, grey: FloatImage, *, pale: bool = False, contrast: float = 1.0
) -> FloatImage:
    """Colour a grey picture by a ramp between two colours; (H, W) to (H, W, 3)."""
    first, second = _colour(rng, pale), _colour(rng, pale)
    return (first + grey[..., None] * contrast * (second - first)).astype(np.float32)


def _as_camera(rng: np.random.Generator, picture: FloatImage) -> FloatImage:
    """Add what cameras add: a little blur, a little noise."""
    if rng.random() < 0.4:
        picture = textures.blur(picture, rng.uniform(0.3, 1.0))
    if rng.random() < 0.4:
        sigma = rng.uniform(0.005, 0.04)
        picture = picture + rng.normal(0.0, sigma, picture.shape).astype(np.float32)
    return picture
