"""Road objects: test accuracy over seeds, by class and by source, under fixed shifts, and speed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import cast

import numpy as np

from nn_perception.bench import BenchSettings, Measurement
from nn_perception.bench.trained import trained_seed
from nn_perception.bundle import load_bundle
from nn_perception.datasets.arrays import ImageSet
from nn_perception.datasets.environment import ROAD4, data_from_environment
from nn_perception.datasets.images import load_image_set
from nn_perception.errors import DatasetError
from nn_perception.evaluation.per_source import accuracy_per_source
from nn_perception.evaluation.shifts import evaluate_shifts
from nn_perception.tasks.image_pipeline import ImageClassificationPipeline
from nn_perception.tasks.loading import open_pipeline

GOAL_ACCURACY = 0.985
GOAL_CLASS = 0.97
GOAL_SHIFTS = 0.94
GOAL_PARAMETERS = 500_000
CALLS = 500
"""Timed calls of the engine; the median counts."""


@dataclass(frozen=True)
class Outcome:
    """What one bundle did on the test pictures; accuracies are 0 to 1.

    Attributes:
        accuracy: of all pictures.
        by_class: of the pictures of each class.
        by_source: of the pictures of each source; empty where the data names none.
        shifts: under each shift, and their ``mean``.
    """

    accuracy: float
    by_class: dict[str, float]
    by_source: dict[str, float]
    shifts: dict[str, float]


def run(settings: BenchSettings, say: Callable[[str], None]) -> list[Measurement]:
    """Train seeds 0, 1, ... and evaluate each bundle once on the test split."""
    path = find_road4(settings.data)
    test = load_image_set(path, split="test")
    outcomes, bundles = [], []
    for seed in range(settings.seeds):
        out = trained_seed("objects", "objects", seed, path, settings, say)
        outcome = judge(_pipeline(out), test)
        outcomes.append(outcome)
        bundles.append(out)
        say(f"seed {seed}: {outcome.accuracy:.2%}, shifts {outcome.shifts['mean']:.2%}")
    parameters = load_bundle(bundles[0]).config.network.parameters
    return [
        *accuracies(outcomes),
        Measurement(
            "parameters, objects",
            parameters,
            "",
            f"≤ {GOAL_PARAMETERS:,}",
            parameters <= GOAL_PARAMETERS,
        ),
        _speed(_pipeline(bundles[0])),
    ]


def find_road4(data: Path | None) -> Path:
    """Return the file of the road objects: ``data`` itself, or in it, or in the environment's.

    Raises:
        DatasetError: it is not there.
    """
    root = data or data_from_environment()
    places = [] if root is None else [root, root / ROAD4.name, root / ROAD4]
    for place in places:
        if place.is_file():
            return place
    raise DatasetError(
        f"this benchmark needs {ROAD4}, looked for {[str(place) for place in places]}: give "
        "--data DIR"
    )


def judge(pipeline: ImageClassificationPipeline, test: ImageSet) -> Outcome:
    """Classify all test pictures, as they are and shifted."""
    answers = pipeline.classify(test.images).argmax(axis=1)
    names = np.asarray(test.class_names)[test.labels]
    right = {
        group: accuracy_per_source(groups, test.labels, answers, test.class_names)
        for group, groups in (("class", names), ("source", test.sources))
        if groups is not None
    }
    found = {
        group: {name: figures.accuracy for name, figures in counted.items()}
        for group, counted in right.items()
    }
    return Outcome(
        float((answers == test.labels).mean()),
        found["class"],
        found.get("source", {}),
        evaluate_shifts(pipeline, test),
    )


def accuracies(outcomes: list[Outcome]) -> list[Measurement]:
    """Return the means over the seeds: of all pictures, of the worst class, under shifts."""
    every = [outcome.accuracy for outcome in outcomes]
    classes = _mean([outcome.by_class for outcome in outcomes])
    sources = _mean([outcome.by_source for outcome in outcomes])
    shifts = _mean([outcome.shifts for outcome in outcomes])
    mean_of_shifts = shifts.pop("mean")
    worst = min(classes, key=lambda name: classes[name])
    seeds = f"mean of {len(outcomes)} seeds"
    mean = float(np.mean(every))
    return [
        _percent(
            "road4 test accuracy",
            mean,
            GOAL_ACCURACY,
            f"{seeds} ({', '.join(f'{value:.2%}' for value in every)}); by source: "
            f"{_listed(sources)}",
        ),
        _percent(
            f"road4 test accuracy of the worst class ({worst})",
            classes[worst],
            GOAL_CLASS,
            f"{seeds}; {_listed(classes)}",
        ),
        _percent(
            "road4 test accuracy under shifts",
            mean_of_shifts,
            GOAL_SHIFTS,
            f"{seeds} and of {_listed(shifts)}",
        ),
    ]


def _pipeline(out: Path) -> ImageClassificationPipeline:
    return cast(ImageClassificationPipeline, open_pipeline(out, device="cpu"))


def _speed(pipeline: ImageClassificationPipeline) -> Measurement:
    settings = pipeline.preprocessing
    image = np.zeros((1, settings.channels, settings.height, settings.width), np.uint8)
    times = []
    for _ in range(CALLS):
        start = perf_counter()
        pipeline.engine(image)
        times.append(perf_counter() - start)
    return Measurement(
        "one picture through the objects network",
        round(1e3 * float(np.median(times)), 3),
        "ms",
        detail=f"median of {CALLS} calls of the ONNX Runtime engine, {settings.width}x"
        f"{settings.height} RGB",
    )


def _mean(parts: list[dict[str, float]]) -> dict[str, float]:
    return {name: float(np.mean([part[name] for part in parts])) for name in parts[0]}


def _percent(what: str, value: float, goal: float, detail: str) -> Measurement:
    return Measurement(what, round(100 * value, 3), "%", f"≥ {goal:.1%}", value >= goal, detail)


def _listed(values: dict[str, float]) -> str:
    return ", ".join(f"{name} {value:.1%}" for name, value in values.items()) or "not known"
