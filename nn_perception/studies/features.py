"""The study ``features``: what the first layer of a network sees."""

from __future__ import annotations

import argparse
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nn_perception.errors import ConfigError
from nn_perception.studies import Say, StudyResult, lab

if TYPE_CHECKING:
    from nn_perception.studies.sweep import Job
    from nn_perception.training.config import TrainingConfig
    from nn_perception.training.learning import Learning
    from nn_perception.training.loop import Fit

DESCRIPTION = """Train softmax regression, an MLP and convolutional networks on digits, and show the
weights of their first layers as pictures, with what the filters answer to a digit; beside them what
kernels do that are written by hand, as fixed convolutions: identity, sharpen, blur, edges.
"""

NAME = "features"
DEFAULTS = lab.Defaults(seeds=(0,), epochs=8, samples=10_000)
NETWORKS: dict[str, tuple[str, dict[str, Any]]] = {
    "softmax regression": ("mlp", {"hidden": ()}),
    "mlp": ("mlp", {}),
    "lecture_cnn": ("lecture_cnn", {}),
    "lenet": ("lenet", {}),
}
"""Name -> network and its arguments."""

MOVED_PX = 2
DIGIT = 3


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    lab.configure(parser, NAME, DEFAULTS)
    add = parser.add_argument
    add(
        "--networks", nargs="+", default=list(NETWORKS), metavar="NAME",
        help="default: " + ", ".join(f"'{n}'" if " " in n else n for n in NETWORKS),
    )  # fmt: skip
    add(
        "--digit", type=int, default=DIGIT, metavar="N",
        help=f"0 to 9: the first of its kind in the training data is shown, default: {DIGIT}",
    )  # fmt: skip
    add(
        "--picture", type=Path, metavar="FILE",
        help="picture for the kernels; default: a photograph that comes with scikit-learn",
    )  # fmt: skip


def run(arguments: argparse.Namespace, say: Say) -> StudyResult:
    """Train the networks, take their first layers, and write the page.

    Raises:
        ConfigError: an option out of its range, or a report that cannot be written.
        DatasetError: the data or the picture cannot be used.
    """
    from nn_perception.studies.groups import chosen

    lab.check(arguments)
    networks = chosen("--networks", arguments.networks, tuple(NETWORKS))
    if not 0 <= arguments.digit <= 9:
        raise ConfigError(f"--digit: got {arguments.digit}, expected 0 to 9")
    from nn_perception.studies.features_figures import Features
    from nn_perception.studies.features_report import build
    from nn_perception.studies.kernels import load_picture
    from nn_perception.studies.sweep import train_all

    picture, source = load_picture(arguments.picture)
    jobs = [_job(arguments, name, seed) for name in networks for seed in arguments.seeds]
    say(f"{lab.digits(arguments.data).source}: {', '.join(networks)}; {source}")
    digit = picked_digit(jobs[0].make(), arguments.digit)
    outcomes = train_all(jobs, arguments.workers, NAME)
    result = Features(networks, outcomes, digit[0, 0].numpy(), picture, source)
    done = lab.finish(
        arguments,
        NAME,
        "What the first layer sees",
        f"{', '.join(networks)}; a training picture of digit {arguments.digit}; seeds "
        f"{', '.join(map(str, arguments.seeds))}",
        lambda report: build(report, result),
        (result.HEADER, result.rows()),
        result.to_dict(),
    )
    result.save(arguments.out)
    return done


def picked_digit(learning: Learning, digit: int) -> Any:
    """Return the first training picture (1, 1, H, W) of a digit.

    Raises:
        ConfigError: there is none.
    """
    from nn_perception.studies.probing import probe_batch

    images, targets = probe_batch(learning, learning.train_size)
    of_kind = images[targets == digit]
    if not len(of_kind):
        raise ConfigError(f"--digit: the training pictures have no {digit}; choose another one")
    return of_kind[:1]


def first_layer(fit: Fit, learning: Learning, digit: int) -> dict[str, Any]:
    """Return the first layer's weights at the start and the end, and its sums for a digit.

    ``start`` and ``weights``: (units, H, W); ``sums``: (units,) or (filters, H, W), what goes into
    the activation, and ``moved``: the same of the digit moved by `MOVED_PX` to the right.
    """
    from nn_perception.studies.probing import first_sums, first_weights, starting_network
    from nn_perception.studies.some_digits import moved

    picture = picked_digit(learning, digit)
    return {
        "start": first_weights(starting_network(learning), picture.shape[-2:]),
        "weights": first_weights(fit.network, picture.shape[-2:]),
        "sums": first_sums(fit.network, picture),
        "moved": first_sums(fit.network, moved(picture, 0, MOVED_PX)),
    }


def _job(arguments: argparse.Namespace, name: str, seed: int) -> Job:
    analyse = partial(first_layer, digit=arguments.digit)
    config = _config(name, arguments.epochs)
    return lab.digits_job(config, arguments, analyse, network=name, seed=seed)


def _config(name: str, epochs: int) -> TrainingConfig:
    from nn_perception.training.config import TrainingConfig

    network, network_arguments = NETWORKS[name]
    return TrainingConfig(
        network=network,
        network_arguments=network_arguments,
        epochs=epochs,
        batch_size=100,
        optimizer="adam",
        schedule="constant",
        weight_decay=1e-4,  # weights of pixels that are always black would stay as drawn
        keep="last",
    )
