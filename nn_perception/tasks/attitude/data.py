"""Recordings to train the attitude filter on, split by recording, as arrays of blocks."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from nn_perception.datasets.environment import DATA_VARIABLE
from nn_perception.datasets.imu import ImuSequence
from nn_perception.datasets.imu_bias import constant_bias
from nn_perception.datasets.imu_data import training_recordings
from nn_perception.datasets.imu_files import (
    BROAD_FOLDS,
    EUROC_TEST,
    EUROC_TRAIN,
    TUMVI_TEST,
    TUMVI_TRAIN,
    broad_trial,
)
from nn_perception.datasets.kept import kept
from nn_perception.errors import DatasetError
from nn_perception.inertial.blocks import cut_into_blocks
from nn_perception.rotations import quat_exp, quat_multiply
from nn_perception.training.folds import Fold, recording_of

SECOND_RATE_HZ = 50.0
"""Every training recording is also used as a slow sensor would have shown it."""
_REST_WEIGHT = 0.3
_ESTIMATED_TRUTH_WEIGHT = 0.3
"""EuRoC's and TUM-VI's truth is partly estimated with the same sensor's accelerometer."""


@dataclass(frozen=True)
class Track:
    """One recording as blocks; see `cut_into_blocks` for the keys of ``arrays``.

    ``own_rate`` is False for a copy at another sample rate.
    """

    name: str
    sha256: str
    arrays: dict[str, np.ndarray]
    own_rate: bool = True


@dataclass(frozen=True)
class AttitudeData:
    """Recordings by their use.

    Attributes:
        train: blocks to train on; a recording may be there at two rates.
        validation: blocks to watch, none of them in ``train``.
        left_out: names of recordings kept for a test, not loaded into either.
        source: where they come from, in words.
    """

    train: tuple[Track, ...]
    validation: tuple[Track, ...]
    left_out: tuple[str, ...]
    source: str


def load_tracks(data: Path | None, fold: int, cross: Fold | None = None) -> AttitudeData:
    """Load and split recordings; the test sequences of EuRoC and TUM-VI are never in.

    BROAD's trials of fold ``fold`` are left out, those of the next fold validate. Where there is no
    BROAD, every fifth recording validates. A data set that was built from bags says itself what
    validates, and nothing is left out of it.

    Args:
        data: a path for `load_imu_data`, or a directory with ``attitude/`` and ``imu/`` in it.
            None: ``$NN_PERCEPTION_DATA``, and the simulator where that is not set.
        fold: 0 to 5; -1 leaves no trial out.
        cross: what validates instead, of all that is not left out; a trial as a whole.

    Raises:
        DatasetError: nothing usable is there, or too little for the folds.
    """
    sequences, source = _load(data)
    validating = {s.name for s in sequences if s.part == "validation"}
    left_out: set[str] = set()
    if not validating:
        validating, left_out = _split([s.name for s in sequences], fold)
    usable = [s for s in sequences if s.name not in left_out]
    if cross is not None:
        validating = set(cross.recordings([s.name for s in usable], _trial))
    tracks = {s.name: kept(("tracks", s.name, s.sha256), partial(_both_rates, s)) for s in usable}
    train = [track for s in usable if s.name not in validating for track in tracks[s.name]]
    validation = [tracks[s.name][0] for s in usable if s.name in validating]
    if not train or not validation:
        raise DatasetError(
            f"{source}: {len(train)} recordings to train on and {len(validation)} to validate, "
            "expected at least one of each with a true orientation; give a directory with more"
        )
    return AttitudeData(tuple(train), tuple(validation), tuple(sorted(left_out)), source)


def gather(tracks: Sequence[Track]) -> dict[str, torch.Tensor]:
    """Return arrays (recording, block, ...) padded to the longest, and their ``length``."""
    longest = max(len(track.arrays["duration"]) for track in tracks)
    padded: dict[str, torch.Tensor] = {}
    for key in tracks[0].arrays:
        rows = [_padded(track.arrays[key], longest, key) for track in tracks]
        padded[key] = torch.from_numpy(np.stack(rows))
    padded["length"] = torch.tensor([len(track.arrays["duration"]) for track in tracks])
    return padded


