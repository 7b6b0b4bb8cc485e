"""What a digit reader may be given that is no digit, in MNIST's format, made by rule.

Nothing here comes from a data set: letters are OpenCV's Hershey strokes, the rest is geometry and
noise. They teach a network where digits end ("Deep anomaly detection with outlier exposure",
Hendrycks et al., 2019).
"""

from __future__ import annotations

import string
from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray

from nn_perception.datasets import negatives_textures as textures
from nn_perception.datasets.negatives_ink import (
    CANVAS,
    DIGIT_LOOKALIKES,
    SIDE,
    draw_glyphs,
    fit_ink,
    is_bar,
    warp_ink,
)

FOREIGN_CHARACTERS = "".join(
    sorted(
        set(string.ascii_letters + "#*+=^~<%") - set("".join(DIGIT_LOOKALIKES.values())),
    )
)
SCRIPT_CHARACTERS = "AHKMNRWXhkmnwx"
"""In script faces more letters resemble digits (Q a 2, F a 7): only these do not."""

_SIMPLE_FACES = (
    cv2.FONT_HERSHEY_SIMPLEX,
    cv2.FONT_HERSHEY_PLAIN,
    cv2.FONT_HERSHEY_DUPLEX,
    cv2.FONT_HERSHEY_COMPLEX,
    cv2.FONT_HERSHEY_TRIPLEX,
    cv2.FONT_HERSHEY_COMPLEX_SMALL,
)
_SCRIPT_FACES = (cv2.FONT_HERSHEY_SCRIPT_SIMPLEX, cv2.FONT_HERSHEY_SCRIPT_COMPLEX)

FITTED_SHARE = 0.8
"""Share of drawings that are fitted and centred; the others stand where they were drawn."""

UInt8Image = NDArray[np.uint8]
_Draw = Callable[[np.random.Generator], UInt8Image]


def digit_negatives(count: int, seed: int) -> UInt8Image:
    """Return pictures that are no digits, uint8 (count, 28, 28), bright on black.

    Letters, pen strokes, lines, shapes and thresholded textures are mostly fitted and centred as
    MNIST's digits are; others are whole frames of noise, texture or an even grey. The same seed
    gives the same pictures, and fewer of them are the first of more.
    """
    rng = np.random.default_rng(seed)
    pictures = np.empty((count, SIDE, SIDE), np.uint8)
    for index in range(count):
        pictures[index] = draw_no_digit(rng)
    return pictures


def draw_no_digit(rng: np.random.Generator) -> UInt8Image:
    """Return one picture that is no digit, see `digit_negatives`."""
    kind = int(np.searchsorted(_LIMITS, rng.random(), side="right"))
    picture = _KINDS[kind][0](rng)
    while is_bar(picture):
        picture = _KINDS[kind][0](rng)
    return picture


def _letter(rng: np.random.Generator) -> UInt8Image:
    script = rng.random() < 0.15
    faces, letters = (
        (_SCRIPT_FACES, SCRIPT_CHARACTERS) if script else (_SIMPLE_FACES, FOREIGN_CHARACTERS)
    )
    face = faces[int(rng.integers(len(faces)))]
    if rng.random() < 0.25:
        face |= cv2.FONT_ITALIC
    character = letters[int(rng.integers(len(letters)))]
    return _finish(rng, warp_ink(rng, draw_glyphs(rng, character, face)))


def _word(rng: np.random.Generator) -> UInt8Image:
    """Two or three letters at once: a finder that failed to part them."""
    letters = rng.choice(list(FOREIGN_CHARACTERS), int(rng.integers(2, 4)))
    face = _SIMPLE_FACES[int(rng.integers(len(_SIMPLE_FACES)))]
    return _finish(rng, warp_ink(rng, draw_glyphs(rng, "".join(letters), face)))


def _stroke(rng: np.random.Generator) -> UInt8Image:
    """One to five pen strokes; one alone has many turns, since few turns make a 1, 2, 3 or 7."""
    ink = np.zeros((CANVAS, CANVAS), np.uint8)
    strokes = 1 if rng.random() < 0.15 else int(rng.integers(2, 6))
    thickness = int(rng.integers(3, 11))
    for _ in range(strokes):
        knots = int(rng.integers(8, 12)) if strokes == 1 else int(rng.integers(2, 6))
        points: NDArray[np.floating] = rng.uniform(0.12, 0.88, (knots, 2)) * CANVAS
        if rng.random() < 0.65:
            points = _smooth(points)
        _polyline(ink, points, thickness)
    return _finish(rng, ink)


