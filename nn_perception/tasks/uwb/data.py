"""Ranges with their true geometry, to train a correction on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from nn_perception.datasets.uwb import Anchor, UwbSequence
from nn_perception.datasets.uwb_data import training_uwb
from nn_perception.errors import DatasetError, nearest
from nn_perception.rotations import quat_to_matrix
from nn_perception.tasks.uwb.features import Float64Array, anchor_rotations, feature_rows
from nn_perception.training.folds import Fold, recording_of

IntArray = NDArray[np.int64]

SAME_PLACE_M = 0.05
"""Anchors that are nearer to where they were in another recording did not move."""
BLOCKS = 5
"""Pieces of time that a room's recordings are cut into for cross-validation."""
_CELLS = (0.03, 0.06, 0.1, 0.15, 0.2, 0.3)
"""Poses that differ by less are one: metres, and coordinates of unit vectors."""


@dataclass(frozen=True, eq=False)
class RangeRows:
    """N ranges.

    Attributes:
        error_m: (N,) measured minus true.
        tag: (N,) index into `RangeData.tags`.
        anchor: (N,) index into `RangeData.anchors`.
        room: (N,) number of the constellation of anchors.
        block: (N,) piece of time within the room.
        tag_m: (N, 3) position of the tag.
        body: (N, 3, 3) rotation body to world.
        anchor_m: (N, 3) position of the anchor.
        anchor_body: (N, 3, 3) rotation anchor to world.
        count: (N,) measurements that the error is the mean of.
    """

    error_m: Float64Array
    tag: IntArray
    anchor: IntArray
    room: IntArray
    block: IntArray
    tag_m: Float64Array
    body: Float64Array
    anchor_m: Float64Array
    anchor_body: Float64Array
    count: Float64Array

    def __len__(self) -> int:
        return len(self.error_m)

    @property
    def features(self) -> Float64Array:
        """(N, 14), see `nn_perception.tasks.uwb.features`."""
        return feature_rows(self.tag_m, self.body, self.anchor_m, self.anchor_body)

    def take(self, chosen: NDArray[np.bool_] | IntArray) -> RangeRows:
        """Return some of the rows, by index or mask."""
        return replace(self, **{f.name: getattr(self, f.name)[chosen] for f in fields(self)})


@dataclass(frozen=True)
class RangeData:
    """What a training run works with.

    Attributes:
        rows: averaged over `bin_s`, without outliers.
        site: name of the radios: where the recordings come from.
        tags: names, in the order of `RangeRows.tag`.
        anchors: names, in the order of `RangeRows.anchor`.
        rooms: number of constellations.
        sequences: the recordings, cut where they were to be.
        until: what was used of each recording, as a fraction of its duration.
        validation: rows of the recordings that validate; they are not among ``rows``, and not
            learned from. None: there are none.
    """

    rows: RangeRows
    site: str
    tags: tuple[str, ...]
    anchors: tuple[str, ...]
    rooms: int
    sequences: tuple[UwbSequence, ...]
    until: Mapping[str, float]
    validation: RangeRows | None = None


def load_ranges(
    data: Path | None,
    site: str,
    leave_out: Sequence[str],
    until: Mapping[str, float],
    bin_s: float,
    fold: int = -1,
    cross: Fold | None = None,
) -> RangeData:
    """Load the recordings of one site.

    Args:
        data: see `training_uwb`.
        site: only recordings that come from there; may be empty when all come from one.
        leave_out: names of recordings not to be used.
        until: recording -> fraction of its duration that may be used, for a test on the rest.
        bin_s: ranges between a tag and an anchor within this time become one row.
        fold: piece of time of each recording that is not used, 0 to 4; -1: all are.
        cross: which recordings validate; None: those that a data set keeps for it.

    Raises:
        DatasetError: nothing usable, several sites, a name that is not there, or fewer recordings
            than folds.
    """
    everything = training_uwb(data)
    known = sorted({s.source for s in everything})
    if site and site not in known:
        raise DatasetError(
            f"no recording comes from '{site}'{nearest(site, known)}; there are: {', '.join(known)}"
        )
    found = [s for s in everything if not site or s.source == site]
    sites = sorted({s.source for s in found})
    if len(sites) != 1:
        raise DatasetError(
            f"the ranges come from {len(sites)} sites ({', '.join(sites)}), expected one, since "
            "radios differ: choose by task_arguments.site=NAME or another --data"
        )
    names = [s.name for s in found]
    for name in (*leave_out, *until):
        if name not in names:
            raise DatasetError(
                f"there is no recording '{name}'{nearest(name, names)}; there are: "
                f"{', '.join(names)}"
            )
    used = [_until(s, until.get(s.name, 1.0)) for s in found if s.name not in leave_out]
    if not used:
        raise DatasetError("every recording is left out; leave some to train on")
    validating = cross.recordings([s.name for s in used], recording_of) if cross else None
    parts = {name: float(part) for name, part in until.items()}
    return gather_ranges(used, bin_s, parts, fold=fold, validating=validating)


