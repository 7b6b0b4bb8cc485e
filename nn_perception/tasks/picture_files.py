"""Picture files as messages, so that a file takes the same way through a pipeline as a frame."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

from nn_perception.datasets.images import read_picture
from nn_perception.errors import DatasetError, MessageError
from nn_perception.messages import array_to_image_fields
from nn_perception.tasks.pipeline import Pipeline


def process_picture(pipeline: Pipeline, path: Path) -> Any:
    """Run a pipeline with an image input on a picture file (png, jpg, bmp, tif, ...).

    Raises:
        DatasetError: the file cannot be read, or is no picture.
    """
    if not path.is_file():
        raise DatasetError("there is no such file")
    image = read_picture(path)
    if image is None:
        raise DatasetError("is no picture that can be read; give png, jpg, bmp, tif, webp or pgm")
    stamp = SimpleNamespace(sec=0, nanosec=0)
    grey = image.shape[2] == 1
    fields = array_to_image_fields(image[..., 0] if grey else image, "mono8" if grey else "rgb8")
    message = SimpleNamespace(header=SimpleNamespace(frame_id=path.name, stamp=stamp), **fields)
    try:
        return pipeline.process(pipeline.inputs[0].name, message)
    except MessageError as error:
        raise DatasetError(f"is no usable picture: {error}") from None
