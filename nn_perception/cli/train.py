"""``nn-perception train``."""

from __future__ import annotations

import argparse
import shlex
from pathlib import Path

HELP = "train a network for a task and write a bundle"
DESCRIPTION = """Train a network for a task and write a bundle.

Without --config the task's own recipe for the network is used, or the one that --recipe names;
key=value changes single keys of it, such as:
  nn-perception train digits network=mlp epochs=5 augment.rotate_deg=10
An interrupted run goes on where it was when the same command is given again. Under torchrun the
batch is divided among the processes.
"""
MORE = "overrides"


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("task", help="see 'nn-perception tasks'")
    parser.add_argument(
        "--config", type=Path, metavar="FILE", help="YAML file with any of the keys"
    )
    parser.add_argument(
        "--recipe", metavar="NAME", help="one of the task's recipes, such as digit_best"
    )
    parser.add_argument("--data", type=Path, metavar="DIR", help="training data of the task")
    parser.add_argument(
        "--out", type=Path, metavar="DIR", help="the bundle to write (default: runs/TASK-RECIPE)"
    )
    parser.add_argument(
        "--init",
        type=Path,
        metavar="BUNDLE",
        help="begin with this bundle's network and weights, to adapt it to the data",
    )
    parser.add_argument("--device", metavar="D", help="auto, cpu, cuda or cuda:N")
    parser.add_argument("--seed", type=int, metavar="N", help="of everything random")
    parser.add_argument("--show-config", action="store_true", help="print the keys and stop")
    parser.add_argument(
        "overrides", nargs="*", metavar="key=value", help="see --show-config for the keys"
    )


def run(arguments: argparse.Namespace) -> int:
    """Train."""
    from nn_perception.config import parse_overrides, read_yaml, to_yaml
    from nn_perception.training.run import resolve_config, train_task

    overrides = parse_overrides(arguments.overrides)
    for key in ("device", "seed"):
        if getattr(arguments, key) is not None:
            overrides[key] = getattr(arguments, key)
    from_file = read_yaml(arguments.config) if arguments.config else {}
    config = resolve_config(arguments.task, from_file, overrides, arguments.recipe)
    if arguments.show_config:
        print(to_yaml(config), end="")
        return 0
    out = arguments.out or Path("runs") / f"{arguments.task}-{arguments.recipe or config.network}"
    trained = train_task(
        arguments.task,
        config,
        data=arguments.data,
        out=out,
        show_progress=True,
        command=_command(arguments),
        init=arguments.init,
    )
    if trained.bundle is None:
        return 0
    print(f"bundle       {out}  (id {trained.bundle.id})")
    for name, value in trained.bundle.config.metrics["validation"].items():
        print(f"{name:12} {value:.4f}" if isinstance(value, float) else f"{name:12} {value}")
    print(f"try          nn-perception evaluate {shlex.quote(str(out))} --data PATH")
    return 0


def _command(arguments: argparse.Namespace) -> str:
    """Return the command for the bundle's card; paths of this machine stay out of it."""
    words = ["nn-perception", "train", arguments.task]
    if arguments.config:
        words += ["--config", arguments.config.name]
    if arguments.recipe:
        words += ["--recipe", arguments.recipe]
    if arguments.data:
        words += ["--data", "DIR"]
    if arguments.init:
        words += ["--init", arguments.init.name]
    if arguments.seed is not None:
        words += ["--seed", str(arguments.seed)]
    return shlex.join([*words, *arguments.overrides])
