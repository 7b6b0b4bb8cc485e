"""One loader for whatever holds recordings of inertial sensors."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

from nn_perception.datasets.environment import DATA_VARIABLE, data_from_environment
from nn_perception.datasets.imu import ImuSequence
from nn_perception.datasets.imu_bags import read_imu_bag
from nn_perception.datasets.imu_files import EUROC_TEST, TUMVI_TEST, load_imu_directory
from nn_perception.datasets.imu_simulated import (
    SIMULATED,
    TEST_SEEDS,
    TRAINING_SEEDS,
    simulated_recordings,
)
from nn_perception.datasets.kept import kept
from nn_perception.datasets.recorded import LEARNED, is_dataset
from nn_perception.datasets.recorded_sequences import load_recorded_imu
from nn_perception.datasets.sources import find_sources, in_order_of_name, is_bag, naming
from nn_perception.datasets.test_guard import are_test_parts_locked, check_test_part
from nn_perception.errors import DatasetError

LOGGER = logging.getLogger(__name__)

_EXPECTED = "expected .npz recordings of BROAD, EuRoC or TUM-VI, a bag, or a directory of these"


def load_imu_data(path: Path) -> list[ImuSequence]:
    """Read recordings: one .npz file, one bag, or a directory of such files and bags.

    A directory is searched one level deep; what is neither .npz nor bag is passed over. Of a data
    set that was built from bags the part test is read. The word
    ``simulated`` instead of a path gives simulated motion, other than what training simulates.

    Returns:
        The recordings in order of name.

    Raises:
        DatasetError: nothing is there, two have one name, or one of them cannot be read; the
            message names it.
    """
    check_test_part(f"{path}: what is evaluated of it")
    if str(path) == SIMULATED and not Path(path).exists():
        return simulated_recordings(TEST_SEEDS)
    if is_dataset(path):
        return _in_motion(path, load_recorded_imu(path, ("test",)))
    return read_recordings(path)


def training_recordings(data: Path | None, folders: Sequence[str]) -> list[ImuSequence]:
    """Read the recordings to train on.

    Args:
        data: a path for `load_imu_data`, or a directory with some of ``folders`` in it; of a data
            set that was built from bags the parts train and validation are read. None:
            ``$NN_PERCEPTION_DATA``, and simulated ones where that is not set. The word
            ``simulated`` gives the latter in any case.
        folders: names of directories to look into, where they are there.

    Raises:
        DatasetError: see `load_imu_data`, or ``$NN_PERCEPTION_DATA`` is no directory.
    """
    return kept(("imu", data, *folders), lambda: _training_recordings(data, folders))


def find_imu_sources(path: Path) -> list[Path]:
    """Return the files and bags below a path that :func:`load_imu_data` would read.

    Raises:
        DatasetError: nothing is there.
    """
    return find_sources(path, lambda child: child.suffix == ".npz", _EXPECTED)


def _training_recordings(data: Path | None, folders: Sequence[str]) -> list[ImuSequence]:
    root = data_from_environment() if data is None else data
    if str(root) == SIMULATED and not Path(SIMULATED).exists():
        return simulated_recordings(TRAINING_SEEDS)
    if root is None:
        LOGGER.warning(
            "no recordings given (--data, $%s): training on simulated motion", DATA_VARIABLE
        )
        return simulated_recordings(TRAINING_SEEDS)
    if is_dataset(root):
        return load_recorded_imu(root, LEARNED)
    below = [root / name for name in folders if (root / name).is_dir()]
    return [sequence for place in below or [root] for sequence in read_recordings(place)]


def read_recordings(path: Path) -> list[ImuSequence]:
    """Read files and bags as `load_imu_data` does, whatever they are for."""
    sources = find_imu_sources(path)
    if are_test_parts_locked():  # else a task leaves them out, and says so
        sources = [source for source in sources if source.stem not in (*EUROC_TEST, *TUMVI_TEST)]
    return in_order_of_name([s for source in sources for s in _read(source)], path)


def _in_motion(path: Path, pieces: list[ImuSequence]) -> list[ImuSequence]:
    """Leave out pieces that lie wholly in a rest: evaluations count samples in motion alone."""
    found = [
        piece
        for piece in pieces
        if piece.movement is None or (piece.movement & piece.has_truth).sum() > 1
    ]
    if not found:
        raise DatasetError(
            f"{path}: nothing moves in the part test; build it again with another --seed, or a "
            "longer --block-s"
        )
    return found


def _read(source: Path) -> list[ImuSequence]:
    with naming(source):
        if source.is_dir() or is_bag(source):
            return [read_imu_bag(source)]
        return load_imu_directory(source)
