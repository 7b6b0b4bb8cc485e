"""One trial: a configuration, trained once for each fold."""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nn_perception.errors import ConfigError, DivergedError, nearest
from nn_perception.tasks import get_task
from nn_perception.training.config import TrainingConfig
from nn_perception.training.loop import Fit, Trainer

if TYPE_CHECKING:
    from nn_perception.training.learning import Learning

Judge = Callable[[int, float], bool]
"""Takes (step, value so far) and tells whether the trial is hopeless."""

_PREFIX = "validation_"


class PrunedError(Exception):
    """A trial that was ended, since others are better."""


@dataclass(frozen=True)
class Scores:
    """What a trial gave.

    Attributes:
        folds: the metric of the kept weights of each fold.
        epochs: the epoch of those weights.
        seconds: of all folds.
    """

    folds: tuple[float, ...]
    epochs: tuple[int, ...]
    seconds: float

    @property
    def mean(self) -> float:
        """What decides."""
        return math.fsum(self.folds) / len(self.folds)


def cross_validate(
    task: str,
    config: TrainingConfig,
    data: Path | None,
    folds: int,
    metric: str,
    judge: Judge,
    *,
    by_epochs: bool,
) -> Scores:
    """Train on each fold and return what the validation parts say.

    Args:
        task: name of the task.
        config: without folds.
        data: see `Learning`.
        folds: how many.
        metric: name of a validation figure.
        judge: asked after each epoch of the first fold with its figure (steps 1 to ``epochs``),
            after each fold with the mean so far (steps behind those).
        by_epochs: whether it is asked about epochs.

    Raises:
        PrunedError: the judge said so.
        DivergedError: loss or figure are not finite.
        NnPerceptionError: data or configuration cannot be used.
    """
    begun, scores, epochs = time.perf_counter(), [], []
    for fold in range(folds):
        learning = make_learning(task, dataclasses.replace(config, folds=folds, fold=fold), data)
        hopeless = False

        def after_epoch(record: Mapping[str, Any], first: bool = fold == 0) -> bool:
            nonlocal hopeless
            value = figure(record, metric)
            hopeless = by_epochs and first and judge(int(record["epoch"]), value)
            return hopeless

        fit = Trainer(learning, on_epoch=after_epoch).fit()
        if hopeless:
            raise PrunedError
        kept = kept_epoch(fit, config)
        scores.append(figure(fit.history[kept - 1], metric))
        epochs.append(kept)
        mean = math.fsum(scores) / len(scores)
        if fold + 1 < folds and judge(config.epochs * by_epochs + fold + 1, mean):
            raise PrunedError
    return Scores(tuple(scores), tuple(epochs), time.perf_counter() - begun)


def make_learning(task: str, config: TrainingConfig, data: Path | None) -> Learning:
    """Return data, network and loss of a configuration."""
    learning: Learning = get_task(task).load_learning()(config, data)
    return learning


def kept_epoch(fit: Fit, config: TrainingConfig) -> int:
    """Return the epoch whose weights a training keeps, counted from 1."""
    return fit.best_epoch if config.keep == "best" else len(fit.history)


def figure(record: Mapping[str, Any], metric: str) -> float:
    """Return a validation figure of an epoch.

    Raises:
        ConfigError: there is none of that name.
        DivergedError: it is not finite.
    """
    name = f"{_PREFIX}{metric}"
    if name not in record:
        known = [key.removeprefix(_PREFIX) for key in record if key.startswith(_PREFIX)]
        raise ConfigError(
            f"there is no validation figure '{metric}'{nearest(metric, known)} "
            f"(there are: {', '.join(known)})"
        )
    value = float(record[name])
    if not math.isfinite(value):
        raise DivergedError(f"the validation figure '{metric}' is {value}")
    return value
