"""The study ``regularisation``: too simple, too free, and what keeps a free model in bounds."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from nn_perception.errors import ConfigError
from nn_perception.studies import Say, StudyResult, lab

if TYPE_CHECKING:
    from nn_perception.studies.sweep import Job
    from nn_perception.training.config import TrainingConfig

DESCRIPTION = """Under- and overfitting. Polynomials through a noisy sine, of degrees 1 to 15 and
with an L2 penalty: training and test error, bias and variance over many drawn sets. An MLP on few
digits with each regularisation (L2, L1, dropout, batch normalisation, early stopping,
augmentation): training and validation accuracy and their gap, by strength and by number of
pictures.
"""

NAME = "regularisation"
DEFAULTS = lab.Defaults(epochs=40, samples=1000, validates=0.0)
SETS = 1000
NOISE = 0.3
POINTS = 20
"""Of each set of the polynomials: as many sets, this noise, evenly spaced from 0 to 1."""

HIDDEN = 128
FEW_HIDDEN = 3
"""Hidden units of the network, and of one that is too small: tanh, as of three ReLU some die."""

BATCH = 10
STEPS = 30
"""A batch is a thirtieth of the pictures, but this many at least, with more epochs in return: all
numbers of pictures get as many steps."""

NONE = "none"
METHODS: dict[str, dict[str, Any]] = {
    NONE: {},
    "L2": {"weight_decay": 1e-2},
    "L1": {"l1": 1e-3},
    "dropout": {"dropout": 0.5},
    "batch norm": {"batch_norm": True},
    "early stopping": {"early_stopping_patience": 5, "keep": "best"},
    "augmentation": {"augment": {"rotate_deg": 10.0, "shift_px": 2.0, "scale": 0.1}},
}
"""What each changes of the configuration, or of the network's arguments."""

STRENGTHS: dict[str, tuple[str, tuple[float, ...]]] = {
    "L2": ("weight_decay", (1e-4, 1e-3, 1e-2, 1e-1)),
    "L1": ("l1", (1e-5, 1e-4, 1e-3, 1e-2)),
    "dropout": ("dropout", (0.2, 0.5, 0.8)),
}
"""Method -> key and values that are tried; ``METHODS`` has one of them."""

OF_NETWORK = ("dropout", "batch_norm", "hidden", "activation")
"""Keys of the network's arguments."""

SMALL, LARGE = f"{FEW_HIDDEN} hidden units", f"{HIDDEN} hidden units"
CURVES: dict[str, dict[str, Any]] = {
    SMALL: {"hidden": (FEW_HIDDEN,), "activation": "tanh"},
    LARGE: {},
    f"{LARGE}, dropout": {"dropout": 0.5},
}
"""Networks of the learning curves."""

SIZES = (0.1, 0.3, 1.0, 3.0)
"""Numbers of pictures of the learning curves, in ``--samples``."""

