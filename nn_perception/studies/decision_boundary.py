"""The study ``decision-boundary``: which shapes a network of how many units can draw.

Rosenblatt's perceptron (1958) draws a line, and M. Minsky and S. Papert (Perceptrons, 1969) showed
what no line divides: XOR. One hidden layer is enough for it, two units of it.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from nn_perception.errors import ConfigError
from nn_perception.studies import Say, StudyResult, lab

if TYPE_CHECKING:
    from nn_perception.studies.sweep import Job
    from nn_perception.training.config import TrainingConfig

DESCRIPTION = """Train networks of growing size to tell two classes of points in a plane apart, and
draw where each says which: data from one that a line divides to two spirals, networks from a
single layer to three hidden ones. The truth tables of AND, OR and XOR are learnt as well, by a
perceptron and by a 2-2-1 network.
"""

NAME = "decision-boundary"
DEFAULTS = lab.Defaults(epochs=150)
NETWORKS = ("2-1", "2-2-1", "2-4-1", "2-8-8-1", "2-16-16-16-1")
POINTS = 200
NOISE = 0.05
ACTIVATION = "tanh"
LEARNING_RATE = 0.03
BATCH = 20
WATCHED = (1, 3, 10, 30, 100)
"""Epochs after which the largest network's boundary is drawn, beside the last one."""

STARTS = 8
"""Trainings of each truth table, from different weights."""

PERCEPTRON = "2-1, perceptron"
LOGISTIC = "2-1, logistic"
HIDDEN = "2-2-1"
TABLE_NETWORKS = {
    PERCEPTRON: ("AND", "OR", "XOR"),
    LOGISTIC: ("XOR",),
    HIDDEN: ("XOR",),
}
"""What learns truth tables -> which."""

TABLE_EPOCHS = {PERCEPTRON: 50, LOGISTIC: 100, HIDDEN: 300}


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    from nn_perception.datasets.points_2d import KINDS

    lab.configure(parser, NAME, DEFAULTS)
    add = parser.add_argument
    add(
        "--points", nargs="+", default=list(KINDS), metavar="KIND",
        help=f"default: {' '.join(KINDS)}",
    )  # fmt: skip
    add(
        "--networks", nargs="+", default=list(NETWORKS), metavar="2-N-1",
        help=f"units of each layer, default: {' '.join(NETWORKS)}",
    )  # fmt: skip
    add(
        "--activation", default=ACTIVATION, metavar="NAME",
        help=f"of hidden units, default: {ACTIVATION}",
    )  # fmt: skip
    for name, default, kind, text in (
        ("--learning-rate", LEARNING_RATE, float, "peak rate of Adam"),
        ("--count", POINTS, int, "points to train on"),
        ("--noise", NOISE, float, "standard deviation of the points' coordinates"),
    ):
        add(name, type=kind, default=default, metavar="X", help=f"{text}, default: {default:g}")


def run(arguments: argparse.Namespace, say: Say) -> StudyResult:
    """Train all networks on all points, and write the page.

    Raises:
        ConfigError: an option out of its range, or a report that cannot be written.
        DatasetError: a number of points or a noise that cannot be.
    """
    from nn_perception.datasets.points_2d import KINDS, draw_points
    from nn_perception.networks.mlp import ACTIVATIONS
    from nn_perception.studies.groups import chosen

    lab.check(arguments)
    kinds = chosen("--points", arguments.points, tuple(KINDS))
    chosen("--activation", [arguments.activation], tuple(ACTIVATIONS))
    hidden = {name: hidden_units(name) for name in arguments.networks}
    if len(hidden) != len(arguments.networks):
        raise ConfigError(f"--networks: got {' '.join(arguments.networks)}, expected each once")
    draw_points(kinds[0], arguments.count, arguments.noise, 0)  # refuses before the first training
    from nn_perception.studies.boundary_report import Boundaries, build
    from nn_perception.studies.sweep import train_all

    shown = tuple(e for e in WATCHED if e < arguments.epochs)
    jobs = [*_point_jobs(arguments, kinds, hidden, shown), *_table_jobs(arguments)]
    say(f"{len(jobs)} trainings: {len(kinds)} kinds of points, {len(hidden)} networks, tables")
    outcomes = train_all(jobs, arguments.workers, NAME)
    result = Boundaries(kinds, tuple(hidden), shown, arguments, tuple(outcomes))
    return lab.finish(
        arguments,
        NAME,
        "Decision boundaries",
        f"{', '.join(hidden)} on {arguments.count} points each of {', '.join(kinds)}; seeds "
        f"{', '.join(map(str, arguments.seeds))}",
        lambda report: build(report, result),
        (result.header(), result.rows()),
        result.to_dict(),
    )


