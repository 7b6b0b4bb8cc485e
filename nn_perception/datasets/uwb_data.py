"""One loader for whatever holds recordings of UWB ranges."""

from __future__ import annotations

import logging
from pathlib import Path

from nn_perception.datasets.environment import DATA_VARIABLE, data_from_environment
from nn_perception.datasets.kept import kept
from nn_perception.datasets.recorded import LEARNED, is_dataset
from nn_perception.datasets.recorded_sequences import load_recorded_uwb
from nn_perception.datasets.sources import find_sources, in_order_of_name, is_bag, naming
from nn_perception.datasets.test_guard import check_test_part
from nn_perception.datasets.uwb import UwbSequence
from nn_perception.datasets.uwb_bags import read_uwb_bag
from nn_perception.datasets.uwb_files import SUFFIXES, is_uwb_file, load_uwb_file
from nn_perception.datasets.uwb_simulated import (
    SIMULATED,
    TEST_SEEDS,
    TRAINING_SEEDS,
    simulated_uwb,
)
from nn_perception.errors import DatasetError

LOGGER = logging.getLogger(__name__)

FOLDER = "uwb"
"""Of the recordings below a root of data sets."""

_EXPECTED = "expected UWB ranges as .csv.gz or .csv, a bag, or a directory of these"


def load_uwb_data(path: Path) -> list[UwbSequence]:
    """Read recordings: one .csv.gz or .csv file, one bag, or a directory of such files and bags.

    A directory is searched one level deep; what is neither bag nor a file with the columns of
    ranges is passed over. Of a data set that was built from bags the part test is read. The word
    ``simulated`` instead of a path gives simulated flights, other than those that training
    simulates.

    Returns:
        The recordings in order of name.

    Raises:
        DatasetError: nothing is there, two have one name, or one of them cannot be read; the
            message names it.
    """
    check_test_part(f"{path}: what is evaluated of it")
    if str(path) == SIMULATED and not Path(path).exists():
        return simulated_uwb(TEST_SEEDS)
    if is_dataset(path):
        return load_recorded_uwb(path, ("test",))
    return _read_all(path)


def training_uwb(data: Path | None) -> list[UwbSequence]:
    """Read the recordings to train on.

    Args:
        data: a path for `load_uwb_data`, or a directory with a folder `FOLDER` in it; of a data
            set that was built from bags the parts train and validation are read. None:
            ``$NN_PERCEPTION_DATA``, and simulated ones where that is not set. The word
            ``simulated`` gives the latter in any case.

    Raises:
        DatasetError: see `load_uwb_data`, or ``$NN_PERCEPTION_DATA`` is no directory.
    """
    return kept(("uwb", data), lambda: _training_uwb(data))


def find_uwb_sources(path: Path) -> list[Path]:
    """Return the files and bags below a path that :func:`load_uwb_data` would read.

    Raises:
        DatasetError: nothing is there.
    """
    return find_sources(path, is_uwb_file, _EXPECTED)


def _training_uwb(data: Path | None) -> list[UwbSequence]:
    root = data_from_environment() if data is None else Path(data)
    if str(root) == SIMULATED and not Path(SIMULATED).exists():
        return simulated_uwb(TRAINING_SEEDS)
    if root is None:
        LOGGER.warning(
            "no recordings given (--data, $%s): training on simulated ranges", DATA_VARIABLE
        )
        return simulated_uwb(TRAINING_SEEDS)
    if is_dataset(root):
        return load_recorded_uwb(root, LEARNED)
    return _read_all(root / FOLDER if (root / FOLDER).is_dir() else root)


def _read_all(path: Path) -> list[UwbSequence]:
    return in_order_of_name([_read(source) for source in find_uwb_sources(path)], path)


def _read(source: Path) -> UwbSequence:
    with naming(source):
        if source.is_dir() or is_bag(source):
            return read_uwb_bag(source)
        if not source.name.endswith(SUFFIXES):
            raise DatasetError(f"{source}: is no recording by its name, {_EXPECTED}")
        return load_uwb_file(source)
