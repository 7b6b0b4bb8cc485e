"""``nn-perception predict``."""

from __future__ import annotations

import argparse
from pathlib import Path

HELP = "classify picture files"
DESCRIPTION = "Classify picture files through the pipeline that the node runs."
MORE = "files"


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    from nn_perception.cli.common import add_engine_arguments, add_json_argument

    parser.add_argument("bundle", type=Path, metavar="BUNDLE")
    parser.add_argument("files", type=Path, nargs="+", metavar="FILE")
    add_json_argument(parser)
    add_engine_arguments(parser)


def run(arguments: argparse.Namespace) -> int:
    """Predict; a file that is no picture is named, the others are answered, the exit code is 2."""
    import sys

    from nn_perception.cli.common import format_table, text_stream, write_json
    from nn_perception.errors import NnPerceptionError
    from nn_perception.tasks.loading import open_pipeline
    from nn_perception.tasks.picture_files import process_picture

    pipeline = open_pipeline(arguments.bundle, device=arguments.device, threads=arguments.threads)
    rows: list[tuple[object, ...]] = []
    answers: list[dict[str, object]] = []
    failed = 0
    for path in arguments.files:
        try:
            result = process_picture(pipeline, path)
        except NnPerceptionError as error:
            failed += 1
            print(f"nn-perception predict: {path}: {error}", file=sys.stderr)
            answers.append({"file": str(path), "error": str(error)})
            continue
        label, score = result.best
        rows.append((str(path), label, score))
        scores = {
            name: float(value) for name, value in zip(result.labels, result.scores, strict=True)
        }
        answers.append({"file": str(path), "label": label, "score": score, "scores": scores})
    if rows:
        print(format_table(rows, ("file", "label", "score")), file=text_stream(arguments.json))
    write_json({"bundle": pipeline.bundle.id, "files": answers}, arguments.json)
    return 2 if failed else 0
