"""Losses of classifiers: the output's activation and the error, of logits (N, K)."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from nn_perception.training.classifier_arguments import LossName as LossName


def classification_loss(
    name: LossName,
    logits: Tensor,
    classes: Tensor,
    weight: Tensor | None = None,
    label_smoothing: float = 0.0,
) -> Tensor:
    """Return the mean loss of a batch, a scalar.

    With Y the one-hot classes and Z the logits, each is a mean over the batch of a sum over the
    outputs: ``cross_entropy`` of softmax(Z); ``bce``, the binary cross entropy of sigmoid(Z);
    ``mse``, half the squared error of sigmoid(Z); ``squared_error``, half that of Z itself;
    ``perceptron``, by how much the highest wrong output is above the true one, else 0. Where both
    are alike its gradient is that of a mistake, as in Rosenblatt's rule, so that it learns from
    weights that are all 0, too.

    Args:
        name: one of the names above.
        logits: (N, K) float.
        classes: (N,) int64.
        weight: (K,) of each class; None: all alike. The mean is a weighted one.
        label_smoothing: probability mass spread over all classes; not for ``perceptron``.
    """
    if name == "cross_entropy":
        return F.cross_entropy(logits, classes, weight=weight, label_smoothing=label_smoothing)
    if name == "perceptron":
        each = _perceptron(logits, classes)
    else:
        target = F.one_hot(classes, logits.shape[1]).to(logits.dtype)
        if label_smoothing:
            target = target * (1.0 - label_smoothing) + label_smoothing / logits.shape[1]
        each = _ELEMENTS[name](logits, target).sum(1)
    if weight is None:
        return each.mean()
    share = weight[classes]
    return (share * each).sum() / share.sum()


def _perceptron(logits: Tensor, classes: Tensor) -> Tensor:
    true = logits.gather(1, classes[:, None])
    wrong = logits.scatter(1, classes[:, None], -torch.inf).amax(1)
    return (wrong - true[:, 0]).clamp(min=0.0)  # whose gradient at 0 is 1, as relu's is not


_ELEMENTS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "bce": lambda z, y: F.binary_cross_entropy_with_logits(z, y, reduction="none"),
    "mse": lambda z, y: 0.5 * (torch.sigmoid(z) - y) ** 2,
    "squared_error": lambda z, y: 0.5 * (z - y) ** 2,
}
