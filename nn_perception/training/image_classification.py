"""Learning an image classifier: what the tasks with class labels share."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nn_perception.bundle import ArraySpec
from nn_perception.datasets.arrays import ImageSet, stratified_split
from nn_perception.evaluation.calibration import fit_temperature
from nn_perception.evaluation.classification import classification_metrics
from nn_perception.networks import build_network
from nn_perception.tasks.classification import ImagePreprocessing, prepare_image, softmax
from nn_perception.training.augment import AugmentConfig, apply, draw
from nn_perception.training.config import TrainingConfig
from nn_perception.training.learning import Export, Predict
from nn_perception.training.recipes import read_recipe

PROBES = 64


class ImageClassificationLearning:
    """Data, network and loss of a classifier; a task names its recipes and its data.

    Class attributes that a task sets:
        task: the task's name.
        recipes: package that holds one ``NETWORK.yaml`` per network.
        default_network: the network of the task's best recipe.
        preprocessing: how pictures and messages become the network's input.
    It also overrides `load_data`.
    """

    task: ClassVar[str]
    recipes: ClassVar[str]
    default_network: ClassVar[str]
    preprocessing: ClassVar[ImagePreprocessing]
    metric = "accuracy"
    higher_is_better = True
    half_weights = True

    def __init__(self, config: TrainingConfig, data: Path | None) -> None:
        """Load, pre-process and split the data; a fixed seed gives a fixed split."""
        self.config = config
        self._augments = config.augment != AugmentConfig()
        self.data = self.load_data(data)
        train, validation = stratified_split(
            self.data.labels, config.validation_fraction, config.seed
        )
        images = prepare_all(self.data.images, self.preprocessing)
        labels = self.data.labels
        self.train_size = len(train)
        self.data_id = self.data.sha256
        self._train = (torch.from_numpy(images[train]), torch.from_numpy(labels[train]))
        self._validation = (
            torch.from_numpy(images[validation]),
            torch.from_numpy(labels[validation]),
        )

    @classmethod
    def load_data(cls, data: Path | None) -> ImageSet:
        """Load the training split at a path, or the task's default; never a test split."""
        raise NotImplementedError

    @classmethod
    def recipe(cls, network: str | None = None) -> TrainingConfig:
        """See `Learning.recipe`.

        Raises:
            ConfigError: the task has no recipe for the network.
        """
        return read_recipe(cls.recipes, cls.task, network or cls.default_network)

    def build_network(self) -> nn.Module:
        """See `Learning.build_network`."""
        return build_network(self.config.network, self.network_arguments())

    def network_arguments(self) -> dict[str, Any]:
        """Return the configured arguments and those that the data decides."""
        settings = self.preprocessing
        decided = {
            "input_shape": (settings.channels, settings.height, settings.width),
            "classes": len(self.data.class_names),
        }
        return {**self.config.network_arguments, **decided}

    def bundle_network(self, network: nn.Module) -> nn.Module:
        """A classifier goes into its bundle as it is."""
        return network

    def move_to(self, device: torch.device) -> None:
        """See `Learning.move_to`."""
        self._train = (self._train[0].to(device), self._train[1].to(device))
        self._validation = (self._validation[0].to(device), self._validation[1].to(device))

    def batch(
        self, indices: Tensor, generator: torch.Generator, share: slice
    ) -> tuple[tuple[Tensor, ...], Tensor]:
        """See `Learning.batch`."""
        images, labels = self._train
        mine = indices[share]
        chosen = images.index_select(0, mine)
        if self._augments:
            params = draw(len(indices), self.config.augment, generator, images.device)[share]
            chosen = apply(chosen, params)
        return (chosen,), labels.index_select(0, mine)

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Cross entropy of logits (N, K) with class indices (N,)."""
        return F.cross_entropy(outputs, targets, label_smoothing=self.config.label_smoothing)

    def validate(self, predict: Predict) -> dict[str, float]:
        """Return ``loss`` (without smoothing) and ``accuracy`` on the validation split."""
        logits, labels = self._validation_logits(predict)
        return {
            "loss": float(F.cross_entropy(logits, labels)),
            "accuracy": float((logits.argmax(1) == labels).double().mean()),
        }

    def export(self, predict: Predict) -> Export:
        """See `Learning.export`; fits one temperature on the validation split (Guo 2017)."""
        logits, labels = (tensor.cpu().numpy() for tensor in self._validation_logits(predict))
        temperature = fit_temperature(logits, labels)
        scores = softmax(logits, temperature)
        metrics = classification_metrics(scores, labels, self.data.class_names).to_dict()
        settings = self.preprocessing
        shape = (None, settings.channels, settings.height, settings.width)
        return Export(
            inputs=(ArraySpec("image", shape, "uint8", "grey level 0..255"),),
            outputs=(ArraySpec("logits", (None, len(self.data.class_names)), "float32"),),
            probe=(self._validation[0][:PROBES].cpu(),),
            preprocessing=vars(settings),
            labels=self.data.class_names,
            calibration={"temperature": temperature},
            metrics={key: metrics[key] for key in ("accuracy", "ece", "nll", "n")},
            data={
                "source": self.data.source,
                "sha256": self.data.sha256,
                "train": self.train_size,
                "validation": len(labels),
            },
        )

    def _validation_logits(self, predict: Predict, batch: int = 1000) -> tuple[Tensor, Tensor]:
        images, labels = self._validation
        return torch.cat([predict(part) for part in torch.split(images, batch)]), labels


def prepare_all(
    images: npt.NDArray[np.uint8], settings: ImagePreprocessing
) -> npt.NDArray[np.uint8]:
    """Pre-process a whole set (N, H, W, C) to (N, C, height, width), as the pipeline does."""
    return np.stack([prepare_image(image, settings) for image in images])
