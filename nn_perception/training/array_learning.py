"""Learning from two arrays: the loop without a task, for studies and lessons."""

from __future__ import annotations

import dataclasses
import hashlib
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from nn_perception.errors import DatasetError
from nn_perception.networks import build_network
from nn_perception.training.config import TrainingConfig
from nn_perception.training.learning import Export, Predict
from nn_perception.training.losses import LossName, classification_loss


@dataclass(frozen=True, eq=False)
class Examples:
    """Inputs with their targets.

    Attributes:
        inputs: (N, F) float.
        targets: (N,) integer classes, or (N, K) float values of a regression.
    """

    inputs: NDArray[np.floating[Any]]
    targets: NDArray[Any]

    def __post_init__(self) -> None:
        """Check the shapes.

        Raises:
            DatasetError: no rows of features, or not as many targets.
        """
        if self.inputs.ndim != 2 or len(self.inputs) != len(self.targets) or not len(self.inputs):
            raise DatasetError(
                f"inputs {self.inputs.shape} and targets {self.targets.shape}: expected rows of "
                "features (N, F) and as many targets"
            )

    @property
    def is_classification(self) -> bool:
        """Whether targets are classes."""
        return bool(self.targets.ndim == 1)


class ArrayLearning:
    """Data, network and loss of a classification or a regression; see `Learning`.

    The network is the registered ``mlp``. Its inputs are as they are: no normalisation.

    Args:
        config: without augmentation.
        train: to train on.
        validation: to choose weights by.
        loss: of a classification; a regression has half the squared error.
    """

    task = "arrays"
    half_weights = False

    def __init__(
        self,
        config: TrainingConfig,
        train: Examples,
        validation: Examples,
        loss: LossName = "cross_entropy",
    ) -> None:
        self.config, self._loss = config, loss
        self._classifies = train.is_classification
        self.metric = "accuracy" if self._classifies else "mse"
        self.higher_is_better = self._classifies
        self.train_size = len(train.inputs)
        self.outputs = (
            1 + int(max(train.targets.max(), validation.targets.max()))
            if self._classifies
            else train.targets.shape[1]
        )
        self._train, self._validation = _tensors(train), _tensors(validation)
        digest = hashlib.sha256()
        for part in (train, validation):
            for array in (part.inputs, part.targets):
                digest.update(np.ascontiguousarray(array).tobytes())
        self.data_id = digest.hexdigest()

    @classmethod
    def recipe(cls, network: str | None = None) -> TrainingConfig:
        """Return a configuration to begin with."""
        return dataclasses.replace(TrainingConfig(network=network or "mlp"), compile="off")

    def build_network(self) -> nn.Module:
        """See `Learning.build_network`."""
        return build_network(self.config.network, self.network_arguments())

    def network_arguments(self) -> dict[str, Any]:
        """Return the configured arguments and those that the data decides."""
        features = self._train[0].shape[1]
        decided = {
            "input_shape": (features, 1, 1),
            "classes": self.outputs,
            "mean": (0.0,) * features,
            "std": (1.0,) * features,
        }
        return {**self.config.network_arguments, **decided}

    def bundle_network(self, network: nn.Module) -> nn.Module:
        """Return the whole network."""
        return network

    def move_to(self, device: torch.device) -> None:
        """See `Learning.move_to`."""
        self._train = (self._train[0].to(device), self._train[1].to(device))
        self._validation = (self._validation[0].to(device), self._validation[1].to(device))

    def batch(
        self, indices: Tensor, generator: torch.Generator, share: slice
    ) -> tuple[tuple[Tensor, ...], Tensor]:
        """See `Learning.batch`."""
        inputs, targets = self._train
        mine = indices[share]
        return (inputs.index_select(0, mine),), targets.index_select(0, mine)

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """See `Learning.loss`."""
        if not self._classifies:
            return 0.5 * (outputs - targets).square().sum(1).mean()
        return classification_loss(
            self._loss, outputs, targets, label_smoothing=self.config.label_smoothing
        )

    def validate(self, predict: Predict) -> dict[str, float]:
        """See `Learning.validate`: ``loss`` and ``accuracy``, or ``mse``."""
        return self.figures(predict, self._validation)

    def training_figures(self, predict: Predict) -> dict[str, float]:
        """Return the same figures of the data that was trained on."""
        return self.figures(predict, self._train)

    def figures(self, predict: Predict, data: tuple[Tensor, Tensor]) -> dict[str, float]:
        """Return the figures of inputs (N, F, 1, 1) with targets."""
        inputs, targets = data
        outputs = predict(inputs)
        if not self._classifies:
            return {
                "loss": float(self.loss(outputs, targets)),
                "mse": float(F.mse_loss(outputs, targets)),
            }
        return {
            "loss": float(classification_loss(self._loss, outputs, targets)),
            "accuracy": float((outputs.argmax(1) == targets).double().mean()),
        }

    def export(self, predict: Predict) -> Export:
        """Arrays are of no task, so that nothing could run a bundle of them."""
        raise NotImplementedError("a network that was trained on arrays makes no bundle")


def _tensors(examples: Examples) -> tuple[Tensor, Tensor]:
    inputs = torch.from_numpy(np.ascontiguousarray(examples.inputs, np.float32))
    kind = np.int64 if examples.is_classification else np.float32
    targets = torch.from_numpy(np.ascontiguousarray(examples.targets, kind))
    return inputs[:, :, None, None], targets
