"""The study ``activations``: how a unit's function decides whether a deep network learns."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from nn_perception.errors import ConfigError
from nn_perception.studies import Say, StudyResult, lab

if TYPE_CHECKING:
    from nn_perception.studies.activations_figures import Start
    from nn_perception.studies.sweep import Job
    from nn_perception.training.config import TrainingConfig
    from nn_perception.training.learning import Learning
    from nn_perception.training.loop import Fit

DESCRIPTION = """Train the same MLP on digits with different activations, once shallow and once
deep, by plain mini-batch gradient descent from Xavier's weights: accuracy over the epochs, size of
the gradient in each layer at the start, and units that have stopped learning (dead ReLUs) after
trainings with larger and larger learning rates. The functions and their derivatives are drawn.
"""

NAME = "activations"
DEFAULTS = lab.Defaults(epochs=10, samples=10_000)
ACTIVATIONS = ("sigmoid", "tanh", "relu", "leaky_relu", "softplus", "gelu")
DEPTHS = (2, 6)
UNITS = 64
LEARNING_RATE = 0.1
MOST = 6
"""More lines in a picture cannot be told apart."""

DYING = ("relu", "leaky_relu")
"""Activations whose units are watched at larger and larger `DYING_RATES`, if they are compared."""
DYING_RATES = (0.1, 0.3, 0.5, 1.0)

WATCHED = 2000
"""Training pictures on which a unit has to be flat to count as stuck."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    lab.configure(parser, NAME, DEFAULTS)
    add = parser.add_argument
    add(
        "--activations", nargs="+", default=list(ACTIVATIONS), metavar="NAME",
        help=f"up to {MOST}, default: {' '.join(ACTIVATIONS)}",
    )  # fmt: skip
    add(
        "--depths", nargs=2, type=int, default=list(DEPTHS), metavar="N",
        help="hidden layers of the shallow and of the deep network, default: "
        + " ".join(map(str, DEPTHS)),
    )  # fmt: skip
    add("--units", type=int, default=UNITS, metavar="N", help=f"of each, default: {UNITS}")


def run(arguments: argparse.Namespace, say: Say) -> StudyResult:
    """Train with all activations and depths, and write the page.

    Raises:
        ConfigError: an option out of its range, or a report that cannot be written.
        DatasetError: the data cannot be used.
    """
    lab.check(arguments)
    check_depths(arguments.depths, arguments.units)
    from nn_perception.networks.mlp import ACTIVATIONS as KNOWN
    from nn_perception.studies.activations_figures import Activations
    from nn_perception.studies.activations_report import build
    from nn_perception.studies.groups import chosen
    from nn_perception.studies.sweep import train_all

    names = chosen("--activations", arguments.activations, tuple(KNOWN), MOST)
    jobs, dying = _jobs(names, arguments), _dying_jobs(names, arguments)
    say(f"{lab.digits(arguments.data).source}: {len(jobs) + len(dying)} trainings")
    starts = [start(dict(job.key), job.make()) for job in jobs]
    outcomes = train_all([*jobs, *dying], arguments.workers, NAME)
    shallow, deep = arguments.depths
    result = Activations(names, shallow, deep, starts, outcomes[: len(jobs)], outcomes[len(jobs) :])
    return lab.finish(
        arguments,
        NAME,
        "Activations",
        f"{', '.join(names)}; {shallow} and {deep} hidden layers of {arguments.units} units, seeds "
        f"{', '.join(map(str, arguments.seeds))}",
        lambda report: build(report, result),
        (result.HEADER, result.rows()),
        result.to_dict(),
    )


def check_depths(depths: list[int], units: int) -> None:
    """Refuse networks that cannot be built.

    Raises:
        ConfigError: numbers of layers or of units out of their range.
    """
    shallow, deep = depths
    if not 1 <= shallow < deep <= 50:
        raise ConfigError(
            f"--depths: got {shallow} {deep}, expected two rising numbers of hidden layers from 1 "
            "to 50"
        )
    if not 2 <= units <= 4096:
        raise ConfigError(f"--units: got {units}, expected 2 to 4096")


def start(key: dict[str, Any], learning: Learning) -> Start:
    """Return the gradients with which a training begins."""
    from nn_perception.studies.activations_figures import Start
    from nn_perception.studies.probing import gradient_sizes, starting_network
    from nn_perception.training.devices import one_thread

    with one_thread():
        sizes = gradient_sizes(learning, starting_network(learning))
    return Start(key["activation"], len(key["hidden"]), key["seed"], tuple(sizes))


def stuck_units(fit: Fit, learning: Learning) -> dict[str, Any]:
    """Return the share of each hidden layer's units that are flat on all watched pictures."""
    from nn_perception.studies.probing import hidden_layers, probe_batch

    layers = hidden_layers(fit.network, probe_batch(learning, WATCHED)[0])
    return {"stuck": [layer.stuck for layer in layers]}


def _config(activation: str, hidden: tuple[int, ...], rate: float, epochs: int) -> TrainingConfig:
    from nn_perception.training.config import TrainingConfig

    return TrainingConfig(
        network="mlp",
        network_arguments={"activation": activation, "hidden": hidden},
        epochs=epochs,
        batch_size=100,
        optimizer="sgd",
        learning_rate=rate,
        initialisation="xavier",
        schedule="constant",
        keep="last",
    )


def _jobs(names: tuple[str, ...], arguments: argparse.Namespace) -> list[Job]:
    return [
        _job(arguments, name, (arguments.units,) * depth, LEARNING_RATE, seed)
        for depth in arguments.depths
        for name in names
        for seed in arguments.seeds
    ]


def _dying_jobs(names: tuple[str, ...], arguments: argparse.Namespace) -> list[Job]:
    hidden = (arguments.units,) * arguments.depths[0]
    return [
        _job(arguments, name, hidden, rate, seed)
        for name in DYING
        if name in names
        for rate in DYING_RATES
        for seed in arguments.seeds
    ]


def _job(
    arguments: argparse.Namespace, name: str, hidden: tuple[int, ...], rate: float, seed: int
) -> Job:
    config = _config(name, hidden, rate, arguments.epochs)
    return lab.digits_job(
        config,
        arguments,
        stuck_units,
        network="mlp",
        activation=name,
        hidden=hidden,
        learning_rate=rate,
        seed=seed,
    )
