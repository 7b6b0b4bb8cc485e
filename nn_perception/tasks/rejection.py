"""Knowing when not to answer: how much an input looks like one of the known classes.

Two scores, of which a higher one means more like a known class:

* ``background``: log-sum-exp of the K class logits less the logit of a background class, that is
  the log odds of "one of the classes". The network learnt the background from pictures that show
  none of them (outlier exposure, Hendrycks et al. 2019).
* ``energy``: T log-sum-exp(logits / T), for networks without such a class (Liu et al. 2020).

The threshold is a quantile of the scores of true validation inputs: the share of these that is
still answered, in percent, is what a user chooses.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from nn_perception.bundle import Bundle
from nn_perception.config import from_mapping
from nn_perception.errors import BundleError, ConfigError

Floats = npt.NDArray[np.float64]

PERCENTS_KEPT = (50.0, 80.0, 90.0, 95.0, 98.0, 99.0, 99.5, 99.9)
"""Shares of true inputs whose thresholds a bundle holds."""

KEEP_FRAMES_PERCENT = 95.0
"""Default for whole frames."""
KEEP_REGIONS_PERCENT = 99.5
"""Default for regions: a finder has looked at them already, and a missed digit spoils a line."""


@dataclass(frozen=True)
class Rejection:
    """How a bundle tells known inputs from others.

    Attributes:
        score: which score, see the module's text.
        quantiles: pairs (percent of true inputs kept, threshold), by rising percent.
    """

    score: Literal["background", "energy"]
    quantiles: tuple[tuple[float, float], ...]

    def threshold(self, keep_percent: float) -> float:
        """Return the score at which this share of true inputs is kept; 100 keeps everything.

        Between the stored shares the threshold is interpolated.

        Raises:
            ConfigError: the share lies outside the stored ones.
        """
        if keep_percent == 100.0:
            return -np.inf
        percents, thresholds = zip(*self.quantiles, strict=True)
        if not percents[0] <= keep_percent <= percents[-1]:
            raise ConfigError(
                f"keep_percent is {keep_percent:g}; expected {percents[0]:g} to {percents[-1]:g}, "
                "or 100 to answer whatever comes"
            )
        return float(np.interp(keep_percent, percents, thresholds))


def fit_rejection(scores: npt.ArrayLike, kind: Literal["background", "energy"]) -> Rejection:
    """Return thresholds from the scores (N,) of true validation inputs."""
    values = np.quantile(np.asarray(scores, np.float64), [1 - p / 100 for p in PERCENTS_KEPT])
    # Rounded, so that the last bits of a sum do not change a bundle's identity.
    pairs = tuple((p, round(float(v), 4)) for p, v in zip(PERCENTS_KEPT, values, strict=True))
    return Rejection(kind, pairs)


def known_scores(logits: npt.NDArray[Any], classes: int, temperature: float) -> Floats:
    """Return how much each input looks like a known class, shape (N,).

    Args:
        logits: (N, K) of the classes, or (N, K + 1) with the background last.
        classes: K.
        temperature: of the calibrated probabilities; the energy uses it.
    """
    values = logits.astype(np.float64)
    if values.shape[1] > classes:
        return log_sum_exp(values[:, :classes]) - values[:, classes]
    return temperature * log_sum_exp(values / temperature)


def log_sum_exp(values: Floats) -> Floats:
    """Return log(sum(exp(values))) of each row, without overflow."""
    highest = values.max(axis=1)
    total: Floats = highest + np.log(np.exp(values - highest[:, None]).sum(axis=1))
    return total


def score_kind(outputs: int, classes: int) -> Literal["background", "energy"]:
    """Return which score a network with this many outputs has."""
    return "background" if outputs > classes else "energy"


def read_rejection(bundle: Bundle) -> Rejection | None:
    """Return how a bundle rejects; None for one that was made before there was such a thing.

    Raises:
        BundleError: the entry is damaged, or does not fit the network's outputs.
    """
    entry = bundle.config.calibration.get("rejection")
    if entry is None:
        return None
    try:
        rejection = from_mapping(Rejection, entry)
    except ConfigError as error:
        raise BundleError(f"{bundle.name}: calibration.rejection: {error}") from None
    if not _is_falling(rejection.quantiles):
        raise BundleError(
            f"{bundle.name}: calibration.rejection.quantiles are {rejection.quantiles!r}; expected "
            "pairs (percent kept, threshold) of rising percent and falling threshold"
        )
    expected = score_kind(bundle.config.outputs[0].shape[-1] or 0, len(bundle.labels))
    if rejection.score != expected:
        raise BundleError(
            f"{bundle.name}: calibration.rejection.score is '{rejection.score}', expected "
            f"'{expected}' for the outputs that it has"
        )
    return rejection


def _is_falling(quantiles: tuple[tuple[float, ...], ...]) -> bool:
    if not quantiles or any(len(pair) != 2 for pair in quantiles):
        return False
    pairs = np.asarray(quantiles, np.float64)
    rises, falls = (np.diff(pairs[:, 0]) > 0).all(), (np.diff(pairs[:, 1]) <= 0).all()
    return bool(np.isfinite(pairs).all() and rises and falls)
