"""Kernels as one writes them by hand, as fixed convolutions, and pictures to see them on."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from nn_perception.datasets.images import read_picture
from nn_perception.errors import DatasetError

FloatArray = npt.NDArray[np.float64]
Grey = npt.NDArray[np.uint8]

KERNELS: dict[str, FloatArray] = {
    name: np.array(rows, dtype=np.float64) / divisor
    for name, rows, divisor in (
        ("identity", ((0, 0, 0), (0, 1, 0), (0, 0, 0)), 1),
        ("sharpen", ((0, -1, 0), (-1, 5, -1), (0, -1, 0)), 1),
        ("box blur", ((1, 1, 1), (1, 1, 1), (1, 1, 1)), 9),
        ("Gaussian blur", ((1, 2, 1), (2, 4, 2), (1, 2, 1)), 16),
        ("Sobel x", ((-1, 0, 1), (-2, 0, 2), (-1, 0, 1)), 1),
        ("Sobel y", ((-1, -2, -1), (0, 0, 0), (1, 2, 1)), 1),
        ("Laplace", ((0, 1, 0), (1, -4, 1), (0, 1, 0)), 1),
    )
}
"""3x3, as they are laid over a picture: a network's convolution does not turn them over."""

EDGES = tuple(name for name, kernel in KERNELS.items() if kernel.sum() == 0)
"""Those that answer 0 where nothing changes."""

CREDIT = "scikit-learn's china.jpg by danielbuechele, CC BY 2.0"
WIDTH_PX = 320
"""Pictures are reduced to this width, so that a kernel's three pixels can be seen."""


class FixedConvolution(nn.Module):
    """Convolutions with weights that are given and never trained; the size of pictures stays.

    Beyond its border a picture is reflected, ``dcb|abcd|cba``, as ``cv2.filter2D`` does it.

    Args:
        kernels: name -> (k, k), k odd.
    """

    def __init__(self, kernels: dict[str, FloatArray]) -> None:
        super().__init__()
        weights = torch.from_numpy(np.stack(list(kernels.values())))[:, None]
        outputs, _, size, _ = weights.shape
        self.convolution = nn.Conv2d(
            1, outputs, size, padding=size // 2, padding_mode="reflect", bias=False
        ).double()
        self.convolution.weight = nn.Parameter(weights, requires_grad=False)

    def forward(self, pictures: Tensor) -> Tensor:
        """Return the answers (N, kernels, H, W) of grey pictures (N, 1, H, W)."""
        answers: Tensor = self.convolution(pictures.double())
        return answers


def filtered(picture: Grey) -> dict[str, FloatArray]:
    """Return the answers (H, W) of all `KERNELS` to a grey picture (H, W)."""
    with torch.no_grad():
        answers = FixedConvolution(KERNELS)(torch.from_numpy(picture)[None, None])[0]
    return dict(zip(KERNELS, answers.numpy(), strict=True))


def nearest_kernel(weights: FloatArray) -> tuple[str, float]:
    """Return the kernel with the largest absolute cosine to 3x3 weights, and the cosine.

    Identity and sharpen are left out: a sum of the others and themselves, they are near to much.
    """
    names = ("box blur", *EDGES)
    cosines = {name: cosine(weights, KERNELS[name]) for name in names}
    name = max(names, key=lambda name: abs(cosines[name]))
    return name, cosines[name]


def cosine(first: FloatArray, second: FloatArray) -> float:
    """Return the cosine of the angle between two arrays as vectors; 0 where one is 0."""
    size = float(np.linalg.norm(first) * np.linalg.norm(second))
    return float((first * second).sum()) / size if size else 0.0


def load_picture(path: Path | None) -> tuple[Grey, str]:
    """Return a grey picture (H, W), and in words where it is from.

    Args:
        path: of a picture file; None: a photograph that comes with scikit-learn, and where that is
            not installed with pictures a drawn one.

    Raises:
        DatasetError: the file is no picture.
    """
    if path is not None:
        picture = read_picture(path, channels=1)
        if picture is None:
            raise DatasetError(
                f"{path}: expected a picture file, such as PNG or JPEG, that can be read"
            )
        return _reduced(picture[:, :, 0]), path.name
    try:
        file = resources.files("sklearn.datasets") / "images" / "china.jpg"
        with resources.as_file(file) as found:
            photograph = read_picture(found, channels=1)
    except (ImportError, OSError):
        photograph = None
    if photograph is None:
        return drawn_picture(), "a drawn picture"
    return _reduced(photograph[:, :, 0]), CREDIT


def drawn_picture() -> Grey:
    """Return a grey picture with a sky, a disc, a fence and a roof: edges of all directions."""
    height, width = 2 * WIDTH_PX // 3, WIDTH_PX
    rows, columns = np.mgrid[:height, :width].astype(np.float64)
    picture = 90 + 100 * rows / height
    picture[(rows - 60) ** 2 + (columns - 80) ** 2 < 40**2] = 240
    picture[(columns > 150) & (rows > 100 + 0.8 * abs(columns - 230))] = 60
    picture[(columns < 140) & (rows > 150) & (columns % 16 < 6)] = 30
    return np.asarray(picture, np.uint8)


def _reduced(picture: Grey) -> Grey:
    height, width = picture.shape
    if width <= WIDTH_PX:
        return picture
    size = (WIDTH_PX, max(3, round(height * WIDTH_PX / width)))
    return np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), np.uint8)
