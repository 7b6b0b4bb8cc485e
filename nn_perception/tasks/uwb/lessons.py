"""What the network is taught: poses near and far from the recorded ones, and what to say there."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch

from nn_perception.rotations import quat_exp, quat_to_matrix
from nn_perception.tasks.uwb.data import RangeData, RangeRows, thin
from nn_perception.tasks.uwb.features import Float64Array
from nn_perception.tasks.uwb.kernel import SEVERAL_ROOMS, Apart, Columns, Kernel, learn_kernel
from nn_perception.tasks.uwb.teacher import Teacher

Shape = Callable[[RangeRows], Float64Array]
"""Rows to the errors (N,) that are expected before anything is learned, constants included."""

NEAR = (0.1, 0.03, 0.1)
FAR = (1.0, 0.05, 1.0)
"""How far a made-up pose is from a recorded one: standard deviations of position (m), tilt and
heading (rad)."""
FAR_SHARE = 0.5
_LEARN_KERNEL_FROM = 1500
"""Rows."""
_NEAR, _NEAR_M = 0.3, 0.5
"""Over what chords and distances errors tell of each other's size."""
_ENOUGH = 10.0
_LARGEST = 6.0
"""Times the median error: larger ones count as much as that."""
_CHUNK = 4000


@dataclass(frozen=True, eq=False)
class Lessons:
    """N lessons.

    Attributes:
        rows: poses; their ``error_m`` is that of the recorded pose they are made of.
        target_m: (N,) error that the network, with the pair's constant, is to tell.
        sigma_m: (N,) how wrong the answer may be.
    """

    rows: RangeRows
    target_m: Float64Array
    sigma_m: Float64Array


def make_lessons(
    data: RangeData,
    expected: Shape,
    *,
    made_up: int,
    most: int,
    new_room: bool,
    seed: int,
) -> tuple[Lessons, Float64Array, Kernel]:
    """Let the process learn from ranges, and ask it about many poses.

    Args:
        data: the ranges.
        expected: see `Shape`.
        made_up: number of poses beside the recorded ones.
        most: rows that the process may hold.
        new_room: teach what holds in any room, not in those of the data.
        seed: of the poses.

    Returns:
        The lessons, those about the recorded rows first; for those rows what a process that had
        not seen the room or the piece of time left of the error; and the kernel.
    """
    rooms = data.rooms > 1
    rows = thin(data.rows, most)
    kernel = SEVERAL_ROOMS
    if not rooms:
        few = thin(data.rows, min(most, _LEARN_KERNEL_FROM))
        kernel = learn_kernel(few, few.error_m - expected(few), Kernel())
    teacher = Teacher(rows, kernel, expected(rows), rooms=rooms)
    left = left_out_errors(rows, expected, kernel, most // 2, new_room=new_room)
    generator = np.random.default_rng(seed)
    chosen = generator.integers(len(rows), size=made_up)
    far = np.arange(made_up) >= (1.0 - FAR_SHARE) * made_up
    moved = _moved(rows.take(chosen), far, generator)
    # Far from all data the answer is no surer than the prior.
    everything = _together(rows, moved)
    variance = smoothed_squares(left, rows, everything)
    variance[len(rows) :][far] += kernel.place_m**2
    target = expected(everything) + teacher.predict(everything, new_room=new_room)
    return Lessons(everything, target, np.sqrt(variance)), left, kernel


def smoothed_squares(left_m: Float64Array, rows: RangeRows, asked: RangeRows) -> Float64Array:
    """Return the mean squares (M,) of errors (N,) near the poses that are asked about.

    A network that is shown single errors learns which of them were large by heart, and is sure
    where it should not be. Where few errors are near, the mean of all counts.
    """
    square = left_m**2
    square = np.minimum(square, _LARGEST**2 * np.median(square))
    columns, overall = Columns(rows), square.mean()
    values = torch.from_numpy(square)
    found = []
    for at in range(0, len(asked), _CHUNK):
        part = asked.take(np.arange(at, min(at + _CHUNK, len(asked))))
        apart = Apart(Columns(part), columns)
        nearness = torch.exp(-(apart.at_tag + apart.at_anchor) / _NEAR - apart.distance / _NEAR_M)
        weight = nearness * (0.2 + 0.8 * apart.same_anchor)
        found.append((weight @ values + _ENOUGH * overall) / (weight.sum(1) + _ENOUGH))
    smooth: Float64Array = torch.cat(found).numpy()
    return smooth


def left_out_errors(
    rows: RangeRows, expected: Shape, kernel: Kernel, most: int, *, new_room: bool
) -> Float64Array:
    """Return what cross-validation leaves of the errors (N,), in metres.

    Left out is one room at a time when the answers are to hold in any room, else one piece of time
    of all rooms.
    """
    groups = rows.room if new_room else rows.block
    left = np.zeros(len(rows))
    for number in np.unique(groups):
        out = groups == number
        if out.all():  # one piece only: nothing to learn from but what is asked
            return rows.error_m - expected(rows)
        known = thin(rows.take(~out), most)
        teacher = Teacher(known, kernel, expected(known), rooms=len(np.unique(rows.room)) > 1)
        asked = rows.take(out)
        left[out] = asked.error_m - expected(asked) - teacher.predict(asked, new_room=new_room)
    return left


def _moved(rows: RangeRows, far: np.ndarray, generator: np.random.Generator) -> RangeRows:
    scale = np.where(far[:, None], [FAR], [NEAR])
    shift = scale[:, :1] * generator.standard_normal((len(rows), 3))
    turn = scale[:, [1, 1, 2]] * generator.standard_normal((len(rows), 3))
    body = quat_to_matrix(quat_exp(turn)) @ rows.body
    return replace(rows, tag_m=rows.tag_m + shift, body=body)


def _together(a: RangeRows, b: RangeRows) -> RangeRows:
    names = RangeRows.__dataclass_fields__
    return RangeRows(*(np.concatenate([getattr(a, n), getattr(b, n)]) for n in names))
