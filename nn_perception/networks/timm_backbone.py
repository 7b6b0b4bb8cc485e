"""Any classifier of timm (PyTorch Image Models) as the first part of ours, with its weights."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor, nn

from nn_perception.errors import ConfigError, TrainingError, nearest
from nn_perception.networks.checks import fraction, whole_number, whole_numbers
from nn_perception.networks.normalise import IMAGENET_MEAN, IMAGENET_STD, Normalise


class TimmBackbone(nn.Module):
    """A timm model without its classifier, and one linear layer for our classes.

    Its weights start at random, and nothing is downloaded: `load_weights` reads a file.

    Args:
        model: name of the model in timm.
        input_shape: (channels, height, width) of one image.
        classes: number of logits.
        freeze: train the last layer only; the model then also keeps its running statistics.
        dropout: probability with which a value before the last layer is dropped in training.
        mean: of each channel, in 0..255 units; what the model was trained with.
        std: of each channel, in 0..255 units.

    Raises:
        ConfigError: timm is not installed or does not know the model, or a value is out of range.
    """

    def __init__(
        self,
        model: str = "resnet18",
        input_shape: Sequence[int] = (3, 224, 224),
        classes: int = 4,
        freeze: bool = False,
        dropout: float = 0.0,
        mean: Sequence[float] = IMAGENET_MEAN,
        std: Sequence[float] = IMAGENET_STD,
    ) -> None:
        super().__init__()
        channels, height, width = whole_numbers("input_shape", input_shape, count=3)
        if not isinstance(freeze, bool):
            raise ConfigError(f"freeze: got {freeze!r}, expected true or false")
        rate = fraction("dropout", dropout)
        self.freeze = freeze
        self.normalise = Normalise(mean, std)
        self.backbone = _create(model, channels)
        self.backbone.requires_grad_(not freeze)
        with torch.no_grad():
            features = self.backbone.eval()(torch.zeros(1, channels, height, width)).shape[1]
        self.backbone.train()
        self.head = nn.Sequential(
            nn.Dropout(rate), nn.Linear(features, whole_number("classes", classes, 2))
        )

    def forward(self, images: Tensor) -> Tensor:
        """Return logits (N, classes) for raw images (N, C, H, W) in 0..255."""
        logits: Tensor = self.head(self.backbone(self.normalise(images)))
        return logits

    def train(self, mode: bool = True) -> TimmBackbone:
        """Set the mode; a frozen backbone stays in that of evaluation."""
        super().train(mode)
        if self.freeze:
            self.backbone.eval()
        return self

    def load_weights(self, path: Path) -> None:
        """Read the backbone's weights from a safetensors file; its classifier is left out.

        Raises:
            TrainingError: the file cannot be read, or is that of another model.
        """
        try:
            found = safetensors.torch.load_file(path)
        except (OSError, safetensors.SafetensorError) as error:
            raise TrainingError(
                f"{path}: cannot be read as safetensors ({error}); give the model.safetensors of "
                "the timm model"
            ) from error
        wanted = self.backbone.state_dict()
        missing = [name for name in wanted if name not in found]
        if missing:
            raise TrainingError(
                f"{path}: lacks {len(missing)} of {len(wanted)} tensors of the model, the first is "
                f"'{missing[0]}'; give the weights of the model that network_arguments.model names"
            )
        for name, value in wanted.items():
            if found[name].shape != value.shape:
                raise TrainingError(
                    f"{path}: '{name}' has the shape {tuple(found[name].shape)}, expected "
                    f"{tuple(value.shape)}; give the weights of this very model and of "
                    f"{self.normalise.mean.shape[1]} channels"
                )
        self.backbone.load_state_dict({name: found[name] for name in wanted})


def _create(model: str, channels: int) -> nn.Module:
    """Build a timm model that ends with its pooled features."""
    try:
        timm: Any = importlib.import_module("timm")
    except (ImportError, RuntimeError) as error:  # a torchvision of another torch: RuntimeError
        raise ConfigError(
            f"the network 'timm_backbone' needs timm, which cannot be imported ({error}): "
            "pip install timm torchvision, with the torchvision that fits the installed torch"
        ) from error
    known: list[Any] = timm.list_models()
    if model not in known:
        raise ConfigError(f"model: timm {timm.__version__} has no '{model}'{nearest(model, known)}")
    created: nn.Module = timm.create_model(
        model, pretrained=False, num_classes=0, in_chans=channels
    )
    return created
