"""The study ``optimisers``: paths on surfaces over a plane, and the same optimisers on digits."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from nn_perception.errors import ConfigError
from nn_perception.studies import Say, StudyResult, lab

if TYPE_CHECKING:
    from nn_perception.studies.optimisers_figures import Paths
    from nn_perception.studies.sweep import Job
    from nn_perception.training.config import TrainingConfig

DESCRIPTION = """Go down surfaces over a plane (an ill-conditioned bowl, Rosenbrock's and Beale's
functions, a saddle) with gradient descent, momentum, Nesterov's momentum, RMSprop and Adam: the
optimisers that training uses. Each has the learning rate of a grid with which it arrives in the
fewest steps from eight places around the start. Then the same on digits with the lecture's
784-128-10, with the learning rate of the lowest training loss.
"""

NAME = "optimisers"
DEFAULTS = lab.Defaults(epochs=5, samples=4000)
OPTIMIZERS = ("sgd", "momentum", "nesterov", "rmsprop", "adam")
MOMENTUM = {"momentum": 0.9, "nesterov": 0.9, "rmsprop": 0.0, "adam": 0.9}
"""RMSprop as it was published, and the usual values of the others."""

STEPS = 500
SURFACE_RATES = tuple(
    float(f"{digit}e{power}") for power in range(-4, 1) for digit in (1, 2, 5)
)  # fmt: skip
"""Three in a decade, from 0.0001 to 5."""

DIGIT_RATES = (3e-4, 1e-3, 3e-3, 0.01, 0.03, 0.1, 0.3)


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    lab.configure(parser, NAME, DEFAULTS)
    parser.add_argument(
        "--optimizers", nargs="+", default=list(OPTIMIZERS), metavar="NAME",
        help=f"default: {' '.join(OPTIMIZERS)}",
    )  # fmt: skip
    parser.add_argument(
        "--steps", type=int, default=STEPS, metavar="N",
        help=f"the most on a surface, default: {STEPS}",
    )  # fmt: skip


def run(arguments: argparse.Namespace, say: Say) -> StudyResult:
    """Go down all surfaces, train on the digits, and write the page.

    Raises:
        ConfigError: an option out of its range, or a report that cannot be written.
        DatasetError: the data cannot be used.
    """
    lab.check(arguments)
    from nn_perception.studies.groups import chosen

    optimizers = chosen("--optimizers", arguments.optimizers, OPTIMIZERS)
    if not 1 <= arguments.steps <= 100_000:
        raise ConfigError(f"--steps: got {arguments.steps}, expected 1 to 100,000")
    from nn_perception.studies.optimisers_figures import OnDigits
    from nn_perception.studies.optimisers_report import build
    from nn_perception.studies.sweep import train_all

    jobs = _jobs(optimizers, arguments)
    data = lab.digits(arguments.data)
    say(f"{', '.join(optimizers)} on surfaces, then on {data.source}")
    paths = _paths(optimizers, arguments.steps)
    outcomes = train_all(jobs, arguments.workers, f"{NAME}, digits")
    on_digits = OnDigits.of(outcomes)
    return lab.finish(
        arguments,
        NAME,
        "Optimisers",
        f"paths on surfaces over a plane; digits: {data.source}",
        lambda report: build(report, paths, on_digits),
        (on_digits.header(paths), on_digits.rows(paths)),
        {**paths.to_dict(), "digits": on_digits.to_dict()},
    )


def _paths(optimizers: Sequence[str], steps: int) -> Paths:
    from nn_perception.progress import progress_bar
    from nn_perception.studies.optimisers_figures import Paths
    from nn_perception.studies.surfaces import SURFACES, descend

    found = {}
    runs = len(optimizers) * len(SURFACES) * len(SURFACE_RATES)
    with progress_bar(runs, f"{NAME}, surfaces", "path") as bar:
        for name, surface in SURFACES.items():
            for optimizer in optimizers:
                paths = []
                for rate in SURFACE_RATES:
                    paths.append((rate, descend(surface, _config(optimizer, rate), steps)))
                    bar.update(1)
                found[name, optimizer] = paths
    return Paths(found)


def _jobs(optimizers: Sequence[str], arguments: argparse.Namespace) -> list[Job]:
    return [
        lab.digits_job(
            _config(optimizer, rate, epochs=arguments.epochs),
            arguments,
            training_figures=True,
            optimizer=optimizer,
            learning_rate=rate,
            seed=seed,
        )
        for optimizer in optimizers
        for rate in DIGIT_RATES
        for seed in arguments.seeds
    ]


def _config(optimizer: Any, rate: float, epochs: int = 1) -> TrainingConfig:
    from nn_perception.training.config import TrainingConfig

    return TrainingConfig(
        network="mlp",
        epochs=epochs,
        batch_size=32,
        optimizer=optimizer,
        learning_rate=rate,
        momentum=MOMENTUM.get(optimizer, 0.0),
        schedule="constant",
        keep="last",
    )
