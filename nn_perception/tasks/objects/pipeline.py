"""Objects: whole frame in, one probability for each class out."""

from __future__ import annotations

from nn_perception.tasks.classification import ImagePreprocessing
from nn_perception.tasks.image_pipeline import ImageClassificationPipeline


def preprocessing(input_size: int) -> ImagePreprocessing:
    """Return how pictures become RGB of ``input_size`` pixels a side."""
    return ImagePreprocessing(
        channels=3, height=input_size, width=input_size, fit="center_crop", polarity="as_is"
    )


class ObjectPipeline(ImageClassificationPipeline):
    """Classifies a frame that shows one object."""