def _sign(rng: np.random.Generator) -> UInt8Image:
    """Crosses, ticks, arrows, stars, combs, ladders: signs of few straight strokes."""
    ink = np.zeros((CANVAS, CANVAS), np.uint8)
    draw = (_star, _arrow, _comb, _angle)[int(rng.integers(4))]
    draw(rng, ink, int(rng.integers(3, 11)), 0.36 * CANVAS)
    return _finish(rng, warp_ink(rng, ink))


def _star(rng: np.random.Generator, ink: UInt8Image, thickness: int, reach: float) -> None:
    """Three to eight arms."""
    arms = int(rng.integers(3, 9))
    angles = rng.uniform(0.0, np.pi) + 2 * np.pi * np.arange(arms) / arms
    angles += rng.normal(0.0, 0.1, arms)
    tips = rng.uniform(0.6, 1.0, arms)[:, None] * _directions(angles) * reach
    for tip in tips:
        _polyline(ink, CANVAS / 2 + np.array([[0.0, 0.0], tip]), thickness)


def _arrow(rng: np.random.Generator, ink: UInt8Image, thickness: int, reach: float) -> None:
    tip = reach * _directions(rng.uniform(0.0, 2 * np.pi, 1))[0]
    ends = np.round(CANVAS / 2 + np.array([-tip, tip])).astype(np.int32).tolist()
    head = rng.uniform(0.25, 0.5)
    cv2.arrowedLine(ink, ends[0], ends[1], 255, thickness, cv2.LINE_AA, 0, head)


def _comb(rng: np.random.Generator, ink: UInt8Image, thickness: int, reach: float) -> None:
    """Three or four parallel strokes, at times with one across."""
    for offset in np.linspace(-reach, reach, int(rng.integers(3, 5))):
        ends = np.array([[-reach * rng.uniform(0.5, 1.0), offset], [reach, offset]])
        _polyline(ink, CANVAS / 2 + ends, thickness)
    if rng.random() < 0.6:
        _polyline(ink, CANVAS / 2 + np.array([[0.0, -reach], [0.0, reach]]), thickness)


def _angle(rng: np.random.Generator, ink: UInt8Image, thickness: int, reach: float) -> None:
    """A tick, or an angle that opens upwards or to the right: 7 opens to the lower left."""
    middle, half = rng.uniform(-0.7, -0.05) * np.pi, rng.uniform(0.12, 0.3) * np.pi
    arms = reach * _directions(np.array([middle + half, middle - half]))
    arms[0] *= rng.uniform(0.3, 1.0)
    _polyline(ink, CANVAS / 2 + np.array([arms[0], [0.0, 0.0], arms[1]]), thickness)


