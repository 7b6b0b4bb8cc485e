"""The losses of our trainings in NumPy with their derivatives: what torch is compared with.

Each returns the loss of a batch and its derivative by the predictions, which has their shape.
"""

from __future__ import annotations

from typing import TypeAlias

import numpy as np

from nn_perception.networks.reference_activations import Array, sigmoid, softmax, softplus

Valued: TypeAlias = tuple[float, Array]
"""The loss, and its derivative by the predictions."""


def classification(
    name: str,
    logits: Array,
    classes: Array,
    weight: Array | None = None,
    label_smoothing: float = 0.0,
) -> Valued:
    """Return a loss of `nn_perception.training.losses.classification_loss`.

    With Y the one-hot classes, smoothed to (1 - s) Y + s / K, w the weight of a sample's class and
    Yhat the activation of the logits Z, the loss of a batch is sum_n w_n E_n / sum_n w_n:

        cross_entropy   E = -sum_k y_k ln yhat_k, softmax        dE/dZ = Yhat - Y
        bce             E = that of each output, sigmoid         dE/dZ = Yhat - Y
        squared_error   E = 1/2 |Yhat - Y|^2, identity           dE/dZ = Yhat - Y
        mse             E = 1/2 |Yhat - Y|^2, sigmoid            dE/dZ = (Yhat - Y) Yhat (1 - Yhat)
        perceptron      E = max(0, max_wrong z - z_true)         dE/dZ = +1, -1 there, at 0 too

    Smoothed cross entropy with weights weighs each y_k by the weight of class k instead, as torch
    does, and divides by the weights of the true classes all the same.

    Args:
        name: of the loss.
        logits: (N, K).
        classes: (N,) integers.
        weight: (K,) or None.
        label_smoothing: s.
    """
    count, outputs = logits.shape
    target = np.eye(outputs)[classes]
    share = np.ones(count) if weight is None else weight[classes]
    if name != "perceptron":
        target = (1.0 - label_smoothing) * target + label_smoothing / outputs
    if name == "cross_entropy":
        target = target * (1.0 if weight is None else weight)
        each, slope = _cross_entropy(logits, target)
        return float(each.sum() / share.sum()), slope / share.sum()
    each, slope = _ELEMENTS[name](logits, target)
    total = share.sum()
    return float((share * each).sum() / total), share[:, None] * slope / total


def _cross_entropy(logits: Array, target: Array) -> tuple[Array, Array]:
    """Rows of the target need not sum to 1: dE/dZ = (sum_k y_k) Yhat - Y."""
    shifted = logits - logits.max(1, keepdims=True)
    logs = shifted - np.log(np.exp(shifted).sum(1, keepdims=True))
    slope = target.sum(1, keepdims=True) * softmax(logits) - target
    return -(target * logs).sum(1), slope


def _bce(logits: Array, target: Array) -> tuple[Array, Array]:
    return (softplus(logits) - target * logits).sum(1), sigmoid(logits) - target


def _mse(logits: Array, target: Array) -> tuple[Array, Array]:
    predicted = sigmoid(logits)
    error = predicted - target
    return 0.5 * (error**2).sum(1), error * predicted * (1.0 - predicted)


def _squared_error(logits: Array, target: Array) -> tuple[Array, Array]:
    return 0.5 * ((logits - target) ** 2).sum(1), logits - target


def _perceptron(logits: Array, target: Array) -> tuple[Array, Array]:
    true = (logits * target).sum(1)
    others = np.where(target == 1, -np.inf, logits)
    excess = others.max(1) - true
    slope = np.eye(logits.shape[1])[others.argmax(1)] - target
    return np.maximum(excess, 0.0), slope * (excess >= 0)[:, None]


_ELEMENTS = {
    "bce": _bce,
    "mse": _mse,
    "squared_error": _squared_error,
    "perceptron": _perceptron,
}


def regression(predicted: Array, target: Array) -> Valued:
    """Return mean_n 1/2 |yhat_n - y_n|^2 of predictions (N, K): dE/dYhat = (Yhat - Y) / N."""
    error = predicted - target
    return float(0.5 * (error**2).sum(1).mean()), error / len(error)


def binary(logits: Array, target: Array) -> Valued:
    """Return the mean binary cross entropy of sigmoid(Z), for logits and targets 0 or 1 (N, 1)."""
    each, slope = _bce(logits, target)
    return float(each.mean()), slope / len(logits)


def huber(error: Array) -> tuple[Array, Array]:
    """Return Huber's loss of each number (P. Huber 1964) and its derivative, of any shape.

    1/2 e^2 where |e| <= 1 and |e| - 1/2 beyond: the derivative is e, and never larger than 1.
    """
    size = np.abs(error)
    return np.where(size <= 1.0, 0.5 * error**2, size - 0.5), np.clip(error, -1.0, 1.0)


def range_likelihood(predicted: Array, target: Array, scale_m: float, weight: float) -> Valued:
    """Return the loss of a UWB range's bias and of its standard deviation.

    mean_n ((b - y) / scale)^2 + weight (1/2 (s / sigma)^2 + ln sigma): the second part is the
    negative logarithm of a Gaussian likelihood (without its constant) of an error of size s, least
    at sigma = s.

    Args:
        predicted: (N, 2) bias b and ln sigma.
        target: (N, 2) bias y and s.
        scale_m: error that costs 1.
        weight: of the likelihood.
    """
    error = (predicted[:, 0] - target[:, 0]) / scale_m
    square = (target[:, 1] / np.exp(predicted[:, 1])) ** 2
    loss = (error**2 + weight * (0.5 * square + predicted[:, 1])).mean()
    slope = np.stack([2.0 * error / scale_m, weight * (1.0 - square)], 1) / len(predicted)
    return float(loss), slope


def l1_penalty(weights: Array, penalty: float) -> Valued:
    """Return lambda sum |w|; the derivative is lambda sign(w)."""
    return float(penalty * np.abs(weights).sum()), penalty * np.sign(weights)


def l2_penalty(weights: Array, penalty: float) -> Valued:
    """Return lambda / 2 sum w^2; the derivative is lambda w."""
    return float(0.5 * penalty * (weights**2).sum()), penalty * weights


def gaussian_process(
    covariance: Array, noise: Array, target: Array
) -> tuple[float, dict[str, Array]]:
    """Return the negative log marginal likelihood of targets, without its constant.

    1/2 y^T K^-1 y + 1/2 ln |K|, K = covariance + diag(noise); Rasmussen and Williams 2006, eq. 5.8
    and 5.9: with alpha = K^-1 y the derivative by K is 1/2 (K^-1 - alpha alpha^T), by y alpha.

    Args:
        covariance: (N, N) symmetric.
        noise: (N,) variances.
        target: (N,).
    """
    inside = covariance + np.diag(noise)
    inverse = np.linalg.inv(inside)
    alpha = inverse @ target
    by_inside = 0.5 * (inverse - np.outer(alpha, alpha))
    loss = 0.5 * target @ alpha + 0.5 * np.linalg.slogdet(inside)[1]
    slopes = {"covariance": by_inside, "noise": np.diag(by_inside).copy(), "target": alpha}
    return float(loss), slopes
