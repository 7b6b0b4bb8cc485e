"""The range correction of a bundle: features to bias and standard deviation."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from nn_perception.bundle import Bundle
from nn_perception.engine import Engine
from nn_perception.errors import BundleError
from nn_perception.tasks.uwb.features import FEATURES

Float64Array = NDArray[np.float64]

ANY = "*"
"""Stands for every tag or anchor that has no entry of its own."""
MIN_SIGMA_M, MAX_SIGMA_M = 0.005, 2.0
_MAX_LOG = 50.0
"""Far from all that was trained on a network may say more: its exponential would overflow."""


class Pair(NamedTuple):
    """What a bundle knows of a tag and an anchor beside the network.

    Attributes:
        constant_m: added to the network's bias: delay of antennas and cables.
        traits: (E,) the network's inputs behind the features: what else differs between pairs.
    """

    constant_m: float
    traits: tuple[float, ...]


class Prediction(NamedTuple):
    """Errors that K ranges are expected to have.

    Attributes:
        bias_m: (K,) to be taken off.
        sigma_m: (K,) standard deviation of what is left.
    """

    bias_m: Float64Array
    sigma_m: Float64Array


class RangeModel:
    """A bundle's correction.

    Attributes:
        site: the radios that it was trained on, in words, such as ``"trolley"``.
        raw_sigma_m: root mean square of the uncorrected error in training.
        constant_sigma_m: of the error left by the constants alone.
        traits: number of inputs behind the features.
        limit_m: no bias beyond this, either way.
    """

    def __init__(self, bundle: Bundle, engine: Engine) -> None:
        """Take a verified bundle of the task ``uwb``.

        Raises:
            BundleError: its calibration lacks something or holds impossible values.
        """
        self._engine = engine
        calibration = bundle.config.calibration
        try:
            self.limit_m = float(calibration["limit_m"])
            self.raw_sigma_m = float(calibration["raw_sigma_m"])
            self.constant_sigma_m = float(calibration["constant_sigma_m"])
            self._sigma_scale = float(calibration["sigma_scale"])
            self.site = str(bundle.config.preprocessing["site"])
            self._pairs = {
                (str(tag), str(anchor)): Pair(float(constant), tuple(map(float, traits)))
                for tag, anchor, constant, traits in calibration["pairs"]
            }
        except (KeyError, TypeError, ValueError) as error:
            raise BundleError(
                f"{bundle.name}: its calibration lacks or garbles {error}; expected limit_m, "
                "raw_sigma_m, constant_sigma_m, sigma_scale, pairs and site: train it again with "
                "this version"
            ) from None
        self.traits = (bundle.config.inputs[0].shape[-1] or 0) - FEATURES
        self._check(bundle)

    def pair(self, tag: str, anchor: str) -> Pair | None:
        """Return what is known of a tag and an anchor; None: nothing, and nothing is guessed."""
        pairs = self._pairs
        return pairs.get((tag, anchor)) or pairs.get((ANY, anchor)) or pairs.get((ANY, ANY))

    def predict(self, rows: ArrayLike, constants_m: ArrayLike) -> Prediction:
        """Predict the errors of K ranges.

        Args:
            rows: (K, 14 + E) features, followed by the pair's traits.
            constants_m: (K,) of the pairs.
        """
        (found,) = self._engine(np.asarray(rows, np.float32))
        bias = found[:, 0] + np.asarray(constants_m, np.float64)
        sigma = self._sigma_scale * np.exp(np.minimum(found[:, 1], _MAX_LOG, dtype=np.float64))
        return Prediction(
            np.clip(bias, -self.limit_m, self.limit_m), np.clip(sigma, MIN_SIGMA_M, MAX_SIGMA_M)
        )

    def predict_one(self, features: Sequence[float], pair: Pair) -> tuple[float, float]:
        """Return bias and standard deviation of one range, in metres; see `predict`."""
        (found,) = self._engine(np.array([(*features, *pair.traits)], np.float32))
        change, log_sigma = found[0].tolist()
        bias = change + pair.constant_m
        sigma = self._sigma_scale * math.exp(min(log_sigma, _MAX_LOG))
        limit = self.limit_m
        return (
            min(max(bias, -limit), limit),
            min(max(sigma, MIN_SIGMA_M), MAX_SIGMA_M),
        )

    def _check(self, bundle: Bundle) -> None:
        numbers = [self.limit_m, self.raw_sigma_m, self.constant_sigma_m, self._sigma_scale]
        sizes = {len(pair.traits) for pair in self._pairs.values()}
        finite = all(
            math.isfinite(value)
            for pair in self._pairs.values()
            for value in (pair.constant_m, *pair.traits)
        )
        if not (all(0.0 < n < math.inf for n in numbers) and finite and sizes == {self.traits}):
            raise BundleError(
                f"{bundle.name}: its calibration has impossible values, or pairs with "
                f"{sorted(sizes)} traits where the network takes {self.traits}; train it again"
            )
