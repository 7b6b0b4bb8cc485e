"""Many trainings beside each other: what the studies of training methods are made of.

Each training has a thread of its own in a process of its own, so that its figures are the same
however many run at a time.
"""

from __future__ import annotations

import multiprocessing
import os
import queue
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from nn_perception.errors import DivergedError, TrainingError
from nn_perception.progress import progress_bar

if TYPE_CHECKING:
    from nn_perception.training.learning import Learning
    from nn_perception.training.loop import Fit

Analysis = Callable[["Fit", "Learning"], dict[str, Any]]
"""What else is to be known of a finished training; runs where the network is."""


@dataclass(frozen=True)
class Job:
    """One training.

    Attributes:
        key: what distinguishes it, such as ``(("learning_rate", 0.1), ("seed", 0))``.
        make: gives data, network and loss, with their configuration; must be picklable: a function
            of a module, or a `functools.partial` of one.
        analyse: what is to be taken from the trained network; a function of a module.
        epochs: of the configuration, for the progress bar.
    """

    key: tuple[tuple[str, Any], ...]
    make: Callable[[], Learning]
    epochs: int
    analyse: Analysis | None = None


@dataclass(frozen=True)
class Outcome:
    """What a training gave.

    Attributes:
        key: of its job.
        history: one record per epoch, as in ``metrics.jsonl``.
        diverged: what the loop said when the loss was not finite; empty: it was always.
        found: what the job's analysis gave; empty where it diverged.
        seconds: of the training, data not counted.
    """

    key: tuple[tuple[str, Any], ...]
    history: list[dict[str, Any]]
    diverged: str = ""
    found: dict[str, Any] = field(default_factory=dict)
    seconds: float = 0.0

    def __getitem__(self, name: str) -> Any:
        """Return a part of the key."""
        return dict(self.key)[name]


def train_all(jobs: Sequence[Job], workers: int, title: str) -> list[Outcome]:
    """Train all, with a progress bar in epochs; outcomes come in the order of the jobs.

    Args:
        jobs: what to train.
        workers: processes at a time; 0: one after the other in this process.
        title: what stands at the progress bar.

    Raises:
        NnPerceptionError: data or configuration of a job cannot be used.
        TrainingError: a process died.
    """
    total = sum(job.epochs for job in jobs)
    with progress_bar(total, title, "epoch") as bar:
        if workers == 0:
            return [_train(job, lambda: bar.update(1)) for job in jobs]
        return _in_processes(jobs, workers, bar.update)


def _in_processes(
    jobs: Sequence[Job], workers: int, update: Callable[[int], object]
) -> list[Outcome]:
    context = multiprocessing.get_context("spawn")
    ticks: Any = context.Queue()
    before = os.environ.get("OMP_NUM_THREADS")
    os.environ["OMP_NUM_THREADS"] = "1"  # processes share the cores, not threads
    pool = ProcessPoolExecutor(
        min(workers, len(jobs)) or 1, context, initializer=_begin, initargs=(ticks,)
    )
    done = threading.Event()
    counter = threading.Thread(target=_count, args=(ticks, done, update), daemon=True)
    counter.start()
    try:
        futures: list[Future[Outcome]] = [pool.submit(_train_there, job) for job in jobs]
        return [future.result() for future in futures]
    except BrokenProcessPool:
        raise TrainingError(
            "a process that trains ended by itself, as when memory runs out: use fewer --workers"
        ) from None
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
        done.set()
        counter.join()
        if before is None:
            del os.environ["OMP_NUM_THREADS"]
        else:
            os.environ["OMP_NUM_THREADS"] = before


def _count(ticks: Any, done: threading.Event, update: Callable[[int], object]) -> None:
    while not done.is_set():
        try:
            ticks.get(timeout=0.2)
        except queue.Empty:
            continue
        update(1)


_TICKS: list[Any] = []


def _begin(ticks: Any) -> None:
    _TICKS[:] = [ticks]


def _train_there(job: Job) -> Outcome:
    return _train(job, lambda: _TICKS[0].put(1))


def _train(job: Job, tick: Callable[[], object]) -> Outcome:
    from nn_perception.training.loop import Trainer

    history: list[dict[str, Any]] = []

    def on_epoch(record: dict[str, Any]) -> None:
        history.append(record)
        tick()

    learning = job.make()
    start = time.perf_counter()
    try:
        fit = Trainer(learning, on_epoch=on_epoch).fit()
    except DivergedError as error:
        return Outcome(job.key, history, str(error), seconds=time.perf_counter() - start)
    seconds = time.perf_counter() - start
    found = job.analyse(fit, learning) if job.analyse else {}
    return Outcome(job.key, history, "", found, seconds)
