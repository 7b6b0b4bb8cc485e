"""What the training of image classifiers may be told, and given beside a data set."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from nn_perception.errors import ConfigError

LossName = Literal["cross_entropy", "bce", "mse", "squared_error", "perceptron"]
"""See `nn_perception.training.losses`."""


@dataclass(frozen=True)
class ClassifierArguments:
    """What ``task_arguments`` of an image classifier may say; a task may add to it.

    Attributes:
        background: negatives in a batch, as a share of the batch; 0: no background class.
        negatives: how many negatives are made before training; they are distorted as pictures are.
        class_weights: ``balanced`` weighs each class by the inverse of its number of pictures.
        loss: see `nn_perception.training.losses`; answers are read as logits of a softmax whatever
            the loss.
        samples: so many pictures of the training data are used, the same share of each class,
            drawn by the seed; 0: all.
    """

    background: float = 0.0
    negatives: int = 20_000
    class_weights: Literal["none", "balanced"] = "none"
    loss: LossName = "cross_entropy"
    samples: int = 0

    def __post_init__(self) -> None:
        """Check the ranges.

        Raises:
            ConfigError: a value out of its range.
        """
        if not 0.0 <= self.background <= 10.0:
            raise ConfigError(
                f"'task_arguments.background' is {self.background}; expected 0 (none) to 10"
            )
        if not 1 <= self.negatives <= 10_000_000:
            raise ConfigError(
                f"'task_arguments.negatives' is {self.negatives}; expected 1 to 10,000,000"
            )
        if self.samples < 0:
            raise ConfigError(
                f"'task_arguments.samples' is {self.samples}; expected 0 (all) or more"
            )


class More(NamedTuple):
    """Pictures beside those of a data set, (N, C, H, W) uint8.

    Attributes:
        images: pictures of the classes.
        labels: (N,) int64 class of each.
        negatives: pictures of none of them.
    """

    images: npt.NDArray[np.uint8]
    labels: npt.NDArray[np.int64]
    negatives: npt.NDArray[np.uint8]
