"""The shapes that a study of alignment trains and tests on: found in files, or made up."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from nn_perception.datasets.environment import data_from_environment
from nn_perception.datasets.point_clouds import PointClouds, load_point_clouds
from nn_perception.errors import DatasetError

TRAIN_FILE, TEST_FILE = "planes_train.npz", "planes_test.npz"
VALIDATION_SHAPES = 200
"""Held out of the training shapes, or a fifth of them where they are fewer than five times that."""

SPLIT_SEED = 0
MADE_UP_SHAPES = {"train": 1000, "test": 200}
MADE_UP_POINTS = 256

Float64Array = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Shapes:
    """Three sets of shapes without a shape in common.

    Attributes:
        train: for training.
        validation: out of the same file; for curves, and for the choice of a protocol.
        test: looked at once, at the end.
    """

    train: PointClouds
    validation: PointClouds
    test: PointClouds


def load_shapes(data: Path | None) -> Shapes:
    """Return the aeroplanes of a directory, or made-up ones where none is given and none found.

    Looked at in this order: ``data``; ``$NN_PERCEPTION_DATA``. In each, the directory itself and
    its ``rotation`` folder.

    Raises:
        DatasetError: ``data`` holds no aeroplanes, ``$NN_PERCEPTION_DATA`` is no directory, a file
            is missing beside the other or damaged, or a shape is in both.
    """
    folder = _find(data)
    if folder is None:
        count = MADE_UP_SHAPES
        train = made_up_planes(count["train"], MADE_UP_POINTS, seed=1)
        test = made_up_planes(count["test"], MADE_UP_POINTS, seed=2)
    else:
        train = load_point_clouds(folder / TRAIN_FILE)
        test = load_point_clouds(folder / TEST_FILE)
        common = set(train.ids) & set(test.ids)
        if common or len(train) < 2:
            raise DatasetError(
                f"{folder}: {len(common)} of {len(train)} training shapes are in {TEST_FILE} too, "
                "expected none, and two for training at least; get the files again"
            )
    order = np.random.RandomState(SPLIT_SEED).permutation(len(train))
    held_out = min(VALIDATION_SHAPES, max(1, len(train) // 5))
    return Shapes(_part(train, order[held_out:]), _part(train, order[:held_out]), test)


def made_up_planes(count: int, points: int, seed: int) -> PointClouds:
    """Make up aeroplanes from ellipsoids: fuselage, two wings, tailplane, fin, two engines.

    As in the files: one pose (y up, wings along x, fuselage along z), extents about 0.7 x 0.2 x
    0.65, without unit, points drawn at random on the surfaces. Proportions differ between shapes.

    Args:
        count: number of shapes.
        points: points of each.
        seed: same seed, same shapes.
    """
    draw = np.random.RandomState(seed)
    clouds = np.stack([_plane(draw, points) for _ in range(count)])
    ids = tuple(f"made-up-{seed}-{number}" for number in range(count))
    return PointClouds(clouds.astype(np.float32), ids, "made-up aeroplanes")


def _plane(draw: np.random.RandomState, points: int) -> Float64Array:
    """Return one aeroplane (points, 3): its nose at positive z."""
    span, length = draw.uniform(0.25, 0.4), draw.uniform(0.27, 0.37)
    body, chord = draw.uniform(0.025, 0.045), draw.uniform(0.04, 0.08)
    wing_y, wing_z = draw.uniform(-0.03, 0.03), draw.uniform(-0.05, 0.08)
    tail, fin = draw.uniform(0.08, 0.15), draw.uniform(0.05, 0.08)
    engine_x, engine_y = draw.uniform(0.3, 0.6) * span, wing_y - draw.uniform(0.02, 0.04)
    # Centre, then half axes; both in x y z.
    parts = np.array(
        [
            [0, 0, 0, body, body, length],
            [0, wing_y, wing_z, span, 0.008, chord],
            [0, 0.02, 0.05 - length, tail, 0.006, 0.5 * chord],
            [0, fin, 0.05 - length, 0.006, fin, 0.5 * chord],
            [engine_x, engine_y, wing_z + chord, 0.02, 0.02, 0.05],
            [-engine_x, engine_y, wing_z + chord, 0.02, 0.02, 0.05],
        ]
    )
    chosen = parts[draw.choice(len(parts), points, p=[0.35, 0.35, 0.1, 0.1, 0.05, 0.05])]
    on_sphere = draw.standard_normal((points, 3))
    on_sphere /= np.linalg.norm(on_sphere, axis=1, keepdims=True)
    cloud: Float64Array = chosen[:, :3] + chosen[:, 3:] * on_sphere
    # Swept wings and tailplane: what is far out lies further back.
    cloud[:, 2] -= draw.uniform(0.0, 0.5) * np.abs(cloud[:, 0])
    return cloud


def _find(data: Path | None) -> Path | None:
    if data is not None:
        found = _search(data)
        if found is None:
            raise DatasetError(
                f"{data}: no point clouds there, expected {TRAIN_FILE} and {TEST_FILE}; give the "
                "directory that holds them, or leave --data out to take made-up shapes"
            )
        return found
    directory = data_from_environment()
    return _search(directory) if directory is not None else None


def _search(root: Path) -> Path | None:
    for folder in (root, root / "rotation"):
        if (folder / TRAIN_FILE).is_file() or (folder / TEST_FILE).is_file():
            return folder
    return None


def _part(clouds: PointClouds, chosen: npt.NDArray[np.int64]) -> PointClouds:
    ids = tuple(clouds.ids[index] for index in chosen)
    return PointClouds(clouds.points[chosen], ids, clouds.source)
