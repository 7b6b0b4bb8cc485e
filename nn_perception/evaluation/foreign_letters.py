"""Letters that are no digits, from printed typefaces: what a reader of digits must not answer.

Rendered from the TrueType files that come with matplotlib, so that they are the same everywhere.
The negatives of training know none of these typefaces: their letters are Hershey strokes.
"""

from __future__ import annotations

import string
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nn_perception.datasets.negatives_ink import DIGIT_LOOKALIKES, SIDE, fit_ink, warp_ink
from nn_perception.errors import ConfigError

LETTERS = "".join(
    letter for letter in string.ascii_letters if letter not in "".join(DIGIT_LOOKALIKES.values())
)
"""A to Z and a to z without those that are written like a digit, see `DIGIT_LOOKALIKES`."""

TYPEFACES = (
    "DejaVuSans",
    "DejaVuSans-Bold",
    "DejaVuSans-Oblique",
    "DejaVuSansMono",
    "DejaVuSansMono-Bold",
    "DejaVuSerif",
    "DejaVuSerif-Bold",
    "DejaVuSerif-Italic",
    "STIXGeneral",
    "STIXGeneralBol",
    "STIXGeneralItalic",
    "cmr10",
    "cmb10",
    "cmss10",
    "cmtt10",
    "cmti10",
)
"""Sans, serif and typewriter faces, upright and slanted; files of matplotlib without ``.ttf``."""

CANVAS = 96
TURN_DEG, BENDING = 10.0, 0.012
"""Milder than in training, so that every letter stays one that a person reads."""


def letters(count: int, seed: int) -> NDArray[np.uint8]:
    """Return letters in MNIST's format, uint8 (count, 28, 28), bright on black.

    Every letter of every typeface comes equally often, in an order by chance; each is turned,
    sheared and bent a little, fitted to a 20 x 20 box and centred by its mass.

    Raises:
        ConfigError: matplotlib or Pillow is missing.
    """
    rng = np.random.default_rng(seed)
    pairs = [(face, letter) for face in TYPEFACES for letter in LETTERS]
    order = np.concatenate([rng.permutation(len(pairs)) for _ in range(-(-count // len(pairs)))])
    fonts: dict[str, Any] = {}
    pictures = np.empty((count, SIDE, SIDE), np.uint8)
    for index, number in enumerate(order[:count]):
        face, letter = pairs[int(number)]
        if face not in fonts:
            fonts[face] = _font(face)
        ink = _render(letter, fonts[face])
        pictures[index] = fit_ink(warp_ink(rng, ink, turn_deg=TURN_DEG, elastic=BENDING))
    return pictures


def _render(letter: str, font: Any) -> NDArray[np.uint8]:
    """Draw one letter into the middle of a black square."""
    from PIL import Image, ImageDraw

    page = Image.new("L", (CANVAS, CANVAS))
    left, top, right, bottom = font.getbbox(letter)
    place = ((CANVAS - left - right) / 2, (CANVAS - top - bottom) / 2)
    ImageDraw.Draw(page).text(place, letter, fill=255, font=font)
    return np.array(page, np.uint8)


def _font(face: str) -> Any:
    try:
        import matplotlib as mpl
        from PIL import ImageFont
    except ImportError as error:
        raise ConfigError(
            f"the foreign set 'letters' needs matplotlib and Pillow ({error}); install "
            "python3-matplotlib with the system's package manager, or matplotlib with pip"
        ) from error
    path = Path(mpl.get_data_path()) / "fonts" / "ttf" / f"{face}.ttf"
    try:
        return ImageFont.truetype(str(path), round(0.6 * CANVAS))
    except OSError as error:
        raise ConfigError(
            f"{path} cannot be read ({error}); expected a typeface that comes with matplotlib: "
            "install matplotlib again"
        ) from error
