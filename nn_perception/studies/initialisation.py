"""The study ``initialisation``: what weights begin with decides what a deep network can learn."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any, get_args, get_type_hints

from nn_perception.errors import ConfigError
from nn_perception.studies import Say, StudyResult, lab

if TYPE_CHECKING:
    from nn_perception.studies.initialisation_figures import Start
    from nn_perception.studies.sweep import Job
    from nn_perception.training.config import TrainingConfig
    from nn_perception.training.learning import Learning
    from nn_perception.training.loop import Fit

DESCRIPTION = """Train the same deep MLP on digits from different initial weights, by plain
mini-batch gradient descent: how far the answers of each layer spread before any step, how large the
gradients are there, and the accuracy over the epochs. Zeros are shown to fail: all units of a layer
stay equal.
"""

NAME = "initialisation"
DEFAULTS = lab.Defaults(epochs=10, samples=10_000)
INITIALISATIONS = ("zeros", "small_normal", "normal", "xavier", "he", "default")
ACTIVATIONS = ("tanh", "relu")
LAYERS, UNITS = 5, 64
"""Units that are a multiple of a processor's vector: it then treats all of them alike, so that no
rounding parts those that began with zeros."""
LEARNING_RATE = 0.1
MOST = 6
"""More lines in a picture cannot be told apart."""

SYMMETRIC = "sigmoid"
"""One hidden layer of these moves away from zeros, since its answers are not 0; its units do not
part all the same."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    lab.configure(parser, NAME, DEFAULTS)
    add = parser.add_argument
    add(
        "--initialisations", nargs="+", default=list(INITIALISATIONS), metavar="NAME",
        help=f"default: {' '.join(INITIALISATIONS)}",
    )  # fmt: skip
    add(
        "--activations", nargs="+", default=list(ACTIVATIONS), metavar="NAME",
        help=f"one or two, default: {' '.join(ACTIVATIONS)}",
    )  # fmt: skip
    add("--layers", type=int, default=LAYERS, metavar="N", help=f"hidden, default: {LAYERS}")
    add("--units", type=int, default=UNITS, metavar="N", help=f"of each, default: {UNITS}")


def run(arguments: argparse.Namespace, say: Say) -> StudyResult:
    """Train from all initial weights, and write the page.

    Raises:
        ConfigError: an option out of its range, or a report that cannot be written.
        DatasetError: the data cannot be used.
    """
    lab.check(arguments)
    _check_size(arguments.layers, arguments.units)
    from nn_perception.networks.mlp import ACTIVATIONS as KNOWN
    from nn_perception.studies.groups import chosen
    from nn_perception.studies.initialisation_figures import Initialisations
    from nn_perception.studies.initialisation_report import build
    from nn_perception.studies.sweep import train_all
    from nn_perception.training.config import TrainingConfig

    known = get_args(get_type_hints(TrainingConfig)["initialisation"])
    names = chosen("--initialisations", arguments.initialisations, known, MOST)
    activations = chosen("--activations", arguments.activations, tuple(KNOWN), 2)
    jobs = _jobs(names, activations, arguments)
    say(f"{lab.digits(arguments.data).source}: {len(jobs)} trainings")
    starts = [start(dict(job.key), job.make()) for job in jobs]
    outcomes = train_all(jobs, arguments.workers, NAME)
    result = Initialisations(names, activations, arguments.layers, starts, outcomes)
    return lab.finish(
        arguments,
        NAME,
        "Initialisation",
        f"{', '.join(names)}; {arguments.layers} hidden layers of {arguments.units} units "
        f"({', '.join(activations)}), seeds {', '.join(map(str, arguments.seeds))}",
        lambda report: build(report, result),
        (result.HEADER, result.rows()),
        result.to_dict(),
    )


def _check_size(layers: int, units: int) -> None:
    if not 2 <= layers <= 30:
        raise ConfigError(f"--layers: got {layers}, expected 2 to 30")
    if not 2 <= units <= 4096:
        raise ConfigError(f"--units: got {units}, expected 2 to 4096")


def start(key: dict[str, Any], learning: Learning) -> Start:
    """Return answers and gradients of the layers before any step."""
    from nn_perception.studies.initialisation_figures import Start
    from nn_perception.studies.probing import (
        gradient_sizes,
        hidden_layers,
        probe_batch,
        starting_network,
    )
    from nn_perception.training.devices import one_thread

    with one_thread():
        network = starting_network(learning)
        layers = hidden_layers(network, probe_batch(learning)[0])
        gradients = gradient_sizes(learning, network)
    return Start(
        key["initialisation"],
        key["activation"],
        len(key["hidden"]),
        key["seed"],
        tuple(layer.answers.ravel() for layer in layers),
        tuple(gradients),
    )


def symmetry(fit: Fit, learning: Learning) -> dict[str, Any]:
    """Return how far weights of hidden layers are from 0, and units of a layer from each other.

    ``weight``: the largest weight of each hidden layer; ``apart``: the largest difference between
    a unit's incoming weights and those of the layer's first one; ``majority``: accuracy on the
    validation pictures of who always answers the most frequent class.
    """
    import torch

    from nn_perception.studies.probing import probe_batch

    hidden = [weight for weight in fit.network.parameters() if weight.ndim == 2][:-1]
    classes = probe_batch(learning, learning.train_size)[1]
    always = torch.nn.functional.one_hot(classes.mode().values, int(classes.max()) + 1).float()
    figures = learning.validate(lambda images: always.expand(len(images), -1))
    return {
        "weight": [float(weight.detach().abs().max()) for weight in hidden],
        "apart": [float((weight - weight[:1]).detach().abs().max()) for weight in hidden],
        "majority": figures["accuracy"],
    }


def _jobs(
    names: tuple[str, ...], activations: tuple[str, ...], arguments: argparse.Namespace
) -> list[Job]:
    cases = [
        (name, activation, (arguments.units,) * arguments.layers)
        for activation in activations
        for name in names
    ]
    if "zeros" in names:
        cases.append(("zeros", SYMMETRIC, (arguments.units,)))
    return [
        lab.digits_job(
            _config(name, activation, hidden, arguments.epochs),
            arguments,
            symmetry,
            network="mlp",
            initialisation=name,
            activation=activation,
            hidden=hidden,
            seed=seed,
        )
        for name, activation, hidden in cases
        for seed in arguments.seeds
    ]


def _config(name: Any, activation: str, hidden: tuple[int, ...], epochs: int) -> TrainingConfig:
    from nn_perception.training.config import TrainingConfig

    return TrainingConfig(
        network="mlp",
        network_arguments={"activation": activation, "hidden": hidden},
        epochs=epochs,
        batch_size=100,
        optimizer="sgd",
        learning_rate=LEARNING_RATE,
        initialisation=name,
        schedule="constant",
        keep="last",
    )
