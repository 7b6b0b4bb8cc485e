"""Simulated recordings to train, test and try things with, where no data set is at hand."""

from __future__ import annotations

from collections.abc import Iterable

from nn_perception.datasets.imu import ImuSequence
from nn_perception.datasets.imu_simulator import Motion, simulate_imu

SIMULATED = "simulated"
"""Stands for a path wherever recordings are asked for."""
TRAINING_SEEDS = range(20)
TEST_SEEDS = range(100, 104)
"""What `SIMULATED` gives; training never sees these."""

_RATE_HZ = 200.0
_KINDS = ((1.0, 1.0), (3.0, 2.0), (0.7, 4.0), (5.0, 5.0))  # rad/s, m/s2


def simulated_recordings(seeds: Iterable[int], duration_s: float = 60.0) -> list[ImuSequence]:
    """Return one recording a seed, of slow, turning, shaking and violent motion in turn."""
    return [
        simulate_imu(_RATE_HZ, seed, Motion(duration_s, *_KINDS[seed % len(_KINDS)]))
        for seed in seeds
    ]
