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
from nn_perception.config import from_mapping, to_mapping
from nn_perception.datasets.arrays import ImageSet
from nn_perception.datasets.kept import kept
from nn_perception.datasets.recorded import is_dataset
from nn_perception.errors import ConfigError
from nn_perception.evaluation.calibration import fit_temperature
from nn_perception.evaluation.classification import classification_metrics
from nn_perception.evaluation.rejection import fpr_at_tpr
from nn_perception.networks import build_network
from nn_perception.tasks.classification import ImagePreprocessing, prepare_image, softmax
from nn_perception.tasks.rejection import (
    fit_rejection,
    known_scores,
    score_kind,
)
from nn_perception.training.augment import AugmentConfig, apply, draw
from nn_perception.training.classifier_arguments import ClassifierArguments, More
from nn_perception.training.config import TrainingConfig
from nn_perception.training.folds import group_members, stratified_fold
from nn_perception.training.learning import Export, Predict
from nn_perception.training.losses import classification_loss
from nn_perception.training.recipes import read_recipe

PROBES = 64
VALIDATION_NEGATIVES = 2000


class ImageClassificationLearning:
    """Data, network and loss of a classifier; a task names its recipes and its data.

    Class attributes that a task sets:
        task: the task's name.
        recipes: package that holds the recipes, see `nn_perception.training.recipes`.
        default_network: the network of the task's best recipe.
        arguments_type: what its ``task_arguments`` are.
    It also overrides `load_data`, `preprocessing_of`, `negatives` where it has a background, and
    `extend` where it makes pictures of its own.

    Attributes:
        arguments: the configuration's ``task_arguments``.
        preprocessing: how pictures and messages become the network's input.
    """

    task: ClassVar[str]
    recipes: ClassVar[str]
    default_network: ClassVar[str]
    arguments_type: ClassVar[type[ClassifierArguments]] = ClassifierArguments
    metric = "accuracy"
    higher_is_better = True
    half_weights = True

    def __init__(self, config: TrainingConfig, data: Path | None) -> None:
        """Load, pre-process and split the data; a fixed seed gives a fixed split."""
        self.config = config
        self.arguments = from_mapping(self.arguments_type, config.task_arguments)
        self.preprocessing = self.preprocessing_of(self.arguments)
        self._augments = config.augment != AugmentConfig()
        self.data, images = self._read(data)
        train, validation = self._split(data is not None and is_dataset(data))
        labels = self.data.labels
        self.data_id = self.data.sha256
        self._classes = len(self.data.class_names)
        self._background = self.arguments.background > 0
        seed, count = 2 * self.config.seed, self.arguments.negatives
        parts = [
            self._part(images[train], labels[train], count, seed),
            self._part(
                images[validation], labels[validation], min(count, VALIDATION_NEGATIVES), seed + 1
            ),
        ]
        (train_part, self._negatives), (self._validation, self._validation_negatives) = parts
        self._train = train_part
        self.train_size = len(train_part[0])
        self._class_weights = self._weigh_classes(train_part[1].numpy())

    def _read(self, data: Path | None) -> tuple[ImageSet, npt.NDArray[np.uint8]]:
        """Return the pictures as they are, and as the network takes them."""
        which = (type(self), data, self.preprocessing)
        samples, seed = self.arguments.samples, self.config.seed

        def read() -> tuple[ImageSet, npt.NDArray[np.uint8]]:
            found = kept(which, lambda: self.load_data(data))
            found = found.sample(samples, seed) if samples else found
            return found, prepare_all(found.images, self.preprocessing)

        return kept((*which, samples, seed if samples else None), read)

    def _split(self, is_recorded: bool) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        config, data = self.config, self.data
        if not config.folds:
            return data.split(config.validation_fraction, config.seed)
        if is_recorded and data.sources is not None:
            # Neighbouring frames of a recording show the same: it is in one fold as a whole.
            return group_members(data.sources.tolist(), config.folds, config.fold, config.seed)
        return stratified_fold(data.labels, config.folds, config.fold, config.seed)

    def _part(
        self, images: npt.NDArray[np.uint8], labels: npt.NDArray[np.int64], count: int, seed: int
    ) -> tuple[tuple[Tensor, Tensor], Tensor]:
        """Return pictures with labels, and negatives, of one part of the split."""
        more = self.extend(images, labels, seed)
        pictures = torch.from_numpy(np.concatenate((images, more.images)))
        targets = torch.from_numpy(np.concatenate((labels, more.labels)))
        if not self._background:
            return (pictures, targets), torch.empty(0, dtype=torch.uint8)
        made = self.negatives(images, count, seed)
        return (pictures, targets), torch.from_numpy(np.concatenate((made, more.negatives)))

    def _weigh_classes(self, labels: npt.NDArray[np.int64]) -> Tensor | None:
        """Return a weight for each output, of mean 1 over the training pictures; None: all alike.

        How much the background counts is what its share of a batch says.
        """
        if self.arguments.class_weights == "none":
            return None
        counts = np.bincount(labels, minlength=self._classes)
        weights = len(labels) / (self._classes * np.maximum(counts, 1))
        background = [1.0] if self._background else []
        return torch.tensor([*weights, *background], dtype=torch.float32)

    @classmethod
    def preprocessing_of(cls, arguments: Any) -> ImagePreprocessing:
        """Return how pictures become the input of a network with these ``task_arguments``."""
        raise NotImplementedError

    @classmethod
    def negatives(
        cls, images: npt.NDArray[np.uint8], count: int, seed: int
    ) -> npt.NDArray[np.uint8]:
        """Make pictures that show none of the classes.

        Args:
            images: the pre-processed pictures of the split that they are for, (N, C, H, W).
            count: how many.
            seed: same seed, same pictures.

        Returns:
            uint8 (count, C, H, W).
        """
        raise ConfigError(
            f"'task_arguments.background' is set, and the task '{cls.task}' has no negatives to "
            "learn a background from: set it to 0"
        )

    def extend(
        self, images: npt.NDArray[np.uint8], labels: npt.NDArray[np.int64], seed: int
    ) -> More:
        """Make more pictures from those of one part of the split, which alone may go into them.

        Args:
            images: pre-processed pictures (N, C, H, W).
            labels: (N,) class of each.
            seed: same seed, same pictures.
        """
        none = images[:0]
        return More(none, labels[:0], none)

    def load_data(self, data: Path | None) -> ImageSet:
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
            "classes": self._classes + self._background,
        }
        return {**self.config.network_arguments, **decided}

    def bundle_network(self, network: nn.Module) -> nn.Module:
        """A classifier goes into its bundle as it is."""
        return network

    def move_to(self, device: torch.device) -> None:
        """See `Learning.move_to`."""
        self._train = (self._train[0].to(device), self._train[1].to(device))
        self._validation = (self._validation[0].to(device), self._validation[1].to(device))
        self._negatives = self._negatives.to(device)
        self._validation_negatives = self._validation_negatives.to(device)
        if self._class_weights is not None:
            self._class_weights = self._class_weights.to(device)

    def batch(
        self, indices: Tensor, generator: torch.Generator, share: slice
    ) -> tuple[tuple[Tensor, ...], Tensor]:
        """See `Learning.batch`."""
        images, labels = self._train
        mine = indices[share]
        chosen, targets = images.index_select(0, mine), labels.index_select(0, mine)
        extra = round(self.arguments.background * len(indices)) if self._background else 0
        rows: slice | Tensor = share
        if extra:
            # Drawn for the whole batch, so that any number of processes sees the same.
            drawn = torch.randint(len(self._negatives), (extra,), generator=generator)[share]
            chosen = torch.cat((chosen, self._negatives.index_select(0, drawn.to(images.device))))
            targets = torch.cat((targets, targets.new_full((len(drawn),), self._classes)))
            every = torch.arange(len(indices) + extra, device=images.device)
            rows = torch.cat((every[: len(indices)][share], every[len(indices) :][share]))
        if self._augments:
            total = len(indices) + extra
            params = draw(total, self.config.augment, generator, images.device)[rows]
            chosen = apply(chosen, params)
        return (chosen,), targets

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Return the loss that the arguments name, of logits (N, K) and class indices (N,)."""
        return classification_loss(
            self.arguments.loss,
            outputs,
            targets,
            self._class_weights,
            self.config.label_smoothing,
        )

    def validate(self, predict: Predict) -> dict[str, float]:
        """Return figures of the validation split: ``loss`` and ``accuracy`` among the classes.

        With a background also ``false_positives``: the share of negatives that are answered where
        95 % of the pictures are.
        """
        every, labels = self._validation_logits(predict)
        logits = every[:, : self._classes]
        figures = {
            "loss": float(F.cross_entropy(logits, labels)),
            "accuracy": float((logits.argmax(1) == labels).double().mean()),
        }
        if self._background:
            figures["false_positives"] = self._false_positives(every, predict)
        return figures

    def _false_positives(self, known: Tensor, predict: Predict) -> float:
        foreign = _in_parts(predict, self._validation_negatives)
        scores = [
            known_scores(logits.cpu().numpy(), self._classes, 1.0) for logits in (known, foreign)
        ]
        return fpr_at_tpr(scores[0], scores[1], 0.95)

    def export(self, predict: Predict) -> Export:
        """See `Learning.export`; fits one temperature on the validation split (Guo 2017)."""
        every, labels = (tensor.cpu().numpy() for tensor in self._validation_logits(predict))
        logits = every[:, : self._classes]
        temperature = fit_temperature(logits, labels)
        rejection = fit_rejection(
            known_scores(every, self._classes, temperature),
            score_kind(every.shape[1], self._classes),
        )
        scores = softmax(logits, temperature)
        metrics = classification_metrics(scores, labels, self.data.class_names).to_dict()
        figures = {key: metrics[key] for key in ("accuracy", "ece", "nll", "n")}
        if self._background:
            figures["false_positives"] = self._false_positives(torch.from_numpy(every), predict)
        settings = self.preprocessing
        shape = (None, settings.channels, settings.height, settings.width)
        unit = "grey level 0..255" if settings.channels == 1 else "RGB, 0..255"
        return Export(
            inputs=(ArraySpec("image", shape, "uint8", unit),),
            outputs=(ArraySpec("logits", (None, every.shape[1]), "float32"),),
            probe=(self._validation[0][:PROBES].cpu(),),
            preprocessing=vars(settings),
            labels=self.data.class_names,
            calibration={
                "temperature": temperature,
                "rejection": to_mapping(rejection),
            },
            metrics=figures,
            data={
                "source": self.data.source,
                "sha256": self.data.sha256,
                "train": self.train_size,
                "validation": len(labels),
            },
        )

    def _validation_logits(self, predict: Predict) -> tuple[Tensor, Tensor]:
        images, labels = self._validation
        return _in_parts(predict, images), labels


def _in_parts(predict: Predict, images: Tensor, batch: int = 1000) -> Tensor:
    return torch.cat([predict(part) for part in torch.split(images, batch)])


def prepare_all(
    images: npt.NDArray[np.uint8], settings: ImagePreprocessing
) -> npt.NDArray[np.uint8]:
    """Pre-process a whole set (N, H, W, C) to (N, C, height, width), as the pipeline does."""
    return np.stack([prepare_image(image, settings) for image in images])
