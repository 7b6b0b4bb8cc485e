"""What a range's error is told from: how tag and anchor see each other.

All of it is known at run time, from an estimated pose and the anchors' positions; the range itself
is no feature, since its difference to the distance is what is looked for.

| columns | meaning |
|---|---|
| 0 to 2 | direction to the anchor, in the body's frame: the tag's antenna |
| 3 to 5 | direction to the tag, in the anchor's frame: the anchor's antenna |
| 6 to 8 | the body's x axis in the anchor's frame: the roll between the antennas |
| 9 to 11 | up in the body's frame: what the body itself may cover |
| 12 | distance, m |
| 13 | height of the tag over the anchor, m |

The frame of an anchor whose orientation is not known is the world's: what is learned then holds
for anchors that are not turned.

After Zhao, Panerati, Schoellig, "Learning-based Bias Correction for Ultra-wideband Localization of
Resource-constrained Mobile Robots", 2020, whose features are relative position and attitude.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import sqrt

import numpy as np
from numpy.typing import NDArray

from nn_perception.datasets.uwb_text import Anchor
from nn_perception.rotations import quat_to_matrix

Float64Array = NDArray[np.float64]
Vector = Sequence[float]

FEATURES = 14
DIRECTIONS = slice(0, 12)
"""Columns that are directions; the others are metres."""
NO_TURN = (0.0, 0.0, 0.0, 1.0)
MIN_DISTANCE_M = 0.05
"""Closer than this, directions mean nothing."""


class AnchorFrame:
    """An anchor as the features need it: position and rotation as plain floats.

    Attributes:
        position_m: (3,).
        rows: its rotation matrix's nine numbers, anchor to world, row by row.
    """

    __slots__ = ("position_m", "rows")

    def __init__(self, anchor: Anchor) -> None:
        self.position_m = tuple(anchor.position_m)
        quat = NO_TURN if anchor.orientation_xyzw is None else anchor.orientation_xyzw
        self.rows: list[float] = quat_to_matrix(np.array(quat)).ravel().tolist()


def body_rows(orientation_xyzw: Vector) -> tuple[float, ...]:
    """Return the nine numbers of the rotation matrix of a unit quaternion (4,), body to world."""
    x, y, z, w = orientation_xyzw
    return (
        *(1.0 - 2.0 * (y * y + z * z), 2.0 * (x * y - z * w), 2.0 * (x * z + y * w)),
        *(2.0 * (x * y + z * w), 1.0 - 2.0 * (x * x + z * z), 2.0 * (y * z - x * w)),
        *(2.0 * (x * z - y * w), 2.0 * (y * z + x * w), 1.0 - 2.0 * (x * x + y * y)),
    )


def turned(rows: Vector, vector: Vector) -> tuple[float, float, float]:
    """Return a body's vector (3,) in the world, with `body_rows`."""
    x, y, z = vector
    return (
        rows[0] * x + rows[1] * y + rows[2] * z,
        rows[3] * x + rows[4] * y + rows[5] * z,
        rows[6] * x + rows[7] * y + rows[8] * z,
    )


def range_features(tag_m: Vector, body: Vector, anchor: AnchorFrame) -> tuple[float, ...]:
    """Return the features of one range, in plain floats: arrays would take ten times as long.

    Args:
        tag_m: (3,) the tag's position.
        body: of `body_rows`.
        anchor: its other end.
    """
    b, a = body, anchor.rows
    ax, ay, az = anchor.position_m
    x, y, z = ax - tag_m[0], ay - tag_m[1], az - tag_m[2]
    distance = max(sqrt(x * x + y * y + z * z), MIN_DISTANCE_M)
    x, y, z = x / distance, y / distance, z / distance
    bx, by, bz = b[0], b[3], b[6]
    return (
        b[0] * x + b[3] * y + b[6] * z,
        b[1] * x + b[4] * y + b[7] * z,
        b[2] * x + b[5] * y + b[8] * z,
        -(a[0] * x + a[3] * y + a[6] * z),
        -(a[1] * x + a[4] * y + a[7] * z),
        -(a[2] * x + a[5] * y + a[8] * z),
        a[0] * bx + a[3] * by + a[6] * bz,
        a[1] * bx + a[4] * by + a[7] * bz,
        a[2] * bx + a[5] * by + a[8] * bz,
        b[6],
        b[7],
        b[8],
        distance,
        -z * distance,
    )


def feature_rows(
    tag_m: Float64Array, body: Float64Array, anchor_m: Float64Array, anchor: Float64Array
) -> Float64Array:
    """Return the features (N, 14) of many ranges; the same as `range_features`.

    Args:
        tag_m: (N, 3) positions of the tags.
        body: (N, 3, 3) rotations body to world.
        anchor_m: (N, 3) positions of the anchors.
        anchor: (N, 3, 3) rotations anchor to world.
    """
    away = anchor_m - tag_m
    distance = np.maximum(np.linalg.norm(away, axis=1), MIN_DISTANCE_M)[:, None]
    direction = away / distance
    return np.concatenate(
        [
            (direction[:, None] @ body)[:, 0],
            -(direction[:, None] @ anchor)[:, 0],
            (body[:, None, :, 0] @ anchor)[:, 0],
            body[:, 2],
            distance,
            -direction[:, 2:] * distance,
        ],
        axis=1,
    )


def anchor_rotations(anchors: Sequence[Anchor]) -> Float64Array:
    """Return the rotation matrices (A, 3, 3), anchor to world; unknown ones are the world's."""
    quats = [NO_TURN if a.orientation_xyzw is None else a.orientation_xyzw for a in anchors]
    matrices: Float64Array = quat_to_matrix(np.array(quats, np.float64))
    return matrices
