"""Training time to 98 % validation accuracy, against the ordinary loop of tutorials."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch.utils.data import DataLoader, Dataset

from nn_perception.bench import BenchSettings, Measurement
from nn_perception.datasets.arrays import stratified_split
from nn_perception.datasets.mnist import find_mnist, load_mnist
from nn_perception.errors import DatasetError
from nn_perception.networks import build_network
from nn_perception.tasks import get_task
from nn_perception.training.augment import AugmentConfig
from nn_perception.training.config import TrainingConfig
from nn_perception.training.loop import Trainer
from nn_perception.training.optimisers import make_optimizer, rate_factor, set_rate

TARGET = 0.98
SPEED_UP_GOAL = 5.0


def run(settings: BenchSettings, say: Callable[[str], None]) -> list[Measurement]:
    """Train the same network with the same optimiser, schedule and batches by both loops.

    Data is loaded and torch has trained one epoch before the clock starts; validation counts in
    both.
    """
    directory = find_mnist(settings.data)
    if directory is None:
        raise DatasetError("this benchmark needs MNIST: give --data DIR")
    config = dataclasses.replace(
        get_task("digits").load_learning().recipe("mlp"), device="cpu", **SPEED
    )
    say(f"our loop, {config.network}, batch {config.batch_size}")
    ours_s, ours_epoch = _ours(config, directory)
    times = {}
    for workers in (0, 2):
        say(f"ordinary loop, DataLoader with {workers} workers")
        times[workers], epoch = _ordinary(config, directory, workers)
    best = min(times, key=lambda workers: times[workers])
    speed_up = times[best] / ours_s
    return [
        Measurement(
            "training mlp to 98 %, speed-up over Dataset + DataLoader",
            speed_up,
            "x",
            f"≥ {SPEED_UP_GOAL:g}",
            speed_up >= SPEED_UP_GOAL,
            f"MNIST, validation accuracy {TARGET:.0%} after {ours_epoch} and {epoch} epochs; "
            f"{ours_s:.1f} s against {times[0]:.1f} s (0 workers) and {times[2]:.1f} s (2 workers)",
        )
    ]


SPEED: dict[str, Any] = {
    "epochs": 6,
    "ema_decay": 0.0,
    "compile": "off",
    "augment": AugmentConfig(),
    "validation_fraction": 0.1,
}
"""The recipe of `mlp` for both loops, shortened, and without what the ordinary one lacks."""


def _ours(config: TrainingConfig, directory: Path) -> tuple[float, int]:
    learning = get_task("digits").load_learning()(config, directory)
    Trainer(learning, on_epoch=lambda _: True).fit()  # what torch imports and sets up only once
    start = time.perf_counter()
    fit = Trainer(learning, on_epoch=lambda r: bool(r["validation_accuracy"] >= TARGET)).fit()
    seconds = time.perf_counter() - start
    return seconds if fit.history[-1]["validation_accuracy"] >= TARGET else float("inf"), len(
        fit.history
    )


class _Pictures(Dataset[tuple[torch.Tensor, int]]):
    """MNIST as tutorials have it: PIL-like array in, ToTensor and Normalize for each sample."""

    def __init__(self, images: npt.NDArray[np.uint8], labels: npt.NDArray[np.int64]) -> None:
        self.images, self.labels = images, labels

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        # What torchvision's MNIST does: a PIL picture, ToTensor (to CHW float in 0..1), Normalize.
        from PIL import Image

        picture = Image.fromarray(self.images[index, :, :, 0])
        tensor = torch.from_numpy(np.array(picture, np.uint8, copy=True)).view(28, 28, 1)
        image = tensor.permute(2, 0, 1).contiguous().to(torch.float32).div(255)
        mean, std = torch.tensor([0.1307]).view(-1, 1, 1), torch.tensor([0.3081]).view(-1, 1, 1)
        return image.sub_(mean).div_(std), int(self.labels[index])


def _ordinary(config: TrainingConfig, directory: Path, workers: int) -> tuple[float, int]:
    data = load_mnist(directory, "train")
    train, validation = stratified_split(data.labels, config.validation_fraction, config.seed)
    arguments = {"num_workers": workers, "persistent_workers": workers > 0}
    loader = DataLoader(
        _Pictures(data.images[train], data.labels[train]),
        batch_size=config.batch_size,
        shuffle=True,
        drop_last=True,
        generator=torch.Generator().manual_seed(config.seed),
        **arguments,  # type: ignore[arg-type]
    )
    held_out = DataLoader(
        _Pictures(data.images[validation], data.labels[validation]),
        batch_size=1000,
        **arguments,  # type: ignore[arg-type]
    )
    torch.manual_seed(config.seed)
    # Its inputs are normalised already: the network's own normalisation becomes the identity.
    network = build_network(config.network, {**config.network_arguments, "mean": [0], "std": [1]})
    optimizer = make_optimizer(network, config)
    start, step, epoch = time.perf_counter(), 0, 0
    for epoch in range(1, config.epochs + 1):
        network.train()
        for images, labels in loader:
            factor = rate_factor(config, step, config.epochs * len(loader), len(loader))
            set_rate(optimizer, config.learning_rate * factor)
            optimizer.zero_grad()
            F.cross_entropy(network(images), labels).backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            step += 1
        if _accuracy(network, held_out) >= TARGET:
            return time.perf_counter() - start, epoch
    return float("inf"), epoch


@torch.no_grad()
def _accuracy(network: torch.nn.Module, loader: DataLoader[Any]) -> float:
    network.eval()
    right = total = 0
    for images, labels in loader:
        right += int((network(images).argmax(1) == labels).sum())
        total += len(labels)
    return right / total
