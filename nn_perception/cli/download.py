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
    from nn_perception.progress import progress_bar

    with progress_bar(None, "download", "B") as bar:

        def progress(file: str, done: int, total: int) -> None:
            bar.set_description(file)
            bar.total = total
            bar.update(done - bar.n)

        directory = download(arguments.name, arguments.out, progress)
    print(directory)
    return 0
