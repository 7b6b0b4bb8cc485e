"""Parts of photographs that show no thing of any class, and plain noise."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from nn_perception.datasets.images import PICTURE_SUFFIXES, read_picture
from nn_perception.datasets.negatives_ink import fit_ink, is_bar
from nn_perception.errors import DatasetError

UInt8Image = NDArray[np.uint8]
Box = tuple[int, int, int, int]
"""Left, top, right, bottom, in percent of the picture."""

SMALLEST_PX = 24
"""Shortest side of a patch, pixels: below, enlargement would make everything smooth."""

BACKGROUNDS: dict[str, tuple[Box, ...]] = {
    "dog_bicycle_truck.jpg": ((42, 75, 100, 100), (75, 48, 88, 68), (12, 0, 55, 9)),
    "handwritten_photo_1.jpg": ((0, 0, 100, 42), (0, 62, 100, 100)),
    "handwritten_photo_2.jpg": ((91, 0, 100, 100),),
    "highway_test1.jpg": (
        (0, 0, 65, 20), (0, 40, 28, 56), (30, 22, 55, 55), (68, 12, 86, 53), (25, 72, 95, 92),
    ),
    "highway_test4.jpg": (
        (0, 0, 65, 20), (0, 40, 33, 54), (33, 27, 54, 55), (66, 17, 82, 55), (30, 75, 100, 92),
    ),
    "highway_test5.jpg": ((0, 0, 55, 50), (70, 0, 100, 48), (25, 72, 100, 92)),
    "highway_test6.jpg": ((0, 0, 45, 50), (50, 0, 100, 22), (28, 73, 100, 90)),
    "motorcycle_object_5.jpg": ((0, 0, 100, 28), (82, 72, 100, 100)),
    "motorcycle_peds_2.jpg": ((10, 0, 100, 18), (46, 72, 100, 100)),
    "openimages_car_parked.jpg": ((0, 70, 45, 100),),
    "openimages_motorcycle_police.jpg": ((0, 72, 35, 100), (60, 0, 100, 22), (78, 45, 90, 80)),
    "openimages_motorcycle_rider.jpg": ((0, 5, 100, 28), (0, 70, 28, 100)),
    "openimages_motorcycle_two_riders.jpg": ((45, 0, 100, 25), (62, 27, 100, 50)),
    "openimages_truck_blue.jpg": ((20, 0, 65, 18), (60, 75, 100, 100), (0, 45, 10, 75)),
    "openimages_truck_bus_street.jpg": ((10, 0, 80, 20), (0, 72, 100, 100)),
    "openimages_truck_orange.jpg": ((0, 0, 28, 50),),
    "openimages_truck_pickup.jpg": ((27, 0, 80, 11), (8, 20, 26, 42)),
    "printed_digits_sudoku.png": (),
    "street_city_1.jpg": ((0, 65, 52, 90), (0, 0, 45, 28)),
    "street_city_3.jpg": ((0, 8, 35, 36), (65, 5, 100, 32), (25, 65, 50, 90), (62, 62, 80, 90)),
    "street_city_4.jpg": ((50, 0, 72, 35), (62, 68, 100, 98), (80, 12, 100, 36)),
    "street_city_5.jpg": ((0, 0, 40, 30), (55, 0, 100, 18), (62, 72, 100, 95), (0, 75, 50, 95)),
    "street_peds_0.jpg": ((8, 0, 28, 12), (0, 75, 28, 100), (68, 86, 100, 100), (30, 0, 62, 9)),
    "street_peds_1.jpg": ((0, 0, 30, 35), (65, 0, 100, 22), (60, 82, 100, 100), (0, 60, 20, 100)),
}  # fmt: skip
"""Where the photographs of the project's ``camera`` data show no person, vehicle or digit: found
by eye, one line per photograph. Sky, trees, road, walls, paper. Others are used whole."""


def textures(directory: Path, count: int, seed: int) -> list[UInt8Image]:
    """Cut squares of several sizes from photographs.

    Args:
        directory: folder of photographs without anything of the classes; of photographs named in
            `BACKGROUNDS` only those parts are used.
        count: number of squares, spread evenly over the photographs' parts.
        seed: the same gives the same.

    Returns:
        RGB pictures (S, S, 3), S from `SMALLEST_PX` pixels to the shorter side of the part.

    Raises:
        DatasetError: there is no photograph, or none is large enough.
    """
    parts = _parts(directory)
    rng = np.random.default_rng(seed)
    return [_square(rng, parts[number % len(parts)]) for number in range(count)]


def ink_of(patches: Sequence[UInt8Image], count: int, seed: int) -> list[UInt8Image]:
    """Cut from patches what a finder of digits would take for ink, in MNIST's format.

    Each patch is thresholded (by Otsu's level, or against its neighbourhood) either way round, and
    one connected piece of it is fitted to the box. Single upright bars are left out: they are ones.

    Returns:
        Up to ``count`` pictures (28, 28), bright on black.
    """
    rng = np.random.default_rng(seed)
    found: list[UInt8Image] = []
    for attempt in range(20 * count):
        if len(found) == count or not patches:
            break
        picture = _piece(rng, patches[attempt % len(patches)])
        if picture is not None and not is_bar(picture):
            found.append(picture)
    return found


def noise(count: int, seed: int, height: int, width: int, channels: int) -> UInt8Image:
    """Return uniform, normal and salt-and-pepper noise and even pictures, a quarter of each.

    Returns:
        uint8 (count, height, width, channels), in turns.
    """
    rng = np.random.default_rng(seed)
    shape = (height, width, channels)
    pictures = np.empty((count, *shape), np.uint8)
    for index in range(count):
        level = rng.uniform(0.0, 255.0)
        kind = index % 4
        if kind == 0:
            picture = rng.uniform(0.0, 255.0, shape)
        elif kind == 1:
            picture = rng.normal(level, rng.uniform(10.0, 80.0), shape)
        elif kind == 2:
            picture = np.full(shape, level)
            chance, share = rng.random((height, width)), rng.uniform(0.02, 0.3)
            picture[chance < share] = 255.0
            picture[chance > 1.0 - share] = 0.0
        else:
            picture = np.broadcast_to(rng.uniform(0.0, 255.0, channels), shape)
        pictures[index] = np.clip(picture, 0.0, 255.0)
    return pictures


def _parts(directory: Path) -> list[UInt8Image]:
    if not directory.is_dir():
        raise DatasetError(
            f"{directory}: is no directory, expected photographs for 'textures'; correct the path"
        )
    parts = []
    for file in sorted(directory.iterdir()):
        if file.suffix.lower() not in PICTURE_SUFFIXES:
            continue
        image = read_picture(file, channels=3)
        if image is None:
            continue
        parts += [_cut(image, box) for box in BACKGROUNDS.get(file.name, ((0, 0, 100, 100),))]
    parts = [part for part in parts if min(part.shape[:2]) >= SMALLEST_PX]
    if not parts:
        raise DatasetError(
            f"{directory}: holds no picture with a part of at least {SMALLEST_PX} pixels a side; "
            "give a folder of photographs"
        )
    return parts


def _cut(image: UInt8Image, box: Box) -> UInt8Image:
    height, width = image.shape[:2]
    left, right = round(width * box[0] / 100), round(width * box[2] / 100)
    top, bottom = round(height * box[1] / 100), round(height * box[3] / 100)
    return image[top:bottom, left:right]


def _square(rng: np.random.Generator, part: UInt8Image) -> UInt8Image:
    """Cut one square; small and large sides are equally likely on a logarithmic scale."""
    height, width = part.shape[:2]
    longest = min(height, width)
    side = min(longest, int(SMALLEST_PX * (longest / SMALLEST_PX) ** rng.random()))
    top, left = int(rng.integers(height - side + 1)), int(rng.integers(width - side + 1))
    return np.ascontiguousarray(part[top : top + side, left : left + side])


def _piece(rng: np.random.Generator, patch: UInt8Image) -> UInt8Image | None:
    grey = np.asarray(cv2.cvtColor(patch, cv2.COLOR_RGB2GRAY), np.uint8)
    flip = cv2.THRESH_BINARY if rng.random() < 0.5 else cv2.THRESH_BINARY_INV
    if rng.random() < 0.5:
        ink = cv2.threshold(grey, 0, 255, flip | cv2.THRESH_OTSU)[1]
    else:
        block = 2 * (grey.shape[0] // 6) + 3
        ink = cv2.adaptiveThreshold(grey, 255, cv2.ADAPTIVE_THRESH_MEAN_C, flip, block, 5)
    number, areas, stats, _ = cv2.connectedComponentsWithStats(ink)
    large = 1 + np.flatnonzero(stats[1:number, cv2.CC_STAT_AREA] >= 20)
    if not len(large):
        return None
    chosen = np.where(areas == int(rng.choice(large)), 255, 0).astype(np.uint8)
    return fit_ink(chosen)
