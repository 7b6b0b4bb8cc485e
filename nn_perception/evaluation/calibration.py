"""Calibration of class probabilities by one temperature."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from nn_perception.tasks.classification import softmax


def fit_temperature(
    logits: npt.NDArray[Any], labels: npt.NDArray[Any], low: float = 0.05, high: float = 20.0
) -> float:
    """Return the temperature that minimises the negative log likelihood (Guo et al. 2017).

    The likelihood is unimodal in the logarithm of the temperature, so that a golden-section search
    finds it. Without data, or without a single error, the likelihood names no temperature (the
    smallest would always win): the answer is then 1, the network as it is.

    Args:
        logits: shape (N, K).
        labels: class indices, shape (N,).
        low: smallest temperature considered.
        high: largest temperature considered.
    """
    if len(labels) == 0 or bool((np.asarray(logits).argmax(axis=1) == labels).all()):
        return 1.0
    ratio = (np.sqrt(5.0) - 1.0) / 2.0
    left, right = np.log(low), np.log(high)
    while right - left > 1e-4:
        inner_left, inner_right = right - ratio * (right - left), left + ratio * (right - left)
        if _loss(logits, labels, inner_left) < _loss(logits, labels, inner_right):
            right = inner_right
        else:
            left = inner_left
    # Rounded, so that the last bits of a sum do not change a bundle's identity.
    return float(round(float(np.exp((left + right) / 2)), 4))


def _loss(logits: npt.NDArray[Any], labels: npt.NDArray[Any], log_temperature: float) -> float:
    chosen = softmax(logits, float(np.exp(log_temperature)))[np.arange(len(labels)), labels]
    return float(-np.log(np.maximum(chosen, 1e-300)).mean())
