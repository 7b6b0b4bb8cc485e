"""MNIST test accuracy of the recipes: each network, several seeds, the test set looked at once."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from nn_perception.bench import BenchSettings, Measurement
from nn_perception.bench.trained import trained_seed
from nn_perception.datasets.mnist import find_mnist
from nn_perception.errors import DatasetError
from nn_perception.evaluation.image_classification import ClassificationEvaluation
from nn_perception.tasks.loading import open_pipeline
from nn_perception.training.log import read_metrics

GOALS = {"mlp": 0.982, "lecture_cnn": 0.988, "digit_cnn": 0.996}
BEST, BEST_GOAL = "digit_best", 0.997


def run(settings: BenchSettings, say: Callable[[str], None]) -> list[Measurement]:
    """Train every network with seeds 0, 1, ... and evaluate each bundle once on the test split."""
    directory = _mnist(settings)
    return [_recipe(name, goal, directory, settings, say) for name, goal in GOALS.items()]


def best(settings: BenchSettings, say: Callable[[str], None]) -> list[Measurement]:
    """Do the same with the recipe of the shipped model alone."""
    return [_recipe(BEST, BEST_GOAL, _mnist(settings), settings, say)]


def _mnist(settings: BenchSettings) -> Path:
    directory = find_mnist(settings.data)
    if directory is None:
        raise DatasetError("this benchmark needs MNIST: give --data DIR")
    return directory


def _recipe(
    name: str, goal: float, directory: Path, settings: BenchSettings, say: Callable[[str], None]
) -> Measurement:
    accuracies, seconds, errors = [], [], []
    for seed in range(settings.seeds):
        out = trained_seed("digits", name, seed, directory, settings, say, recipe=name)
        seconds.append(sum(record["seconds"] for record in read_metrics(out / "training")))
        pipeline: Any = open_pipeline(out, device="cpu")
        metrics = ClassificationEvaluation(pipeline).evaluate_data(directory)
        accuracies.append(metrics.accuracy)
        errors.append(metrics.ece)
        say(f"{name}, seed {seed}: {metrics.accuracy:.4%}, ECE {metrics.ece:.3%}")
    mean = float(np.mean(accuracies))
    each = ", ".join(f"{accuracy:.2%}" for accuracy in accuracies)
    return Measurement(
        f"MNIST test accuracy, {name}",
        round(100 * mean, 3),
        "%",
        f"≥ {goal:.1%}",
        mean >= goal,
        f"mean of {settings.seeds} seeds ({each}); ECE {np.mean(errors):.2%}; training "
        f"{np.mean(seconds):.0f} s a seed",
    )
