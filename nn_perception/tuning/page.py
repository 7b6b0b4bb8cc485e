"""The page of a search."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from nn_perception.bench import environment
from nn_perception.config import to_mapping
from nn_perception.evaluation.html_page import Report
from nn_perception.tuning.plan import Plan
from nn_perception.tuning.plots import (
    MOST_KEYS,
    plot_curves,
    plot_heat_map,
    plot_history,
    plot_importance,
    plot_parallel,
    plot_slices,
)
from nn_perception.tuning.results import BEST_FILE, COMPLETE, TRIALS_FILE, Record, ranked
from nn_perception.tuning.space import value_text

if TYPE_CHECKING:
    import optuna

_ROWS = 10
_LEAST = 4
"""Complete trials with different results, from which importance can be told."""
_MOST_CELLS = 15


def write_page(
    directory: Path, plan: Plan, study: optuna.Study, records: Sequence[Record], command: str
) -> Path:
    """Write ``index.html`` with its pictures and ``metrics.json``; return the page's path.

    Args:
        directory: where to.
        plan: of the search.
        study: of the search.
        records: its trials.
        command: that runs it again.

    Raises:
        ConfigError: matplotlib is missing.
        OSError: the directory cannot be written.
    """
    order = ranked(plan, records)
    counts = Counter(record.outcome for record in records)
    importance = importances(plan, study, records)
    sense = "higher" if plan.maximise else "lower"
    report = Report(
        f"Search: {plan.task}",
        f"{plan.base.network}, {plan.sampler} search over {len(plan.space.parameters)} keys, "
        f"{plan.folds}-fold cross-validation on training data; {plan.metric}: {sense} is better",
    )
    best = order[0] if order else None
    ended = {name: counts[name] for name in ("pruned", "diverged", "failed") if counts[name]}
    report.tiles({
        f"best {plan.metric}": f"{best.value:.4g}" if best else "none",
        "trials": f"{len(records)} of {plan.trials}",
        **ended,
        "hours of training": round(sum(r.seconds for r in order) / 3600, 2),
    })  # fmt: skip
    _tables(report, plan, order)
    _pictures(report, plan, records, importance)
    _told(report, records)
    report.keyvalues(
        "What varied", {key: str(values) for key, values in plan.space.parameters.items()}
    )
    report.keyvalues("What was run", {"command": command, **environment()})
    report.metrics = _metrics(plan, records, order, importance, command)
    return report.write(directory)


def importances(plan: Plan, study: optuna.Study, records: Sequence[Record]) -> dict[str, float]:
    """Return the share of the metric's variance that each key explains, the largest first.

    By fANOVA (F. Hutter et al., "An efficient approach for assessing hyperparameter importance",
    2014) over the complete trials; empty where there are too few, or all gave the same.
    """
    done = [r.value for r in records if r.outcome == COMPLETE]
    if len(done) < _LEAST or np.ptp(done) == 0 or len(plan.space.parameters) < 2:
        return {}
    from optuna.importance import FanovaImportanceEvaluator, get_param_importances

    found = get_param_importances(study, evaluator=FanovaImportanceEvaluator(seed=0))
    return {key: float(value) for key, value in found.items()}


def _tables(report: Report, plan: Plan, order: Sequence[Record]) -> None:
    keys = list(plan.space.parameters)
    rows = [
        (str(r.number), f"{r.value:.4g} ± {r.spread:.2g}",
         *(value_text(r.values[key]) for key in keys), f"{r.seconds:.0f}")
        for r in order[:_ROWS]
    ]  # fmt: skip
    if rows:
        report.table(
            "Best trials",
            rows,
            ("trial", plan.metric, *keys, "seconds"),
            f"Mean and standard deviation over {plan.folds} folds. Trials whose means differ by "
            f"less than that are not told apart. {BEST_FILE} has the first one's configuration, "
            f"{TRIALS_FILE} has all trials.",
        )


def _pictures(
    report: Report, plan: Plan, records: Sequence[Record], importance: Mapping[str, float]
) -> None:
    order = ranked(plan, records)
    if records:
        report.figure(
            "Course of the search",
            plot_history(plan, records),
            "Crosses at the edge: trials without a result. Single ones that are far worse than "
            "the rest lie outside.",
        )
    if importance:
        report.figure(
            "Importance of the keys",
            plot_importance(importance),
            "fANOVA over the complete trials: how much of the metric's variance within this space "
            "each key explains. It says nothing about other spaces.",
        )
    if not order:
        return
    keys = [*importance, *(k for k in plan.space.parameters if k not in importance)]
    points = [len(values.points()) for values in plan.space.parameters.values()]
    if plan.sampler == "grid" and len(points) == 2 and max(points) <= _MOST_CELLS:
        report.figure("The grid", plot_heat_map(plan, records))
    else:
        more = f"The {MOST_KEYS} most important of {len(keys)} keys. " * (len(keys) > MOST_KEYS)
        report.figure("Each key alone", plot_slices(plan, records, keys), f"{more}Star: the best.")
    if len(keys) > 1 and len(order) > 1:
        report.figure(
            "Trials as lines",
            plot_parallel(plan, records, keys),
            "Red: the best trial; blue: the next ones; grey: the other complete ones.",
        )
    if plan.judges_epochs and any(r.curve for r in records):
        report.figure("Curves of the first fold", plot_curves(plan, records))


def _told(report: Report, records: Sequence[Record]) -> None:
    rows = [
        (str(r.number), r.outcome, ", ".join(f"{k}={value_text(v)}" for k, v in r.values.items()),
         r.why)
        for r in records
        if r.outcome in ("diverged", "failed")
    ]  # fmt: skip
    if rows:
        report.table("Trials without a result", rows[:_ROWS], ("trial", "outcome", "values", "why"))


def _metrics(
    plan: Plan,
    records: Sequence[Record],
    order: Sequence[Record],
    importance: Mapping[str, float],
    command: str,
) -> dict[str, Any]:
    return {
        "task": plan.task,
        "command": command,
        "metric": plan.metric,
        "higher_is_better": plan.maximise,
        "folds": plan.folds,
        "sampler": plan.sampler,
        "pruner": plan.pruner,
        "seed": plan.seed,
        "space": plan.space.describe(),
        "configuration": to_mapping(plan.base),
        "importance": dict(importance),
        "best": to_mapping(order[0]) if order else None,
        "trials": [to_mapping(record) for record in records],
        "environment": environment(),
    }
