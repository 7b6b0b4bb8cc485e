"""``nn-perception tune``."""

from __future__ import annotations

import argparse
import shlex
import sys
from pathlib import Path

HELP = "search the configuration of a training by cross-validation"
DESCRIPTION = """Search the best configuration of a task's training: many trials, each trained on
every fold of the training data but one and judged on that one. No test data is read.

The space file names the keys that vary, with choices or a range:
  learning_rate: {low: 1.0e-3, high: 0.1, log: true}
  batch_size: [32, 64, 128]
  network_arguments.hidden: [[64], [128], [256]]
  fixed: {network: mlp, epochs: 10}
Given again, the same command goes on where it was. With --storage on a shared disk or in a
database it may run on many machines at a time, which then share the trials. key=value sets keys of
all trials.
"""
MORE = "overrides"


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    add = parser.add_argument
    add("task", help="see 'nn-perception tasks'")
    add("--space", type=Path, required=True, metavar="FILE", help="YAML: what varies")
    add("--sampler", choices=("tpe", "random", "grid"), default="tpe", help="default: tpe")
    add(
        "--trials", type=int, metavar="N",
        help="in all, those of earlier runs included; default: all of a grid, else 30",
    )  # fmt: skip
    add("--folds", type=int, default=3, metavar="K", help="default: 3; recordings stay whole")
    add("--metric", metavar="NAME", help="a validation figure, such as loss; default: the task's")
    add(
        "--pruner", choices=("median", "none"), default="median",
        help="end trials that are worse than the median of the others so far (default)",
    )  # fmt: skip
    add("--workers", type=int, default=1, metavar="N", help="processes, one thread each; default 1")
    add(
        "--storage", default="", metavar="FILE",
        help="journal file, or a URL: sqlite:///FILE, postgresql://...; default: OUT/journal.log",
    )  # fmt: skip
    add("--study", default="", metavar="NAME", help="in the storage, default: tune-TASK")
    add("--seed", type=int, default=0, metavar="N", help="of the search, default: 0")
    add("--data", type=Path, metavar="DIR", help="training data of the task")
    add("--recipe", metavar="NAME", help="what the configuration begins with")
    add("--out", type=Path, metavar="DIR", help="results, default: runs/tune-TASK")
    add("overrides", nargs="*", metavar="key=value", help="see 'train --show-config'")


def run(arguments: argparse.Namespace) -> int:
    """Search."""
    from nn_perception.cli.common import format_table
    from nn_perception.config import parse_overrides
    from nn_perception.tuning.run import Settings, tune
    from nn_perception.tuning.space import value_text

    given = vars(arguments)
    names = ("task", "space", "sampler", "trials", "folds", "metric", "pruner", "workers",
             "storage", "study", "seed", "data", "recipe")  # fmt: skip
    settings = Settings(
        **{name: given[name] for name in names},
        out=arguments.out or Path("runs") / f"tune-{arguments.task}",
        overrides=parse_overrides(arguments.overrides),
        command=_command(arguments),
    )
    try:
        found = tune(settings)
    except KeyboardInterrupt:
        print("the same command goes on from here", file=sys.stderr)
        raise
    metric = found.plan.metric
    rows = [
        (r.number, f"{r.value:.4g}", f"{r.spread:.2g}",
         *(value_text(r.values[key]) for key in found.plan.space.parameters))
        for r in found.best[:5]
    ]  # fmt: skip
    print(format_table(rows, ("trial", metric, "spread", *found.plan.space.parameters)))
    print(f"\nreport  {found.page}")
    if found.config is None:
        print("no trial was trained to its end; the report says why", file=sys.stderr)
        return 1
    config = shlex.quote(str(found.config))
    print(f"train   nn-perception train {arguments.task} --config {config}")
    return 0


def _command(arguments: argparse.Namespace) -> str:
    """Return the command for the results; paths and passwords of this machine stay out of it."""
    words = ["nn-perception", "tune", arguments.task, "--space", arguments.space.name]
    words += ["--sampler", arguments.sampler]
    words += ["--trials", str(arguments.trials)] if arguments.trials else []
    words += ["--folds", str(arguments.folds), "--pruner", arguments.pruner]
    for name in ("metric", "recipe"):
        words += [f"--{name}", given] if (given := getattr(arguments, name)) else []
    words += ["--seed", str(arguments.seed)]
    words += ["--data", "DIR"] if arguments.data else []
    return shlex.join([*words, *arguments.overrides])
