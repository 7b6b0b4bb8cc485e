"""Which part of what was trained on is held out, to measure on."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np

from nn_perception.datasets.builtin import BUILTIN
from nn_perception.datasets.imu_simulated import SIMULATED
from nn_perception.datasets.mnist import has_mnist
from nn_perception.datasets.recorded import is_dataset, read_manifest

WORDS = (BUILTIN, SIMULATED)
"""Stand for data with a fixed held-out part; see the loaders."""


def is_word(data: str) -> bool:
    """Whether it is one of the words that stand for data, and no file of that name."""
    return data in WORDS and not Path(data).exists()


def has_held_out_part(data: str) -> bool:
    """Whether an evaluation of this data takes a part of it that training never sees.

    That is so for a data set with rows to test on, for the words, and for pictures that lie in
    parts: MNIST's files, folders ``train`` and ``test``, an .npz with arrays of both.

    Raises:
        DatasetError: a data set is damaged.
    """
    if is_word(data):
        return True
    path = Path(data)
    if is_dataset(path):
        return int(read_manifest(path)["parts"]["test"]["rows"]) > 0
    return has_mnist(path, "test") or _has_test_folder(path) or _in_npz(path)


def _has_test_folder(path: Path) -> bool:
    return (path / "train").is_dir() and (path / "test").is_dir()


def _in_npz(path: Path) -> bool:
    files = sorted(path.glob("*.npz")) if path.is_dir() else [path]
    if len(files) != 1 or files[0].suffix != ".npz":
        return False
    try:
        with np.load(files[0], allow_pickle=False) as archive:
            names = set(archive.files)
    except (OSError, ValueError, AttributeError, zipfile.BadZipFile):
        return False
    return {"test_labels", "train_labels"} <= names or {"y_test", "y_train"} <= names
