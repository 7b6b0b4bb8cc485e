"""A classifier: prepared pictures in, calibrated probabilities and "is it one of these?" out."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from nn_perception.bundle import Bundle
from nn_perception.config import from_mapping
from nn_perception.engine import Engine
from nn_perception.errors import BundleError, ConfigError, EngineError
from nn_perception.tasks.classification import Image, ImagePreprocessing, Scores, softmax
from nn_perception.tasks.rejection import known_scores, read_rejection

MAX_BATCH = 256
"""More pictures than these go through the network one part after the other."""


class Judged(NamedTuple):
    """Answers to N pictures.

    Attributes:
        scores: (N, K) calibrated probabilities, each row of sum 1.
        known: (N,) how much each looks like one of the classes; higher is more.
    """

    scores: Scores
    known: npt.NDArray[np.float64]


class Classifier:
    """Runs a classifier's network and reads its outputs.

    Attributes:
        preprocessing: how a picture becomes the network's input.
        threshold: pictures whose ``known`` is below show none of the classes.
    """

    def __init__(self, bundle: Bundle, engine: Engine, keep_percent: float) -> None:
        """Check that the bundle describes an image classifier.

        Args:
            bundle: verified.
            engine: runs it.
            keep_percent: share of true inputs that is answered, in percent. A bundle that does
                not say how to tell them from others answers everything.

        Raises:
            BundleError: pre-processing, calibration, labels and shapes are missing or disagree.
            ConfigError: the share is out of range.
        """
        self._name, self._engine = bundle.name, engine
        self.preprocessing = read_preprocessing(bundle)
        self._classes = len(bundle.labels)
        self._temperature = read_temperature(bundle)
        rejection = read_rejection(bundle)
        self.threshold = -np.inf if rejection is None else rejection.threshold(keep_percent)

    def judge(self, pictures: Image) -> Judged:
        """Answer prepared pictures (N, C, H, W).

        Raises:
            EngineError: the network gave numbers that are not finite.
        """
        if not len(pictures):
            return Judged(np.empty((0, self._classes)), np.empty(0))
        parts = [
            self._engine(pictures[start : start + MAX_BATCH])[0].copy()
            for start in range(0, len(pictures), MAX_BATCH)
        ]
        logits: npt.NDArray[Any] = parts[0] if len(parts) == 1 else np.concatenate(parts)
        if not np.isfinite(logits).all():
            raise EngineError(f"{self._name} gave scores that are not finite")
        scores = softmax(logits[:, : self._classes], self._temperature)
        return Judged(scores, known_scores(logits, self._classes, self._temperature))


def read_preprocessing(bundle: Bundle) -> ImagePreprocessing:
    """Return how pictures become a classifier's input, and check what belongs to it.

    Raises:
        BundleError: pre-processing, labels and shapes are missing or disagree.
    """
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
    if not bundle.labels or classes not in (len(bundle.labels), len(bundle.labels) + 1):
        raise BundleError(
            f"{bundle.name} has {len(bundle.labels)} labels for {classes} outputs; both must "
            "agree, but for one more output, a background"
        )
    return settings


def read_temperature(bundle: Bundle) -> float:
    """Return the temperature of a classifier's probabilities.

    Raises:
        BundleError: it is missing, or no sensible number.
    """
    temperature = bundle.config.calibration.get("temperature")
    if not isinstance(temperature, (int, float)) or not 0.01 <= temperature <= 100.0:
        raise BundleError(
            f"{bundle.name}: calibration.temperature is {temperature!r}; expected a number from "
            "0.01 to 100 (1.0 when not calibrated)"
        )
    return float(temperature)
