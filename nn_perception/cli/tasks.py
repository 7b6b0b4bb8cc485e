"""``nn-perception tasks``."""

from __future__ import annotations

import argparse

HELP = "list the tasks that can be trained and run"
DESCRIPTION = "List the tasks that can be trained and run, installed ones of other packages too."


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    from nn_perception.cli.common import add_json_argument

    add_json_argument(parser)


def run(arguments: argparse.Namespace) -> int:
    """List."""
    from nn_perception.cli.common import format_table, text_stream, write_json
    from nn_perception.tasks import all_tasks

    tasks = all_tasks().values()
    rows = [(task.name, task.summary, task.default_model) for task in tasks]
    print(
        format_table(rows, ("task", "what it learns", "shipped model")),
        file=text_stream(arguments.json),
    )
    write_json([vars(task) for task in tasks], arguments.json)
    return 0
