"""Optuna's side of a search: storage, distributions, samplers, pruners.

Imported where a search runs, after `plan.require_optuna`, and nowhere else.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.pruners import BasePruner, MedianPruner, NopPruner
from optuna.samplers import BaseSampler, RandomSampler, TPESampler
from optuna.storages import BaseStorage, JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend, JournalFileSymlinkLock
from optuna.trial import FrozenTrial

from nn_perception.errors import ConfigError
from nn_perception.tuning.plan import Plan
from nn_perception.tuning.space import Choices, Range, Space, Values

LOST, SURPLUS = "lost", "surplus"
OUTCOME, REPEATS = "outcome", "repeats"
"""Attributes of a trial: what became of it, where that is no state of Optuna's; and the number of
the trial that it repeats."""

_STARTUP_TRIALS = 5
"""Finished trials before any is pruned."""
_DIGITS = 5
_WAIT_S = 60.0
"""For a database that another process writes to."""


def is_url(storage: str) -> bool:
    """Whether a storage is a database and no file."""
    return "://" in storage


def open_storage(storage: str) -> BaseStorage:
    """Open a journal file or a database, and create it where it is not there.

    Raises:
        ConfigError: it cannot be opened; a password in the URL is not repeated.
    """
    try:
        if not is_url(storage):
            Path(storage).parent.mkdir(parents=True, exist_ok=True)
            return JournalStorage(JournalFileBackend(storage))
        waiting = {"connect_args": {"timeout": _WAIT_S}} if storage.startswith("sqlite") else {}
        return RDBStorage(storage, engine_kwargs=waiting)
    except Exception as error:  # of drivers that nobody can list
        shown = re.sub(r"//[^@/]*@", "//...@", storage)
        reason = str(error).replace(storage, shown).splitlines()[0]
        raise ConfigError(
            f"cannot open the storage {shown}: {reason}; expected a file, or a URL such as "
            "sqlite:///search.db or postgresql://user:password@host/name with its driver installed"
        ) from None


def repair_journal(path: Path) -> None:
    """Cut off what a full disk or a failing machine left of a line; Optuna would not read on."""
    if not path.is_file() or not path.stat().st_size:
        return
    lock = JournalFileSymlinkLock(str(path))
    lock.acquire()
    try:
        with path.open("rb+") as file:
            data = file.read()
            if not data.endswith(b"\n"):
                file.truncate(data.rfind(b"\n") + 1)
                os.fsync(file.fileno())
    finally:
        lock.release()


def open_study(plan: Plan) -> optuna.Study:
    """Open the search in its storage, and begin it where it is not there."""
    return optuna.create_study(
        storage=open_storage(plan.storage),
        sampler=SeededSampler(plan),
        pruner=make_pruner(plan),
        study_name=plan.study,
        direction="maximize" if plan.maximise else "minimize",
        load_if_exists=True,
    )


def distributions(space: Space) -> dict[str, BaseDistribution]:
    """Return what Optuna draws from, for each key."""
    return {key: _distribution(values) for key, values in space.parameters.items()}


def decode(space: Space, params: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values of a trial as a configuration takes them."""
    return {key: _decoded(values, params[key]) for key, values in space.parameters.items()}


def make_pruner(plan: Plan) -> BasePruner:
    """Return what ends hopeless trials; none ends in the first third of its first fold."""
    if plan.pruner == "none":
        return NopPruner()
    # A step that is equal to the number of steps to wait for is judged.
    waits = 1 + plan.base.epochs // 3 if plan.judges_epochs else 0
    return MedianPruner(_STARTUP_TRIALS, n_warmup_steps=waits)


class SeededSampler(BaseSampler):
    """Draws the n-th trial from (seed, n) and the trials before it, whichever process asks.

    So a random search and a grid are the same however many workers share them, and a TPE search
    with one worker repeats exactly.
    """

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._grid: list[dict[str, Any]] = []
        if plan.sampler == "grid":
            points = plan.space.grid()
            # In a drawn order: what is done of a grid so far is spread over all of it.
            order = np.random.RandomState(plan.seed).permutation(len(points))
            self._grid = [points[i] for i in order]

    def infer_relative_search_space(
        self, study: optuna.Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        """Return the keys that are drawn together."""
        self._index = index_of(study.get_trials(deepcopy=False), trial.number)
        seed = self._plan.trial_seed(self._index)
        if self._plan.sampler == "tpe":
            self._inner: BaseSampler = TPESampler(seed=seed, multivariate=True, constant_liar=True)
            return self._inner.infer_relative_search_space(study, trial)
        self._inner = RandomSampler(seed=seed)
        return distributions(self._plan.space) if self._grid else {}

    def sample_relative(
        self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Return the values of those keys."""
        if not self._grid:
            return self._inner.sample_relative(study, trial, search_space)
        point = self._grid[self._index % len(self._grid)]
        return {
            key: _encoded(values, point[key]) for key, values in self._plan.space.parameters.items()
        }

    def sample_independent(
        self,
        study: optuna.Study,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:
        """Return the value of one other key."""
        return self._inner.sample_independent(study, trial, param_name, param_distribution)


def index_of(trials: Sequence[FrozenTrial], number: int) -> int:
    """Return which trial of the search a number is: that of the first attempt, where it repeats.

    Repeats and surplus trials before it are not counted.
    """
    by_number = {trial.number: trial for trial in trials}
    while (before := by_number[number].user_attrs.get(REPEATS)) is not None:
        number = before
    return sum(
        1
        for trial in trials
        if trial.number < number
        and REPEATS not in trial.user_attrs
        and trial.user_attrs.get(OUTCOME) != SURPLUS
    )


def _distribution(values: Values) -> BaseDistribution:
    if isinstance(values, Choices):
        return CategoricalDistribution([_encoded(values, value) for value in values.values])
    if values.is_whole:
        step = 1 if values.step is None else int(values.step)
        return IntDistribution(int(values.low), int(values.high), values.log, step)
    return FloatDistribution(values.low, values.high, values.log, values.step)


def _encoded(values: Values, value: Any) -> Any:
    """Return a value that every storage keeps: lists and mappings as text."""
    if isinstance(values, Range) or isinstance(value, bool | int | float | str) or value is None:
        return value
    return json.dumps(value, sort_keys=True)


def _decoded(values: Values, value: Any) -> Any:
    if isinstance(values, Choices):
        texts = [repr(_encoded(values, choice)) for choice in values.values]
        return values.values[texts.index(repr(value))]
    if isinstance(value, int) or values.step is not None:
        return value
    # More digits say nothing, and stand in nobody's way in a file.
    return min(max(float(f"{value:.{_DIGITS}g}"), values.low), values.high)
