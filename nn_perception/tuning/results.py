"""What a search found: its trials as records, and the best one as a file that ``train`` takes."""

from __future__ import annotations

import csv
import dataclasses
import math
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import yaml

from nn_perception.config import to_mapping
from nn_perception.errors import ConfigError
from nn_perception.networks import resolve_arguments
from nn_perception.tasks import get_task
from nn_perception.training.config import TrainingConfig
from nn_perception.tuning.check import trial_config
from nn_perception.tuning.plan import Plan
from nn_perception.tuning.space import value_text

if TYPE_CHECKING:
    import optuna

BEST_FILE, TRIALS_FILE = "best.yaml", "trials.csv"
COMPLETE, UNFINISHED = "complete", "unfinished"


@dataclass(frozen=True)
class Record:
    """One trial.

    Attributes:
        number: in the storage.
        outcome: ``complete``, ``pruned``, ``diverged``, ``failed`` or ``unfinished``.
        values: configuration key with dots -> its value.
        value: mean of the metric over the folds; NaN unless complete.
        folds: the metric of each fold.
        epochs: the epoch whose weights count, of each fold.
        seconds: of the training of all folds; NaN unless complete.
        curve: the metric after each epoch of the first fold (steps from 1), and the mean after
            each fold (steps behind those).
        why: what was said when it diverged or failed.
    """

    number: int
    outcome: str
    values: dict[str, Any]
    value: float
    folds: tuple[float, ...]
    epochs: tuple[int, ...]
    seconds: float
    curve: dict[int, float]
    why: str = ""

    @property
    def spread(self) -> float:
        """Sample standard deviation of the metric over the folds; NaN with one fold."""
        if len(self.folds) < 2:
            return math.nan
        mean = math.fsum(self.folds) / len(self.folds)
        return math.sqrt(math.fsum((f - mean) ** 2 for f in self.folds) / (len(self.folds) - 1))


def read_records(plan: Plan, study: optuna.Study) -> list[Record]:
    """Return the trials of a search that were begun, in order of their numbers."""
    from optuna.trial import TrialState

    from nn_perception.tuning.ledger import counted

    trials = counted(study.get_trials(deepcopy=False))
    begun = [t for t in trials if t.state != TrialState.WAITING]
    return [_record(plan, t) for t in begun if set(plan.space.parameters) <= set(t.params)]


def ranked(plan: Plan, records: Sequence[Record]) -> list[Record]:
    """Return the complete trials, the best one first; of equal ones the earlier."""
    complete = [r for r in records if r.outcome == COMPLETE]
    return sorted(complete, key=lambda r: -r.value if plan.maximise else r.value)


def best_config(plan: Plan, best: Record) -> TrainingConfig:
    """Return a trial's configuration, without folds.

    What the recipe of its network says and this configuration does not is there with its default,
    so that the file means the same to ``train``, which begins with that recipe.
    """
    config = trial_config(plan.base, best.values)
    learning = get_task(plan.task).load_learning()
    try:
        recipe: TrainingConfig = learning.recipe(config.network)
    except ConfigError:
        return config
    usual = resolve_arguments(config.network)
    network = {k: usual[k] for k in recipe.network_arguments if k not in config.network_arguments}
    task: dict[str, Any] = {}
    if hasattr(learning, "arguments_type"):
        defaults = to_mapping(learning.arguments_type())
        missing = set(recipe.task_arguments) - set(config.task_arguments)
        task = {key: defaults[key] for key in recipe.task_arguments if key in missing}
    return dataclasses.replace(
        config,
        network_arguments={**config.network_arguments, **network},
        task_arguments={**config.task_arguments, **task},
    )


def best_yaml(plan: Plan, records: Sequence[Record], command: str) -> str:
    """Return the text of the best configuration; empty: no trial is complete.

    Args:
        plan: of the search.
        records: of its trials.
        command: that found it.
    """
    order = ranked(plan, records)
    if not order:
        return ""
    best = order[0]
    head = [
        f"The best of {len(records)} trials, number {best.number}: {plan.metric} "
        f"{best.value:.6g} +- {best.spread:.2g} over {plan.folds} folds of the training data.",
        f"Found by: {command}",
        f"Varied: {', '.join(f'{k}={value_text(v)}' for k, v in best.values.items())}",
        f"Train it: nn-perception train {plan.task} --config {BEST_FILE}",
    ]
    if plan.base.task_arguments.get("samples"):
        head.append(
            "It was searched for on a part of the data; on all: task_arguments.samples=0, and more "
            "epochs"
        )
    body = yaml.safe_dump(to_mapping(best_config(plan, best)), sort_keys=False)
    return "".join(f"# {line}\n" for line in head) + body


def write_best(directory: Path, text: str) -> Path | None:
    """Write the best configuration; None: there is none."""
    if not text:
        return None
    _replace(directory / BEST_FILE, lambda file: file.write(text))
    return directory / BEST_FILE


def write_trials(directory: Path, plan: Plan, records: Sequence[Record]) -> Path:
    """Write all trials, one a line."""
    keys = list(plan.space.parameters)
    folds = [f"fold_{i}" for i in range(plan.folds)]
    header = ["number", "outcome", *keys, plan.metric, "spread", *folds, "seconds", "why"]

    def write(file: IO[str]) -> None:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        for record in records:
            own = [*record.folds, *[""] * (plan.folds - len(record.folds))]
            writer.writerow([
                record.number, record.outcome, *(value_text(record.values[key]) for key in keys),
                _number(record.value), _number(record.spread), *own, _number(record.seconds),
                record.why,
            ])  # fmt: skip

    _replace(directory / TRIALS_FILE, write)
    return directory / TRIALS_FILE


def _record(plan: Plan, trial: optuna.trial.FrozenTrial) -> Record:
    from optuna.trial import TrialState

    from nn_perception.tuning.ledger import FAILED, PRUNED, WHY
    from nn_perception.tuning.optuna_parts import OUTCOME, decode

    usual = {TrialState.COMPLETE: COMPLETE, TrialState.PRUNED: PRUNED, TrialState.FAIL: FAILED}
    outcome = usual.get(trial.state, UNFINISHED)
    if trial.state in (TrialState.PRUNED, TrialState.FAIL):
        outcome = str(trial.user_attrs.get(OUTCOME, outcome))
    is_complete = outcome == COMPLETE
    return Record(
        number=trial.number,
        outcome=outcome,
        values=decode(plan.space, trial.params),
        value=float(trial.value) if is_complete and trial.value is not None else math.nan,
        folds=tuple(trial.user_attrs.get("folds", ())) if is_complete else (),
        epochs=tuple(trial.user_attrs.get("epochs", ())) if is_complete else (),
        seconds=float(trial.user_attrs.get("seconds", math.nan)) if is_complete else math.nan,
        curve={int(step): float(v) for step, v in sorted(trial.intermediate_values.items())},
        why=str(trial.user_attrs.get(WHY, "")),
    )


def _number(value: float) -> str:
    return repr(value) if math.isfinite(value) else ""


def _replace(path: Path, write: Callable[[IO[str]], object]) -> None:
    """Write a file beside its name and rename it: whoever reads sees a whole one."""
    beside = path.with_name(f".{path.name}.{os.getpid()}.new")
    path.parent.mkdir(parents=True, exist_ok=True)
    with beside.open("w", encoding="utf-8", newline="") as file:
        write(file)
    beside.replace(path)
