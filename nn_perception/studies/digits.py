"""The digits, of which studies watch both sides: what is trained on, and what validates."""

from __future__ import annotations

import torch.nn.functional as F

from nn_perception.tasks.digits.learning import DigitLearning
from nn_perception.training.learning import Predict


class WatchedDigits(DigitLearning):
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
