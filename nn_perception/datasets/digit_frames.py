"""Generated camera frames with handwritten digits and exact truth, for training and tests.

A sheet (paper, board or label) lies with perspective in a photograph, or fills the frame; lines of
handwritten digits are on it. Every digit is a tile of MNIST, or of a set like it, whose ink is
brought into the frame by one homography; its box is that of the ink, and not of the tile.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from nn_perception.datasets.arrays import ImageSet
from nn_perception.datasets.builtin import load_builtin_digits
from nn_perception.datasets.digit_frames_settings import FrameSettings
from nn_perception.datasets.digit_frames_sheet import make_picture
from nn_perception.datasets.environment import CAMERA, data_from_environment
from nn_perception.datasets.images import PICTURE_SUFFIXES, read_picture
from nn_perception.datasets.mnist import find_mnist, load_mnist
from nn_perception.datasets.test_guard import check_test_part
from nn_perception.errors import DatasetError

__all__ = [
    "TEST_SEEDS",
    "TRAIN_SEEDS",
    "DigitFrame",
    "DigitFrames",
    "FrameSettings",
    "load_photographs",
    "open_digit_frames",
    "photographs_at_hand",
]

TRAIN_SEEDS = range(1000)
TEST_SEEDS = range(1000, 2000)
"""Training never sees these; with them go MNIST's test part and the other half of photographs."""

WITH_DIGITS = ("handwritten_photo_", "printed_digits_")
"""Starts of the names of photographs that hold digits: no backgrounds."""


@dataclass(frozen=True)
class DigitFrame:
    """One frame and what is written in it, in reading order.

    Attributes:
        image: (H, W, 3) uint8 RGB.
        boxes_xywh: (N, 4) left, top, width, height of each digit's ink, pixels from pixel edges.
        labels: (N,) the digit.
        lines: (N,) text line, 0 at the top.
        texts: the lines, top to bottom.
    """

    image: NDArray[np.uint8]
    boxes_xywh: NDArray[np.float32]
    labels: NDArray[np.int64]
    lines: NDArray[np.int32]
    texts: tuple[str, ...]


class DigitFrames:
    """Frame i of a seed: always the same, in whatever order frames are asked for.

    What is drawn, beside `FrameSettings`:

    * a sheet that does not fill the frame is 50 to 95 % of its width, and throws a shadow on the
      photograph; photographs are cut, mirrored and made darker or brighter;
    * sheets are light (grey value 130 to 245: white, cream, yellow, green, cardboard) or dark (12
      to 95), with a texture from photographs and grain of 0.5 to 5 grey levels, at most an 8th of
      the ink's contrast;
    * ink is black, blue, red, green, violet, or white, yellow, light blue, orange; its contrast
      reaches from the least to all that the sheet leaves room for; it covers 85 to 100 %;
    * digits of a line vary in size by 7 %, turn by 5 degrees at most, share a slant of up to 11
      degrees, rise or sink, and are 0.12 to 0.6 of their height apart: no two touch;
    * light: see `digit_frames_camera.light`, made softer where a digit would get less than the
      least; the frame's exposure is 70 to 100 %, its colours are off by 3 %;
    * blur, noise and compression: see `digit_frames_camera.blur` and `develop`.

    The same with one version of NumPy and OpenCV: their random numbers and rounding may change.
    """

    def __init__(
        self,
        digits: ImageSet,
        backgrounds: Sequence[NDArray[np.uint8]] = (),
        *,
        seed: int,
        size: tuple[int, int] = (480, 640),
        settings: FrameSettings | None = None,
    ) -> None:
        """Keep what frames are made of.

        Args:
            digits: square grey tiles with bright ink on black, labels 0 to 9.
            backgrounds: photographs (H, W, 3) RGB; none: made-up textures.
            seed: 0 or more; see `TRAIN_SEEDS`.
            size: rows and columns of the frames, at least 120 each.
            settings: see `FrameSettings`.

        Raises:
            DatasetError: tiles, photographs, seed or size are not of that kind.
        """
        height, width, channels = digits.shape_hwc
        if channels != 1 or height != width or digits.class_names != tuple("0123456789"):
            raise DatasetError(
                f"{digits.source}: images of shape {digits.shape_hwc} with classes "
                f"{digits.class_names}, expected square grey tiles of the classes 0 to 9, as of "
                "MNIST"
            )
        for number, picture in enumerate(backgrounds):
            if picture.dtype != np.uint8 or picture.ndim != 3 or picture.shape[2] != 3:
                raise DatasetError(
                    f"background {number} is {picture.dtype} of shape {picture.shape}, expected "
                    "uint8 (H, W, 3); load_photographs reads them so"
                )
        if seed < 0 or min(size) < 120:
            raise DatasetError(
                f"seed {seed}, size {size}: expected a seed from 0 and at least 120 x 120 pixels"
            )
        self.digits = digits
        self.backgrounds = tuple(backgrounds)
        self.seed = seed
        self.size = size
        self.settings = settings or FrameSettings()

    def __getitem__(self, index: int) -> DigitFrame:
        """Make a frame.

        Raises:
            IndexError: the index is negative; there is no last frame.
        """
        if index < 0:
            raise IndexError(
                f"frame {index}: there is no last one to count back from, expected >= 0"
            )
        draw = np.random.default_rng((self.seed, index))
        written, picture = make_picture(
            draw, self.digits, self.backgrounds, self.size, self.settings
        )
        texts = tuple(
            "".join(str(label) for label in written.labels[written.lines == line])
            for line in range(int(written.lines.max(initial=-1)) + 1)
        )
        return DigitFrame(picture, written.boxes_xywh, written.labels, written.lines, texts)


