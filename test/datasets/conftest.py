from __future__ import annotations

import gzip
import os
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest


def idx_bytes(array: np.ndarray) -> bytes:
    """The idx file of a uint8 array."""
    return struct.pack(f">4B{array.ndim}I", 0, 0, 8, array.ndim, *array.shape) + array.tobytes()


@pytest.fixture
def write_idx() -> Callable[[Path, np.ndarray], None]:
    def write(path: Path, array: np.ndarray) -> None:
        data = idx_bytes(array)
        path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)

    return write


@pytest.fixture
def tiny_mnist(tmp_path: Path, write_idx: Callable[[Path, np.ndarray], None]) -> Path:
    """A directory with 20 training and 10 test images in the four files of MNIST."""
    folder = tmp_path / "tiny_mnist"
    folder.mkdir()
    draw = np.random.default_rng(1)
    for prefix, count in (("train", 20), ("t10k", 10)):
        images = draw.integers(0, 256, (count, 28, 28), dtype=np.uint8)
        labels = (np.arange(count) % 10).astype(np.uint8)
        write_idx(folder / f"{prefix}-images-idx3-ubyte.gz", images)
        write_idx(folder / f"{prefix}-labels-idx1-ubyte.gz", labels)
    return folder


@pytest.fixture(scope="session")
def real_mnist() -> Path:
    """The directory with the real MNIST, or a visible skip."""
    variable = os.environ.get("NN_PERCEPTION_DATA")
    beside = Path(__file__).resolve().parents[2].parent / "shared" / "data"
    for root in ([Path(variable)] if variable else []) + [beside]:
        for folder in (root, root / "digits", root / "mnist"):
            if (folder / "t10k-images-idx3-ubyte.gz").is_file():
                return folder
    pytest.skip("no MNIST in $NN_PERCEPTION_DATA or ../shared/data/digits")
