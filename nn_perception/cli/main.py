"""``nn-perception``: finds the command, runs it, turns errors into one line and an exit code."""

from __future__ import annotations

import argparse
import importlib
import logging
import os
import sys
from collections.abc import Sequence

import nn_perception
from nn_perception.errors import NnPerceptionError, nearest

COMMANDS = (
    "train",
    "evaluate",
    "predict",
    "replay",
    "info",
    "sign",
    "tasks",
    "download",
    "convert",
    "demo",
    "bench",
    "dataset",
    "study",
    "tune",
    "view",
    "up",
    "rollback",
)

EXIT_CODES = """exit codes:
  0  done
  1  ran, and a check that was asked for failed
  2  bad input: arguments, configuration, bundle, data or bag; one line says what to do
  130  interrupted
"""


def build_parser(command: str | None = None) -> argparse.ArgumentParser:
    """Return the parser with all commands.

    Args:
        command: the one whose arguments are declared; None: all. Some take their defaults from
            modules that are dear to import.
    """
    parser = argparse.ArgumentParser(
        prog="nn-perception",
        description="Train networks for robot perception, bundle them, replay recorded bags.",
        epilog=EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=nn_perception.__version__)
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name in COMMANDS:
        module = importlib.import_module(f"nn_perception.cli.{name}")
        sub = commands.add_parser(
            name,
            help=module.HELP,
            description=module.DESCRIPTION,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        if command in (None, name):
            module.configure(sub)
        sub.set_defaults(run=module.run, more=getattr(module, "MORE", None))
    return parser


def parse(words: Sequence[str]) -> argparse.Namespace:
    """Parse a command line; exits with code 2 when it is wrong.

    argparse gives a list of words at the end only those that stand together; a command's ``MORE``
    names the list that takes the others too, so that options and ``key=value`` mix freely.
    """
    parser = build_parser(next((word for word in words if not word.startswith("-")), ""))
    parsed, rest = parser.parse_known_args(words)
    if rest and (parsed.more is None or any(word.startswith("-") for word in rest)):
        parser.error(f"unrecognized arguments: {' '.join(rest)}")
    if rest:
        getattr(parsed, parsed.more).extend(rest)
    return parsed


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    logging.basicConfig(level=logging.WARNING, format="%(message)s", stream=sys.stderr)
    logging.getLogger("nn_perception").setLevel(logging.INFO)
    words = list(sys.argv[1:] if arguments is None else arguments)
    hint = _wrong_words(words)
    if hint:
        print(f"nn-perception: error: {hint}", file=sys.stderr)
        return 2
    parsed = parse(words)
    try:
        return int(parsed.run(parsed))
    except NnPerceptionError as error:
        print(f"nn-perception {parsed.command}: error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"nn-perception {parsed.command}: interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:
        # The reader of our output went away ("... | head"): not an error of ours.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def _wrong_words(words: Sequence[str]) -> str:
    """Say what is wrong with the first words; a command may have ``wrong_words`` for its own."""
    first = words[0] if words else ""
    if not first or first.startswith("-"):
        return ""
    if first not in COMMANDS:
        names = ", ".join(COMMANDS)
        return f"unknown command '{first}'{nearest(first, COMMANDS)} (there are: {names})"
    check = getattr(importlib.import_module(f"nn_perception.cli.{first}"), "wrong_words", None)
    return str(check(words[1:])) if check else ""
