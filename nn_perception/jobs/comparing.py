"""The child's second stage: the new bundle and those that run, on the same held-out data."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from nn_perception.bundle import load_bundle
from nn_perception.errors import NnPerceptionError
from nn_perception.evaluation.score import Score, Scored, score_of, take_score
from nn_perception.jobs.decision import Compared
from nn_perception.jobs.files import read_json, write_json
from nn_perception.jobs.progress import ProgressWriter
from nn_perception.jobs.spec import NEW, Comparison
from nn_perception.tasks import get_task
from nn_perception.tasks.loading import open_pipeline


def compare(comparison: Comparison, scores: Path, progress: ProgressWriter) -> None:
    """Evaluate each bundle through its pipeline, and write what that gave.

    A bundle that runs and cannot be evaluated is told as such; a bundle that several nodes run is
    evaluated once.

    Raises:
        NnPerceptionError: the new bundle or the data cannot be used.
    """
    found: dict[str, dict[str, Any]] = {}
    by_id: dict[str, dict[str, Any]] = {}
    for number, (name, path) in enumerate(comparison.bundles.items(), start=1):
        said = {"bundle": name, "number": number, "of": len(comparison.bundles)}
        progress.tell("evaluating", now=True, **said)
        try:
            identity = load_bundle(path, task=comparison.task).id
            if identity not in by_id:
                by_id[identity] = _evaluate(Path(path), comparison, progress, said)
            found[name] = {"id": identity, **by_id[identity]}
        except NnPerceptionError as error:
            if name == NEW:
                raise
            found[name] = {"id": "", "error": str(error)}
    write_json(scores, {"bundles": found})


def _evaluate(
    path: Path, comparison: Comparison, progress: ProgressWriter, said: dict[str, Any]
) -> dict[str, Any]:
    pipeline: Any = open_pipeline(path, device="cpu", for_data=True)
    evaluation = get_task(comparison.task).load_evaluation()(pipeline)
    score = score_of(evaluation)
    if hasattr(evaluation, "with_baselines"):
        evaluation.with_baselines = False  # they decide nothing here
    done = 0

    def count(more: int) -> None:
        nonlocal done
        done += more
        progress.tell("evaluating", done=done, **said)

    evaluation.evaluate_data(Path(comparison.data), count)
    scored = take_score(evaluation)
    return {
        "value": scored.value if math.isfinite(scored.value) else None,
        "count": scored.count,
        "score": vars(score),
    }


def read_comparison(path: Path) -> tuple[Score | None, dict[str, Compared]]:
    """Return what bundles are compared by, and how each did, from the file that `compare` wrote."""
    found, score = {}, None
    for name, values in read_json(path).get("bundles", {}).items():
        if "score" in values:
            score = Score(**values["score"])
        value = values.get("value")
        scored = Scored(math.nan if value is None else float(value), int(values.get("count", 0)))
        found[name] = Compared(
            str(values.get("id", "")), scored.value, scored.count, str(values.get("error", ""))
        )
    return score, found
