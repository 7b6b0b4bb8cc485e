"""The study ``rotation-heads``: which last layer lets a network learn rotations best.

Y. Zhou et al., "On the Continuity of Rotation Representations in Neural Networks", CVPR 2019, and
J. Levinson et al., "An Analysis of SVD for Deep Rotation Estimation", NeurIPS 2020: given a cloud
of points and its rotated copy, predict the rotation.
"""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nn_perception.errors import ConfigError
from nn_perception.studies import Say, StudyResult
from nn_perception.studies.protocol import (
    HEADS,
    LOSSES,
    Protocol,
    checked_heads,
    checked_seeds,
)

if TYPE_CHECKING:
    from nn_perception.datasets.point_clouds import RotatedPairs
    from nn_perception.studies.clouds import Shapes
    from nn_perception.studies.rotation_errors import Run

DESCRIPTION = """Train one network per head and seed to align a point cloud with its rotated copy
(Zhou et al. 2019, Levinson et al. 2020) and compare their errors in degrees on other shapes. All
heads get the same weights before the head, the same batches and the same number of steps.

Without options this is a shortened protocol, two to four minutes for a head and seed on one free
CPU thread. The published one takes a GPU:
  --steps 2600000 --batch 10 --points 1024 --widths 64,128,1024 --scale 1 --rate 1e-5
(the publication's rate is constant, this one falls to zero in half a cosine).
"""

_DEFAULT = Protocol()
PAIRS = 4000
"""Pairs of the test, the same for every head and seed."""
VALIDATION_PAIRS = 500
_TEST_SEED, _VALIDATION_SEED = (2**31, 1), (2**31, 2)
"""No training seed is that large: batches come from (seed, step)."""


_OPTIONS: dict[str, tuple[object, str, str]] = {
    "--out": (Path("runs/rotation-heads"), "DIR", "the report"),
    "--steps": (_DEFAULT.steps, "N", "optimiser steps"),
    "--batch": (_DEFAULT.batch_size, "N", "pairs in a step"),
    "--points": (_DEFAULT.points, "N", "points of each cloud"),
    "--scale": (_DEFAULT.scale, "X", "factor of the coordinates"),
    "--widths": (",".join(map(str, _DEFAULT.widths)), "N,N,...", "of the encoder's layers"),
    "--hidden": (_DEFAULT.hidden, "N", "width of the layer before the head"),
    "--rate": (_DEFAULT.learning_rate, "X", "peak learning rate"),
    "--loss": (_DEFAULT.loss, "NAME", " or ".join(LOSSES)),
    "--threads": (1, "N", "CPU threads"),
}
"""Option -> (default, which has its type; metavar; help)."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    add = parser.add_argument
    add(
        "--data", type=Path, metavar="DIR",
        help="directory with planes_train.npz and planes_test.npz; default: $NN_PERCEPTION_DATA, "
        "without it made-up aeroplanes",
    )  # fmt: skip
    add("--heads", nargs="+", default=HEADS, metavar="HEAD", help=f"default: {' '.join(HEADS)}")
    add("--seeds", nargs="+", type=int, default=[0], metavar="N", help="default: 0")
    for name, (default, metavar, text) in _OPTIONS.items():
        add(
            name, type=type(default), default=default, metavar=metavar,
            help=f"{text}, default: {default}",
        )  # fmt: skip
    add("--json", metavar="FILE", help="write the figures as JSON; '-' prints only them")


def run(arguments: argparse.Namespace, say: Say) -> StudyResult:
    """Train all heads, test them once, write the report.

    Raises:
        ConfigError: an argument out of its range, or a report that cannot be written.
        DatasetError: the data cannot be used, or has fewer points than asked for.
        TrainingError: a loss is not finite.
    """
    protocol = Protocol(
        steps=arguments.steps,
        batch_size=arguments.batch,
        points=arguments.points,
        scale=arguments.scale,
        widths=_numbers(arguments.widths),
        hidden=arguments.hidden,
        learning_rate=arguments.rate,
        loss=arguments.loss,
    )
    heads, seeds = checked_heads(arguments.heads), checked_seeds(arguments.seeds)
    if arguments.threads < 1:
        raise ConfigError(f"threads: got {arguments.threads}, expected at least 1")
    from nn_perception.datasets.point_clouds import sample_pairs
    from nn_perception.studies.clouds import load_shapes
    from nn_perception.studies.rotation_errors import StudyErrors
    from nn_perception.studies.rotation_report import make_directory, write_report

    shapes = load_shapes(arguments.data)
    make_directory(arguments.out)
    say(
        f"{shapes.train.source}: {len(shapes.train)} shapes for training, "
        f"{len(shapes.validation)} for the curve; {shapes.test.source}: {len(shapes.test)}"
    )
    test = sample_pairs(shapes.test, PAIRS, protocol.points, _TEST_SEED)
    runs = _train_all(protocol, heads, seeds, shapes, test, arguments.threads, say)
    errors = StudyErrors(heads, runs, test.rotation)
    facts = _facts(shapes, protocol, seeds)
    page = write_report(arguments.out, errors, protocol, facts)
    figures = {"study": "rotation-heads", **facts, **errors.to_dict()}
    return StudyResult(errors.HEADER, errors.rows(), figures, page)


def _train_all(
    protocol: Protocol,
    heads: tuple[str, ...],
    seeds: tuple[int, ...],
    shapes: Shapes,
    test: RotatedPairs,
    threads: int,
    say: Say,
) -> list[Run]:
    import torch

    from nn_perception.datasets.point_clouds import sample_pairs
    from nn_perception.progress import progress_bar
    from nn_perception.studies.alignment import errors_deg, train
    from nn_perception.studies.rotation_errors import Run

    validation = sample_pairs(
        shapes.validation, VALIDATION_PAIRS, protocol.points, _VALIDATION_SEED
    )
    runs = []
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        for seed in seeds:
            for head in heads:
                with progress_bar(protocol.steps, f"{head}, seed {seed}", "step") as bar:
                    trained = train(head, protocol, seed, shapes.train, validation, bar.update)
                degrees = errors_deg(trained.network, test)
                runs.append(Run(head, seed, degrees, tuple(trained.curve), trained.seconds))
                say(f"{head}, seed {seed}: {degrees.mean():.2f} deg, {trained.seconds:.0f} s")
    finally:
        torch.set_num_threads(before)
    return runs


def _facts(shapes: Shapes, protocol: Protocol, seeds: tuple[int, ...]) -> dict[str, Any]:
    """Return for JSON and report what figures depend on."""
    from nn_perception.bench import environment

    return {
        "data": {
            name: {"source": part.source, "shapes": len(part), "sha256": part.sha256}
            for name, part in (
                ("train", shapes.train),
                ("validation", shapes.validation),
                ("test", shapes.test),
            )
        },
        "test_pairs": PAIRS,
        "protocol": dataclasses.asdict(protocol),
        "seeds": list(seeds),
        "environment": environment(),
    }


def _numbers(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError:
        raise ConfigError(f"widths: got {text!r}, expected such as 64,128,512") from None