COMPARED = (
    *("weight_decay", "l1", "early_stopping_patience", "keep", "augment"),
    *("network", "network_arguments", "batch_size", "folds", "validation_fraction"),
)
"""Keys that the command line cannot change."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    lab.configure(parser, NAME, DEFAULTS)
    parser.add_argument(
        "--sets", type=int, default=SETS, metavar="N",
        help=f"sets of {POINTS} points that polynomials are fitted to, default: {SETS}",
    )  # fmt: skip
    parser.add_argument(
        "--noise", type=float, default=NOISE, metavar="X",
        help=f"standard deviation of those points, default: {NOISE}",
    )  # fmt: skip


def run(arguments: argparse.Namespace, say: Say) -> StudyResult:
    """Fit all polynomials, train all networks, and write the page.

    Raises:
        ConfigError: an option out of its range, or a report that cannot be written.
        DatasetError: the data cannot be used.
    """
    lab.check(arguments)
    _check(arguments)
    jobs = digit_jobs(arguments)
    from nn_perception.studies import polynomials
    from nn_perception.studies.regularisation_digits import DigitFigures
    from nn_perception.studies.regularisation_report import build, findings
    from nn_perception.studies.sweep import train_all

    say(f"polynomials of degree 1 to {polynomials.DEGREES[-1]} through {arguments.sets:,} sets")
    fits = polynomials.study(POINTS, arguments.sets, arguments.noise, arguments.seeds[0])
    say(f"{len(jobs)} trainings on digits")
    result = DigitFigures(tuple(train_all(jobs, arguments.workers, NAME)), arguments.samples)
    return lab.finish(
        arguments,
        NAME,
        "Regularisation",
        f"polynomials through {POINTS} points; 784-{HIDDEN}-10 on {arguments.samples:,} digits, "
        f"seeds {', '.join(map(str, arguments.seeds))}",
        lambda report: build(report, fits, result),
        (result.HEADER, result.rows()),
        {**fits.to_dict(), **result.to_dict(), "findings": findings(fits, result)},
    )


def _check(arguments: argparse.Namespace) -> None:
    if arguments.sets < 2 or not 0.0 < arguments.noise < float("inf"):
        raise ConfigError(
            f"sets: got {arguments.sets}, expected 2 or more; noise: got {arguments.noise}, "
            "expected above 0"
        )
    for word in arguments.overrides:
        name = word.partition("=")[0].partition(".")[0]
        if name in COMPARED:
            raise ConfigError(f"'{name}' is what this study compares: leave it out")


def digit_jobs(arguments: argparse.Namespace) -> list[Job]:
    """Return all trainings on digits; none is there twice.

    Keys are ``method``, ``strength`` (of `STRENGTHS`, else 0), ``pictures`` (as asked for),
    ``hidden`` (units) and ``seed``.
    """
    wanted: dict[tuple[Any, ...], Mapping[str, Any]] = {}
    for method, changes in METHODS.items():
        key, values = STRENGTHS.get(method, ("", ()))
        for value in values or (0.0,):
            changed = {**changes, key: value} if key else changes
            wanted[method, value, arguments.samples, HIDDEN] = changed
    for changes in CURVES.values():
        method, value = curve_key(changes)
        hidden = changes.get("hidden", (HIDDEN,))[0]
        for size in SIZES:
            wanted[method, value, round(size * arguments.samples), hidden] = changes
    names = ("method", "strength", "pictures", "hidden")
    return [
        _job(arguments, changes, **dict(zip(names, key, strict=True)), seed=seed)
        for key, changes in wanted.items()
        for seed in arguments.seeds
    ]


def curve_key(changes: Mapping[str, Any]) -> tuple[str, float]:
    """Return method and strength of a learning curve's trainings."""
    return ("dropout", changes["dropout"]) if "dropout" in changes else (NONE, 0.0)


def _job(arguments: argparse.Namespace, changes: Mapping[str, Any], **key: Any) -> Job:
    from nn_perception.studies.small_digits import look, small_digits

    learning = partial(small_digits, key["pictures"])
    all_of_them = argparse.Namespace(**{**vars(arguments), "samples": 0})
    config = _config(arguments.epochs, key["pictures"], changes)
    return lab.digits_job(config, all_of_them, look, learning=learning, **key)


def _config(epochs: int, pictures: int, changes: Mapping[str, Any]) -> TrainingConfig:
    from nn_perception.training.augment import AugmentConfig
    from nn_perception.training.config import TrainingConfig

    network = {name: value for name, value in changes.items() if name in OF_NETWORK}
    others = {name: value for name, value in changes.items() if name not in OF_NETWORK}
    if "augment" in others:
        others["augment"] = AugmentConfig(**others["augment"])
    batch = max(BATCH, pictures // STEPS)
    values: dict[str, Any] = {
        "network_arguments": {"hidden": (HIDDEN,), **network},
        "epochs": round(epochs * STEPS / max(1, min(STEPS, pictures // batch))),
        "batch_size": batch,
        "optimizer": "momentum",  # under Adam a penalty would be scaled with the gradient
        "learning_rate": 0.01,
        "schedule": "constant",
        "keep": "last",
    }
    return TrainingConfig(network="mlp", **{**values, **others})
