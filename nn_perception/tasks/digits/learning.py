"""Digits: MNIST when there is one, scikit-learn's scanned digits otherwise."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from nn_perception.datasets.arrays import ImageSet
from nn_perception.datasets.builtin import BUILTIN, load_builtin_digits
from nn_perception.datasets.digit_crops import cut_from_frames
from nn_perception.datasets.digit_frames import TRAIN_SEEDS, photographs_at_hand
from nn_perception.datasets.images import load_image_set
from nn_perception.datasets.mnist import find_mnist, has_mnist, load_mnist
from nn_perception.datasets.negatives import digit_negatives
from nn_perception.errors import ConfigError
from nn_perception.tasks.classification import ImagePreprocessing, converter
from nn_perception.tasks.digits.pipeline import PREPROCESSING
from nn_perception.training.classifier_arguments import ClassifierArguments, More
from nn_perception.training.image_classification import ImageClassificationLearning

LOGGER = logging.getLogger(__name__)

LABELS = tuple("0123456789")


def load_training_digits(data: Path | None) -> ImageSet:
    """Load the training split of the digits at ``data``, never the test split.

    Without a path: MNIST from ``$NN_PERCEPTION_DATA`` or the download cache, else the digits that
    come with scikit-learn. The word ``builtin`` instead of a path gives the latter in any case.

    Raises:
        DatasetError: the path holds no usable digits.
    """
    if str(data) == BUILTIN and not Path(BUILTIN).exists():
        return load_builtin_digits("train")
    if data is not None and not has_mnist(data, "train") and _is_other_set(data):
        return load_image_set(
            data, split="train", class_names=LABELS, convert=converter(PREPROCESSING)
        )
    directory = find_mnist(data, ("train",))
    if directory is not None:
        return load_mnist(directory, "train")
    LOGGER.warning(
        "no MNIST found (--data, $NN_PERCEPTION_DATA, 'nn-perception download mnist'): training "
        "on the 8x8 digits that come with scikit-learn"
    )
    return load_builtin_digits("train")


def _is_other_set(data: Path) -> bool:
    """Tell an .npz, or a folder with a sub-folder per digit, from a place where MNIST may lie."""
    return data.is_file() or any((data / label).is_dir() for label in (*LABELS, "train"))


@dataclass(frozen=True)
class DigitArguments(ClassifierArguments):
    """What ``task_arguments`` may say about digits.

    Attributes:
        frames: camera frames that are generated from the digits; what a finder cuts out of them
            is learnt too. 0: the digits as they are.
    """

    frames: int = 0

    def __post_init__(self) -> None:
        """Check the ranges.

        Raises:
            ConfigError: a value out of its range.
        """
        super().__post_init__()
        if not 0 <= self.frames <= 1_000_000:
            raise ConfigError(f"'task_arguments.frames' is {self.frames}; expected 0 to 1,000,000")


class DigitLearning(ImageClassificationLearning):
    """Ten digits, 28x28 grey pictures."""

    task = "digits"
    recipes = "nn_perception.tasks.digits.recipes"
    default_network = "digit_cnn"
    arguments_type = DigitArguments

    @classmethod
    def preprocessing_of(cls, arguments: Any) -> ImagePreprocessing:
        """Every network of this task takes pictures as MNIST has them."""
        return PREPROCESSING

    @classmethod
    def negatives(
        cls, images: npt.NDArray[np.uint8], count: int, seed: int
    ) -> npt.NDArray[np.uint8]:
        """Make letters, strokes and textures; see `digit_negatives`."""
        return digit_negatives(count, seed)[:, None]

    def extend(
        self, images: npt.NDArray[np.uint8], labels: npt.NDArray[np.int64], seed: int
    ) -> More:
        """Write the digits into camera frames, and cut out what a finder finds there."""
        assert isinstance(self.arguments, DigitArguments)
        whole = len(self.data.labels)
        count = round(self.arguments.frames * len(labels) / whole)
        if not count:
            return super().extend(images, labels, seed)
        digits = ImageSet.create(images[:, 0], labels, LABELS, self.data.source)
        # Seeds of training frames, see `digit_frames.TRAIN_SEEDS`.
        crops = cut_from_frames(
            digits, photographs_at_hand("train"), count, seed % len(TRAIN_SEEDS)
        )
        return More(crops.digits[:, None], crops.labels, crops.others[:, None])

    def load_data(self, data: Path | None) -> ImageSet:
        """See `load_training_digits`."""
        return load_training_digits(data)
