"""Recordings of one sensor with true orientation, to train its correction on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from nn_perception.datasets.imu import ImuSequence
from nn_perception.datasets.imu_bias import constant_bias
from nn_perception.datasets.imu_data import training_recordings
from nn_perception.datasets.imu_files import EUROC_TEST, TUMVI_TEST
from nn_perception.errors import DatasetError, nearest
from nn_perception.training.folds import Fold, recording_of

_RATE_TOLERANCE = 0.02


@dataclass(frozen=True)
class GyroData:
    """Recordings by their use.

    Attributes:
        train: to train on.
        validation: left out of the training; may be empty.
        source: where they come from, in words.
        rate_hz: their common sample rate.
        mean_bias_rad_s: (3,) mean over the training recordings of each one's constant bias.
    """

    train: tuple[ImuSequence, ...]
    validation: tuple[ImuSequence, ...]
    source: str
    rate_hz: float
    mean_bias_rad_s: tuple[float, ...]


def load_recordings(
    data: Path | None,
    prefix: str,
    leave_out: Sequence[str],
    cross: Fold | None = None,
) -> GyroData:
    """Load the recordings of one sensor; test sequences of EuRoC and TUM-VI are never in.

    Args:
        data: a path for `load_imu_data`, or a directory with ``imu/`` in it. None:
            ``$NN_PERCEPTION_DATA``, and the simulator where that is not set.
        prefix: only recordings whose name starts so.
        leave_out: names of recordings that validate.
        cross: what validates instead, of all of them; pieces of one bag together.

    Raises:
        DatasetError: nothing usable, several sensors, other sample rates, or fewer recordings than
            folds.
    """
    found = [
        s
        for s in training_recordings(data, ("imu",))
        if s.name.startswith(prefix) and s.has_truth.any()
    ]
    # What a data set holds beside its test part is to be learned from, whatever it is called.
    usable = [s for s in found if s.part or s.name not in (*EUROC_TEST, *TUMVI_TEST)]
    sources = sorted({s.source for s in usable})
    if len(sources) != 1:
        raise DatasetError(
            f"recordings with truth come from {len(sources)} sources ({', '.join(sources)}), "
            "expected one sensor, since its scale and bias are learned: choose the recordings by "
            "task_arguments.prefix=NAME or another --data"
        )
    names = [s.name for s in usable]
    for name in leave_out:
        if name not in names:
            raise DatasetError(
                f"leave_out names '{name}', which is not there{nearest(name, names)}; there are: "
                f"{', '.join(names)}"
            )
    validating = {*leave_out, *(s.name for s in usable if s.part == "validation")}
    if cross is not None:
        validating = {*cross.recordings(names, recording_of)}
    train = tuple(s for s in usable if s.name not in validating)
    if not train:
        raise DatasetError("every recording is left out; leave some to train on")
    rate_hz = float(np.median([s.rate_hz for s in train]))
    for s in usable:
        if abs(s.rate_hz / rate_hz - 1.0) > _RATE_TOLERANCE:
            raise DatasetError(
                f"{s.name} has {s.rate_hz:.1f} Hz, expected {rate_hz:.1f} Hz as the others: "
                "resample it"
            )
    bias = np.mean([constant_bias(s) for s in train], axis=0)
    validation = tuple(s for s in usable if s.name in validating)
    return GyroData(train, validation, sources[0], round(rate_hz, 1), tuple(bias.tolist()))


def pack(recordings: Sequence[ImuSequence]) -> dict[str, torch.Tensor]:
    """Return whole recordings, padded to the longest.

    ``samples`` (B, T, 6), ``dt`` (B, T, 1) since the sample before, ``there`` (B, T) whether it is
    no padding, ``target`` (B, T, 6): truth, whether it is known, dt.
    """
    longest = max(len(s) for s in recordings)
    samples = np.zeros((len(recordings), longest, 6), np.float32)
    dt = np.zeros((len(recordings), longest, 1), np.float32)
    target = np.zeros((len(recordings), longest, 6), np.float32)
    there = np.zeros((len(recordings), longest), bool)
    for i, s in enumerate(recordings):
        n = len(s)
        samples[i, :n] = np.concatenate([s.gyro_rad_s, s.accel_m_s2], 1)
        samples[i, n:] = samples[i, n - 1]
        dt[i, 1:n, 0] = np.diff(s.time_s)
        dt[i, n:] = 1.0 / s.rate_hz
        known = s.has_truth
        truth = s.orientation_xyzw if s.orientation_xyzw is not None else np.zeros((n, 4))
        target[i, :n, :4] = np.where(known[:, None], truth, [0.0, 0.0, 0.0, 1.0])
        target[i, n:, 3] = 1.0
        target[i, :n, 4] = known
        there[i, :n] = True
    target[..., 5:] = dt
    return {
        name: torch.from_numpy(array)
        for name, array in {"samples": samples, "dt": dt, "target": target, "there": there}.items()
    }
