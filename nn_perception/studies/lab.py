"""What the studies of training methods share: options, data, page."""

from __future__ import annotations

import argparse
import dataclasses
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from nn_perception.errors import ConfigError
from nn_perception.studies import StudyResult

if TYPE_CHECKING:
    from nn_perception.evaluation.html_page import Report
    from nn_perception.studies.sweep import Job
    from nn_perception.training.config import TrainingConfig
    from nn_perception.training.learning import Learning


@dataclass(frozen=True)
class Defaults:
    """What a study does without options.

    Attributes:
        seeds: one training for each, of everything that is compared.
        epochs: of each training; 0: the study has no such option.
        samples: pictures of MNIST's training data, of which a tenth validates; 0: no such option.
    """

    seeds: tuple[int, ...] = (0, 1, 2)
    epochs: int = 0
    samples: int = 0


def configure(parser: argparse.ArgumentParser, name: str, defaults: Defaults) -> None:
    """Declare the options that every such study has."""
    add = parser.add_argument
    if defaults.samples:
        add(
            "--data", type=Path, metavar="DIR",
            help="MNIST; default: $NN_PERCEPTION_DATA or what was downloaded, without it the 8x8 "
            "digits of scikit-learn",
        )  # fmt: skip
        add(
            "--samples", type=int, default=defaults.samples, metavar="N",
            help=f"pictures, of which a tenth validates, default: {defaults.samples}",
        )  # fmt: skip
    if defaults.epochs:
        add(
            "--epochs", type=int, default=defaults.epochs, metavar="N",
            help=f"passes over the data, default: {defaults.epochs}",
        )  # fmt: skip
    add(
        "--seeds", nargs="+", type=int, default=list(defaults.seeds), metavar="N",
        help=f"default: {' '.join(map(str, defaults.seeds))}",
    )  # fmt: skip
    cores = os.cpu_count() or 1
    add(
        "--workers", type=int, default=min(cores, 8), metavar="N",
        help=f"trainings at a time, which changes no figure; default: {min(cores, 8)}",
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
    if len(set(seeds)) != len(seeds) or any(not 0 <= seed < 2**31 for seed in seeds):
        raise ConfigError(f"seeds: got {list(seeds)}, expected different numbers from 0 to 2^31-1")
    for name, least in (("workers", 0), ("epochs", 1), ("samples", 100)):
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
    **key: Any,
) -> Job:
    """Return a training on the digits.

    Args:
        config: samples and seed are those of the options and the key.
        arguments: of the command line.
        analyse: see `Job`.
        key: what distinguishes it; ``seed`` is one.
    """
    from nn_perception.studies.sweep import Job

    config = dataclasses.replace(
        config,
        seed=key["seed"],
        device="cpu",
        task_arguments={**config.task_arguments, "samples": arguments.samples},
    )
    return Job(tuple(key.items()), partial(_digits, config, arguments.data), config.epochs, analyse)


def _digits(config: TrainingConfig, data: Path | None) -> Learning:
    from nn_perception.tasks.digits.learning import DigitLearning

    learning: Any = DigitLearning(config, data)
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
    report = Report(title, subtitle)
    report.metrics = {"study": name, "options": plain(options), **figures}
    build(report)
    report.keyvalues("What was run", {**options, **environment()})
    try:
        page = report.write(arguments.out)
    except OSError as error:
        raise _not_written(arguments.out, error) from error
    header, rows = table
    everything = {**report.metrics, "environment": environment()}
    return StudyResult(header, rows, plain(everything), page)


def _not_written(directory: Path, error: OSError) -> ConfigError:
    reason = error.strerror or error
    return ConfigError(f"cannot write to {directory}: {reason}; choose another --out")