def _shape(rng: np.random.Generator) -> UInt8Image:
    """Filled or outlined polygons and blobs; no rings, and no shape as slim as a 1."""
    ink = np.zeros((CANVAS, CANVAS), np.uint8)
    for _ in range(int(rng.integers(1, 4))):
        if rng.random() < 0.3:
            centre = tuple(int(v) for v in rng.integers(CANVAS // 3, 2 * CANVAS // 3, 2))
            axes = tuple(int(v) for v in rng.integers(CANVAS // 6, CANVAS // 3, 2))
            cv2.ellipse(ink, centre, axes, rng.uniform(0, 180), 0, 360, 255, -1, cv2.LINE_AA)
            continue
        corners = int(rng.integers(3, 7))
        angles = np.sort(rng.uniform(0.0, 2 * np.pi, corners))
        radii = rng.uniform(0.2, 0.42, corners) * CANVAS
        points = CANVAS / 2 + radii[:, None] * _directions(angles)
        if corners <= 4 and rng.random() < 0.5:  # many corners in outline would be a 0
            _polyline(ink, np.vstack([points, points[:1]]), int(rng.integers(3, 10)))
        else:
            cv2.fillPoly(ink, [np.round(points).astype(np.int32)], 255, cv2.LINE_AA)
    return _finish(rng, ink)


def _edge(rng: np.random.Generator) -> UInt8Image:
    """Lines cut by the crop, corners of boxes, half-planes: the border is always touched."""
    ink = np.zeros((CANVAS, CANVAS), np.uint8)
    kind = int(rng.integers(4))
    far = 2.0 * CANVAS
    centre = rng.uniform(0.15, 0.85, 2) * CANVAS
    if kind == 0:  # long lines, one alone lying rather than upright
        for number in range(int(rng.integers(1, 4))):
            angle = rng.uniform(-0.9, 0.9) if number == 0 else rng.uniform(0.0, np.pi)
            along = far * np.array([np.cos(angle), np.sin(angle)])
            middle = rng.uniform(0.15, 0.85, 2) * CANVAS
            _polyline(ink, np.array([middle - along, middle + along]), int(rng.integers(2, 13)))
    elif kind in (1, 2):  # a corner, as line or as area
        start = rng.uniform(0.0, 2 * np.pi) if kind == 2 else rng.integers(4) * np.pi / 2
        angles = start + np.array([0.0, np.pi / 2]) + rng.normal(0.0, 0.15, 2)
        arms = centre + far * _directions(angles)
        points = np.array([arms[0], centre, arms[1]])
        if kind == 1:
            _polyline(ink, points, int(rng.integers(2, 13)))
        else:
            cv2.fillPoly(ink, [np.round(points).astype(np.int32)], 255, cv2.LINE_AA)
    else:  # a half-plane
        angle = rng.uniform(0.0, 2 * np.pi)
        normal = np.array([np.cos(angle), np.sin(angle)])
        along = np.array([-normal[1], normal[0]]) * far
        points = np.array([centre + along, centre - along, centre - along + far * normal])
        points = np.vstack([points, points[0] + far * normal])
        cv2.fillPoly(ink, [np.round(points).astype(np.int32)], 255, cv2.LINE_AA)
    level = rng.uniform(0.3, 1.0)
    return _reduce(np.asarray(ink * level, np.uint8))


def _patch(rng: np.random.Generator) -> UInt8Image:
    """A thresholded texture, as a finder sees grass or gravel; fitted to the box or not."""
    picture = (
        textures.power_noise(rng, 48, rng.uniform(0.4, 2.0))
        if rng.random() < 0.6
        else textures.random_texture(rng, 48)
    )
    threshold = float(np.quantile(picture, rng.uniform(0.4, 0.85)))
    ink = np.where(picture > threshold, 255, 0).astype(np.uint8)
    if rng.random() < 0.4:  # what a finder cuts out: one connected piece
        number, areas, stats, _ = cv2.connectedComponentsWithStats(ink)
        if number > 1:
            best = 1 + int(stats[1:, cv2.CC_STAT_AREA].argmax())
            ink = np.where(areas == best, 255, 0).astype(np.uint8)
    if not ink.any():
        ink[:] = 255
    return _finish(rng, ink)


def _texture(rng: np.random.Generator) -> UInt8Image:
    """A whole frame without any ink: texture, noise, an even grey."""
    picture = textures.to_uint8(textures.random_texture(rng, SIDE))
    # prepare_image turns frames of a bright border round: the network never sees them.
    border = np.concatenate([picture[0], picture[-1], picture[:, 0], picture[:, -1]])
    return picture if border.mean() < 127.5 else np.subtract(255, picture, dtype=np.uint8)


_KINDS: tuple[tuple[_Draw, float], ...] = (
    (_letter, 0.30),
    (_word, 0.05),
    (_stroke, 0.13),
    (_sign, 0.10),
    (_shape, 0.10),
    (_edge, 0.10),
    (_patch, 0.10),
    (_texture, 0.12),
)
_LIMITS = np.cumsum([share for _, share in _KINDS]) / np.sum([share for _, share in _KINDS])


def _finish(rng: np.random.Generator, ink: UInt8Image) -> UInt8Image:
    """Reduce to 28 x 28: mostly fitted and centred, of random softness."""
    if not ink.any():
        ink[ink.shape[0] // 2, ink.shape[1] // 2] = 255
    picture = fit_ink(ink) if rng.random() < FITTED_SHARE else _reduce(ink)
    if rng.random() < 0.3:
        soft = cv2.GaussianBlur(picture, (3, 3), rng.uniform(0.3, 0.8))
        picture = np.asarray(soft, np.uint8)
    if rng.random() < 0.3:  # thin pens are grey in MNIST, and strong ones are white
        picture = np.clip(picture * rng.uniform(0.6, 1.6), 0, 255).astype(np.uint8)
    return picture


def _polyline(ink: UInt8Image, points: NDArray[np.floating], thickness: int) -> None:
    cv2.polylines(ink, [np.round(points).astype(np.int32)], False, 255, thickness, cv2.LINE_AA)


def _smooth(points: NDArray[np.floating], rounds: int = 3) -> NDArray[np.floating]:
    """Cut the corners of a polyline (Chaikin): a smooth stroke."""
    for _ in range(rounds):
        first, second = points[:-1], points[1:]
        cut = np.stack([0.75 * first + 0.25 * second, 0.25 * first + 0.75 * second], axis=1)
        points = np.vstack([points[:1], cut.reshape(-1, 2), points[-1:]])
    return points


def _reduce(ink: UInt8Image) -> UInt8Image:
    return np.asarray(cv2.resize(ink, (SIDE, SIDE), interpolation=cv2.INTER_AREA), np.uint8)


def _directions(angles: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.stack([np.cos(angles), np.sin(angles)], axis=1)
