"""Objects: frame in, a probability for each class out, of the frame or of each of its boxes."""

from __future__ import annotations

from nn_perception.tasks.classification import ImagePreprocessing
from nn_perception.tasks.image_pipeline import ImageClassificationPipeline


def preprocessing(input_size: int) -> ImagePreprocessing:
    """Return how pictures become RGB of ``input_size`` pixels a side."""
    return ImagePreprocessing(
        channels=3, height=input_size, width=input_size, fit="center_crop", polarity="as_is"
    )


class ObjectPipeline(ImageClassificationPipeline):
    """Classifies a frame, or regions of it, that show one object each."""
