"""What a camera makes of a scene: textures, light, blur, noise and compression of generated frames.

Pictures are float32 (H, W, 3) RGB with grey levels 0 to 255 until `develop`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

Float32Array = NDArray[np.float32]
UInt8Array = NDArray[np.uint8]
Size = tuple[int, int]

LUMA = np.array([0.299, 0.587, 0.114], np.float32)
"""Weights of red, green and blue in grey (ITU-R BT.601), as OpenCV takes them."""


def scene(draw: np.random.Generator, photographs: Sequence[UInt8Array], size: Size) -> Float32Array:
    """Return a picture of a place: a part of a photograph, or a made-up one when there are none."""
    if not photographs:
        return _made_up_scene(draw, size)
    photograph = photographs[int(draw.integers(len(photographs)))]
    part = _part(draw, photograph, size, draw.uniform(0.45, 1.0))
    return np.asarray(part.astype(np.float32) * draw.uniform(0.7, 1.15))


def sheet_texture(
    draw: np.random.Generator, photographs: Sequence[UInt8Array], size: Size
) -> Float32Array:
    """Return (H, W) of mean 0 and standard deviation 1: stains and fibres of a sheet."""
    height, width = size
    if photographs:
        photograph = photographs[int(draw.integers(len(photographs)))]
        part = _part(draw, photograph, size, draw.uniform(0.2, 0.8))
        coarse = cv2.cvtColor(part, cv2.COLOR_RGB2GRAY).astype(np.float32)
    else:
        coarse = _clouds(draw, size)
    coarse = _standardised(coarse - cv2.blur(coarse, (height // 4, height // 4)))
    grain = draw.standard_normal((height // 2, width // 2), dtype=np.float32)
    fine = cv2.resize(grain, (width, height), interpolation=cv2.INTER_LINEAR)
    share = draw.uniform(0.2, 0.8)
    return _standardised(np.clip(coarse, -2.5, 2.5) * share + fine * (1.0 - share))


def light(draw: np.random.Generator, size: Size) -> Float32Array:
    """Return (H, W), at most 1: a gradient, vignetting, and in part of the draws a soft shadow.

    The gradient takes up to 55 %, the corners lose up to 35 %, a shadow takes 15 to 55 % and has
    a half-shadow of 4 to 60 pixels.
    """
    height, width = size
    x = np.linspace(-1.0, 1.0, width, dtype=np.float32)[None]
    y = np.linspace(-1.0, 1.0, height, dtype=np.float32)[:, None]
    angle = draw.uniform(0.0, 2.0 * math.pi)
    along = (x * math.cos(angle) + y * math.sin(angle)) / math.sqrt(2.0)
    field = 1.0 - draw.uniform(0.0, 0.55) * (0.5 + 0.5 * along)
    field *= 1.0 - draw.uniform(0.0, 0.35) * 0.5 * (x * x + y * y)
    if draw.random() < 0.45:
        field *= _shadow(draw, x, y, width)
    return np.asarray(field / field.max(), np.float32)


def _shadow(
    draw: np.random.Generator, x: Float32Array, y: Float32Array, width: int
) -> Float32Array:
    """Return a shadow's factor: the inside of one edge, or of two (a pole, a hand)."""
    angle, offset = draw.uniform(0.0, 2.0 * math.pi), draw.uniform(-0.6, 0.6)
    softness = draw.uniform(4.0, 60.0) * 2.0 / width
    across = x * math.cos(angle) + y * math.sin(angle) - offset
    across += 0.05 * np.sin(draw.uniform(1.0, 4.0) * (y * math.cos(angle) - x * math.sin(angle)))
    inside = np.clip(across / softness + 0.5, 0.0, 1.0)
    if draw.random() < 0.4:
        thickness = draw.uniform(0.2, 0.7)
        inside *= np.clip((thickness - across) / softness + 0.5, 0.0, 1.0)
    return np.asarray(1.0 - draw.uniform(0.15, 0.55) * inside, np.float32)


def blur(draw: np.random.Generator, picture: Float32Array, height_px: float) -> Float32Array:
    """Blur as a lens out of focus does, or a camera that moves a little.

    Args:
        draw: source of random numbers.
        picture: (H, W, 3).
        height_px: of the smallest digit. Focus spreads by up to a 20th of it (standard deviation,
            at most 2 pixels), motion by up to an 8th (length, at most 7 pixels); never both.
    """
    if draw.random() < 0.25:
        length = draw.uniform(1.0, max(1.0, min(7.0, height_px / 8.0)))
        return np.asarray(cv2.filter2D(picture, -1, _motion(draw.uniform(0, math.pi), length)))
    sigma = draw.uniform(0.3, max(0.35, min(2.0, height_px / 20.0)))
    return np.asarray(cv2.GaussianBlur(picture, (0, 0), sigma))


def _motion(angle: float, length: float) -> Float32Array:
    """Return the kernel of a straight motion of some pixels."""
    kernel = np.zeros((9, 9), np.float32)
    for step in np.linspace(-0.5, 0.5, 33):
        x, y = 4 + step * length * math.cos(angle), 4 + step * length * math.sin(angle)
        left, top = int(x), int(y)
        for row, column in ((top, left), (top, left + 1), (top + 1, left), (top + 1, left + 1)):
            weight = max(0.0, 1 - abs(x - column)) * max(0.0, 1 - abs(y - row))
            if weight:
                kernel[row, column] += weight
    return np.asarray(kernel / kernel.sum())


