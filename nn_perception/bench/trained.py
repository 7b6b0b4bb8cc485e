"""Bundles that a benchmark trains, and finds again when it was interrupted."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

from nn_perception.bench import BenchSettings
from nn_perception.bundle import load_bundle
from nn_perception.config import from_mapping
from nn_perception.errors import BundleError, ConfigError
from nn_perception.training.config import TrainingConfig
from nn_perception.training.run import resolve_config, train_task


def trained_seed(
    task: str,
    name: str,
    seed: int,
    data: Path,
    settings: BenchSettings,
    say: Callable[[str], None],
    recipe: str | None = None,
) -> Path:
    """Return the bundle ``NAME-SEED`` of a recipe, see `trained`; a short run has one epoch.

    Args:
        task: whose recipe it is.
        name: see above.
        seed: of the training.
        data: of the training.
        settings: of the benchmark.
        say: is told what happens.
        recipe: its name; None is the task's own.
    """
    config = resolve_config(task, {}, {"seed": seed}, recipe)
    if settings.quick:
        config = dataclasses.replace(config, epochs=1)
    out = settings.work / f"{name}-{seed}"
    return trained(task, config, data, out, say, f"{name}, seed {seed}")


def trained(
    task: str,
    config: TrainingConfig,
    data: Path | None,
    out: Path,
    say: Callable[[str], None],
    title: str,
    init: Path | None = None,
) -> Path:
    """Return a bundle: what an interrupted benchmark has left, or a new one.

    Args:
        task: what is trained.
        config: with which configuration.
        data: of the training; None: the task's default.
        out: where the bundle is, or will be.
        say: is told what happens.
        title: what it is, in words.
        init: a bundle whose weights the training begins with; it then always takes place.
    """
    if init is None and is_trained(out, config):
        say(f"{title}: trained already, {out}")
    else:
        say(title)
        train_task(task, config, data=data, out=out, show_progress=True, init=init)
    return out


def is_trained(out: Path, config: TrainingConfig) -> bool:
    """Tell whether a bundle of this very configuration is there, from an interrupted benchmark."""
    try:
        found = load_bundle(out).config.training["configuration"]
        return from_mapping(TrainingConfig, found) == config
    except (BundleError, ConfigError, KeyError):
        return False
