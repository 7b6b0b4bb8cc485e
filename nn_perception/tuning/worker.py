"""A process that takes one trial after the other from the storage."""

from __future__ import annotations

import multiprocessing
import os
import threading

import optuna
from optuna.trial import TrialState

from nn_perception.child_processes import begin_child
from nn_perception.datasets.kept import keep_data
from nn_perception.datasets.test_guard import lock_test_parts
from nn_perception.errors import DivergedError, NnPerceptionError
from nn_perception.training.devices import one_thread
from nn_perception.tuning.check import trial_config
from nn_perception.tuning.ledger import DIVERGED, FAILED, PRUNED, WHY, Beat, claim, end_trial
from nn_perception.tuning.optuna_parts import OUTCOME, decode, distributions, open_study
from nn_perception.tuning.plan import WHO, Plan, require_optuna
from nn_perception.tuning.trial import PrunedError, Scores, cross_validate


def main(plan: Plan) -> None:
    """Try what there is to try; the process' target.

    A search that ends by itself ends its processes: one whose parent is gone ends as well.
    """
    begin_child()
    threading.Thread(target=_end_with_parent, daemon=True).start()
    run_trials(plan)


def run_trials(plan: Plan) -> None:
    """Claim trials and train them until all are taken, in one thread, without any test part."""
    require_optuna()
    study, space = open_study(plan), distributions(plan.space)
    with one_thread(), lock_test_parts(WHO), keep_data():
        while (trial := claim(study, space, plan.trials)) is not None:
            with Beat(trial):
                run_trial(plan, study, trial)


def run_trial(plan: Plan, study: optuna.Study, trial: optuna.Trial) -> None:
    """Train a trial's configuration and write down what became of it."""
    try:
        scores = _scores(plan, trial)
    except PrunedError:
        end_trial(study, trial, TrialState.PRUNED, {OUTCOME: PRUNED})
    except DivergedError as error:
        # As a pruned one: samplers learn from it, and it is never the best.
        end_trial(study, trial, TrialState.PRUNED, {OUTCOME: DIVERGED, WHY: str(error)})
    except (NnPerceptionError, MemoryError, RuntimeError) as error:
        why = str(error) or type(error).__name__
        end_trial(study, trial, TrialState.FAIL, {OUTCOME: FAILED, WHY: why})
    else:
        figures = {"folds": scores.folds, "epochs": scores.epochs, "seconds": scores.seconds}
        end_trial(study, trial, TrialState.COMPLETE, figures, scores.mean)


def _scores(plan: Plan, trial: optuna.Trial) -> Scores:
    def judge(step: int, value: float) -> bool:
        trial.report(value, step)
        return trial.should_prune()

    config = trial_config(plan.base, decode(plan.space, trial.params))
    return cross_validate(
        plan.task,
        config,
        plan.data,
        plan.folds,
        plan.metric,
        judge,
        by_epochs=plan.judges_epochs,
    )


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
