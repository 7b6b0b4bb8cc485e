"""Image classification, as the tasks with class labels share it: pre-process, engine, softmax."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import Any, ClassVar, Literal

import cv2
import numpy as np
import numpy.typing as npt

from nn_perception.bundle import Bundle
from nn_perception.config import from_mapping
from nn_perception.engine import Engine
from nn_perception.errors import BundleError, ConfigError, EngineError
from nn_perception.messages import decode_image, frame_id, stamp_ns
from nn_perception.tasks.pipeline import InputSpec

Image = npt.NDArray[np.uint8]
Scores = npt.NDArray[np.float64]

IMAGE_TYPES = ("sensor_msgs/msg/Image", "sensor_msgs/msg/CompressedImage")


@dataclass(frozen=True)
class ImagePreprocessing:
    """How a picture becomes the network's input. No defaults: a bundle must say all of it.

    Attributes:
        channels: 1 (grey) or 3 (RGB).
        height: rows of the network's input.
        width: columns of the network's input.
        fit: ``"center_crop"`` cuts the largest central part of the input's aspect ratio,
            ``"stretch"`` takes the whole frame.
        polarity: ``"as_is"``, or ``"bright_on_dark"``: a picture whose border is brighter than
            mid-grey (ink on paper) is inverted, since MNIST is bright ink on black.
    """

    channels: Literal[1, 3]
    height: int
    width: int
    fit: Literal["center_crop", "stretch"]
    polarity: Literal["as_is", "bright_on_dark"]


@dataclass(frozen=True)
class ClassificationResult:
    """Class probabilities of one image.

    Attributes:
        stamp_ns: stamp of the input, nanoseconds.
        frame_id: frame of the input.
        labels: class names, in the order of the scores.
        scores: calibrated probabilities, shape (K,), sum 1.
        stage_s: seconds per stage: decode, preprocess, engine, postprocess.
    """

    stamp_ns: int
    frame_id: str
    labels: tuple[str, ...]
    scores: Scores
    stage_s: Mapping[str, float]

    @property
    def best(self) -> tuple[str, float]:
        """The most probable class and its probability."""
        index = int(self.scores.argmax())
        return self.labels[index], float(self.scores[index])


class ImageClassificationPipeline:
    """Whole frame in, probabilities of all classes out."""

    inputs: ClassVar[tuple[InputSpec, ...]] = (InputSpec("image_raw", IMAGE_TYPES, "newest"),)

    def __init__(self, bundle: Bundle, engine: Engine) -> None:
        """Check that the bundle describes an image classifier.

        Raises:
            BundleError: pre-processing, calibration, labels and shapes are missing or disagree.
        """
        self.bundle = bundle
        self.engine = engine
        self.preprocessing = _read_preprocessing(bundle)
        self._temperature = _read_temperature(bundle)

    def reset(self) -> None:
        """Nothing to forget: each frame stands for itself."""

    def process(self, name: str, message: Any) -> ClassificationResult:
        """Classify one sensor_msgs Image or CompressedImage.

        Raises:
            MessageError: the message is no usable image.
            EngineError: the network gave numbers that are not finite.
        """
        start = perf_counter()
        image = decode_image(message, self.preprocessing.channels)
        decoded = perf_counter()
        array = prepare_image(image, self.preprocessing)[None]
        prepared = perf_counter()
        logits = self.engine(array)[0]
        run = perf_counter()
        scores = self._probabilities(logits)[0]
        stage_s = {
            "decode": decoded - start,
            "preprocess": prepared - decoded,
            "engine": run - prepared,
            "postprocess": perf_counter() - run,
        }
        return ClassificationResult(
            stamp_ns(message), frame_id(message), self.bundle.labels, scores, stage_s
        )

    def classify(
        self,
        images: Sequence[Image] | Image,
        batch: int = 256,
        on_progress: Callable[[int], object] = lambda _: None,
    ) -> Scores:
        """Classify pictures (each (H, W), (H, W, 1) or (H, W, 3) RGB uint8); returns (N, K).

        The same pre-processing as for messages, with the engine called on batches;
        ``on_progress`` is told how many pictures each batch held.
        """
        parts = []
        for array in self._batches(images, batch):
            parts.append(self._probabilities(self.engine(array)[0]))
            on_progress(len(array))
        return np.concatenate(parts) if parts else np.empty((0, len(self.bundle.labels)))

    def _batches(self, images: Sequence[Image] | Image, batch: int) -> Iterator[Image]:
        for start in range(0, len(images), batch):
            yield np.stack(
                [
                    prepare_image(image, self.preprocessing)
                    for image in images[start : start + batch]
                ]
            )

    def _probabilities(self, logits: npt.NDArray[Any]) -> Scores:
        scores = softmax(logits, self._temperature)
        if not np.isfinite(scores).all():
            raise EngineError(f"{self.bundle.name} gave scores that are not finite")
        return scores


def softmax(logits: npt.NDArray[Any], temperature: float = 1.0) -> Scores:
    """Return probabilities (N, K) of logits (N, K), in float64."""
    scaled = logits.astype(np.float64) / temperature
    scaled -= scaled.max(axis=1, keepdims=True)
    scores: Scores = np.exp(scaled)
    scores /= scores.sum(axis=1, keepdims=True)
    return scores


def prepare_image(image: Image, settings: ImagePreprocessing) -> Image:
    """Pre-process one picture, (H, W), (H, W, 1) or (H, W, 3) RGB, to (C, height, width).

    Training, evaluation and the live pipeline all call this one function.
    """
    image = to_channels(image, settings.channels)
    if settings.fit == "center_crop":
        image = center_crop(image, settings.width / settings.height)
    if image.shape[:2] != (settings.height, settings.width):
        image = resize(image, settings.width, settings.height)
    if settings.polarity == "bright_on_dark" and border_mean(image) > 127.5:
        image = np.subtract(255, image, dtype=np.uint8)
    return image[None] if image.ndim == 2 else np.ascontiguousarray(image.transpose(2, 0, 1))


def to_channels(image: Image, channels: int) -> Image:
    """Bring a picture to grey (H, W) or RGB (H, W, 3)."""
    if image.ndim == 3 and image.shape[2] == 1:
        image = image[:, :, 0]
    if channels == 1 and image.ndim == 3:
        return cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)  # type: ignore[return-value]
    if channels == 3 and image.ndim == 2:
        return cv2.cvtColor(image, cv2.COLOR_GRAY2RGB)  # type: ignore[return-value]
    return image


def center_crop(image: Image, aspect: float) -> Image:
    """Cut the largest central view of an aspect ratio (width / height)."""
    height, width = image.shape[:2]
    if width > height * aspect:
        size = max(1, round(height * aspect))
        start = (width - size) // 2
        return image[:, start : start + size]
    size = max(1, round(width / aspect))
    start = (height - size) // 2
    return image[start : start + size]


def resize(image: Image, width: int, height: int) -> Image:
    """Resize by area when shrinking (no aliasing), bilinear when enlarging."""
    shrinks = image.shape[0] >= height and image.shape[1] >= width
    method = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    return cv2.resize(image, (width, height), interpolation=method)  # type: ignore[return-value]


def border_mean(image: Image) -> float:
    """Return the mean of the outermost pixels, 0 to 255."""
    height, width = image.shape[:2]
    border = image.reshape(height * width, -1).take(_border(height, width), axis=0)
    return float(border.mean())


@functools.lru_cache(maxsize=16)
def _border(height: int, width: int) -> npt.NDArray[np.intp]:
    """Return the flat indices of the outermost pixels."""
    inside = np.zeros((height, width), bool)
    inside[1:-1, 1:-1] = True
    return np.flatnonzero(~inside)


def _read_preprocessing(bundle: Bundle) -> ImagePreprocessing:
    try:
        settings = from_mapping(ImagePreprocessing, bundle.config.preprocessing)
    except ConfigError as error:
        raise BundleError(f"the pre-processing of {bundle.name}: {error}") from None
    expected = (settings.channels, settings.height, settings.width)
    specs = bundle.config.inputs
    if len(specs) != 1 or specs[0].shape[1:] != expected or specs[0].dtype != "uint8":
        raise BundleError(
            f"{bundle.name}: an image classifier has one uint8 input of shape (N, C, H, W) equal "
            f"to its pre-processing {expected}; its config.json names {specs}"
        )
    classes = bundle.config.outputs[0].shape[-1] if bundle.config.outputs else None
    if not bundle.labels or classes != len(bundle.labels):
        raise BundleError(
            f"{bundle.name} has {len(bundle.labels)} labels for {classes} outputs; both must agree"
        )
    return settings


def _read_temperature(bundle: Bundle) -> float:
    temperature = bundle.config.calibration.get("temperature")
    if not isinstance(temperature, (int, float)) or not 0.01 <= temperature <= 100.0:
        raise BundleError(
            f"{bundle.name}: calibration.temperature is {temperature!r}; expected a number from "
            "0.01 to 100 (1.0 when not calibrated)"
        )
    return float(temperature)
