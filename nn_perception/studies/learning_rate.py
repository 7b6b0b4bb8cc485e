"""The study ``learning-rate``: too small is slow, too large is unstable.

The lecture's figure 9: loss and accuracy of an MLP on MNIST over the epochs, with different
learning rates of plain gradient descent.
"""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from nn_perception.errors import ConfigError
from nn_perception.studies import Say, StudyResult, lab

if TYPE_CHECKING:
    from nn_perception.training.config import TrainingConfig

DESCRIPTION = """Train the lecture's 784-128-10 on digits by plain mini-batch gradient descent with
learning rates over many decades, and compare loss and accuracy over the epochs: at the small end
learning is slow, at the large end unstable, or the loss grows without bounds. Accuracy is that of
pictures held out of MNIST's training data.
"""

NAME = "learning-rate"
DEFAULTS = lab.Defaults(epochs=15, samples=10_000)
RATES = (1e-4, 3e-4, 1e-3, 3e-3, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0)


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    lab.configure(parser, NAME, DEFAULTS)
    parser.add_argument(
        "--rates", nargs="+", type=float, default=list(RATES), metavar="X",
        help=f"default: {' '.join(f'{rate:g}' for rate in RATES)}",
    )  # fmt: skip


def run(arguments: argparse.Namespace, say: Say) -> StudyResult:
    """Train with all rates and seeds, and write the page.

    Raises:
        ConfigError: an option out of its range, or a report that cannot be written.
        DatasetError: the data cannot be used.
    """
    lab.check(arguments)
    rates = checked_rates(arguments.rates)
    from nn_perception.studies.learning_rate_figures import RateSweep
    from nn_perception.studies.learning_rate_report import build
    from nn_perception.studies.sweep import train_all

    jobs = [
        lab.digits_job(
            _config(rate, arguments.epochs),
            arguments,
            training_figures=True,
            learning_rate=rate,
            seed=seed,
        )
        for rate in rates
        for seed in arguments.seeds
    ]
    data = lab.digits(arguments.data)
    say(f"{data.source}: {len(rates)} learning rates, {len(arguments.seeds)} seeds")
    outcomes = train_all(jobs, arguments.workers, NAME)
    sweep = RateSweep.of(outcomes, len(data.class_names))
    return lab.finish(
        arguments,
        NAME,
        "Learning rates",
        f"plain gradient descent in mini-batches; {data.source}",
        lambda report: build(report, sweep),
        (sweep.HEADER, sweep.rows()),
        sweep.to_dict(),
    )


def checked_rates(rates: list[float]) -> list[float]:
    """Return the rates in rising order.

    Raises:
        ConfigError: one is no positive number, or there twice.
    """
    # 1000 is the largest of `TrainingConfig`.
    if not rates or len(set(rates)) != len(rates) or any(not 0 < rate <= 1000 for rate in rates):
        got = " ".join(f"{rate:g}" for rate in rates)
        raise ConfigError(f"--rates: got {got}, expected different numbers above 0, up to 1000")
    return sorted(rates)


def _config(rate: float, epochs: int) -> TrainingConfig:
    from nn_perception.training.config import TrainingConfig

    return TrainingConfig(
        network="mlp",
        epochs=epochs,
        batch_size=32,
        optimizer="sgd",
        learning_rate=rate,
        schedule="constant",
        keep="last",
    )