def develop(draw: np.random.Generator, picture: Float32Array, noise: float) -> UInt8Array:
    """Add a sensor's noise, go to 8 bit, and in half of the draws compress as JPEG.

    Args:
        draw: source of random numbers.
        picture: (H, W, 3).
        noise: standard deviation of a mid-grey pixel at most, grey levels. Of its variance one
            half grows with brightness (photons), the other is constant; colour noise is half as
            large and coarser.
    """
    height, width = picture.shape[:2]
    sigma = draw.uniform(0.5, noise)
    grey = cv2.transform(picture, LUMA[None]).reshape(height, width)
    amount = sigma * np.sqrt(np.maximum(0.5 + grey * np.float32(0.5 / 128.0), 0.25))
    fine = draw.standard_normal((height, width), dtype=np.float32) * amount
    coarse = draw.standard_normal((height // 2, width // 2, 3), dtype=np.float32)
    coarse *= np.float32(0.5 * sigma)
    noisy = picture + cv2.resize(coarse, (width, height), interpolation=cv2.INTER_LINEAR)
    noisy += fine[..., None]
    image = cv2.convertScaleAbs(np.maximum(noisy, 0.0, out=noisy))
    if draw.random() < 0.5:
        quality = [cv2.IMWRITE_JPEG_QUALITY, int(draw.integers(40, 96))]
        _, data = cv2.imencode(".jpg", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), quality)
        image = np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR), np.uint8)[..., ::-1]
    return np.ascontiguousarray(image, np.uint8)


def with_luma(colour: Sequence[float], luma: float) -> Float32Array:
    """Return RGB of a colour's tint and of a given grey value, 0 to 255, as far as both can be."""
    tint = np.asarray(colour, np.float32)
    tint = tint - LUMA @ tint
    # The largest share of the tint that leaves all three within 0 to 255 keeps the grey exact.
    room = [(255.0 - luma) / t if t > 0 else -luma / t for t in tint if t]
    return np.asarray(luma + tint * min([1.0, *room]), np.float32)


def _part(
    draw: np.random.Generator, photograph: UInt8Array, size: Size, share: float
) -> UInt8Array:
    """Cut a random part of the frame's proportions; bring it to the frame's size; maybe mirror."""
    height, width = size
    rows, columns = photograph.shape[:2]
    scale = share * min(rows / height, columns / width)
    part_rows, part_columns = max(2, int(height * scale)), max(2, int(width * scale))
    top = int(draw.integers(rows - part_rows + 1))
    left = int(draw.integers(columns - part_columns + 1))
    part = photograph[top : top + part_rows, left : left + part_columns]
    how = cv2.INTER_AREA if scale > 1.0 else cv2.INTER_LINEAR
    resized = np.asarray(cv2.resize(part, (width, height), interpolation=how), np.uint8)
    return np.ascontiguousarray(resized[:, ::-1] if draw.random() < 0.5 else resized)


def _clouds(draw: np.random.Generator, size: Size) -> Float32Array:
    """Return (H, W) noise of all scales, the coarse strongest."""
    height, width = size
    total = np.zeros(size, np.float32)
    for cells in (3, 6, 12, 24, 48):
        grid = draw.standard_normal((cells, cells), dtype=np.float32)
        total += cv2.resize(grid, (width, height), interpolation=cv2.INTER_CUBIC) * (3.0 / cells)
    return total


def _made_up_scene(draw: np.random.Generator, size: Size) -> Float32Array:
    """Return coloured clouds with edges: blocks, discs and bars."""
    height, width = size
    picture = np.stack([_clouds(draw, size) for _ in range(3)], axis=2) * 18.0
    picture += np.float32(draw.uniform(70.0, 180.0))
    for _ in range(int(draw.integers(6, 20))):
        colour = [float(value) for value in draw.uniform(20.0, 235.0, 3)]
        x, y = int(draw.integers(width)), int(draw.integers(height))
        a, b = int(draw.integers(5, width // 4)), int(draw.integers(5, height // 4))
        kind = int(draw.integers(3))
        if kind == 0:
            cv2.rectangle(picture, (x, y), (x + a, y + b), colour, -1, cv2.LINE_AA)
        elif kind == 1:
            cv2.ellipse(picture, (x, y), (a, b), 0.0, 0.0, 360.0, colour, -1, cv2.LINE_AA)
        else:
            end = (int(draw.integers(width)), int(draw.integers(height)))
            cv2.line(picture, (x, y), end, colour, int(draw.integers(1, 8)), cv2.LINE_AA)
    picture += _clouds(draw, size)[..., None] * 5.0
    return np.asarray(np.clip(picture, 0.0, 255.0), np.float32)


def _standardised(values: NDArray[np.floating]) -> Float32Array:
    centred = values - values.mean()
    return np.asarray(centred / max(float(centred.std()), 1e-6), np.float32)
