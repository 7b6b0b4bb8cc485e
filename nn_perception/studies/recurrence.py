"""The study ``recurrence``: what a state remembers.

Elman's network and a gated recurrent unit read digits row by row and answer after the last row.
Black rows below the digit make them wait: the answer must be kept in the state for as long, and the
gradient must come back from as far.
"""

from __future__ import annotations

import argparse
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from nn_perception.errors import ConfigError
from nn_perception.studies import Say, StudyResult, lab

if TYPE_CHECKING:
    from nn_perception.studies.sweep import Job
    from nn_perception.training.config import TrainingConfig
    from nn_perception.training.learning import Learning

DESCRIPTION = """Train Elman's recurrent network and a GRU on digits that are read row by row, with
more and more black rows below, after which they answer. Accuracy is that of pictures held out of
MNIST's training data. Also: by how much the gradient shrinks or grows on its way back through time,
before and after training, and with larger and smaller weights.
"""

NAME = "recurrence"
DEFAULTS = lab.Defaults(epochs=8, samples=6000)
NETWORKS = ("elman_rnn", "gru")
BLANK_ROWS = (0, 28, 56)
MOST_BLANK_ROWS = 1000
HIDDEN = 64


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    lab.configure(parser, NAME, DEFAULTS)
    parser.add_argument(
        "--blank-rows", nargs="+", type=int, default=list(BLANK_ROWS), metavar="N",
        help=f"black rows below the digit, default: {' '.join(map(str, BLANK_ROWS))}",
    )  # fmt: skip


def run(arguments: argparse.Namespace, say: Say) -> StudyResult:
    """Train both networks with all numbers of blank rows, and write the page.

    Raises:
        ConfigError: an option out of its range, or a report that cannot be written.
        DatasetError: the data cannot be used.
    """
    lab.check(arguments)
    blanks = checked_rows(arguments.blank_rows)
    from nn_perception.studies.recurrence_report import Memories, build
    from nn_perception.studies.sweep import train_all

    jobs = _jobs(blanks, arguments)
    data = lab.digits(arguments.data)
    say(f"{data.source}: 2 networks, blank rows {', '.join(map(str, blanks))}")
    result = Memories.of(blanks, jobs, train_all(jobs, arguments.workers, NAME))
    return lab.finish(
        arguments,
        NAME,
        "Recurrent networks",
        f"digits row by row, with {', '.join(map(str, blanks))} black rows below; {data.source}",
        lambda report: build(report, result),
        (result.HEADER, result.rows()),
        result.to_dict(),
    )


def checked_rows(blanks: list[int]) -> list[int]:
    """Return the numbers of blank rows in rising order.

    Raises:
        ConfigError: one is negative or too large, or there twice.
    """
    if len(set(blanks)) != len(blanks) or any(not 0 <= n <= MOST_BLANK_ROWS for n in blanks):
        raise ConfigError(
            f"--blank-rows: got {' '.join(map(str, blanks))}, expected different numbers from 0 to "
            f"{MOST_BLANK_ROWS}"
        )
    return sorted(blanks)


def _jobs(blanks: list[int], arguments: argparse.Namespace) -> list[Job]:
    from nn_perception.studies.through_time import after_training

    jobs = [
        lab.digits_job(
            _config(network, arguments.epochs),
            arguments,
            after_training,
            learning=partial(_delayed, blank_rows=blank),
            network=network,
            blank_rows=blank,
            seed=seed,
        )
        for blank in blanks
        for network in NETWORKS
        for seed in arguments.seeds
    ]
    return jobs[::-1]  # the longest first, so that no process waits for the last one


def _delayed(config: TrainingConfig, data: Path | None, blank_rows: int) -> Learning:
    from nn_perception.studies.through_time import DelayedDigits

    learning: Any = DelayedDigits(config, data, blank_rows)
    return cast("Learning", learning)


def _config(network: str, epochs: int) -> TrainingConfig:
    from nn_perception.training.config import TrainingConfig

    return TrainingConfig(
        network=network,
        network_arguments={"hidden": HIDDEN},
        epochs=epochs,
        batch_size=50,
        optimizer="adam",
        learning_rate=2e-3,
        schedule="constant",
        gradient_clip=1.0,
        keep="last",  # so that the weights are those at the end of the curves
    )
