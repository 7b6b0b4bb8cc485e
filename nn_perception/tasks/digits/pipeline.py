"""Digits: whole frame in, ten probabilities out."""

from __future__ import annotations

from nn_perception.tasks.classification import ImageClassificationPipeline


class DigitPipeline(ImageClassificationPipeline):
    """Classifies a frame that shows one digit; bright on dark and dark on bright alike."""
