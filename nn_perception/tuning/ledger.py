"""Who tries what: claims of processes on many machines, and trials whose process is gone.

A trial counts by its number, which the storage gives out once. A process says by a beat that it
lives; one that died on this machine is known at once, one elsewhere when its beat stays the same.
Its trial is then given up, and its values are enqueued again.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import os
import platform
import threading
import time
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import optuna
from optuna.distributions import BaseDistribution
from optuna.exceptions import UpdateFinishedTrialError
from optuna.trial import FrozenTrial, TrialState

from nn_perception.tuning.optuna_parts import LOST, OUTCOME, REPEATS, SURPLUS, index_of

BEAT_S = 15.0
STALE_S = 4 * BEAT_S
"""A beat that stays the same for this long is that of a dead process."""
ATTEMPTS = 3
"""A trial whose processes died so often is what kills them."""

DIVERGED, PRUNED, FAILED = "diverged", "pruned", "failed"
WHY, OWNER, BEAT, ATTEMPT = "why", "owner", "beat", "attempt"


def counted(trials: Sequence[FrozenTrial]) -> list[FrozenTrial]:
    """Return the trials of the search: not those that were given up and repeated."""
    return [trial for trial in trials if not _is_void(trial)]


def finished(trials: Sequence[FrozenTrial]) -> int:
    """Return how many trials of the search have a result, be it that they diverged."""
    return sum(trial.state.is_finished() for trial in counted(trials))


def is_claimable(trials: Sequence[FrozenTrial], total: int) -> bool:
    """Whether there is a trial left to begin."""
    waiting = any(trial.state == TrialState.WAITING for trial in trials)
    return waiting or len(counted(trials)) < total


def claim(
    study: optuna.Study, space: dict[str, BaseDistribution], total: int
) -> optuna.Trial | None:
    """Return the next trial for this process; None: all are taken."""
    while is_claimable(study.get_trials(deepcopy=False), total):
        trial = study.ask(space)
        trial.set_user_attr(OWNER, this_process())
        repeats = trial.user_attrs.get(REPEATS) is not None
        index = index_of(study.get_trials(deepcopy=False), trial.number)
        if repeats or index < total:
            return trial
        # Others were quicker: they took the last ones between our question and our answer.
        trial.set_user_attr(OUTCOME, SURPLUS)
        study.tell(trial, state=TrialState.FAIL)
    return None


def end_trial(
    study: optuna.Study,
    trial: optuna.Trial,
    state: TrialState,
    attributes: Mapping[str, Any],
    value: float | None = None,
) -> bool:
    """Write down what became of a trial; False: it was given up, and somebody repeats it."""
    try:
        for name, content in attributes.items():
            trial.set_user_attr(name, content)
        study.tell(trial, value, state)
    except (UpdateFinishedTrialError, ValueError):
        if study.get_trials(deepcopy=False)[trial.number].state == TrialState.RUNNING:
            raise
        return False
    return True


class Watch:
    """Finds trials whose process is gone."""

    def __init__(self, study: optuna.Study) -> None:
        self._study = study
        self._seen: dict[int, tuple[Any, float]] = {}

    def give_up_lost(self) -> int:
        """Give up what is lost and enqueue it again; returns how many there were."""
        trials = self._study.get_trials(deepcopy=False)
        lost = [t for t in trials if t.state == TrialState.RUNNING and self._is_lost(t)]
        given_up = sum(_give_up(self._study, trial) for trial in lost)
        repeated = {trial.user_attrs.get(REPEATS) for trial in trials}
        for trial in trials:  # whoever gave it up was killed before it enqueued it
            is_lost = trial.user_attrs.get(OUTCOME) == LOST and _is_void(trial)
            if is_lost and trial.number not in repeated:
                _repeat(self._study, trial)
        return given_up

    def _is_lost(self, trial: FrozenTrial) -> bool:
        owner = trial.user_attrs.get(OWNER)
        if owner is not None and owner["machine"] == _machine():
            return bool(_started(owner["pid"]) != owner["started"])
        beat, now = (owner, trial.user_attrs.get(BEAT)), time.monotonic()
        known, since = self._seen.get(trial.number, (None, now))
        if known != beat:
            since = now
        self._seen[trial.number] = (beat, since)
        return now - since > STALE_S


class Beat:
    """Tells others, from a thread, that this process works on a trial."""

    def __init__(self, trial: optuna.Trial) -> None:
        self._trial, self._end = trial, threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Beat:
        self._thread.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._end.set()
        self._thread.join()

    def _run(self) -> None:
        number = 0
        while not self._end.wait(BEAT_S):
            number += 1
            try:
                self._trial.set_user_attr(BEAT, number)
            except UpdateFinishedTrialError:  # it was given up
                return


def this_process() -> dict[str, Any]:
    """Return what tells this process from all others, without the name of the machine."""
    return {"machine": _machine(), "pid": os.getpid(), "started": _started(os.getpid())}


def _is_void(trial: FrozenTrial) -> bool:
    void = (LOST, SURPLUS)
    return trial.state == TrialState.FAIL and trial.user_attrs.get(OUTCOME) in void


def _give_up(study: optuna.Study, trial: FrozenTrial) -> bool:
    attempt = int(trial.user_attrs.get(ATTEMPT, 1))
    again = attempt < ATTEMPTS
    written = {OUTCOME: LOST} if again else {
        OUTCOME: FAILED,
        WHY: f"its process died {attempt} times, as when memory runs out",
    }  # fmt: skip
    try:
        for name, value in written.items():
            study._storage.set_trial_user_attr(trial._trial_id, name, value)
        study.tell(trial.number, state=TrialState.FAIL)
    except (UpdateFinishedTrialError, ValueError):
        return False  # it ended after all, or another machine was quicker
    if again:
        _repeat(study, trial)
    return True


def _repeat(study: optuna.Study, trial: FrozenTrial) -> None:
    attempt = int(trial.user_attrs.get(ATTEMPT, 1)) + 1
    study.enqueue_trial(trial.params, {REPEATS: trial.number, ATTEMPT: attempt})


@functools.cache
def _machine() -> str:
    """Return a hash of this machine, its boot and its space of process numbers."""
    parts = [platform.node(), str(uuid.getnode())]
    with contextlib.suppress(OSError):
        parts.append(Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii"))
        parts.append(os.readlink("/proc/self/ns/pid"))
    return hashlib.sha256("|".join(parts).encode()).hexdigest()[:16]


def _started(pid: int) -> str:
    """Return when a process started, in ticks of the machine; empty: there is none, or a zombie."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return "" if Path("/proc/self").exists() else _lives(pid)
    fields = text.rpartition(")")[2].split()
    return "" if fields[0] in "ZX" else fields[19]


def _lives(pid: int) -> str:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return ""
    except OSError:
        pass
    return "lives"
