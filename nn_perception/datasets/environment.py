"""The directory of data sets that the environment names."""

from __future__ import annotations

import os
from pathlib import Path

from nn_perception.errors import DatasetError

DATA_VARIABLE = "NN_PERCEPTION_DATA"

# Where below that directory each data set lies.
DIGITS = Path("digits")
"""MNIST's idx files."""
ROAD4 = Path("objects", "road4.npz")
"""Pictures of road objects."""
CAMERA = Path("camera")
"""Photographs."""


def data_from_environment() -> Path | None:
    """Return the directory that ``$NN_PERCEPTION_DATA`` names; None where it is not set.

    Raises:
        DatasetError: it is no directory.
    """
    variable = os.environ.get(DATA_VARIABLE, "")
    if variable and not Path(variable).is_dir():
        raise DatasetError(
            f"${DATA_VARIABLE} is {variable!r}, expected a directory; correct or unset it"
        )
    return Path(variable) if variable else None
