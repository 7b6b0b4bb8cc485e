"""Learning from two arrays: the loop without a task, for studies and lessons."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from nn_perception.errors import ConfigError, DatasetError
from nn_perception.networks import build_network
from nn_perception.training.augment import AugmentConfig
from nn_perception.training.config import TrainingConfig
from nn_perception.training.learning import Export, Predict
from nn_perception.training.losses import LossName, classification_loss

_OF_ONE_OUTPUT: tuple[LossName, ...] = ("cross_entropy", "perceptron")


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
        """Check shapes and values.

        Raises:
            DatasetError: no rows of features, not as many targets, classes that are none, or a
                value that is not finite in float32.
        """
        inputs, targets = self.inputs, self.targets
        if inputs.ndim != 2 or not inputs.size or targets.shape[:1] != inputs.shape[:1]:
            raise DatasetError(
                f"inputs {inputs.shape} and targets {targets.shape}: expected rows of features "
                "(N, F) and as many targets; give a column vector as array[:, None]"
            )
        if targets.ndim == 1 and (targets.dtype.kind not in "iu" or targets.min() < 0):
            raise DatasetError(
                f"targets of one axis are classes: got {targets.dtype} from {targets.min()}, "
                "expected integers from 0; give values of a regression as (N, K)"
            )
        if targets.ndim not in (1, 2) or not targets.size:
            raise DatasetError(f"targets {targets.shape}: expected classes (N,) or values (N, K)")
        with np.errstate(over="ignore"):
            finite = all(np.isfinite(part.astype(np.float32)).all() for part in (inputs, targets))
        if not finite:
            raise DatasetError(
                "inputs or targets have values that are not finite in float32, expected finite "
                "ones; leave those rows out, or scale them"
            )

    @property
    def is_classification(self) -> bool:
        """Whether targets are classes."""
        return bool(self.targets.ndim == 1)


class ArrayLearning:
    """Data, network and loss of a classification or a regression; see `Learning`.

    The network is the registered ``mlp``. Its inputs are as they are: no normalisation.

    Args:
        config: without augmentation and ``task_arguments``; the data is split already.
        train: to train on.
        validation: to choose weights by.
        loss: of a classification; a regression has half the squared error.
        one_output: two classes by one output z instead of two, as perceptron and logistic
            regression have it: class 1 where z > 0. The logits are (0, z), whose softmax is
            sigmoid(z): ``cross_entropy`` is the binary one of it.

    Raises:
        ConfigError: the configuration or the loss has what arrays have not.
        DatasetError: the two parts do not fit together, or there is one class only.
    """

    task = "arrays"
    half_weights = False

    def __init__(
        self,
        config: TrainingConfig,
        train: Examples,
        validation: Examples,
        loss: LossName = "cross_entropy",
        one_output: bool = False,
    ) -> None:
        if config.augment != AugmentConfig() or config.task_arguments:
            raise ConfigError(
                "arrays are not augmented and have no 'task_arguments': got "
                f"{config.task_arguments or 'augment'}; leave them out, the loss is an argument"
            )
        self.config, self._loss, self._one_output = config, loss, one_output
        self._classifies = train.is_classification
        self.metric = "accuracy" if self._classifies else "mse"
        self.higher_is_better = self._classifies
        self.train_size = len(train.inputs)
        self.outputs = self._count_outputs(train, validation)
        self._train, self._validation = _tensors(train), _tensors(validation)
        digest = hashlib.sha256(f"{loss} {one_output}".encode())
        for part in (train, validation):
            for array in (part.inputs, part.targets):
                digest.update(f"{array.shape} {array.dtype}".encode())
                digest.update(np.ascontiguousarray(array).tobytes())
        self.data_id = digest.hexdigest()

    def _count_outputs(self, train: Examples, validation: Examples) -> int:
        pairs = ((train.inputs, validation.inputs), (train.targets, validation.targets))
        for one, other in pairs:
            if one.shape[1:] != other.shape[1:]:
                raise DatasetError(
                    f"{one.shape} to train on and {other.shape} to validate with: expected the "
                    "same but for the number of rows"
                )
        if not self._classifies:
            return int(train.targets.shape[1])
        classes = 1 + int(max(train.targets.max(), validation.targets.max()))
        if classes < 2:
            raise DatasetError("all targets are class 0; expected two classes or more")
        if not self._one_output:
            return classes
        if classes > 2 or self._loss not in _OF_ONE_OUTPUT:
            raise ConfigError(
                f"one output: got {classes} classes and the loss {self._loss}, expected two "
                f"classes and one of: {', '.join(_OF_ONE_OUTPUT)}"
            )
        return 1

    @classmethod
    def recipe(cls, network: str | None = None) -> TrainingConfig:
        """Return a configuration to begin with."""
        return TrainingConfig(network=network or "mlp", compile="off")

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
            self._loss, self.logits(outputs), targets, label_smoothing=self.config.label_smoothing
        )

    def logits(self, outputs: Tensor) -> Tensor:
        """Return logits (N, classes) of a classifier's outputs; see ``one_output``."""
        return F.pad(outputs, (1, 0)) if self._one_output else outputs

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
        logits = self.logits(outputs)
        return {
            "loss": float(classification_loss(self._loss, logits, targets)),
            "accuracy": float((logits.argmax(1) == targets).double().mean()),
        }

    def export(self, predict: Predict) -> Export:
        """Arrays are of no task, so that nothing could run a bundle of them."""
        raise NotImplementedError("a network that was trained on arrays makes no bundle")


def _tensors(examples: Examples) -> tuple[Tensor, Tensor]:
    inputs = torch.from_numpy(np.ascontiguousarray(examples.inputs, np.float32))
    kind = np.int64 if examples.is_classification else np.float32
    targets = torch.from_numpy(np.ascontiguousarray(examples.targets, kind))
    return inputs[:, :, None, None], targets
