"""One loader for whatever holds recordings of UWB ranges."""

from __future__ import annotations

import logging
from collections import Counter
from pathlib import Path

from nn_perception.datasets.environment import DATA_VARIABLE, data_from_environment
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

_BAG_FILES = (".mcap", ".db3")
_EXPECTED = "expected UWB ranges as .csv.gz or .csv, a bag, or a directory of these"


def load_uwb_data(path: Path) -> list[UwbSequence]:
    """Read recordings: one .csv.gz or .csv file, one bag, or a directory of such files and bags.

    A directory is searched one level deep; what is neither bag nor a file with the columns of
    ranges is passed over. The word ``simulated`` instead of a path gives simulated flights, other
    than those that training simulates.

    Returns:
        The recordings in order of name.

    Raises:
        DatasetError: nothing is there, two have one name, or one of them cannot be read; the
            message names it.
    """
    if str(path) == SIMULATED and not Path(path).exists():
        return simulated_uwb(TEST_SEEDS)
    found = [_read(source) for source in find_uwb_sources(path)]
    names = Counter(sequence.name for sequence in found)
    twice = [name for name, count in names.items() if count > 1]
    if twice:
        raise DatasetError(
            f"{path}: {names[twice[0]]} recordings are called {twice[0]!r}, expected different "
            "names, by which figures are listed; rename one"
        )
    return sorted(found, key=lambda sequence: sequence.name)


def training_uwb(data: Path | None) -> list[UwbSequence]:
    """Read the recordings to train on.

    Args:
        data: a path for `load_uwb_data`, or a directory with a folder `FOLDER` in it. None:
            ``$NN_PERCEPTION_DATA``, and simulated ones where that is not set.

    Raises:
        DatasetError: see `load_uwb_data`, or ``$NN_PERCEPTION_DATA`` is no directory.
    """
    root = data_from_environment() if data is None else Path(data)
    if root is None:
        LOGGER.warning(
            "no recordings given (--data, $%s): training on simulated ranges", DATA_VARIABLE
        )
        return simulated_uwb(TRAINING_SEEDS)
    return load_uwb_data(root / FOLDER if (root / FOLDER).is_dir() else root)


def find_uwb_sources(path: Path) -> list[Path]:
    """Return the files and bags below a path that :func:`load_uwb_data` would read.

    Raises:
        DatasetError: nothing is there.
    """
    path = Path(path)
    if path.is_file() or _is_bag(path):
        return [path]
    if not path.is_dir():
        raise DatasetError(f"{path}: does not exist, {_EXPECTED}; correct the path")
    found = [
        child
        for child in sorted(path.iterdir())
        if child.suffix in _BAG_FILES or is_uwb_file(child) or _is_bag(child)
    ]
    if not found:
        raise DatasetError(f"{path}: holds no recording, {_EXPECTED}; name the right directory")
    return found


def _read(source: Path) -> UwbSequence:
    try:
        if source.suffix in _BAG_FILES or source.is_dir():
            return read_uwb_bag(source)
        if not source.name.endswith(SUFFIXES):
            raise DatasetError(f"{source}: is no recording by its name, {_EXPECTED}")
        return load_uwb_file(source)
    except DatasetError as error:
        if str(source) in str(error):
            raise
        raise DatasetError(f"{source}: {error}") from error


def _is_bag(path: Path) -> bool:
    """Whether it is a bag's directory; one without metadata.yaml too, to be refused by name."""
    if not path.is_dir():
        return False
    if (path / "metadata.yaml").is_file():
        return True
    # Bare files beside each other are recordings of their own; a single one is a broken bag.
    files = [child for child in path.iterdir() if child.suffix in _BAG_FILES]
    return len(files) == 1 and files[0].stem.startswith(path.name)
