"""Processes that work for another one of this package: how they begin, and how all are ended."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterable
from multiprocessing.process import BaseProcess

from tqdm import tqdm


def begin_child() -> None:
    """Leave Ctrl-C to the parent, which ends this process, and nothing behind when it does."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # tqdm's own lock is a semaphore of the system, which would outlive a process that is ended.
    tqdm.set_lock(threading.RLock())


def end_children(processes: Iterable[BaseProcess]) -> None:
    """End processes, whatever they are doing, and wait until they are gone."""
    ending = list(processes)
    for process in ending:
        process.terminate()
    for process in ending:
        process.join()
