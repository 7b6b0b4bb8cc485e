"""Point clouds of aeroplanes, and pairs of them of which one is turned.

The set of Y. Zhou et al., "On the Continuity of Rotation Representations in Neural Networks",
CVPR 2019; J. Levinson et al., "An Analysis of SVD for Deep Rotation Estimation", NeurIPS 2020,
repeat the experiment.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from nn_perception.datasets.imu import Float64Array
from nn_perception.datasets.imu_npz import read_npz
from nn_perception.errors import DatasetError
from nn_perception.rotations import quat_to_matrix

Float32Array = NDArray[np.float32]

_LAYOUT = {"ids": ("U", ("n",)), "points": ("f", ("n", "P", 3))}


@dataclass(frozen=True, eq=False)
class PointClouds:
    """Shapes in one canonical pose (y up, wings along x and fuselage along z, about).

    Attributes:
        points: (n, P, 3) float32, without unit; the order of points means nothing.
        ids: name of each shape.
        source: where they come from, in words; no path of the machine.

    Raises:
        DatasetError: shapes or values are not of that kind, or a name is there twice.
    """

    points: Float32Array
    ids: tuple[str, ...]
    source: str

    def __post_init__(self) -> None:
        points = np.ascontiguousarray(self.points, np.float32)
        object.__setattr__(self, "points", points)
        if points.ndim != 3 or points.shape[2] != 3 or 0 in points.shape:
            raise DatasetError(
                f"{self.source}: points have the shape {points.shape}, expected (n, P, 3), not "
                "empty; give the same number of points for each shape"
            )
        finite = np.isfinite(points).all(axis=(1, 2))
        if not finite.all():
            raise DatasetError(
                f"{self.source}: shape {int(np.argmin(finite))} has coordinates that are not "
                "finite, expected finite ones; leave it out"
            )
        if len(self.ids) != len(points) or len(set(self.ids)) != len(self.ids):
            raise DatasetError(
                f"{self.source}: {len(points)} shapes but {len(set(self.ids))} names, expected a "
                "name of its own for each shape; leave out what is there twice"
            )

    def __len__(self) -> int:
        return len(self.points)

    @cached_property
    def sha256(self) -> str:
        """Hash of points and names: equal for equal content, whatever the file."""
        digest = hashlib.sha256(repr((self.points.shape, self.ids)).encode())
        digest.update(np.ascontiguousarray(self.points, "<f4").data)
        return digest.hexdigest()


@dataclass(frozen=True, eq=False)
class RotatedPairs:
    """Pairs of clouds: ``target = rotation @ source`` for each point, where these are the same.

    Attributes:
        source: (B, K, 3) float32, in the canonical pose.
        target: (B, K, 3) float32, turned.
        rotation: (B, 3, 3) float32, uniform on SO(3).
        shape_index: (B,) int64, which shape it is.
    """

    source: Float32Array
    target: Float32Array
    rotation: Float32Array
    shape_index: NDArray[np.int64]


def load_point_clouds(path: Path) -> PointClouds:
    """Read ``planes_train.npz`` or ``planes_test.npz``.

    Raises:
        DatasetError: the file is missing or damaged, or holds something else.
    """
    arrays = read_npz(path, _LAYOUT)
    try:
        return PointClouds(
            arrays["points"].astype(np.float32), tuple(arrays["ids"].tolist()), Path(path).stem
        )
    except DatasetError as error:
        raise DatasetError(f"{path}: {error}; or get the file again") from error


def sample_pairs(
    clouds: PointClouds,
    count: int,
    points: int,
    seed: int | Sequence[int],
    disjoint: bool = False,
    noise: float = 0.0,
) -> RotatedPairs:
    """Draw shapes, points and uniform rotations.

    Args:
        clouds: the shapes; each pair takes one at random, with replacement.
        count: number of pairs.
        points: points in each cloud, drawn without replacement.
        seed: same seed, same pairs; (seed, step) for the batch of a training step, for example.
        disjoint: target and source have no point in common; otherwise the same points in the same
            order.
        noise: standard deviation of Gaussian noise on each coordinate of the target.

    Raises:
        DatasetError: there are not so many points, or a number is out of range.
    """
    needed = 2 * points if disjoint else points
    available = clouds.points.shape[1]
    if count < 1 or not 1 <= needed <= available or not 0.0 <= noise < np.inf:
        raise DatasetError(
            f"{count} pairs of {points} {'disjoint ' if disjoint else ''}points with noise "
            f"{noise}, expected at least 1 pair, 1 to {available} points a shape "
            f"({available // 2} where disjoint) and noise of 0 or more; ask for that"
        )
    draw = np.random.RandomState(seed)
    shape_index = draw.randint(0, len(clouds), count).astype(np.int64)
    order = np.argsort(draw.uniform(size=(count, available)), axis=1)[:, :needed]
    drawn = clouds.points[shape_index[:, np.newaxis], order]
    rotation = random_rotations(draw, count)
    target = drawn[:, needed - points :] @ rotation.transpose(0, 2, 1)
    if noise > 0.0:
        target = target + noise * draw.standard_normal(target.shape)
    return RotatedPairs(
        drawn[:, :points], target.astype(np.float32), rotation.astype(np.float32), shape_index
    )


def random_rotations(draw: np.random.RandomState, count: int) -> Float64Array:
    """Draw rotation matrices (count, 3, 3), uniform on SO(3): normal quaternions, normalised."""
    quat = draw.standard_normal((count, 4))
    unit = quat / np.linalg.norm(quat, axis=1, keepdims=True)
    matrix: Float64Array = quat_to_matrix(unit)
    return matrix
