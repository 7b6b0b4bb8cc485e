"""Picture files as messages, so that a file takes the same way through a pipeline as a frame."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from nn_perception.datasets.images import read_picture
from nn_perception.errors import DatasetError, MessageError
from nn_perception.messages import array_to_image_fields
from nn_perception.tasks.image_drawing import draw_result
from nn_perception.tasks.image_results import Result
from nn_perception.tasks.pipeline import Pipeline


def process_picture(pipeline: Pipeline, path: Path) -> Any:
    """Run a pipeline with an image input on a picture file (png, jpg, bmp, tif, ...).

    Raises:
        DatasetError: the file cannot be read, or is no picture.
    """
    image = _read(path)
    grey = image.ndim == 2
    stamp = SimpleNamespace(sec=0, nanosec=0)
    fields = array_to_image_fields(image, "mono8" if grey else "rgb8")
    message = SimpleNamespace(header=SimpleNamespace(frame_id=path.name, stamp=stamp), **fields)
    try:
        return pipeline.process(pipeline.inputs[0].name, message)
    except MessageError as error:
        raise DatasetError(f"is no usable picture: {error}") from None


def draw_picture(path: Path, result: Result, out: Path) -> None:
    """Write a copy of a picture file with its answer drawn in.

    Raises:
        DatasetError: the picture cannot be read, or the copy not be written.
    """
    drawn = draw_result(_read(path), result)
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        # OpenCV's own writing names no reason when it fails.
        out.write_bytes(cv2.imencode(".png", drawn[..., ::-1])[1].tobytes())
    except OSError as error:
        raise DatasetError(f"cannot write {out}: {error.strerror or error}") from error


def _read(path: Path) -> npt.NDArray[np.uint8]:
    """Return grey (H, W) or RGB (H, W, 3)."""
    if path.is_dir():
        raise DatasetError("is a directory; name the picture files in it")
    if not path.is_file():
        raise DatasetError("there is no such file")
    image = read_picture(path)
    if image is None:
        raise DatasetError("is no picture that can be read; give png, jpg, bmp, tif, webp or pgm")
    return image[..., 0] if image.shape[2] == 1 else image
