"""``nn-perception evaluate``."""

from __future__ import annotations

import argparse
from pathlib import Path

HELP = "measure a bundle on labelled data"
DESCRIPTION = """Measure a bundle on labelled data, through the pipeline that the node runs.

For a classifier PATH is a directory of MNIST idx files (the test split is used), a folder of
pictures per class, or an .npz with 'images' uint8 (N,H,W[,C]) and 'labels'.
For 'attitude' and 'gyro' it is a directory of recordings (.npz of BROAD, EuRoC or TUM-VI, or
bags), or one of them. The figures of VQF, RIANN and plain integration are computed beside.
For 'uwb' it is a directory of recordings (.csv.gz, or bags), or one of them, of the radios that the
bundle was trained for. Judged are the ranges and the positions that they lead to; uncorrected
ranges and those less a constant for each pair are compared with.
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    from nn_perception.cli.common import add_engine_arguments, add_json_argument

    parser.add_argument("bundle", type=Path, metavar="BUNDLE")
    parser.add_argument("--data", type=Path, required=True, metavar="PATH")
    add_json_argument(parser)
    parser.add_argument("--report", type=Path, metavar="DIR", help="write a page with pictures")
    parser.add_argument(
        "--card", action="store_true", help="put the figures into the bundle's README.md"
    )
    parser.add_argument(
        "--tum", type=Path, metavar="DIR", help="write estimate and truth for evo (attitude, gyro)"
    )
    add_engine_arguments(parser)


def run(arguments: argparse.Namespace) -> int:
    """Evaluate."""
    from nn_perception.bundle_writer import add_to_card
    from nn_perception.cli.common import format_table, text_stream, write_json
    from nn_perception.errors import ConfigError
    from nn_perception.progress import progress_bar
    from nn_perception.tasks import get_task
    from nn_perception.tasks.loading import open_pipeline

    out = text_stream(arguments.json)
    pipeline = open_pipeline(
        arguments.bundle, device=arguments.device, threads=arguments.threads, for_data=True
    )
    bundle = pipeline.bundle
    evaluation = get_task(bundle.task).load_evaluation()(pipeline)
    if arguments.tum and not hasattr(evaluation, "write_tum"):
        raise ConfigError(f"--tum is for orientations; the task '{bundle.task}' has none")
    unit = getattr(evaluation, "progress_unit", "sample")
    with progress_bar(None, "evaluate", unit) as bar:
        evaluation.evaluate_data(arguments.data, bar.update)
    facts = {
        "bundle": f"{bundle.name} ({bundle.id})",
        "engine": f"{pipeline.engine.backend} on {pipeline.engine.device}",
    }
    rows = [*facts.items(), ("data", evaluation.source), *evaluation.summary()]
    print(format_table(rows), file=out)
    write_json({**facts, **evaluation.to_dict()}, arguments.json)
    if arguments.card:
        lines = [f"| {name} | {value} |" for name, value in rows]
        command = f"    nn-perception evaluate {bundle.name} --data DIR\n"
        table = "\n".join(["| | |", "|---|---|", *lines])
        add_to_card(
            bundle.path, "Measured on data that was not trained on", f"{table}\n\n{command}"
        )
    if arguments.tum:
        files = evaluation.write_tum(arguments.tum)
        print(f"trajectories  {len(files)} files in {arguments.tum}", file=out)
    if arguments.report:
        page = evaluation.write_report(
            arguments.report, title=f"{bundle.name}: evaluation", facts=facts
        )
        print(f"report  {page}", file=out)
    return 0
