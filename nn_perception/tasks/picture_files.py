"""Picture files as messages, so that a file takes the same way through a pipeline as a frame."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nn_perception.errors import DatasetError, MessageError
from nn_perception.tasks.pipeline import Pipeline


@dataclass
class _Stamp:
    sec: int = 0
    nanosec: int = 0


@dataclass
class _Header:
    frame_id: str
    stamp: _Stamp = field(default_factory=_Stamp)


@dataclass
class _CompressedImage:
    header: _Header
    format: str
    data: bytes


def process_picture(pipeline: Pipeline, path: Path) -> Any:
    """Run a pipeline with an image input on a picture file (png, jpg, bmp, ...).

    Raises:
        DatasetError: the file cannot be read, or is no picture.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise DatasetError(f"cannot be read: {error.strerror or error}") from None
    message = _CompressedImage(_Header(path.name), path.suffix.lstrip(".").lower() or "png", data)
    try:
        return pipeline.process(pipeline.inputs[0].name, message)
    except MessageError as error:
        raise DatasetError(f"is no usable picture: {error}") from None
