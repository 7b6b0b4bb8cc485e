"""``nn-perception predict``."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

HELP = "classify picture files, or regions of them"
DESCRIPTION = """Classify picture files through the pipeline that the node runs.

With --regions digits the handwritten digits in each file are found and read, line by line:
  nn-perception predict models/digit_reader photo.jpg --regions digits --json -
What shows none of the classes has no answer, and is counted.
"""
MORE = "files"
REGIONS = ("auto", "full", "center", "digits")


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    from nn_perception.cli.common import add_engine_arguments, add_json_argument

    parser.add_argument("bundle", type=Path, metavar="BUNDLE")
    parser.add_argument("files", type=Path, nargs="+", metavar="FILE")
    parser.add_argument(
        "--regions",
        choices=REGIONS,
        default="auto",
        help="what of a picture is looked at: as the model was trained (auto), all of it (full), "
        "its centre, or the digits that it holds",
    )
    parser.add_argument(
        "--keep",
        type=float,
        default=0.0,
        metavar="PERCENT",
        help="share of true inputs that is answered: 95 for whole pictures, 99.5 for regions by "
        "default; 100 answers whatever comes",
    )
    parser.add_argument(
        "--draw",
        type=Path,
        metavar="DIR",
        help="write copies of the files with the answers drawn, as DIR/NAME.png",
    )
    add_json_argument(parser)
    add_engine_arguments(parser)


def run(arguments: argparse.Namespace) -> int:
    """Predict; a file that is no picture is named, the others are answered, the exit code is 2."""
    import sys

    from nn_perception.bundle import load_bundle
    from nn_perception.cli.common import format_table, text_stream, write_json
    from nn_perception.errors import NnPerceptionError, TaskError
    from nn_perception.tasks import get_task
    from nn_perception.tasks.loading import open_pipeline
    from nn_perception.tasks.picture_files import draw_picture, process_picture

    bundle = load_bundle(arguments.bundle)
    if not hasattr(get_task(bundle.task).load_pipeline(), "classify"):
        raise TaskError(
            f"{bundle.name} is for the task '{bundle.task}', which takes no pictures; expected a "
            "classifier of pictures, such as models/digits: 'replay' runs this one over a bag"
        )
    pipeline = open_pipeline(
        bundle,
        device=arguments.device,
        threads=arguments.threads,
        settings={"regions": arguments.regions, "keep_percent": arguments.keep},
    )
    out = text_stream(arguments.json)
    rows: list[tuple[object, ...]] = []
    answers: list[dict[str, object]] = []
    failed = 0
    drawings = _drawings(arguments.files, arguments.draw)
    for path, drawing in zip(arguments.files, drawings, strict=True):
        try:
            result = process_picture(pipeline, path)
            if drawing is not None:
                draw_picture(path, result, drawing)
        except NnPerceptionError as error:
            failed += 1
            print(f"nn-perception predict: {path}: {error}", file=sys.stderr)
            answers.append({"file": str(path), "error": str(error)})
            continue
        if arguments.regions == "digits":
            rows.append((str(path), len(result.answers), result.rejected, " / ".join(result.texts)))
            answers.append({"file": str(path), **_regions(result)})
        else:
            label, score = result.best if result.accepted else ("-", None)
            rows.append((str(path), label, score))
            answers.append({"file": str(path), **_whole(result)})
    header = ("file", "digits", "not known", "text")
    if rows:
        columns = header if arguments.regions == "digits" else ("file", "label", "score")
        print(format_table(rows, columns), file=out)
    write_json({"bundle": pipeline.bundle.id, "files": answers}, arguments.json)
    return 2 if failed else 0


def _whole(result: Any) -> dict[str, object]:
    label, score = result.best
    scores = {name: float(s) for name, s in zip(result.labels, result.scores, strict=True)}
    if not result.accepted:
        return {"label": None, "score": None, "scores": scores}
    return {"label": label, "score": score, "scores": scores}


def _regions(result: Any) -> dict[str, object]:
    regions = [
        {
            "label": label,
            "score": float(scores.max()),
            "line": int(line),
            "box_xywh": [round(float(value), 1) for value in box],
        }
        for label, scores, line, box in zip(
            result.answers, result.scores, result.lines, result.boxes_xywh, strict=True
        )
    ]
    return {
        "lines": list(result.texts),
        "regions": regions,
        "not_known": result.rejected,
        "refused": dict(result.refused),
    }


def _drawings(files: Sequence[Path], directory: Path | None) -> list[Path | None]:
    """Return where each file's drawing goes: never over a given file, nor over another drawing."""
    taken = {path.resolve() for path in files}
    drawings: list[Path | None] = []
    for path in files:
        drawing, number = None, 1
        while directory is not None and (drawing is None or drawing.resolve() in taken):
            drawing = directory / f"{path.stem}{f'_{number}' if number > 1 else ''}.png"
            number += 1
        if drawing is not None:
            taken.add(drawing.resolve())
        drawings.append(drawing)
    return drawings
