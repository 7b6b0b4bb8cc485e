"""What the studies of training methods share: options, data, page."""

from __future__ import annotations

import argparse
import dataclasses
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from nn_perception.config import from_mapping, parse_overrides
from nn_perception.errors import ConfigError
from nn_perception.studies import StudyResult

if TYPE_CHECKING:
    from nn_perception.datasets.arrays import ImageSet
    from nn_perception.evaluation.html_page import Report
    from nn_perception.studies.sweep import Job
    from nn_perception.training.config import TrainingConfig
    from nn_perception.training.learning import Learning


MAX_WORKERS = 8
"""Trainings at a time, where nothing is said: each takes a third of a GB."""

LEAST_SAMPLES = 100
"""With fewer, a tenth of the pictures has not every digit."""

TRAINING = "validation_training_"
"""Before the names of `digits_job`'s ``training_figures``."""


@dataclass(frozen=True)
class Defaults:
    """What a study does without options.

    Attributes:
        seeds: one training for each, of everything that is compared.
        epochs: of each training; 0: the study has no such option.
        samples: pictures of MNIST's training data; 0: no such option.
        validates: share of them that validates, as the study's configuration says; 0: all are
            trained on, and others validate.
    """

    seeds: tuple[int, ...] = (0, 1, 2)
    epochs: int = 0
    samples: int = 0
    validates: float = 0.1


def configure(parser: argparse.ArgumentParser, name: str, defaults: Defaults) -> None:
    """Declare the options that every such study has."""
    add = parser.add_argument
    if defaults.samples:
        add(
            "--data", type=Path, metavar="DIR",
            help="MNIST; default: $NN_PERCEPTION_DATA or what was downloaded, without it the 8x8 "
            "digits of scikit-learn",
        )  # fmt: skip
        share = f", of which {100 * defaults.validates:g} %% validate" if defaults.validates else ""
        add(
            "--samples", type=int, default=defaults.samples, metavar="N",
            help=f"pictures{share or ' to train on'}, default: {defaults.samples}",
        )  # fmt: skip
        add(
            "overrides", nargs="*", metavar="key=value",
            help="of the configuration of all trainings, such as network=lecture_cnn; see "
            "'nn-perception train digits --show-config'",
        )  # fmt: skip
        parser.set_defaults(more="overrides")  # see `nn_perception.cli.main.parse`
    if defaults.epochs:
        add(
            "--epochs", type=int, default=defaults.epochs, metavar="N",
            help=f"passes over the data, default: {defaults.epochs}",
        )  # fmt: skip
    add(
        "--seeds", nargs="+", type=int, default=list(defaults.seeds), metavar="N",
        help=f"default: {' '.join(map(str, defaults.seeds))}",
    )  # fmt: skip
    cores = min(len(os.sched_getaffinity(0)), MAX_WORKERS)
    add(
        "--workers", type=int, default=cores, metavar="N",
        help="trainings at a time, which changes no figure; 0: in this process; "
        f"default: {cores}",
    )  # fmt: skip
    out = Path("runs") / name
    add("--out", type=Path, default=out, metavar="DIR", help=f"the report, default: {out}")
    add("--json", metavar="FILE", help="write the figures as JSON; '-' prints only them")


def check(arguments: argparse.Namespace) -> None:
    """Refuse numbers that cannot be meant, and a directory that cannot be made.

    Raises:
        ConfigError: which option, and what it expects.
    """
    seeds: Sequence[int] = arguments.seeds
    if not seeds or len(set(seeds)) != len(seeds) or any(not 0 <= seed < 2**31 for seed in seeds):
        raise ConfigError(f"seeds: got {list(seeds)}, expected different numbers from 0 to 2^31-1")
    for name, least in (("workers", 0), ("epochs", 1), ("samples", LEAST_SAMPLES)):
        value = getattr(arguments, name, least)
        if value < least:
            raise ConfigError(f"{name}: got {value}, expected {least} or more")
    try:
        arguments.out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _not_written(arguments.out, error) from error


