"""A search of the lectures' network: its time, and what a second worker is worth."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import yaml

from nn_perception.bench import BenchSettings, Measurement
from nn_perception.datasets.mnist import find_mnist
from nn_perception.errors import DatasetError, TrainingError
from nn_perception.tuning.run import Found, Settings, tune

TRIALS, FOLDS, SAMPLES, EPOCHS = 24, 3, 10_000, 20
GOAL_S = 600.0
SPEED_UP_GOAL = 1.7
_PLAIN = ("rotate_deg", "shift_px", "scale", "stretch", "shear_deg", "elastic_px")


def run(settings: BenchSettings, say: Callable[[str], None]) -> list[Measurement]:
    """Run the same random search with one worker and with two, pages and start of both included.

    Nothing is pruned and no epoch saved, so that the work is the same; that both find the same
    figures is checked.

    Raises:
        DatasetError: there is no MNIST.
        TrainingError: two workers found other figures than one.
    """
    directory = find_mnist(settings.data, ("train",))
    if directory is None:
        raise DatasetError("this benchmark needs MNIST: give --data DIR")
    size, times, found = _size(settings), {}, {}
    _search(settings, directory, 0, (4, 1, 1000))  # what this process imports only once
    for workers in (1, 2):
        say(f"{size[0]} trials, {workers} worker(s)")
        times[workers], found[workers] = _search(settings, directory, workers, size)
    if _figures(found[1]) != _figures(found[2]):
        raise TrainingError("two workers found other figures than one: a search does not repeat")
    best = found[2].best[0]
    trials, epochs, samples = size
    detail = f"{trials} trials x {FOLDS} folds of 784-128-10, {samples:,} digits, {epochs} epochs"
    ratio = times[1] / times[2]
    return [
        Measurement(
            "search of 784-128-10, two workers",
            times[2] / 60.0,
            "min",
            f"≤ {GOAL_S / 60.0:g} min",
            times[2] <= GOAL_S,
            f"{detail}; best {best.value:.2%} ± {best.spread:.2%} of validation",
        ),
        Measurement(
            "search, two workers against one",
            ratio,
            "x",
            f"≥ {SPEED_UP_GOAL:g}",
            ratio >= SPEED_UP_GOAL,
            f"{times[1]:.0f} s against {times[2]:.0f} s, start and page included",
        ),
    ]


def _size(settings: BenchSettings) -> tuple[int, int, int]:
    """Return trials, epochs and digits."""
    return (4, 2, 1000) if settings.quick else (TRIALS, EPOCHS, SAMPLES)


def _search(
    settings: BenchSettings, data: Path, workers: int, size: tuple[int, int, int]
) -> tuple[float, Found]:
    trials, epochs, samples = size
    space = {
        "recipe": "mlp",
        "learning_rate": {"low": 1e-3, "high": 3e-2, "log": True},
        "weight_decay": {"low": 1e-3, "high": 0.1, "log": True},
        "batch_size": [64, 128],
        "network_arguments.dropout": {"low": 0.0, "high": 0.3},
        "fixed": {
            "epochs": epochs,
            "compile": "off",
            "device": "cpu",
            "ema_decay": 0.0,
            "augment": dict.fromkeys(_PLAIN, 0.0),
            "task_arguments": {"samples": samples},
        },
    }
    settings.work.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=settings.work) as place:
        file = Path(place) / "space.yaml"
        file.write_text(yaml.safe_dump(space), encoding="utf-8")
        search = Settings(
            task="digits",
            space=file,
            out=Path(place) / "found",
            sampler="random",
            trials=trials,
            folds=FOLDS,
            pruner="none",
            workers=workers,
            data=data,
        )
        start = time.perf_counter()
        found = tune(search, show_progress=workers > 0)
        return time.perf_counter() - start, found


def _figures(found: Found) -> dict[str, tuple[float, ...]]:
    return {str(record.values): record.folds for record in found.records}
