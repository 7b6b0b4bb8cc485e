"""``nn-perception evaluate``."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

HELP = "measure a bundle on labelled data"
DESCRIPTION = """Measure a bundle on labelled data, through the pipeline that the node runs.

For a classifier PATH is a directory of MNIST idx files (the test split is used), a folder of
pictures per class, or an .npz with 'images' uint8 (N,H,W[,C]) and 'labels'.
--foreign asks whether it knows when not to answer. SET is 'letters' (printed, none that looks like
a digit), 'noise', 'textures:DIR' (parts of photographs in DIR), or the path of a data set whose
classes are none of the bundle's. AUROC is the chance that a known picture scores higher than a
foreign one; FPR95 the share of foreign pictures answered where 95 % of the known ones are.
--shifts asks what is left of the accuracy under poorer light, focus, compression and size.
For 'attitude' and 'gyro' it is a directory of recordings (.npz of BROAD, EuRoC or TUM-VI, or
bags), or one of them. The figures of VQF, RIANN and plain integration are computed beside.
For 'uwb' it is a directory of recordings (.csv.gz, or bags), or one of them, of the radios that the
bundle was trained for. Judged are the ranges and the positions that they lead to; uncorrected
ranges and those less a constant for each pair are compared with.
"""

FOREIGN_PAGE = "foreign"
"""Folder of the page about foreign pictures, below the report's."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    from nn_perception.cli.common import add_engine_arguments, add_json_argument

    parser.add_argument("bundle", type=Path, metavar="BUNDLE")
    parser.add_argument("--data", type=Path, required=True, metavar="PATH")
    parser.add_argument(
        "--foreign", nargs="+", action="extend", default=[], metavar="SET",
        help="letters, noise, textures:DIR or a path: what the bundle should not answer",
    )  # fmt: skip
    parser.add_argument(
        "--shifts", action="store_true", help="accuracy as a poorer camera would give (classifiers)"
    )
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
    from nn_perception.cli.common import format_table, text_stream, write_json
    from nn_perception.errors import ConfigError
    from nn_perception.progress import progress_bar
    from nn_perception.tasks import get_task
    from nn_perception.tasks.loading import open_pipeline

    out = text_stream(arguments.json)
    pipeline: Any = open_pipeline(
        arguments.bundle, device=arguments.device, threads=arguments.threads, for_data=True
    )
    bundle = pipeline.bundle
    evaluation = get_task(bundle.task).load_evaluation()(pipeline)
    if arguments.tum and not hasattr(evaluation, "write_tum"):
        raise ConfigError(f"--tum is for orientations; the task '{bundle.task}' has none")
    pictures = Pictures(arguments, pipeline) if arguments.foreign or arguments.shifts else None
    unit = getattr(evaluation, "progress_unit", "sample")
    with progress_bar(None, "evaluate", unit) as bar:
        if pictures is None:
            evaluation.evaluate_data(arguments.data, bar.update)
        else:
            evaluation.evaluate_images(pictures.known, bar.update)
    facts = {
        "bundle": f"{bundle.name} ({bundle.id})",
        "engine": f"{pipeline.engine.backend} on {pipeline.engine.device}",
    }
    rows = [*facts.items(), ("data", evaluation.source), *evaluation.summary()]
    figures = {**facts, **evaluation.to_dict()}
    if pictures is not None:
        pictures.evaluate()
        rows += pictures.summary()
        figures.update(pictures.to_dict())
    print(format_table(rows), file=out)
    write_json(figures, arguments.json)
    if arguments.card:
        _add_to_card(bundle, rows)
    if arguments.tum:
        files = evaluation.write_tum(arguments.tum)
        print(f"trajectories  {len(files)} files in {arguments.tum}", file=out)
    if arguments.report:
        title = f"{bundle.name}: evaluation"
        page = evaluation.write_report(arguments.report, title=title, facts=facts)
        print(f"report  {page}", file=out)
        if pictures is not None and pictures.foreign is not None:
            print(f"report  {pictures.write_report(arguments.report, title, facts)}", file=out)
    return 0


class Pictures:
    """What is asked of image classifiers only: foreign pictures, and pictures made worse."""

    def __init__(self, arguments: argparse.Namespace, pipeline: Any) -> None:
        """Read all sets, so that a mistyped name is told at once.

        Raises:
            ConfigError: the task is no image classifier, or a set has no such name.
            DatasetError: a data set cannot be read.
        """
        from nn_perception.datasets.images import load_image_set
        from nn_perception.errors import ConfigError
        from nn_perception.evaluation.foreign import foreign_sets
        from nn_perception.tasks.classification import converter

        if not hasattr(pipeline, "known_scores"):
            raise ConfigError(
                "--foreign and --shifts are for classifiers of pictures; the task "
                f"'{pipeline.bundle.task}' is none"
            )
        settings = pipeline.preprocessing
        self._pipeline = pipeline
        self._wants_shifts = arguments.shifts
        self._sets = foreign_sets(arguments.foreign, settings)
        self.known = load_image_set(
            arguments.data,
            class_names=pipeline.bundle.labels,
            convert=converter(settings),
        )
        self.foreign: Any = None
        self.shifts: dict[str, float] = {}

    def evaluate(self) -> None:
        """Compute what was asked for."""
        from nn_perception.evaluation.foreign import evaluate_foreign
        from nn_perception.evaluation.shifts import evaluate_shifts

        if self._sets:
            self.foreign = evaluate_foreign(self._pipeline, self.known, self._sets)
        if self._wants_shifts:
            self.shifts = evaluate_shifts(self._pipeline, self.known)

    def summary(self) -> list[tuple[str, object]]:
        """Return rows of the table for people."""
        rows: list[tuple[str, object]] = []
        if self.foreign is not None:
            for name, figures in self.foreign.sets.items():
                text = f"AUROC {figures.auroc:.2%}, FPR95 {figures.fpr95:.2%}"
                if figures.answered_percent is not None:
                    text += f", {figures.answered_percent:.2f} % answered"
                rows.append((f"foreign: {name}", f"{text} of {len(figures.scores)}"))
        rows += [
            (f"accuracy, {name.replace('_', ' ')}", f"{accuracy:.2%}")
            for name, accuracy in self.shifts.items()
        ]
        return rows

    def to_dict(self) -> dict[str, Any]:
        """Return the figures for JSON."""
        figures: dict[str, Any] = {}
        if self.foreign is not None:
            figures["foreign"] = self.foreign.to_dict()
        if self.shifts:
            figures["shifts"] = self.shifts
        return figures

    def write_report(self, directory: Path, title: str, facts: dict[str, str]) -> Path:
        """Write the page about foreign pictures, and return its path."""
        from nn_perception.evaluation.foreign_plots import add_foreign
        from nn_perception.evaluation.html_page import Report

        report = Report(title, "Pictures that the model does not know")
        report.keyvalues("What was evaluated", facts)
        add_foreign(report, self.foreign)
        return report.write(directory / FOREIGN_PAGE)


def _add_to_card(bundle: Any, rows: list[tuple[str, object]]) -> None:
    from nn_perception.bundle_writer import add_to_card

    lines = [f"| {name} | {value} |" for name, value in rows]
    command = f"    nn-perception evaluate {bundle.name} --data DIR\n"
    table = "\n".join(["| | |", "|---|---|", *lines])
    add_to_card(bundle.path, "Measured on data that was not trained on", f"{table}\n\n{command}")
