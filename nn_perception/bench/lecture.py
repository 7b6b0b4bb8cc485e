"""MNIST test accuracy of the lectures' networks: as they were trained then, and as today.

The first row repeats network.py of M. Nielsen's "Neural Networks and Deep Learning", chapter 1.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from nn_perception.bench import BenchSettings, Measurement
from nn_perception.bench.accuracy import Goal, measure_recipe, mnist_directory
from nn_perception.errors import ConfigError
from nn_perception.tasks.digits.learning import DigitLearning


class Row(NamedTuple):
    """One network.

    Attributes:
        recipe: of the digits.
        goal: for the mean of the seeds.
        reference: what it is compared with.
    """

    recipe: str
    goal: Goal
    reference: str


ROWS = (
    Row("mlp_30", Goal(0.949, 0.959), "95.4 %, the best of 30 epochs on the test split"),
    Row("mlp_30_modern", Goal(0.97), "784-30-10 of the first row"),
    Row("mlp_tuned", Goal(0.984), "91.8 % of 784-128-10 in the lecture"),
    Row("lecture_cnn_tuned", Goal(0.990), "94.0 % in the lecture"),
)


def run(settings: BenchSettings, say: Callable[[str], None]) -> list[Measurement]:
    """Train each with seeds 0, 1, ...; the weights that validated best are tested once."""
    directory = mnist_directory(settings)
    return [
        measure_recipe(
            row.recipe, row.goal, directory, settings, say, f"reference: {row.reference}"
        )
        for row in ROWS
        if _exists(row.recipe, say)
    ]


def _exists(recipe: str, say: Callable[[str], None]) -> bool:
    try:
        DigitLearning.recipe(recipe)
    except ConfigError as error:
        say(f"left out: {error}")
        return False
    return True
