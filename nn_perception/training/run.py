"""One whole training run: configuration -> data -> network -> bundle."""

from __future__ import annotations

import dataclasses
import logging
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nn_perception.bundle import Bundle, load_bundle
from nn_perception.config import from_mapping
from nn_perception.datasets.recorded import is_dataset, provenance
from nn_perception.errors import ConfigError, TrainingError
from nn_perception.evaluation.plots import plot_learning_curve
from nn_perception.tasks import get_task
from nn_perception.training import distributed
from nn_perception.training.card import card_text
from nn_perception.training.config import TrainingConfig
from nn_perception.training.export import export_bundle, round_to_half
from nn_perception.training.learning import Learning
from nn_perception.training.log import CONFIG_FILE, METRICS_FILE
from nn_perception.training.loop import EpochCallback, Fit, Trainer
from nn_perception.training.optimisers import split_parameters, zero_share

LOGGER = logging.getLogger(__name__)

CURVE_FILE = "learning_curve.png"


@dataclass(frozen=True)
class Trained:
    """What a run gave.

    Attributes:
        fit: the network and its history.
        bundle: the written bundle; None in the processes of a data-parallel run that write none.
        run_dir: logs, learning curve, TensorBoard events.
    """

    fit: Fit
    bundle: Bundle | None
    run_dir: Path


def resolve_config(
    task: str,
    from_file: Mapping[str, Any],
    overrides: Mapping[str, Any],
    recipe: str | None = None,
) -> TrainingConfig:
    """Return the task's recipe, changed by a file's keys, changed by the command line's.

    Without a recipe's name the network that is asked for decides which one is taken.

    Raises:
        TaskError: unknown task.
        ConfigError: an unknown key, a wrong value, or a network without recipe and without file.
    """
    learning: type[Learning] = get_task(task).load_learning()
    network = overrides.get("network", from_file.get("network"))
    try:
        base = learning.recipe(recipe or network)
    except ConfigError:
        if recipe or not from_file:
            raise
        base = TrainingConfig(network=str(network))
    return from_mapping(
        TrainingConfig, overrides, base=from_mapping(TrainingConfig, from_file, base=base)
    )


def train_task(
    task: str,
    config: TrainingConfig,
    *,
    data: Path | None,
    out: Path,
    show_progress: bool = False,
    on_epoch: EpochCallback | None = None,
    command: str = "",
    init: Path | None = None,
) -> Trained:
    """Train, export and write the bundle ``out``; logs go to the directory ``out`` + ``.run``.

    Args:
        task: name of the task.
        config: see `resolve_config`.
        data: the data's path; None takes the task's default.
        out: the bundle's directory.
        show_progress: draw a progress bar.
        on_epoch: called after each epoch; see `EpochCallback`.
        command: the command line that makes the bundle again, for its card.
        init: a bundle of the task to begin with: its network, with its weights.

    Raises:
        NnPerceptionError: data, configuration, training or export failed; the message says how to
            go on.
    """
    begin = load_bundle(init, task=task) if init is not None else None
    if begin is not None:
        config = dataclasses.replace(
            config,
            network=begin.config.network.name,
            network_arguments=dict(begin.config.network.arguments),
        )
    learning: Learning = get_task(task).load_learning()(config, data)
    if begin is not None and hasattr(learning, "start_from"):
        learning.start_from(begin)
    run_dir = out.with_name(out.name + ".run")
    trainer = Trainer(learning, run_dir, show_progress=show_progress, on_epoch=on_epoch, init=begin)
    try:
        fit = _fit(trainer, run_dir)
        if not trainer.ranks.is_first:
            return Trained(fit, None, run_dir)
    finally:
        distributed.leave()
    if fit.stopped:
        LOGGER.info("training stopped early: %s", fit.stopped)
    if learning.half_weights:
        round_to_half(fit.network)  # before anything is calibrated or measured
    export = learning.export(trainer.predict())
    if config.l1:
        zeros = zero_share(split_parameters(fit.network)[0])
        export = dataclasses.replace(export, metrics={**export.metrics, "zero_weights": zeros})
    if data is not None and is_dataset(data):
        export = dataclasses.replace(export, data={**export.data, "dataset": provenance(data)})
    network = learning.bundle_network(fit.network)
    names = [CONFIG_FILE, METRICS_FILE]
    try:
        plot_learning_curve(fit.history, run_dir / CURVE_FILE)
        names.append(CURVE_FILE)
    except ConfigError as error:  # no matplotlib: no reason to lose what was trained
        LOGGER.warning("no learning curve: %s", error)
    bundle = export_bundle(
        out,
        task=task,
        network=network,
        arguments=learning.network_arguments(),
        config=config,
        export=export,
        card=card_text(task, config, export, network, command),
        extra={f"training/{name}": (run_dir / name).read_bytes() for name in names},
    )
    shutil.rmtree(run_dir / "checkpoint", ignore_errors=True)
    return Trained(fit, bundle, run_dir)


def _fit(trainer: Trainer, run_dir: Path) -> Fit:
    """Train; a disk that is full or cannot be written is told as such."""
    try:
        return trainer.fit()
    except OSError as error:
        raise TrainingError(
            f"cannot write the run's files in {run_dir}: {error.strerror or error}; make room or "
            "choose another --out, then give the same command again: it goes on from the last "
            "checkpoint, if there is one"
        ) from error