def gather_ranges(
    sequences: Sequence[UwbSequence],
    bin_s: float,
    until: Mapping[str, float],
    *,
    fold: int = -1,
    validating: frozenset[str] | None = None,
) -> RangeData:
    """Return the rows of recordings.

    Args:
        sequences: the recordings.
        bin_s: see `load_ranges`, as ``until`` and ``fold``.
        until: what was used of each recording.
        fold: piece of time that is not used.
        validating: names of those that are not learned from; None: as they say themselves.

    Raises:
        DatasetError: no range has a truth.
    """
    if validating is None:
        validating = frozenset(s.name for s in sequences if s.part == "validation")
    tags = tuple(dict.fromkeys(name for s in sequences for name in s.tags))
    anchors = tuple(dict.fromkeys(name for s in sequences for name in s.anchors))
    rooms: list[Mapping[str, Anchor]] = []
    parts: list[RangeRows] = []
    held: list[RangeRows] = []
    for sequence in sequences:
        # Before ranges are averaged: a bin may lie across the border of a fold.
        good = np.flatnonzero(_usable(sequence) & (piece_of_time(sequence) != fold))
        if len(good):
            room = _room(rooms, sequence.anchors)
            found = held if sequence.name in validating else parts
            found.append(_rows(sequence, good, room, tags, anchors, bin_s))
    if not parts:
        raise DatasetError(
            f"no range of {', '.join(s.name for s in sequences)} has a true pose, expected poses "
            "beside the ranges; record truth/pose as well"
        )
    site = sequences[0].source
    learned = tuple(s for s in sequences if s.name not in validating)
    validation = _joined(held) if held else None
    return RangeData(_joined(parts), site, tags, anchors, len(rooms), learned, until, validation)


def _joined(parts: Sequence[RangeRows]) -> RangeRows:
    return RangeRows(
        *(np.concatenate([getattr(p, f.name) for p in parts]) for f in fields(RangeRows))
    )


def thin(rows: RangeRows, limit: int) -> RangeRows:
    """Average rows of a pair at about the same pose, until there are no more than ``limit``.

    A vehicle that stands gives thousands of rows that say the same. What is left above the limit
    with the coarsest poses is left out evenly.
    """
    for cell in _CELLS:
        found = _by_pose(rows, cell)
        if len(found) <= limit:
            return found
    return found.take(np.linspace(0, len(found) - 1, limit).astype(np.int64))


def _by_pose(rows: RangeRows, cell: float) -> RangeRows:
    pose = np.concatenate([rows.tag_m, rows.body[:, :, 0], rows.body[:, :, 2]], 1)
    who = np.stack([rows.room, rows.block, rows.tag, rows.anchor], 1)
    keys = np.concatenate([who, np.floor(pose / cell).astype(np.int64)], 1)
    _, first, which = np.unique(keys, axis=0, return_index=True, return_inverse=True)
    which = which.ravel()
    count: Float64Array = np.bincount(which, rows.count).astype(np.float64)
    mean = np.bincount(which, rows.error_m * rows.count) / count
    return replace(rows.take(first), error_m=mean, count=count)


def _until(sequence: UwbSequence, fraction: float) -> UwbSequence:
    if not 0.0 < fraction <= 1.0:
        raise DatasetError(f"{sequence.name}: until is {fraction}, expected above 0 to 1")
    end = sequence.time_s[0] + fraction * sequence.duration_s
    return sequence if fraction == 1.0 else sequence.select(sequence.time_s <= end)


def _room(rooms: list[Mapping[str, Anchor]], anchors: Mapping[str, Anchor]) -> int:
    """Return the number of the constellation, a new one when these anchors stood elsewhere."""
    for number, known in enumerate(rooms):
        shared = set(known) & set(anchors)
        off = [
            np.linalg.norm(np.subtract(known[name].position_m, anchors[name].position_m))
            for name in shared
        ]
        if shared and max(off) < SAME_PLACE_M:
            rooms[number] = {**anchors, **known}  # or a room could creep along
            return number
    rooms.append(dict(anchors))
    return len(rooms) - 1


def _usable(s: UwbSequence) -> NDArray[np.bool_]:
    usable: NDArray[np.bool_] = s.has_truth & ~s.outlier & np.isfinite(s.range_m)
    return usable


def _rows(
    s: UwbSequence,
    good: IntArray,
    room: int,
    tags: Sequence[str],
    anchors: Sequence[str],
    bin_s: float,
) -> RangeRows:
    slot = np.floor((s.time_s - s.time_s[0]) / bin_s).astype(np.int64)
    keys = np.stack([s.segment, slot, s.tag, s.anchor], 1)[good]
    _, which = np.unique(keys, axis=0, return_inverse=True)
    which = which.ravel()
    count = np.bincount(which)
    error = np.bincount(which, s.error_m[good]) / count
    # One pose stands for the bin: the body moves little in it.
    order = np.argsort(which, kind="stable")
    at = good[order[np.cumsum(count) - 1 - count // 2]]
    frames = anchor_rotations(tuple(s.anchors.values()))
    return RangeRows(
        error_m=error,
        tag=np.array([tags.index(name) for name in s.tags])[s.tag[at]],
        anchor=np.array([anchors.index(name) for name in s.anchors])[s.anchor[at]],
        room=np.full(len(at), room),
        block=piece_of_time(s)[at],
        tag_m=s.tag_position_m[at],
        body=quat_to_matrix(s.orientation_xyzw[at]),
        anchor_m=s.anchor_position_m[at],
        anchor_body=frames[s.anchor[at]],
        count=count.astype(np.float64),
    )


def piece_of_time(s: UwbSequence) -> IntArray:
    """Return for each range (N,) in which fifth of the recording it is, 0 to 4."""
    elapsed = (s.time_s - s.time_s[0]) / max(s.duration_s, 1e-9)
    ends = np.linspace(0.0, 1.0, BLOCKS + 1)[1:-1]
    pieces: IntArray = np.searchsorted(ends, elapsed).astype(np.int64)
    return pieces
