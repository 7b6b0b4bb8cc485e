"""Digits: whole frame in, ten probabilities out."""

from __future__ import annotations

from nn_perception.tasks.classification import ImagePreprocessing
from nn_perception.tasks.image_pipeline import ImageClassificationPipeline

PREPROCESSING = ImagePreprocessing(
    channels=1, height=28, width=28, fit="center_crop", polarity="bright_on_dark"
)
"""What MNIST is: grey, 28x28, bright ink on a dark ground."""


class DigitPipeline(ImageClassificationPipeline):
    """Classifies a frame that shows one digit; bright on dark and dark on bright alike."""
