"""``nn-perception tune``: from a space file to a page and the best configuration."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nn_perception.errors import ConfigError
from nn_perception.tasks import get_task
from nn_perception.tuning.check import resolve_space
from nn_perception.tuning.plan import DEFAULT_TRIALS, Plan, PrunerName, SamplerName, require_optuna
from nn_perception.tuning.results import (
    Record,
    best_yaml,
    ranked,
    read_records,
    write_best,
    write_trials,
)
from nn_perception.tuning.search import choose_metric, run_search
from nn_perception.tuning.space import read_space

if TYPE_CHECKING:
    import optuna

JOURNAL_FILE = "journal.log"


@dataclass(frozen=True)
class Settings:
    """What the command line says.

    Attributes:
        task: name of the task.
        space: the space file.
        sampler: ``tpe``, ``random`` or ``grid``.
        trials: how many in all; None: every point of a grid, else `DEFAULT_TRIALS`.
        folds: of the cross-validation of each trial.
        metric: a validation figure; None: by which the task keeps weights.
        pruner: ``median`` or ``none``.
        workers: processes; 0: in this one.
        storage: journal file or database URL; empty: a journal in ``out``.
        study: name of the search in the storage; empty: ``tune-TASK``.
        seed: of the sampler.
        data: path of the data; None: the task's default.
        recipe: what the configuration begins with, instead of the space file's.
        overrides: nested keys of all trials.
        out: directory of the results.
        command: that runs this again, for the page and the configuration.
    """

    task: str
    space: Path
    out: Path
    sampler: SamplerName = "tpe"
    trials: int | None = None
    folds: int = 3
    metric: str | None = None
    pruner: PrunerName = "median"
    workers: int = 1
    storage: str = ""
    study: str = ""
    seed: int = 0
    data: Path | None = None
    recipe: str | None = None
    overrides: Mapping[str, Any] = field(default_factory=dict)
    command: str = ""


@dataclass(frozen=True)
class Found:
    """What a search found.

    Attributes:
        plan: what was searched.
        records: of all trials.
        best: the complete ones, the best first.
        config: file of the best configuration; None: no trial is complete.
        page: the report.
    """

    plan: Plan
    records: list[Record]
    best: list[Record]
    config: Path | None
    page: Path


def make_plan(settings: Settings) -> Plan:
    """Return what is searched, all of it checked.

    Raises:
        TaskError: unknown task.
        ConfigError: a number that cannot be meant, or a space that fits no configuration.
    """
    get_task(settings.task)
    for name, least in (("trials", 1), ("folds", 2), ("workers", 0), ("seed", 0)):
        value = getattr(settings, name)
        if value is not None and value < least:
            raise ConfigError(f"--{name} is {value}; expected {least} or more")
    base, space = resolve_space(
        settings.task, read_space(settings.space), settings.overrides, settings.recipe
    )
    trials = settings.trials or DEFAULT_TRIALS
    if settings.sampler == "grid":
        points = len(space.grid())
        trials = min(settings.trials or points, points)
    metric, maximise = choose_metric(settings.task, settings.metric)
    return Plan(
        task=settings.task,
        base=base,
        space=space,
        sampler=settings.sampler,
        pruner=settings.pruner,
        trials=trials,
        folds=settings.folds,
        metric=metric,
        maximise=maximise,
        seed=settings.seed,
        data=settings.data,
        storage=settings.storage or str(settings.out / JOURNAL_FILE),
        study=settings.study or f"tune-{settings.task}",
    )


def tune(settings: Settings, *, show_progress: bool = True, page: bool = True) -> Found:
    """Search, and write what was found; the same settings go on with an interrupted search.

    Args:
        settings: see `Settings`.
        show_progress: draw a progress bar.
        page: write the page with its pictures as well.

    Raises:
        NnPerceptionError: see `make_plan` and `run_search`.
    """
    require_optuna()
    plan = make_plan(settings)
    try:
        settings.out.mkdir(parents=True, exist_ok=True)
        study = run_search(plan, settings.workers, show_progress=show_progress)
        return _write(settings, plan, study, page=page)
    except KeyboardInterrupt:
        _leave(settings, plan)
        raise
    except OSError as error:
        raise ConfigError(
            f"cannot write to {settings.out}: {error.strerror or error}; make room or choose "
            "another --out, then give the same command again: it goes on"
        ) from error


def _write(settings: Settings, plan: Plan, study: optuna.Study, *, page: bool) -> Found:
    records = read_records(plan, study)
    config = write_best(settings.out, best_yaml(plan, records, settings.command))
    write_trials(settings.out, plan, records)
    path = settings.out
    if page:
        from nn_perception.tuning.page import write_page

        path = write_page(settings.out, plan, study, records, settings.command)
    return Found(plan, records, ranked(plan, records), config, path)


def _leave(settings: Settings, plan: Plan) -> None:
    """Write what there is so far, after Ctrl-C."""
    from nn_perception.tuning.optuna_parts import open_study

    study = open_study(plan)
    if any(record.folds for record in read_records(plan, study)):
        _write(settings, plan, study, page=False)
