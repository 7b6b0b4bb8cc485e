"""``nn-perception download``."""

from __future__ import annotations

import argparse
from pathlib import Path

HELP = "fetch a public data set, verified"
DESCRIPTION = """Fetch a public data set from its mirrors; checksums are verified, an interrupted
download goes on where it was. Nothing else in this package uses the network."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("name", metavar="NAME", help="mnist")
    parser.add_argument("--out", type=Path, metavar="DIR", help="default: the user's cache")


def run(arguments: argparse.Namespace) -> int:
    """Download."""
    from nn_perception.datasets.download import download

    print(download(arguments.name, arguments.out))
    return 0
