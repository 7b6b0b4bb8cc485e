"""Bags in parallel processes."""

from __future__ import annotations

import multiprocessing
import os
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from typing import Any

from nn_perception.datasets.build_bag import Job, data_files
from nn_perception.datasets.build_settings import BuildSettings
from nn_perception.errors import DatasetError

_POLL_S = 0.2
_read: Any = None
"""In a process of the pool: bytes read by all of them."""

Stage = Callable[..., dict[str, Any]]


def run_jobs(
    stage: Stage,
    jobs: Sequence[Job],
    settings: BuildSettings,
    on_progress: Callable[[int, int], object],
) -> list[dict[str, Any] | DatasetError]:
    """Run a stage for each bag, in as many processes as are asked for.

    Returns:
        For each bag the result; or, where damaged bags are skipped, why it cannot be used.

    Raises:
        DatasetError: of the first bag that cannot be used; or a process died.
    """
    total = sum(_size(job) for job in jobs)
    workers = min(len(jobs), settings.jobs or os.cpu_count() or 1)
    if workers == 1:
        done = 0

        def on_bytes(count: int) -> None:
            nonlocal done
            done += count
            on_progress(min(done, total), total)

        return [_one(stage, job, settings, on_bytes) for job in jobs]
    return _parallel(stage, jobs, settings, workers, lambda done: on_progress(done, total))


def _parallel(
    stage: Stage,
    jobs: Sequence[Job],
    settings: BuildSettings,
    workers: int,
    on_read: Callable[[int], object],
) -> list[dict[str, Any] | DatasetError]:
    # A new process, not a copy of this one: threads of its owner must not be in it.
    context = multiprocessing.get_context("spawn")
    read = context.Value("q", 0)
    pool = ProcessPoolExecutor(workers, context, initializer=_begin, initargs=(read,))
    try:
        futures = [pool.submit(_counted, stage, job, settings) for job in jobs]
        waiting: set[Future[Any]] = set(futures)
        while waiting:
            done, waiting = wait(waiting, timeout=_POLL_S, return_when=FIRST_COMPLETED)
            on_read(int(read.value))
            for future in done:
                future.result()  # the first that cannot be used ends the others
        return [future.result() for future in futures]
    except BrokenProcessPool as error:
        raise DatasetError(
            "a process that read a bag was killed (out of memory?); give fewer --jobs, and the "
            "same command again"
        ) from error
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _begin(read: Any) -> None:
    global _read
    _read = read
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """End this process when the one that started it is killed.

    It would wait for more bags for good; and until then write where the next build writes.
    """
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _counted(stage: Stage, job: Job, settings: BuildSettings) -> dict[str, Any] | DatasetError:
    held, told_s = 0, time.monotonic()

    def on_bytes(count: int) -> None:
        nonlocal held, told_s
        held += count
        if time.monotonic() - told_s >= _POLL_S:
            _tell(held)
            held, told_s = 0, time.monotonic()

    result = _one(stage, job, settings, on_bytes)
    _tell(held)
    return result


def _tell(count: int) -> None:
    with _read.get_lock():
        _read.value += count


def _one(
    stage: Stage, job: Job, settings: BuildSettings, on_bytes: Callable[[int], object]
) -> dict[str, Any] | DatasetError:
    try:
        return stage(job, on_bytes)
    except DatasetError as error:
        if not settings.skip_damaged:
            raise
        return error


def _size(job: Job) -> int:
    try:
        return sum(file.stat().st_size for file in data_files(job.bag))
    except (DatasetError, OSError):
        return 0  # reading it tells what is wrong