def hidden_units(name: str) -> tuple[int, ...]:
    """Return the widths of the hidden layers of a network such as ``2-8-8-1``.

    Raises:
        ConfigError: it is not written so.
    """
    parts = name.split("-")
    fits = len(parts) >= 2 and parts[0] == "2" and parts[-1] == "1"
    if not fits or not all(part.isdecimal() and 0 < int(part) <= 512 for part in parts):
        raise ConfigError(
            f"--networks: got '{name}', expected units of each layer, 2 inputs first and 1 output "
            "last, with up to 512 hidden units a layer between, such as 2-1 or 2-8-8-1"
        )
    return tuple(int(part) for part in parts[1:-1])


def _config(
    arguments: argparse.Namespace, hidden: Sequence[int], seed: int, **changes: Any
) -> TrainingConfig:
    from nn_perception.training.config import TrainingConfig

    values: dict[str, Any] = {
        "network": "mlp",
        "network_arguments": {"hidden": tuple(hidden), "activation": arguments.activation},
        "epochs": arguments.epochs,
        "batch_size": BATCH,
        "optimizer": "adam",
        "learning_rate": arguments.learning_rate,
        "schedule": "one_cycle",
        "keep": "last",  # nothing is chosen by the held-out points
        "compile": "off",
        "seed": seed,
        "device": "cpu",
    }
    return TrainingConfig(**{**values, **changes})


def _point_jobs(
    arguments: argparse.Namespace,
    kinds: Sequence[str],
    hidden: dict[str, tuple[int, ...]],
    shown: Sequence[int],
) -> list[Job]:
    from nn_perception.studies.planes import plane_job

    largest = list(hidden)[-1]
    return [
        plane_job(
            _config(arguments, units, seed),
            kind,
            arguments.count,
            arguments.noise,
            shown if name == largest else (),
            on=kind,
            network=name,
            seed=seed,
        )
        for kind in kinds
        for name, units in hidden.items()
        for seed in arguments.seeds
    ]


def _table_jobs(arguments: argparse.Namespace) -> list[Job]:
    """The perceptron sees one row a step, the others the whole table."""
    from nn_perception.studies.planes import table_job

    jobs = []
    for name, tables in TABLE_NETWORKS.items():
        changes: dict[str, Any] = {"schedule": "constant", "epochs": TABLE_EPOCHS[name]}
        if name == PERCEPTRON:  # its rule: add or subtract a row that was answered wrongly
            changes |= {"optimizer": "sgd", "learning_rate": 1.0, "batch_size": 1}
        else:
            changes |= {"optimizer": "momentum", "learning_rate": 0.3, "batch_size": 0}
            changes |= {"initialisation": "normal"}
        for table in tables:
            for start in range(STARTS):
                seed = (arguments.seeds[0] + start) % 2**31
                units = (2,) if name == HIDDEN else ()
                config = _config(arguments, units, seed, **changes)
                loss: Any = "perceptron" if name == PERCEPTRON else "cross_entropy"
                jobs.append(table_job(config, table, loss, on=table, network=name, seed=seed))
    return jobs
