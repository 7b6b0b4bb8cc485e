"""Few digits to train on, many to validate with, and what a trained network says of them."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from nn_perception.datasets.arrays import stratified_split
from nn_perception.studies.digits import WatchedDigits
from nn_perception.training.config import TrainingConfig
from nn_perception.training.optimisers import split_parameters

if TYPE_CHECKING:
    from nn_perception.training.learning import Learning
    from nn_perception.training.loop import Fit

VALIDATION = 2000
"""Pictures that validate, the same ones for all seeds; a third of the data where that is less."""

_VALIDATION_SEED = 0

MASKS = 400
"""Draws of the dropped units over which their answers are averaged."""

PROBES = 50
"""Pictures on which that is done."""


class SmallDigits(WatchedDigits):
    """Digits of which few are trained on, drawn by the seed; all seeds have the same validation.

    So what differs between seeds is the training data and the weights at the start, as the
    decomposition of the error into bias and variance has it.

    Args:
        pictures: how many to train on, with the same share of every class; more than there are:
            all.
        config: as of the digits, with no ``samples``.
        data: as of the digits.
    """

    def __init__(self, pictures: int, config: TrainingConfig, data: Path | None) -> None:
        self._pictures = pictures
        super().__init__(config, data)

    def _split(self, is_recorded: bool) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        share = min(VALIDATION / len(self.data), 1 / 3)
        pool, validation = self.data.split(share, _VALIDATION_SEED)
        if self._pictures < len(pool):
            share = self._pictures / len(pool)
            pool = pool[stratified_split(self.data.labels[pool], share, self.config.seed)[1]]
        return pool, validation

    @property
    def validation_data(self) -> tuple[Tensor, Tensor]:
        """Pictures (V, C, H, W) and labels (V,)."""
        return self._validation


def small_digits(pictures: int, config: TrainingConfig, data: Path | None) -> Learning:
    """Return `SmallDigits`; its first argument is given with a partial."""
    learning: Any = SmallDigits(pictures, config, data)
    return cast("Learning", learning)


def look(fit: Fit, learning: Learning) -> dict[str, Any]:
    """Return what is known of a trained network.

    ``training`` and ``validation``, accuracies of the kept weights; ``pictures`` and
    ``validation_pictures``, their numbers; ``zero_weights``, the share of weights that are 0
    exactly; ``weight_rms``, their root mean square; ``probabilities`` (V, classes) and ``labels``
    (V,) of the validation; ``dropout``, see `dropout_scaling`, where there is any.
    """
    assert isinstance(learning, SmallDigits)
    images, labels = learning.validation_data

    @torch.inference_mode()
    def predict(*inputs: Tensor) -> Tensor:
        outputs: Tensor = fit.network(*inputs)
        return outputs.float()

    figures = learning.validate(predict)
    weights = torch.cat([w.detach().flatten() for w in split_parameters(fit.network)[0]])
    found = {
        "pictures": learning.train_size,
        "validation_pictures": len(labels),
        "training": figures["training_accuracy"],
        "validation": figures["accuracy"],
        "zero_weights": float((weights == 0).double().mean()),
        "weight_rms": float(weights.double().square().mean().sqrt()),
        "probabilities": predict(images).softmax(1).numpy(),
        "labels": labels.numpy(),
    }
    if any(isinstance(layer, nn.Dropout) for layer in fit.network.modules()):
        found["dropout"] = dropout_scaling(fit.network, images[:PROBES], learning.config.seed)
    return found


def dropout_scaling(network: nn.Module, images: Tensor, seed: int) -> dict[str, Any]:
    """Return mean answers of the units after the first dropout layer, in training and evaluation.

    In training a unit is dropped with the probability p, and what is left is divided by 1 - p, so
    that the expected answer is that of evaluation, where nothing is dropped (N. Srivastava et al.
    2014 multiply by 1 - p in evaluation instead, which is the same but for where it stands).

    Args:
        network: in evaluation mode, and left so.
        images: (N, C, H, W).
        seed: of the masks.

    Returns:
        ``p``; ``evaluation`` and ``training`` (units,), means over pictures, and masks of these.
    """
    layer = next(module for module in network.modules() if isinstance(module, nn.Dropout))
    seen: list[Tensor] = []
    hook = layer.register_forward_hook(lambda _, given, answer: seen.append(answer.mean(0)))
    layer.eval()
    with torch.inference_mode(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network(images)
        layer.train()
        for _ in range(MASKS):
            network(images)
    hook.remove()
    layer.eval()
    return {
        "p": layer.p,
        "evaluation": seen[0].double().numpy(),
        "training": torch.stack(seen[1:]).double().mean(0).numpy(),
    }


@dataclasses.dataclass(frozen=True)
class BrierParts:
    """The mean squared error of probabilities, taken apart.

    Attributes:
        bias2: squared distance of the mean answer to the truth, without what the few seeds add.
        variance: of the answers around their mean, of N - 1 seeds.
    """

    bias2: float
    variance: float

    @property
    def error(self) -> float:
        """Their sum, which is the mean over the seeds of |p - y|^2 (Brier 1950)."""
        return self.bias2 + self.variance


def brier_parts(
    probabilities: npt.NDArray[np.floating[Any]], labels: npt.NDArray[np.int64]
) -> BrierParts:
    """Take the squared error of several networks' probabilities apart (S. Geman et al. 1992).

    The noise of the labels is in the bias: nobody knows it.

    Args:
        probabilities: (seeds, V, classes), of two seeds or more.
        labels: (V,).
    """
    answers = probabilities.astype(np.float64)
    truth = np.eye(answers.shape[2])[labels]
    variance = float(answers.var(0, ddof=1).sum(1).mean())
    distance = float(((answers.mean(0) - truth) ** 2).sum(1).mean())
    # The mean of S answers is itself off by a variance / S.
    return BrierParts(distance - variance / len(answers), variance)
