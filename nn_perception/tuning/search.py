"""A search as a whole: processes, progress, what is taken up again, results."""

from __future__ import annotations

import contextlib
import dataclasses
import math
import multiprocessing
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nn_perception.child_processes import end_children
from nn_perception.datasets.test_guard import lock_test_parts
from nn_perception.errors import ConfigError, TrainingError, nearest
from nn_perception.progress import progress_bar
from nn_perception.tasks import get_task
from nn_perception.tuning.plan import WHO, Plan, differences, require_optuna

if TYPE_CHECKING:
    import optuna

POLL_S = 0.25
_WATCH_S = 2.0
_DEATHS = 3
"""Processes that died one after the other before any trial was finished."""
_IDENTITY = "nn_perception"


def run_search(plan: Plan, workers: int, *, show_progress: bool = True) -> optuna.Study:
    """Run a search to its end, or go on with one, and return it.

    Args:
        plan: what is searched.
        workers: processes on this machine, one thread each; 0: in this process.
        show_progress: draw a progress bar on standard error.

    Raises:
        ConfigError: Optuna is missing, the storage cannot be opened, or holds another search of
            that name.
        TrainingError: processes die, or no trial can be trained.
        NnPerceptionError: the data cannot be used.
    """
    require_optuna()
    from nn_perception.tuning.ledger import Watch, is_claimable
    from nn_perception.tuning.optuna_parts import is_url, open_study, repair_journal
    from nn_perception.tuning.worker import run_trials

    with lock_test_parts(WHO):
        data_id = look_at_data(plan)
    if not is_url(plan.storage):
        repair_journal(Path(plan.storage))
    study = open_study(plan)
    _take_up(study, plan, data_id)
    watch = Watch(study)
    watch.give_up_lost()
    with progress_bar(plan.trials, f"tune {plan.task}", "trial", show=show_progress) as bar:
        show = _Progress(study, plan, bar)
        if workers == 0:
            while is_claimable(study.get_trials(deepcopy=False), plan.trials):
                run_trials(plan)
            show()
        else:
            _with_processes(study, plan, workers, watch, show)
    return study


def look_at_data(plan: Plan) -> str:
    """Load the data once, as the first fold does, and return their hash.

    Raises:
        NnPerceptionError: they cannot be used, cannot make so many folds, or the task has no such
            metric.
    """
    from nn_perception.training.loop import Trainer
    from nn_perception.tuning.trial import make_learning

    config = dataclasses.replace(plan.base, folds=plan.folds, fold=0, device="cpu")
    learning = make_learning(plan.task, config, plan.data)
    if plan.metric != learning.metric:
        trainer = Trainer(learning)
        learning.move_to(trainer.device)
        trainer.network = learning.build_network()
        known = learning.validate(trainer.predict())
        if plan.metric not in known:
            raise ConfigError(
                f"the task '{plan.task}' has no validation figure '{plan.metric}'"
                f"{nearest(plan.metric, known)} (there are: {', '.join(known)})"
            )
    return learning.data_id


def choose_metric(task: str, metric: str | None) -> tuple[str, bool]:
    """Return a metric's name and whether more is better; None: by which the task keeps weights.

    All figures but that one are errors, of which less is better.
    """
    learning = get_task(task).load_learning()
    if metric is None or metric == learning.metric:
        return learning.metric, learning.higher_is_better
    return metric, False


def _take_up(study: optuna.Study, plan: Plan, data_id: str) -> None:
    """Make the search this plan's, or find that it is."""
    wanted = plan.identity(data_id)
    if _IDENTITY not in study.user_attrs:
        study.set_user_attr(_IDENTITY, wanted)
    found = differences(study.user_attrs[_IDENTITY], wanted)
    if found:
        raise ConfigError(
            f"{plan.storage} holds another search '{plan.study}' ({'; '.join(found[:4])}"
            f"{'; ...' if len(found) > 4 else ''}): give it back what it began with, or choose "
            "another --out, --storage or --study for this one"
        )


def _with_processes(
    study: optuna.Study, plan: Plan, workers: int, watch: Any, show: _Progress
) -> None:
    from nn_perception.tuning.ledger import is_claimable

    processes: list[Any] = []
    deaths, looked = 0, time.monotonic()
    try:
        while True:
            done_before = show.done
            trials = show()
            ended = [process for process in processes if not process.is_alive()]
            processes = [process for process in processes if process.is_alive()]
            died = [process for process in ended if process.exitcode]
            deaths = 0 if show.done > done_before else deaths + len(died)
            if deaths >= _DEATHS * workers:
                raise TrainingError(
                    f"{deaths} processes ended by themselves before they finished a trial (the "
                    f"last with code {died[-1].exitcode if died else '?'}), as when memory runs "
                    "out: use fewer --workers, or less data"
                )
            if died or time.monotonic() - looked > _WATCH_S:
                watch.give_up_lost()
                looked = time.monotonic()
                trials = study.get_trials(deepcopy=False)
            if show.done >= plan.trials and not is_claimable(trials, plan.trials):
                return
            if is_claimable(trials, plan.trials):
                missing = min(workers, plan.trials - show.done) - len(processes)
                processes += _start(plan, max(missing, 0 if processes else 1))
            time.sleep(POLL_S)  # between two questions to the storage
    finally:
        end_children(processes)
        watch.give_up_lost()


def _start(plan: Plan, count: int) -> list[Any]:
    from nn_perception.tuning.worker import main

    context = multiprocessing.get_context("spawn")
    started = []
    with _one_thread_each():
        for _ in range(count):
            process = context.Process(target=main, args=(plan,), daemon=True)
            process.start()
            started.append(process)
    return started


@contextlib.contextmanager
def _one_thread_each() -> Iterator[None]:
    """Let processes that are started meanwhile share the cores, not threads."""
    before = os.environ.get("OMP_NUM_THREADS")
    os.environ["OMP_NUM_THREADS"] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ["OMP_NUM_THREADS"]
        else:
            os.environ["OMP_NUM_THREADS"] = before


class _Progress:
    """Shows how many trials are finished, and the best so far.

    Attributes:
        done: how many are finished.
    """

    def __init__(self, study: optuna.Study, plan: Plan, bar: Any) -> None:
        from nn_perception.tuning.ledger import finished

        self._study, self._plan, self._bar = study, plan, bar
        self.done = finished(study.get_trials(deepcopy=False))
        bar.n = bar.initial = min(self.done, plan.trials)  # earlier runs say nothing of the speed

    def __call__(self) -> list[Any]:
        """Look, show, and return the trials.

        Raises:
            TrainingError: the first trials failed, all of them.
        """
        from optuna.trial import TrialState

        from nn_perception.tuning.ledger import FAILED, WHY, counted, finished
        from nn_perception.tuning.optuna_parts import OUTCOME

        trials = self._study.get_trials(deepcopy=False)
        self.done = finished(trials)
        values = [t.value for t in trials if t.state == TrialState.COMPLETE and t.value is not None]
        if values:
            best = max(values) if self._plan.maximise else min(values)
            if math.isfinite(best):
                self._bar.set_postfix_str(f"best {self._plan.metric} {best:.4g}", refresh=False)
        self._bar.update(min(self.done, self._plan.trials) - self._bar.n)
        results = [t for t in counted(trials) if t.state.is_finished()]
        failed = [t for t in results if t.user_attrs.get(OUTCOME) == FAILED]
        if len(failed) >= _DEATHS and len(failed) == len(results):
            raise TrainingError(
                f"the first {len(failed)} trials failed, the last one so: "
                f"{failed[-1].user_attrs.get(WHY)}"
            )
        return trials
