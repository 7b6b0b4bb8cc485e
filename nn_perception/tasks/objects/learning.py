"""Objects: the four road classes by default, the classes of any labelled pictures otherwise."""

from __future__ import annotations

import dataclasses
import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from torch import nn

from nn_perception.datasets.arrays import ImageSet
from nn_perception.datasets.environment import DATA_VARIABLE, ROAD4, data_from_environment
from nn_perception.datasets.images import load_image_set
from nn_perception.datasets.negatives import picture_negatives, scrambled
from nn_perception.errors import ConfigError, DatasetError, TrainingError
from nn_perception.networks.timm_backbone import TimmBackbone
from nn_perception.tasks.classification import ImagePreprocessing, converter
from nn_perception.tasks.objects.pipeline import preprocessing
from nn_perception.training.classifier_arguments import ClassifierArguments
from nn_perception.training.config import TrainingConfig
from nn_perception.training.image_classification import ImageClassificationLearning
from nn_perception.training.learning import Export, Predict


@dataclass(frozen=True)
class ObjectArguments(ClassifierArguments):
    """What ``task_arguments`` of this task may say, beside what every classifier knows.

    Attributes:
        input_size: side of the network's square input, pixels.
        backbone_weights: safetensors file with which the network `timm_backbone` starts; a bundle
            states it as it is given here, and its hash.
    """

    input_size: int = 32
    backbone_weights: str = ""

    def __post_init__(self) -> None:
        """Check the ranges.

        Raises:
            ConfigError: a value out of its range.
        """
        super().__post_init__()
        if not 16 <= self.input_size <= 512:
            raise ConfigError(
                f"'task_arguments.input_size' is {self.input_size}; expected 16 to 512 pixels"
            )


def load_training_objects(data: Path | None, settings: ImagePreprocessing) -> ImageSet:
    """Load the training split of labelled pictures, never the test split.

    Args:
        data: see `load_image_set`; None takes the road objects from ``$NN_PERCEPTION_DATA``.
        settings: what each picture is brought to.

    Raises:
        DatasetError: there are no usable pictures.
    """
    if data is None:
        root = data_from_environment()
        if root is None or not (root / ROAD4).is_file():
            raise DatasetError(
                f"no pictures of objects: got no --data, and ${DATA_VARIABLE} names no directory "
                f"that holds {ROAD4}; give --data with an .npz or a folder of pictures per class"
            )
        data = root / ROAD4
    return load_image_set(data, split="train", convert=converter(settings))


class ObjectLearning(ImageClassificationLearning):
    """Colour pictures of objects; the data names the classes."""

    task = "objects"
    recipes = "nn_perception.tasks.objects.recipes"
    default_network = "residual_cnn"
    arguments_type = ObjectArguments
    arguments: ObjectArguments

    @classmethod
    def preprocessing_of(cls, arguments: Any) -> ImagePreprocessing:
        """RGB, square, of the size that is asked for."""
        return preprocessing(arguments.input_size)

    def __init__(self, config: TrainingConfig, data: Path | None) -> None:
        """See `ImageClassificationLearning`.

        Raises:
            TrainingError: the backbone's weights are not there.
        """
        super().__init__(config, data)
        self._weights_sha256 = ""
        if self.arguments.backbone_weights:
            self._weights_sha256 = _file_sha256(Path(self.arguments.backbone_weights))
            self.data_id += self._weights_sha256  # other weights make another run

    def load_data(self, data: Path | None) -> ImageSet:
        """See `load_training_objects`."""
        return load_training_objects(data, self.preprocessing)

    def build_network(self) -> nn.Module:
        """See `Learning.build_network`; begins with given weights of the backbone.

        Raises:
            ConfigError: the network takes no such weights.
            TrainingError: the weights cannot be read or do not fit.
        """
        network = super().build_network()
        if self.arguments.backbone_weights:
            if not isinstance(network, TimmBackbone):
                raise ConfigError(
                    f"'task_arguments.backbone_weights' is for the network 'timm_backbone', not "
                    f"for '{self.config.network}'; leave it out, or choose --network timm_backbone"
                )
            network.load_weights(Path(self.arguments.backbone_weights))
        return network

    def export(self, predict: Predict) -> Export:
        """See `Learning.export`; states the hash of the weights that the backbone began with."""
        export = super().export(predict)
        if not self._weights_sha256:
            return export
        data = {**export.data, "backbone_weights_sha256": self._weights_sha256}
        return dataclasses.replace(export, data=data)

    @classmethod
    def negatives(
        cls, images: npt.NDArray[np.uint8], count: int, seed: int
    ) -> npt.NDArray[np.uint8]:
        """Make scenes, textures and shapes, and as many scrambled pictures of the split itself."""
        chosen = np.random.RandomState(seed).randint(0, len(images), count // 2)
        pictures = images[chosen].transpose(0, 2, 3, 1)
        made = picture_negatives(count - len(chosen), seed, images.shape[-1])
        both = np.concatenate((made, scrambled(np.ascontiguousarray(pictures), seed)))
        return np.ascontiguousarray(both.transpose(0, 3, 1, 2))


def _file_sha256(path: Path) -> str:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise TrainingError(
            f"'task_arguments.backbone_weights': cannot read {path}: {error.strerror or error}; "
            "correct the path"
        ) from error
