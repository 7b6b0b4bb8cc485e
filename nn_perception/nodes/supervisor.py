"""Runs programs side by side until one dies or a signal comes, their output line by line."""

from __future__ import annotations

import math
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from nn_perception.nodes.process import LOOK_S, on_stop_signals, spawn
from nn_perception.signal_names import signal_name

# A node that is asked to end gives its callbacks 30 s.
STOP_TIMEOUT_S = 35.0
RESPAWN_DELAY_S = 2.0
WRONG_ARGUMENTS = 2
"""Exit code of a node after which starting it again would give the same."""
LAST_LINES_S = 1.0
"""How long the rest of an ended program's output is waited for."""


@dataclass(frozen=True)
class _Ended:
    name: str


@dataclass(frozen=True)
class _StopRequest:
    why: str


@dataclass(frozen=True)
class _Program:
    process: subprocess.Popen[bytes]
    reader: threading.Thread

    def finish(self) -> int:
        """Return the exit code, after the last lines."""
        self.reader.join(LAST_LINES_S)
        return self.process.wait()


class Supervisor:
    """Programs that stand and fall together.

    When one ends, the others are stopped. With ``respawn`` it is started again instead, unless its
    arguments were wrong.
    """

    def __init__(
        self,
        commands: Mapping[str, Sequence[str]],
        environment: Mapping[str, str],
        *,
        respawn: bool = False,
        own_name: str = "up",
    ) -> None:
        """Take what to run; nothing is started yet.

        Args:
            commands: name -> command.
            environment: all variables of the programs.
            respawn: start again what died.
            own_name: stands before our own lines.
        """
        self._commands = commands
        self._environment = environment
        self._respawn = respawn
        self._own_name = own_name
        self._width = max(map(len, (*commands, own_name)))
        # A signal handler may put at any moment: only this queue's `put` is reentrant.
        self._events: queue.SimpleQueue[_Ended | _StopRequest] = queue.SimpleQueue()
        self._running: dict[str, _Program] = {}
        self._due_s: dict[str, float] = {}
        self._write_lock = threading.Lock()
        self._failed = False

    def run(self) -> int:
        """Start the programs and wait; to be called in the main thread.

        Returns:
            0 after a stop that was asked for by a signal, when each program ended with 0, else 1.
        """
        before = on_stop_signals(self._on_signal)
        try:
            for name in self._commands:
                self._start(name)
            self._watch()
        finally:
            self._stop()
            for number, handler in before.items():
                signal.signal(number, handler)
        return int(self._failed)

    def _on_signal(self, number: int, _: object) -> None:
        self._events.put(_StopRequest(signal_name(number)))

    def _start(self, name: str) -> None:
        process = spawn(self._commands[name], self._environment, subprocess.PIPE)
        # Daemons: a program's own child may keep the pipe open for ever.
        reader = threading.Thread(target=self._copy, args=(name, process), daemon=True)
        self._running[name] = _Program(process, reader)
        for thread in (
            reader,
            threading.Thread(target=self._wait, args=(name, process), daemon=True),
        ):
            thread.start()

    def _watch(self) -> None:
        """Handle what happens until everything has to stop."""
        while True:
            event = self._next_event(min(self._due_s.values(), default=None))
            if event is None:
                self._start_due()
            elif isinstance(event, _StopRequest):
                self._say(f"{event.why}: stopping")
                return
            elif not self._goes_on_without(event.name):
                return

    def _start_due(self) -> None:
        for name in [name for name, due in self._due_s.items() if due <= time.monotonic()]:
            del self._due_s[name]
            self._start(name)

    def _goes_on_without(self, name: str) -> bool:
        """Handle the end of a program; return whether the others go on."""
        code = self._running.pop(name).finish()
        if self._respawn and code != WRONG_ARGUMENTS:
            self._say(f"{name} {_ending(code)}; it starts again in {RESPAWN_DELAY_S:.0f} s")
            self._due_s[name] = time.monotonic() + RESPAWN_DELAY_S
            return True
        self._failed = True
        others = f": stopping {', '.join(self._running)}" if self._running else ""
        self._say(f"{name} {_ending(code)}{others}")
        return False

    def _stop(self) -> None:
        """Ask the programs to end; kill them when time is over or another signal comes."""
        for program in self._running.values():
            program.process.send_signal(signal.SIGINT)
        deadline: float | None = time.monotonic() + STOP_TIMEOUT_S
        while self._running:
            event = self._next_event(deadline)
            if isinstance(event, _Ended):
                code = self._running.pop(event.name).finish()
                if code != 0:
                    self._failed = True
                    self._say(f"{event.name} {_ending(code)}")
            elif deadline is not None:
                why = event.why if event else f"not ended after {STOP_TIMEOUT_S:.0f} s"
                self._say(f"{why}: killing {', '.join(self._running)}")
                for program in self._running.values():
                    program.process.kill()
                deadline = None

    def _next_event(self, deadline_s: float | None) -> _Ended | _StopRequest | None:
        """Wait for what happens next; None at the deadline."""
        while True:
            left_s = math.inf if deadline_s is None else deadline_s - time.monotonic()
            try:
                return self._events.get(timeout=max(min(left_s, LOOK_S), 0.0))
            except queue.Empty:
                if left_s <= 0.0:
                    return None

    def _copy(self, name: str, process: subprocess.Popen[bytes]) -> None:
        assert process.stdout is not None
        for line in process.stdout:
            self._write(name, line)

    def _wait(self, name: str, process: subprocess.Popen[bytes]) -> None:
        process.wait()
        self._events.put(_Ended(name))

    def _say(self, text: str) -> None:
        self._write(self._own_name, text.encode() + b"\n")

    def _write(self, name: str, line: bytes) -> None:
        prefix = f"[{name}]".ljust(self._width + 3).encode()
        with self._write_lock:
            try:
                sys.stdout.buffer.write(prefix + line.rstrip(b"\n") + b"\n")
                sys.stdout.buffer.flush()
            except (BrokenPipeError, ValueError):
                # The reader went away ("... | head"): nobody sees the rest, and Python must not
                # complain about it at its end.
                os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
                self._events.put(_StopRequest("output closed"))


def _ending(code: int) -> str:
    if code >= 0:
        return f"ended with exit code {code}"
    return f"was ended by {signal_name(-code)}"