def digits_job(
    config: TrainingConfig,
    arguments: argparse.Namespace,
    analyse: Any = None,
    *,
    training_figures: bool = False,
    learning: Callable[[TrainingConfig, Path | None], Learning] | None = None,
    **key: Any,
) -> Job:
    """Return a training on the digits.

    Args:
        config: samples and seed are those of the options and the key, and what the command line
            says with ``key=value`` comes last.
        arguments: of the command line.
        analyse: see `Job`.
        training_figures: loss and accuracy of the pictures that are trained on are taken after
            each epoch, too, as those of validation are: ``validation_training_loss`` and
            ``validation_training_accuracy`` of the records.
        learning: gives the training of configuration and path, where it is of another kind; a
            function of a module, or a `functools.partial` of one.
        key: what distinguishes it; ``seed`` is one.

    Raises:
        ConfigError: an unknown key, or one that has an option or is what is compared.
        DatasetError: the data cannot be used.
    """
    from nn_perception.studies.sweep import Job

    config = dataclasses.replace(
        config,
        seed=key["seed"],
        device="cpu",
        task_arguments={**config.task_arguments, "samples": arguments.samples},
    )
    config = _overridden(config, arguments.overrides, key)
    digits(arguments.data)
    kind = learning or partial(_digits, training_figures=training_figures)
    make = partial(kind, config, arguments.data)
    return Job(tuple(key.items()), make, config.epochs, analyse)


def _overridden(
    config: TrainingConfig, overrides: Sequence[str], key: Mapping[str, Any]
) -> TrainingConfig:
    values = parse_overrides(overrides)
    for name in _names(values):
        last = name.rsplit(".", 1)[-1]
        if last in _OPTIONS:
            raise ConfigError(f"'{name}' has an option in a study: use --{_OPTIONS[last]}")
        if last in key:
            raise ConfigError(f"'{name}' is what this study compares: leave it out")
        if last == "device":
            raise ConfigError("'device': studies run on the CPU, where they repeat exactly")
    if values.get("network", config.network) != config.network:
        config = dataclasses.replace(config, network_arguments={})
    return from_mapping(type(config), values, base=config)


_OPTIONS = {"seed": "seeds", "epochs": "epochs", "samples": "samples"}
"""Keys of the configuration -> options of a study."""


def _names(values: Mapping[str, Any], above: str = "") -> Iterator[str]:
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from _names(value, f"{above}{name}.")
        else:
            yield f"{above}{name}"


def digits(data: Path | None) -> ImageSet:
    """Return the training data of the digits, read once.

    Raises:
        DatasetError: it cannot be used.
    """
    return _read_digits(data, os.environ.get("NN_PERCEPTION_DATA"))


@lru_cache(maxsize=1)
def _read_digits(data: Path | None, _: str | None) -> ImageSet:
    from nn_perception.tasks.digits.learning import load_training_digits

    return load_training_digits(data)


def _digits(config: TrainingConfig, data: Path | None, training_figures: bool = False) -> Learning:
    from nn_perception.studies.digits import WatchedDigits
    from nn_perception.tasks.digits.learning import DigitLearning

    learning: Any = (WatchedDigits if training_figures else DigitLearning)(config, data)
    return cast("Learning", learning)


def finish(
    arguments: argparse.Namespace,
    name: str,
    title: str,
    subtitle: str,
    build: Callable[[Report], None],
    table: tuple[tuple[str, ...], list[tuple[object, ...]]],
    figures: Mapping[str, Any],
) -> StudyResult:
    """Write the page and return what the study found.

    Args:
        arguments: of the command line.
        name: of the study.
        title: of the page.
        subtitle: what was compared on what, in a line.
        build: adds the parts of the page.
        table: header and rows for the terminal.
        figures: for JSON, beside the options and the environment.

    Raises:
        ConfigError: matplotlib is missing, or the directory cannot be written.
    """
    from nn_perception.bench import environment
    from nn_perception.evaluation.html_page import Report, plain

    skipped = ("data", "out", "json", "workers", "command", "study", "run", "more")
    options = {key: value for key, value in vars(arguments).items() if key not in skipped}
    facts: dict[str, Any] = {}
    if "samples" in options:
        data = digits(arguments.data)
        facts["data"] = {"source": data.source, "sha256": data.sha256}
    report = Report(title, subtitle)
    report.metrics = {"study": name, "options": plain(options), **facts, **figures}
    build(report)
    words = {key: _in_words(value) for key, value in options.items()}
    sources = {key: value["source"] for key, value in facts.items()}
    report.keyvalues("What was run", {**words, **sources, **environment()})
    try:
        page = report.write(arguments.out)
    except OSError as error:
        raise _not_written(arguments.out, error) from error
    header, rows = table
    everything = {**report.metrics, "environment": environment()}
    return StudyResult(header, rows, plain(everything), page)


def _in_words(value: object) -> object:
    return " ".join(map(str, value)) if isinstance(value, list | tuple) else value


def _not_written(directory: Path, error: OSError) -> ConfigError:
    reason = error.strerror or error
    return ConfigError(f"cannot write to {directory}: {reason}; choose another --out")