def _padded(rows: np.ndarray, length: int, key: str) -> np.ndarray:
    missing = length - len(rows)
    last = np.zeros_like(rows[-1:]) if key in ("weight", "moving") else rows[-1:]
    return np.concatenate([rows, np.repeat(last, missing, axis=0)])


def _load(data: Path | None) -> tuple[list[ImuSequence], str]:
    sequences = training_recordings(data, ("attitude", "imu"))
    known = [s for s in sequences if s.has_truth.any()]
    source = ", ".join(sorted({s.source for s in known}))
    if not known:
        raise DatasetError(
            f"{data or '$' + DATA_VARIABLE}: none of its {len(sequences)} recordings has a true "
            "orientation; give ones that have"
        )
    return known, source


def _split(names: Iterable[str], fold: int) -> tuple[set[str], set[str]]:
    """Return the names that validate and those left out."""
    names = list(names)
    left_out = {name for name in names if name in (*EUROC_TEST, *TUMVI_TEST)}
    trials = {name: broad_trial(name) for name in names if name.split("_")[0].isdecimal()}
    if trials:
        # By number, not by name: several recordings of one trial go the same way.
        if fold >= 0:
            left_out |= {name for name, trial in trials.items() if trial in BROAD_FOLDS[fold]}
        following = BROAD_FOLDS[(fold + 1) % 6]
        validating = {name for name, trial in trials.items() if trial in following}
        return validating - left_out, left_out
    rest = [name for name in names if name not in left_out]
    return set(rest[4::5] or rest[-1:]) if len(rest) > 1 else set(), left_out


def _trial(name: str) -> str:
    """Return what a recording is of: a trial of BROAD by its number, or a bag."""
    return name.split("_")[0] if name.split("_")[0].isdecimal() else recording_of(name)


def _both_rates(sequence: ImuSequence) -> list[Track]:
    slow = sequence.rate_hz > 1.5 * SECOND_RATE_HZ
    if not slow:
        return [_track(sequence)]
    return [_track(sequence), replace(_track(sequence.resample(SECOND_RATE_HZ)), own_rate=False)]


def _track(sequence: ImuSequence) -> Track:
    # Biases are added in training, and of one size: those of EuRoC, 5 deg/s, would drown the rest.
    gyro = sequence.gyro_rad_s - (constant_bias(sequence) if sequence.has_truth.any() else 0.0)
    blocks = cut_into_blocks(sequence.time_s, gyro, sequence.accel_m_s2)
    end = blocks.pop("end").astype(int)
    truth = _truth(sequence)[end]
    known = np.isfinite(truth[:, 3])
    moving = known if sequence.movement is None else known & sequence.movement[end]
    estimated = sequence.name in (*EUROC_TRAIN, *TUMVI_TRAIN)
    weight = np.where(moving, 1.0, _REST_WEIGHT) * known
    arrays: dict[str, Any] = {key: rows.astype(np.float32) for key, rows in blocks.items()}
    arrays["truth"] = np.where(known[:, None], truth, [0.0, 0.0, 0.0, 1.0]).astype(np.float32)
    arrays["weight"] = (weight * (_ESTIMATED_TRUTH_WEIGHT if estimated else 1.0)).astype(np.float32)
    # Figures are those of motion; a recording of rest alone has no others than its own.
    arrays["moving"] = moving if moving.any() else known
    return Track(sequence.name, sequence.sha256, arrays)


def _truth(sequence: ImuSequence) -> np.ndarray:
    """Return the orientation that a late sensor's samples show: that of a little earlier."""
    truth = sequence.orientation_xyzw
    if truth is None:
        return np.full((len(sequence), 4), np.nan)
    return np.asarray(
        quat_multiply(truth, quat_exp(-sequence.sensor_delay_s * sequence.gyro_rad_s))
    )
