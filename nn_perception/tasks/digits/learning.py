"""Digits: MNIST when there is one, scikit-learn's scanned digits otherwise."""

from __future__ import annotations

import logging
from pathlib import Path

from nn_perception.datasets.arrays import ImageSet
from nn_perception.datasets.builtin import load_builtin_digits
from nn_perception.datasets.images import load_image_set
from nn_perception.datasets.mnist import find_mnist, is_mnist, load_mnist
from nn_perception.tasks.digits.pipeline import PREPROCESSING
from nn_perception.training.image_classification import ImageClassificationLearning

LOGGER = logging.getLogger(__name__)


def load_training_digits(data: Path | None) -> ImageSet:
    """Load the training split of the digits at ``data``, never the test split.

    Without a path: MNIST from ``$NN_PERCEPTION_DATA`` or the download cache, else the digits that
    come with scikit-learn.

    Raises:
        DatasetError: the path holds no usable digits.
    """
    if data is not None and not is_mnist(data):
        return load_image_set(data, split="train")
    directory = find_mnist(data)
    if directory is not None:
        return load_mnist(directory, "train")
    LOGGER.warning(
        "no MNIST found (--data, $NN_PERCEPTION_DATA, 'nn-perception download mnist'): training "
        "on the 8x8 digits that come with scikit-learn"
    )
    return load_builtin_digits("train")


class DigitLearning(ImageClassificationLearning):
    """Ten digits, 28x28 grey pictures."""

    task = "digits"
    recipes = "nn_perception.tasks.digits.recipes"
    default_network = "digit_cnn"
    preprocessing = PREPROCESSING
    load_data = staticmethod(load_training_digits)
