"""MNIST test accuracy of the recipes: each network, several seeds, the test set looked at once."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from nn_perception.bench import BenchSettings, Measurement
from nn_perception.bench.trained import trained_seed
from nn_perception.datasets.mnist import find_mnist
from nn_perception.errors import DatasetError
from nn_perception.evaluation.image_classification import ClassificationEvaluation
from nn_perception.tasks.loading import open_pipeline
from nn_perception.training.log import read_metrics


class Goal(NamedTuple):
    """What a mean accuracy, 0 to 1, has to reach: ``low``, and not to exceed ``high``, if any."""

    low: float
    high: float | None = None

    def met(self, accuracy: float) -> bool:
        """Tell whether it is."""
        return accuracy >= self.low and (self.high is None or accuracy <= self.high)

    def __str__(self) -> str:
        """Return it in words."""
        return f"≥ {self.low:.1%}" if self.high is None else f"{self.low:.1%} to {self.high:.1%}"


GOALS = {"mlp": Goal(0.982), "lecture_cnn": Goal(0.988), "digit_cnn": Goal(0.996)}
BEST, BEST_GOAL = "digit_best", Goal(0.997)


def run(settings: BenchSettings, say: Callable[[str], None]) -> list[Measurement]:
    """Train every network with seeds 0, 1, ... and evaluate each bundle once on the test split."""
    directory = mnist_directory(settings)
    return [measure_recipe(name, goal, directory, settings, say) for name, goal in GOALS.items()]


def best(settings: BenchSettings, say: Callable[[str], None]) -> list[Measurement]:
    """Do the same with the recipe of the shipped model alone."""
    return [measure_recipe(BEST, BEST_GOAL, mnist_directory(settings), settings, say)]


def mnist_directory(settings: BenchSettings) -> Path:
    """Return where MNIST lies.

    Raises:
        DatasetError: there is none.
    """
    directory = find_mnist(settings.data)
    if directory is None:
        raise DatasetError("this benchmark needs MNIST: give --data DIR")
    return directory


def measure_recipe(
    name: str,
    goal: Goal,
    directory: Path,
    settings: BenchSettings,
    say: Callable[[str], None],
    more: str = "",
) -> Measurement:
    """Train a recipe of the digits with seeds 0, 1, ... and evaluate each once on the test split.

    Args:
        name: of the recipe.
        goal: for the mean of the seeds.
        directory: of MNIST.
        settings: of the benchmark.
        say: is told what happens.
        more: what else the conditions say.
    """
    accuracies, seconds, errors, validated = [], [], [], []
    for seed in range(settings.seeds):
        out = trained_seed("digits", name, seed, directory, settings, say, recipe=name)
        history = read_metrics(out / "training")
        seconds.append(sum(record["seconds"] for record in history))
        curve = [record["validation_accuracy"] for record in history]
        validated.append((max(curve), curve[-1]))
        pipeline: Any = open_pipeline(out, device="cpu")
        metrics = ClassificationEvaluation(pipeline).evaluate_data(directory)
        accuracies.append(metrics.accuracy)
        errors.append(metrics.ece)
        say(f"{name}, seed {seed}: {metrics.accuracy:.4%}, ECE {metrics.ece:.3%}")
    mean = float(np.mean(accuracies))
    each = ", ".join(f"{accuracy:.2%}" for accuracy in accuracies)
    peak, last = np.mean(validated, axis=0)
    return Measurement(
        f"MNIST test accuracy, {name}",
        round(100 * mean, 3),
        "%",
        str(goal),
        goal.met(mean),
        f"mean of {settings.seeds} seeds ({each}); ECE {np.mean(errors):.2%}; validation: best "
        f"epoch {peak:.2%}, last {last:.2%}; training {np.mean(seconds):.0f} s a seed"
        f"{more and f'; {more}'}",
    )
