"""The child process: ``python -m nn_perception.jobs.child STAGE FILE PIPE``.

It ends with its parent, however that ends: standard input is a pipe of which the parent holds the
other end.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import sys
import threading
import traceback
from collections.abc import Sequence
from pathlib import Path

from nn_perception.errors import NnPerceptionError
from nn_perception.jobs.progress import ProgressWriter
from nn_perception.jobs.spec import load_comparison, load_spec

TRAIN, EVALUATE = "train", "evaluate"
EXIT_OK, EXIT_INTERNAL, EXIT_FAILED = 0, 1, 2

OOM_SCORE = 1000
"""The kernel ends this process before any other when memory runs out."""


def main(words: Sequence[str]) -> int:
    """Run one stage; return the exit code."""
    stage, path, pipe = words[0], Path(words[1]), int(words[2])
    os.set_inheritable(pipe, False)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    _offer_to_oom_killer()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", stream=sys.stderr)
    with os.fdopen(pipe, "w", encoding="utf-8") as stream:
        progress = ProgressWriter(stream, path.with_name("progress.json"))
        try:
            _run(stage, path, progress)
        except Exception as error:
            progress.fail(_reason(error))
            traceback.print_exc()
            return EXIT_FAILED if isinstance(error, NnPerceptionError) else EXIT_INTERNAL
    return EXIT_OK


def _run(stage: str, path: Path, progress: ProgressWriter) -> None:
    """Read what is to be done, and do it; each stage imports what it needs."""
    if stage == TRAIN:
        spec = load_spec(path)
        os.nice(spec.nice)
        progress.tell("preparing", now=True)
        from nn_perception.training.job import train_job

        train_job(spec, progress)
    else:
        comparison = load_comparison(path)
        os.nice(comparison.nice)
        progress.tell("evaluating", now=True)
        from nn_perception.jobs.comparing import compare

        compare(comparison, path.with_name("scores.json"), progress)


def _reason(error: Exception) -> str:
    if isinstance(error, NnPerceptionError):
        return str(error)
    if isinstance(error, MemoryError):
        return "out of memory: choose a smaller batch_size or network"
    if isinstance(error, OSError):
        where = f" {error.filename}" if error.filename else ""
        return f"cannot read or write{where}: {error.strerror or error}"
    return f"internal error, {type(error).__name__}: {error}"


def _end_with_parent() -> None:
    """Wait for the end of standard input, then end everything in this process group."""
    while os.read(sys.stdin.fileno(), 4096):
        pass
    os.killpg(os.getpgid(0), signal.SIGKILL)


def _offer_to_oom_killer() -> None:
    with contextlib.suppress(OSError):  # not Linux, or not allowed: then the kernel chooses
        Path("/proc/self/oom_score_adj").write_text(str(OOM_SCORE))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
