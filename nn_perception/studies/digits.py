"""The digits as studies learn them: read once by a process, and watched on both sides."""

from __future__ import annotations

from pathlib import Path

import torch.nn.functional as F

from nn_perception.datasets.arrays import ImageSet
from nn_perception.studies.lab import digits
from nn_perception.tasks.digits.learning import DigitLearning
from nn_perception.training.learning import Predict


class StudiedDigits(DigitLearning):
    """The digits, of which a process keeps the data from one training to the next."""

    def load_data(self, data: Path | None) -> ImageSet:
        """See `nn_perception.studies.lab.digits`."""
        return digits(data)


class WatchedDigits(StudiedDigits):
    """The digits with figures of the pictures that are trained on, as they are, after each epoch.

    The loop's own ``train_loss`` is a mean over the epoch, while the weights change.
    """

    def validate(self, predict: Predict) -> dict[str, float]:
        """Return the validation's figures, and the same two of the training data."""
        images, labels = self._train
        logits = predict(images)
        return {
            **super().validate(predict),
            "training_loss": float(F.cross_entropy(logits, labels)),
            "training_accuracy": float((logits.argmax(1) == labels).double().mean()),
        }
