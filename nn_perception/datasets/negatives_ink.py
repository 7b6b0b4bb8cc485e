"""Ink drawings in MNIST's format: how they are fitted and bent, and what passes for a digit."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

DIGIT_LOOKALIKES = {
    "0": "OoQDa@",
    "1": "IliJj|!/\\()[]'`",
    "2": "Zz?",
    "3": "}{",
    "4": "Yy",
    "5": "Ss$",
    "6": "bG",
    "7": "T>",
    "8": "B&",
    "9": "gq",
}
"""Characters that a hand may write as it writes the digit: they are neither taught nor tested as
"no digit". A ring, and one upright bar, are left out for the same reason."""

SIDE = 28
"""Side of MNIST's pictures, pixels."""
BOX = 20
"""Longer side of the ink in them, pixels."""
CANVAS = 84
"""Side of the square that is drawn on before it is reduced, pixels: three to one."""
BAR_ELONGATION = 3.2
BAR_LEAN_DEG = 50.0
"""See `is_bar`: 96 % of MNIST's ones are bars by these, and 1 % of its other digits."""

UInt8Image = NDArray[np.uint8]


def fit_ink(ink: UInt8Image) -> UInt8Image:
    """Bring a drawing to MNIST's format: ink in a box, its centre of mass in the centre.

    Args:
        ink: (H, W), bright on black; at least one pixel must be bright.

    Returns:
        (28, 28); the longer side of the ink is 20.
    """
    rows, columns = np.flatnonzero(ink.any(axis=1)), np.flatnonzero(ink.any(axis=0))
    cut = ink[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    scale = BOX / max(cut.shape)
    width, height = (max(1, round(length * scale)) for length in cut.shape[::-1])
    small = np.asarray(cv2.resize(cut, (width, height), interpolation=cv2.INTER_AREA), np.uint8)
    weight = small.astype(np.float64)
    mass = max(float(weight.sum()), 1.0)
    cx = float(weight.sum(axis=0) @ np.arange(width)) / mass
    cy = float(weight.sum(axis=1) @ np.arange(height)) / mass
    left = min(max(round((SIDE - 1) / 2 - cx), 0), SIDE - width)
    top = min(max(round((SIDE - 1) / 2 - cy), 0), SIDE - height)
    picture = np.zeros((SIDE, SIDE), np.uint8)
    picture[top : top + height, left : left + width] = small
    return picture


def warp_ink(
    rng: np.random.Generator, ink: UInt8Image, *, turn_deg: float = 15.0, elastic: float = 0.03
) -> UInt8Image:
    """Turn, shear, scale and bend a square drawing, as another hand would draw it.

    Args:
        rng: source of chance.
        ink: (S, S), bright on black.
        turn_deg: largest turn, degrees either way; more would make a Z of an N.
        elastic: standard deviation of the bending, as a share of S.
    """
    size = ink.shape[0]
    angle = np.deg2rad(rng.uniform(-turn_deg, turn_deg))
    shear, (sx, sy) = rng.uniform(-0.3, 0.3), rng.uniform(0.8, 1.1, 2)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    matrix = turn @ np.array([[1 / sx, shear], [0.0, 1 / sy]])
    axis = np.arange(size) - (size - 1) / 2
    u = matrix[0, 0] * axis[None] + matrix[0, 1] * axis[:, None] + (size - 1) / 2
    v = matrix[1, 0] * axis[None] + matrix[1, 1] * axis[:, None] + (size - 1) / 2
    knots = rng.normal(0.0, elastic * size, (5, 5, 2)).astype(np.float32)
    bend = cv2.resize(knots, (size, size), interpolation=cv2.INTER_CUBIC)
    x_map = (u + bend[..., 0]).astype(np.float32)
    y_map = (v + bend[..., 1]).astype(np.float32)
    return np.asarray(cv2.remap(ink, x_map, y_map, cv2.INTER_LINEAR), np.uint8)


def draw_glyphs(rng: np.random.Generator, text: str, face: int, size: int = CANVAS) -> UInt8Image:
    """Draw characters with Hershey strokes into the middle of a black square."""
    thickness = int(rng.integers(2, max(3, size // 9)))
    (width, height), baseline = cv2.getTextSize(text, face, 1.0, thickness)
    scale = rng.uniform(0.6, 0.75) * size / max(width, height + baseline)
    (width, height), baseline = cv2.getTextSize(text, face, scale, thickness)
    origin = ((size - width) // 2, (size + height - baseline // 2) // 2)
    ink = np.zeros((size, size), np.uint8)
    cv2.putText(ink, text, origin, face, scale, 255, thickness, cv2.LINE_AA)
    return ink


def is_bar(picture: UInt8Image) -> bool:
    """Tell whether all ink is one slim upright or leaning bar, which is how a 1 is written.

    Judged by the axes of inertia of the ink: the length is more than `BAR_ELONGATION` times the
    width, and leans less than `BAR_LEAN_DEG` from upright.
    """
    moments = cv2.moments(picture)
    if not moments["m00"]:
        return False
    xx, xy, yy = (moments[name] / moments["m00"] for name in ("mu20", "mu11", "mu02"))
    mean, spread = (xx + yy) / 2, float(np.hypot((xx - yy) / 2, xy))
    if mean + spread < BAR_ELONGATION**2 * (mean - spread):
        return False
    lean_deg = np.rad2deg(0.5 * np.arctan2(2 * xy, yy - xx))
    return bool(abs(lean_deg) < BAR_LEAN_DEG)
