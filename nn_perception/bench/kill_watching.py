"""What the benchmarks with kills share: pictures, processes, and eyes on a directory of models."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from nn_perception.bundle import load_bundle
from nn_perception.errors import BundleError


class Watch:
    """Looks at a directory of models all the time; whatever can be seen must be whole.

    Attributes:
        problems: what was not.
        looked: how often it looked at a bundle.
    """

    def __init__(self, out: Path) -> None:
        """Start the thread."""
        self.problems: list[str] = []
        self.looked = 0
        self._out, self._stop = out, threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End the thread."""
        self._stop.set()
        self._thread.join()

    def _look(self) -> None:
        known: dict[Path, int] = {}
        while not self._stop.wait(0.005):
            for path in visible_bundles(self._out):
                with contextlib.suppress(OSError):  # removed in between
                    number = path.stat().st_ino
                    if known.get(path) != number:
                        self._check(path)
                        known[path] = number

    def _check(self, path: Path) -> None:
        self.looked += 1
        try:
            load_bundle(path)
        except BundleError as error:
            if path.exists():
                self.problems.append(str(error))


def visible_bundles(out: Path) -> Iterator[Path]:
    """Return the directories of models that a node or a user may see."""
    for path in out.iterdir() if out.is_dir() else ():
        if path.is_dir() and not path.name.startswith("."):
            yield path


def write_pictures(path: Path, count: int = 400) -> Path:
    """Write pictures of ten classes, each a bright square at a place of its own.

    Args:
        path: the .npz to make.
        count: of each of two parts.
    """
    random = np.random.default_rng(0)
    arrays: dict[str, Any] = {}
    for part in ("train", "test"):
        labels = np.arange(count, dtype=np.int64) % 10
        images = random.integers(0, 60, (count, 28, 28), dtype=np.uint8)
        for image, label in zip(images, labels, strict=True):
            row, column = divmod(int(label), 4)
            image[2 + 8 * row : 9 + 8 * row, 1 + 7 * column : 7 + 7 * column] += 150
        arrays |= {f"{part}_images": images, f"{part}_labels": labels}
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez(path, **arrays)
    return path


def kill(process: Any) -> None:
    """End a node by SIGKILL."""
    if process.exit_code is None:
        process.send_signal(signal.SIGKILL)
        process.wait()


def children_of(pid: int) -> list[tuple[int, int]]:
    """Return number and handle of each process that a process has started (Linux)."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
                if parent == pid:
                    found.append((int(entry.name), os.pidfd_open(int(entry.name))))
    return found


def ends(handle: int, timeout_s: float = 20.0) -> bool:
    """Wait for the end of the process behind a handle; False when it lives on."""
    poll = select.poll()
    poll.register(handle, select.POLLIN)
    ended = bool(poll.poll(timeout_s * 1e3))
    os.close(handle)
    return ended
