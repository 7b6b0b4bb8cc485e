"""What the loop asks of a task: data, network, loss, validation, and how it becomes a bundle."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import nn

from nn_perception.bundle import ArraySpec
from nn_perception.training.config import TrainingConfig

Predict = Callable[..., torch.Tensor]


@dataclass(frozen=True)
class Export:
    """What of a bundle's ``config.json`` only the task knows.

    Attributes:
        inputs: the network's inputs; their first axis is the batch.
        outputs: the network's outputs.
        probe: example inputs, real ones, on which torch and ONNX are compared.
        preprocessing: how a message becomes the input.
        labels: class names, or nothing.
        calibration: computed on the validation split, such as ``{"temperature": 1.1}``.
        metrics: validation figures of the final weights.
        data: provenance of the data: source, hashes, counts.
    """

    inputs: tuple[ArraySpec, ...]
    outputs: tuple[ArraySpec, ...]
    probe: tuple[torch.Tensor, ...]
    preprocessing: dict[str, Any]
    labels: tuple[str, ...]
    calibration: dict[str, Any]
    metrics: dict[str, Any]
    data: dict[str, Any]


class Learning(Protocol):
    """One task's side of training.

    Attributes:
        task: the task's name.
        config: the run's configuration.
        metric: key of the validation figure by which weights are chosen.
        higher_is_better: its sense.
        train_size: number of training samples.
        half_weights: whether the bundle stores weights in half precision.
        data_id: hash of the data, by which a resumed run knows that it is the same.
    """

    task: str
    config: TrainingConfig
    metric: str
    higher_is_better: bool
    half_weights: bool
    train_size: int
    data_id: str

    def __init__(self, config: TrainingConfig, data: Path | None) -> None:
        """Load and split the data.

        Raises:
            DatasetError: the data is missing or damaged.
        """
        ...

    @classmethod
    def recipe(cls, network: str | None = None) -> TrainingConfig:
        """Return the default configuration for a network; None takes the task's best one."""
        ...

    def build_network(self) -> nn.Module:
        """Build the network for this data (number of classes, input shape)."""
        ...

    def network_arguments(self) -> dict[str, Any]:
        """Return the arguments with which `build_network` builds it."""
        ...

    def bundle_network(self, network: nn.Module) -> nn.Module:
        """Return the part of the trained network that goes into the bundle, usually all of it."""
        ...

    def move_to(self, device: torch.device) -> None:
        """Move the data to the device; batches are gathered there."""
        ...

    def batch(
        self, indices: torch.Tensor, generator: torch.Generator, share: slice
    ) -> tuple[tuple[torch.Tensor, ...], torch.Tensor]:
        """Gather and augment one batch: (inputs, targets).

        Args:
            indices: of the samples of the whole batch.
            generator: for all random numbers of the augmentation of the whole batch.
            share: the part of the batch that this process trains on.
        """
        ...

    def loss(self, outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """Return the mean loss of a batch, a scalar."""
        ...

    def validate(self, predict: Predict) -> dict[str, float]:
        """Return validation figures: ``loss`` and at least ``metric``."""
        ...

    def export(self, predict: Predict) -> Export:
        """Describe the trained network for its bundle; calibrate on the validation split."""
        ...
