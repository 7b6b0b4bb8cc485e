"""``nn-perception study``."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from nn_perception.errors import ConfigError
from nn_perception.studies import STUDIES, load

HELP = "repeat an experiment: learning rates, optimisers, networks, data; page, pictures, figures"
DESCRIPTION = """Repeat an experiment with parts of this package: a table, pictures and a report.
Each study has options of its own:  nn-perception study NAME --help
Studies of training on digits take keys of its configuration, too:
  nn-perception study learning-rate network=lecture_cnn --seeds 0 1 2
Without NAME the studies are listed.
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments: one sub-command per study."""
    studies = parser.add_subparsers(dest="study", metavar="NAME")
    for name, (_, text) in STUDIES.items():
        module = load(name)
        sub = studies.add_parser(
            name,
            help=text,
            description=module.DESCRIPTION,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        module.configure(sub)


def wrong_words(words: Sequence[str]) -> str:
    """Say what is wrong with the first word behind ``study``; empty: nothing.

    argparse would only list all names.
    """
    if not words or words[0].startswith("-"):
        return ""
    try:
        load(words[0])
    except ConfigError as error:
        return str(error)
    return ""


def run(arguments: argparse.Namespace) -> int:
    """Run the study, or list all."""
    from nn_perception.cli.common import format_table, text_stream, write_json

    if arguments.study is None:
        rows = [(name, text) for name, (_, text) in STUDIES.items()]
        print(format_table(rows, ("study", "what it compares")))
        return 0
    out = text_stream(arguments.json)
    result = load(arguments.study).run(
        arguments, lambda text: print(f"... {text}", file=out, flush=True)
    )
    print("\n" + format_table(result.rows, result.header), file=out)
    print(f"\nreport  {result.page}", file=out)
    write_json(result.figures, arguments.json)
    return 0