def load_photographs(directory: Path, split: Literal["train", "test"]) -> list[NDArray[np.uint8]]:
    """Read one half of a directory's photographs, (H, W, 3) RGB each.

    Sorted by name and counted from 0 without those that hold digits (`WITH_DIGITS`), those at odd
    positions are for training, the others for tests.

    Raises:
        DatasetError: the directory is missing, has none for this half, or one cannot be read.
    """
    if split not in ("train", "test"):
        raise DatasetError(f"split is {split!r}, expected 'train' or 'test'")
    if split == "test":
        check_test_part(f"{directory}: half of the photographs")
    if not directory.is_dir():
        raise DatasetError(f"{directory}: is no directory, expected one with photographs")
    files = sorted(
        path
        for path in directory.iterdir()
        if path.suffix.lower() in PICTURE_SUFFIXES and not path.name.startswith(WITH_DIGITS)
    )[1 if split == "train" else 0 :: 2]
    if not files:
        raise DatasetError(
            f"{directory}: no photograph for {split} frames, expected picture files such as .jpg; "
            "give another directory, or none: then backgrounds are made up"
        )
    pictures = []
    for file in files:
        picture = read_picture(file, channels=3)
        if picture is None:
            raise DatasetError(f"{file}: cannot be read, expected a picture; get it again")
        pictures.append(np.ascontiguousarray(picture))
    return pictures


def open_digit_frames(
    split: Literal["train", "test"],
    seed: int,
    data: Path | None = None,
    *,
    size: tuple[int, int] = (480, 640),
    settings: FrameSettings | None = None,
) -> DigitFrames:
    """Return frames of a split, from the data sets that are at hand.

    Args:
        split: which part of MNIST and of the photographs.
        seed: one of the split's: see `TRAIN_SEEDS` and `TEST_SEEDS`.
        data: directory of data sets with MNIST, and with photographs in ``camera``; by default
            what ``$NN_PERCEPTION_DATA`` and the cache hold, and the built-in digits otherwise.
        size: rows and columns of the frames.
        settings: see `FrameSettings`.

    Raises:
        DatasetError: the seed is not of the split, ``data`` holds no MNIST, or data are damaged.
    """
    seeds = TRAIN_SEEDS if split == "train" else TEST_SEEDS
    if seed not in seeds:
        raise DatasetError(
            f"seed {seed} is none of {split} frames, expected {seeds.start} to {seeds.stop - 1}"
        )
    mnist = find_mnist(data)
    digits = load_builtin_digits(split) if mnist is None else load_mnist(mnist, split)
    photographs = photographs_at_hand(split, data)
    return DigitFrames(digits, photographs, seed=seed, size=size, settings=settings)


def photographs_at_hand(
    split: Literal["train", "test"], data: Path | None = None
) -> list[NDArray[np.uint8]]:
    """Return one half of the photographs in ``camera`` below a directory of data sets, if any.

    Args:
        split: see `load_photographs`.
        data: the directory; by default ``$NN_PERCEPTION_DATA``.

    Raises:
        DatasetError: a photograph cannot be read.
    """
    root = data_from_environment() if data is None else data
    folder = None if root is None else root / CAMERA
    return load_photographs(folder, split) if folder and folder.is_dir() else []
