"""``nn-perception study``."""

from __future__ import annotations

import argparse

from nn_perception.studies import STUDIES, load

HELP = "repeat an experiment and compare: rotation heads, minutes of a new UWB site"
DESCRIPTION = """Repeat an experiment with parts of this package: a table, pictures and a report.
Each study has options of its own:  nn-perception study NAME --help
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments: one sub-command per study."""
    studies = parser.add_subparsers(dest="study", metavar="NAME", required=True)
    for name, (_, text) in STUDIES.items():
        module = load(name)
        sub = studies.add_parser(
            name,
            help=text,
            description=module.DESCRIPTION,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        module.configure(sub)


def run(arguments: argparse.Namespace) -> int:
    """Run the study."""
    from nn_perception.cli.common import format_table, text_stream, write_json

    out = text_stream(arguments.json)
    result = load(arguments.study).run(
        arguments, lambda text: print(f"... {text}", file=out, flush=True)
    )
    print("\n" + format_table(result.rows, result.header), file=out)
    print(f"\nreport  {result.page}", file=out)
    write_json(result.figures, arguments.json)
    return 0
