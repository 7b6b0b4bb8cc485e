"""The study ``epochs``: training and validation over many epochs, until more of them harm.

The lecture's figure 11: loss and accuracy of an MLP on MNIST with different numbers of epochs.
"""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from nn_perception.errors import ConfigError
from nn_perception.studies import Say, StudyResult, lab

if TYPE_CHECKING:
    from nn_perception.training.config import TrainingConfig

DESCRIPTION = """Train the lecture's 784-128-10 for many epochs on few digits, and compare loss and
accuracy of the pictures that are trained on with those of pictures held out: the first go on, the
others have a best epoch, behind which the network learns its pictures by heart. Marked is where
early stopping would have ended the training.
"""

NAME = "epochs"
DEFAULTS = lab.Defaults(epochs=200, samples=4000, validates=0.75)
PATIENCE = 10


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    lab.configure(parser, NAME, DEFAULTS)
    parser.add_argument(
        "--patience", type=int, default=PATIENCE, metavar="N",
        help=f"epochs without improvement before early stopping ends, default: {PATIENCE}",
    )  # fmt: skip


def run(arguments: argparse.Namespace, say: Say) -> StudyResult:
    """Train with all seeds, and write the page.

    Raises:
        ConfigError: an option out of its range, or a report that cannot be written.
        DatasetError: the data cannot be used.
        TrainingError: the loss is not finite.
    """
    lab.check(arguments)
    if arguments.patience < 1:
        raise ConfigError(f"--patience: got {arguments.patience}, expected 1 or more")
    from nn_perception.studies.epochs_report import Epochs, build
    from nn_perception.studies.sweep import train_all

    jobs = [
        lab.digits_job(_config(arguments.epochs), arguments, training_figures=True, seed=seed)
        for seed in arguments.seeds
    ]
    data = lab.digits(arguments.data)
    say(f"{data.source}: {arguments.epochs} epochs, {len(arguments.seeds)} seeds")
    result = Epochs.of(train_all(jobs, arguments.workers, NAME), arguments.patience)
    return lab.finish(
        arguments,
        NAME,
        "Epochs",
        f"training and validation of one network; {data.source}",
        lambda report: build(report, result),
        (result.HEADER, result.rows()),
        result.to_dict(),
    )


def _config(epochs: int) -> TrainingConfig:
    from nn_perception.training.config import TrainingConfig

    return TrainingConfig(
        network="mlp",
        epochs=epochs,
        batch_size=32,
        optimizer="sgd",
        learning_rate=0.03,
        schedule="constant",
        keep="last",
        validation_fraction=DEFAULTS.validates,
    )
