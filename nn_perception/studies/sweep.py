"""Many trainings beside each other: what the studies of training methods are made of.

Each training computes in one thread, in this process or in one of its own, so that its figures are
the same however many run at a time.
"""

from __future__ import annotations

import contextlib
import logging
import multiprocessing
import os
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from typing import TYPE_CHECKING, Any

from nn_perception.child_processes import begin_child, end_children
from nn_perception.datasets.kept import keep_data
from nn_perception.errors import DivergedError, NnPerceptionError, TrainingError
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
        epochs: of the configuration, for the progress bar.
        analyse: what is to be taken from the trained network, as numbers and NumPy arrays; a
            function of a module.
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
        history: one record per epoch, as in ``metrics.jsonl``; up to the last whole epoch where it
            diverged.
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

    Whatever ends it, Ctrl-C too, ends its processes.

    Args:
        jobs: what to train.
        workers: processes at a time; 0: one after the other in this process.
        title: what stands at the progress bar.

    Raises:
        NnPerceptionError: data or configuration of a job cannot be used.
        TrainingError: a process died.
    """
    with progress_bar(sum(job.epochs for job in jobs), title, "epoch") as bar:
        if workers == 0:
            with keep_data():
                return [_finished(job, _train(job, bar.update), bar.update) for job in jobs]
        return _in_processes(jobs, workers, bar.update)


def _finished(job: Job, outcome: Outcome, update: Callable[[int], object]) -> Outcome:
    """Count the epochs that a training did not need: it diverged, or stopped early."""
    update(job.epochs - len(outcome.history))
    return outcome


def _in_processes(
    jobs: Sequence[Job], workers: int, update: Callable[[int], object]
) -> list[Outcome]:
    outcomes: dict[int, Outcome] = {}
    waiting = iter(range(len(jobs)))
    doing: dict[Connection, int] = {}
    with _processes(min(workers, len(jobs))) as connections:
        idle = list(connections)
        while len(outcomes) < len(jobs):
            for connection, number in zip(idle, waiting, strict=False):
                doing[connection] = number
                _send(connection, jobs[number])
            idle = []
            for ready in wait(list(doing)):
                assert isinstance(ready, Connection)
                answer = _receive(ready)
                if isinstance(answer, Outcome):
                    number = doing.pop(ready)
                    outcomes[number] = _finished(jobs[number], answer, update)
                    idle.append(ready)
                else:
                    update(answer)
    return [outcomes[number] for number in range(len(jobs))]


@contextlib.contextmanager
def _processes(count: int) -> Iterator[list[Connection]]:
    """Start processes that train, and end them, whatever they are doing."""
    context = multiprocessing.get_context("spawn")  # a fork would copy torch's threads half
    pairs = [context.Pipe() for _ in range(count)]
    processes = [context.Process(target=_work, args=(theirs,), daemon=True) for _, theirs in pairs]
    started = []
    try:
        for process, (_, theirs) in zip(processes, pairs, strict=True):
            process.start()
            started.append(process)
            theirs.close()  # so that its end is seen here
        yield [ours for ours, _ in pairs]
    finally:
        end_children(started)
        for ours, theirs in pairs:
            ours.close()
            theirs.close()


def _send(connection: Connection, job: Job) -> None:
    try:
        connection.send(job)
    except OSError:
        raise _died() from None


def _receive(connection: Connection) -> Outcome | int:
    """Return an outcome, or how many epochs more are done."""
    try:
        answer = connection.recv()
    except (EOFError, OSError):
        raise _died() from None
    if isinstance(answer, _Failure):
        raise answer.error from RuntimeError(f"in a process that trains:\n{answer.trace}")
    assert isinstance(answer, Outcome | int)
    return answer


def _died() -> TrainingError:
    return TrainingError(
        "a process that trains ended by itself, as when memory runs out: use fewer --workers"
    )


@dataclass(frozen=True)
class _Failure:
    error: Exception
    trace: str


def _work(connection: Connection) -> None:
    """Train what comes until the other end is closed; the parent alone hears Ctrl-C."""
    begin_child()
    os.environ["OMP_NUM_THREADS"] = "1"  # read when torch is imported, with the first job
    logging.getLogger("nn_perception").setLevel(logging.ERROR)  # the parent warned of the data
    with keep_data(), contextlib.suppress(EOFError, BrokenPipeError):
        while True:
            answer: Outcome | _Failure
            try:
                answer = _train(connection.recv(), connection.send)
            except (EOFError, BrokenPipeError):
                raise
            except NnPerceptionError as error:
                answer = _Failure(error, "")
            except Exception as error:
                answer = _Failure(error, traceback.format_exc())
            connection.send(answer)


def _train(job: Job, tick: Callable[[int], object]) -> Outcome:
    learning = job.make()
    from nn_perception.training.devices import one_thread
    from nn_perception.training.loop import Trainer

    history: list[dict[str, Any]] = []

    def on_epoch(record: dict[str, Any]) -> None:
        history.append(record)
        tick(1)

    start = time.perf_counter()
    with one_thread():
        try:
            fit = Trainer(learning, on_epoch=on_epoch).fit()
        except DivergedError as error:
            return Outcome(job.key, history, str(error), seconds=time.perf_counter() - start)
        seconds = time.perf_counter() - start
        found = job.analyse(fit, learning) if job.analyse else {}
    return Outcome(job.key, history, "", found, seconds)
