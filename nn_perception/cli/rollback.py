"""``nn-perception rollback``."""

from __future__ import annotations

import argparse
from pathlib import Path

HELP = "set a live node's model back to what it ran before"
DESCRIPTION = """Set a live node's model back to what it ran before the last deployment.

A trainer writes down in history.jsonl, beside its bundles, what each node ran; this command reads
that below the node's model_root, sets the parameter 'model' and adds a line. Given again it goes
one deployment further back. --to names another model, which a later rollback takes back.
ROS_DOMAIN_ID and the like choose where the node is looked for.
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("node", metavar="NODE", help="such as /image_classifier")
    parser.add_argument(
        "--to", metavar="NAME", help="a model below the node's model_root ('': the shipped one)"
    )
    parser.add_argument("--list", action="store_true", help="print what ran there, and stop")
    parser.add_argument(
        "--history", type=Path, metavar="FILE", help="a trainer's history.jsonl, if not found"
    )


def run(arguments: argparse.Namespace) -> int:
    """Roll back, or list."""
    from nn_perception.cli.common import format_table
    from nn_perception.errors import NnPerceptionError

    try:
        from nn_perception.nodes.rollback import list_history, roll_back
    except ImportError as error:
        raise NnPerceptionError(
            f"rollback needs ROS ({error}): source your ROS 2 set-up, or "
            "pip install nn-perception[ros]"
        ) from None
    if arguments.list:
        from nn_perception.jobs.listing import HEADER

        rows = list_history(arguments.node, arguments.history)
        print(format_table(rows, HEADER) if rows else f"nothing is known about {arguments.node}")
        return 0
    done = roll_back(arguments.node, arguments.to, arguments.history)
    print(f"{done.node} runs {done.now}, before {done.before}; recorded in {done.history}")
    return 0
