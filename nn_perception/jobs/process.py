"""Runs a child process and watches it: progress, cancelling, and why it ended."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nn_perception.jobs.files import JobError
from nn_perception.jobs.progress import ERROR, ProgressReader
from nn_perception.module_command import module_command
from nn_perception.signal_names import signal_name

TERMINATE_S = 0.4
"""Time between SIGTERM and SIGKILL."""
POLL_S = 0.05
LOG_LINES = 5
COMMAND = tuple(module_command("nn_perception.jobs.child"))


@dataclass(frozen=True)
class Ended:
    """How a child ended.

    Attributes:
        code: exit code; negative: the signal that ended it.
        error: what the child said itself, or empty.
        log_end: the last lines that it printed.
        cancelled: whether it was told to end.
    """

    code: int
    error: str = ""
    log_end: str = ""
    cancelled: bool = False

    @property
    def reason(self) -> str:
        """Why it ended, in words; empty after a good end."""
        if self.code == 0:
            return ""
        if self.error:
            return self.error
        if self.code < 0:
            name = signal_name(-self.code)
            memory = " (out of memory?)" if -self.code == signal.SIGKILL else ""
            text = f"the training process was killed by {name}{memory}"
        else:
            text = f"the training process ended with exit code {self.code}"
        return f"{text}; the end of its log: {self.log_end or 'empty'}"


class JobProcess:
    """One child in a process group of its own, which ends with this process.

    Attributes:
        pid: of the child, also of its process group.
    """

    def __init__(self, stage: str, file: Path, *, log: Path, lock: int | None = None) -> None:
        """Start it.

        Args:
            stage: see `nn_perception.jobs.child`.
            file: what it is to do.
            log: file that its output is appended to.
            lock: descriptor of a lock that holds as long as the child lives, too.

        Raises:
            JobError: it cannot be started.
        """
        self._log, self._log_start = log, log.stat().st_size if log.exists() else 0
        self._reader, write_end = os.pipe()
        os.set_blocking(self._reader, False)
        inherited = (write_end,) if lock is None else (write_end, lock)
        try:
            with log.open("ab") as output:
                self._process = subprocess.Popen(
                    [*COMMAND, stage, str(file), str(write_end)],
                    stdin=subprocess.PIPE,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,  # signals for the node do not reach it
                    pass_fds=inherited,
                )
        except OSError as error:
            os.close(self._reader)
            raise JobError(f"cannot start the training process: {error}") from None
        finally:
            os.close(write_end)
        self.pid = self._process.pid
        self._lines, self._error = ProgressReader(), ""

    def watch(
        self, on_progress: Callable[[Mapping[str, Any]], None], cancelled: Callable[[], bool]
    ) -> Ended:
        """Wait for the end, and tell progress; whatever the child has started ends with it.

        Args:
            on_progress: gets each line of progress.
            cancelled: asked all the time; once true the child is told to end, and soon made to.
        """
        asked_s: float | None = None
        try:
            while not self._has_ended():
                ready, _, _ = select.select([self._reader], [], [], POLL_S)
                if ready and not self._take(on_progress):
                    time.sleep(POLL_S)  # closed, but the process still ends
                now_s = time.monotonic()
                if asked_s is None and cancelled():
                    asked_s = now_s
                    self._signal(signal.SIGTERM)
                elif asked_s is not None and now_s - asked_s > TERMINATE_S:
                    self._signal(signal.SIGKILL)
            self._take(on_progress)
        finally:
            # Before the child is reaped: until then nobody else can have its number.
            self._signal(signal.SIGKILL)
            code = self._process.wait()
            os.close(self._reader)
            if self._process.stdin is not None:
                self._process.stdin.close()
        return Ended(code, self._error, self._log_end(), asked_s is not None)

    def _has_ended(self) -> bool:
        """Whether it has, without reaping it."""
        found = os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        return found is not None

    def _take(self, on_progress: Callable[[Mapping[str, Any]], None]) -> bool:
        """Read what is there; False at the end."""
        while True:
            try:
                data = os.read(self._reader, 65536)
            except BlockingIOError:
                return True
            if not data:
                return False
            for line in self._lines.feed(data):
                if ERROR in line:
                    self._error = str(line[ERROR])
                else:
                    on_progress(line)

    def _signal(self, number: int) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, number)

    def _log_end(self) -> str:
        try:
            with self._log.open("rb") as file:
                file.seek(max(self._log_start, self._log.stat().st_size - 4096))
                text = file.read().decode(errors="replace")
        except OSError:
            return ""
        return " | ".join(line.strip() for line in text.splitlines()[-LOG_LINES:])
