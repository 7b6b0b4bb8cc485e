"""The study ``mlp-vs-cnn``: what convolution gives.

The lecture's figure 15 compares its 784-128-10 with its small CNN on MNIST, over the epochs. Here
the same is asked with less data, with moved pictures, and with pixels in another order.
"""

from __future__ import annotations

import argparse
import math
import statistics
from functools import partial
from typing import TYPE_CHECKING, Any

from nn_perception.studies import Say, StudyResult, lab

if TYPE_CHECKING:
    from nn_perception.studies.mlp_vs_cnn_report import Comparison
    from nn_perception.studies.sweep import Job
    from nn_perception.training.config import TrainingConfig
    from nn_perception.training.learning import Learning
    from nn_perception.training.loop import Fit

DESCRIPTION = """Train an MLP and convolutional networks on the same digits, with the same optimiser
and batches, and compare them on pictures held out of MNIST's training data: accuracy and loss over
the epochs, parameters, time of an epoch; accuracy with fewer training pictures, on pictures that
are moved by some pixels, and with all pixels in a scrambled order.
"""

NAME = "mlp-vs-cnn"
DEFAULTS = lab.Defaults(epochs=6, samples=10_000)
NETWORKS = ("mlp", "lecture_cnn", "lenet")
"""The lecture's 784-128-10 first, which the others are compared with."""

PICTURES = (100, 300, 1000, 3000)
"""Numbers of training pictures beside all, where there are more."""

SCRAMBLED = 1000
"""Training pictures with scrambled pixels, or all where there are fewer."""

SHIFTS_PX = (0, 1, 2, 3, 4)
"""MNIST's digits have a margin of about 4 pixels, so that little ink is lost."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    lab.configure(parser, NAME, DEFAULTS)
    names = _networks()
    parser.add_argument(
        "--networks", nargs="+", default=list(names), metavar="NAME",
        help=f"default: {' '.join(names)}",
    )  # fmt: skip


def run(arguments: argparse.Namespace, say: Say) -> StudyResult:
    """Train all networks on all numbers of pictures, and write the page.

    Raises:
        ConfigError: an option out of its range, or a report that cannot be written.
        DatasetError: the data cannot be used.
    """
    from nn_perception.studies.groups import chosen

    lab.check(arguments)
    networks = chosen("--networks", arguments.networks, _networks())
    from nn_perception.studies.mlp_vs_cnn_report import Comparison, build
    from nn_perception.studies.sweep import train_all

    learning = lab.digits_job(_config(networks[0], 1), arguments, seed=arguments.seeds[0]).make()
    total = learning.train_size
    say(f"{lab.digits(arguments.data).source}: {total:,} to train on")
    outcomes = train_all(_jobs(networks, total, arguments), arguments.workers, NAME)
    result = Comparison(networks, total, tuple(outcomes), _parameters(networks))
    return lab.finish(
        arguments,
        NAME,
        "MLP against CNN",
        f"{', '.join(networks)}, {total:,} training pictures, seeds "
        f"{', '.join(map(str, arguments.seeds))}",
        lambda report: build(report, result, learning),
        (result.HEADER, result.rows()),
        {**result.to_dict(), "times": _times(result)},
    )


def by_shift(fit: Fit, learning: Learning) -> dict[str, Any]:
    """Return the accuracy on validation pictures moved by `SHIFTS_PX`, mean of four directions."""
    from nn_perception.studies.probing import validation_accuracy
    from nn_perception.studies.some_digits import moved

    def accuracy(way: tuple[int, int]) -> float:
        return validation_accuracy(learning, fit.network, lambda images: moved(images, *way))

    return {
        "by_shift": [
            statistics.fmean(accuracy(way) for way in ((px, 0), (-px, 0), (0, px), (0, -px)))
            for px in SHIFTS_PX
        ]
    }


def _networks() -> tuple[str, ...]:
    from nn_perception.networks import network_names

    return tuple(name for name in NETWORKS if name in network_names())


def _config(network: str, epochs: int) -> TrainingConfig:
    from nn_perception.training.config import TrainingConfig

    return TrainingConfig(
        network=network,
        epochs=epochs,
        batch_size=100,
        optimizer="adam",
        schedule="constant",
        keep="last",  # so that the weights are those at the end of the curves
    )


def _jobs(networks: tuple[str, ...], total: int, arguments: argparse.Namespace) -> list[Job]:
    scrambled = min(SCRAMBLED, total)
    jobs = []
    for network in networks:
        for seed in arguments.seeds:
            job = partial(_job, arguments, total, network, seed)
            jobs.append(job(total, by_shift))
            jobs += [job(pictures) for pictures in PICTURES if pictures < total]
            jobs.append(job(scrambled, scrambled=True))
    # The longest first, so that no process waits for the last one.
    return sorted(jobs, key=lambda job: -job.epochs * dict(job.key)["pictures"])


def _job(
    arguments: argparse.Namespace,
    total: int,
    network: str,
    seed: int,
    pictures: int,
    analyse: Any = None,
    scrambled: bool = False,
) -> Job:
    from nn_perception.studies.some_digits import with_changed_pictures

    config = _config(network, passes(arguments.epochs, pictures, total))
    job = lab.digits_job(config, arguments, analyse, network=network, seed=seed)
    return with_changed_pictures(job, pictures, scrambled)


def passes(epochs: int, pictures: int, total: int) -> int:
    """Return the epochs with fewer pictures: they get fewer steps, and each is seen more often."""
    return round(epochs * math.sqrt(total / pictures))


def _parameters(networks: tuple[str, ...]) -> dict[str, int]:
    from nn_perception.networks import build_network

    return {
        name: sum(parameter.numel() for parameter in build_network(name).parameters())
        for name in networks
    }


def _times(result: Comparison) -> dict[str, float]:
    """Return the median seconds of an epoch over all pictures; they never repeat exactly."""
    return {name: result.epoch_seconds(name) for name in result.networks}
