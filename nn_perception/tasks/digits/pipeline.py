"""Digits: frame in, ten probabilities out, of the frame or of each digit found in it."""

from __future__ import annotations

from nn_perception.tasks.classification import ImagePreprocessing
from nn_perception.tasks.image_pipeline import ImageClassificationPipeline

PREPROCESSING = ImagePreprocessing(
    channels=1, height=28, width=28, fit="center_crop", polarity="bright_on_dark"
)
"""What MNIST is: grey, 28x28, bright ink on a dark ground."""


class DigitPipeline(ImageClassificationPipeline):
    """Classifies a frame, or regions of it, that show one digit each.

    Bright on dark and dark on bright are alike.
    """
