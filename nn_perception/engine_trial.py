"""A trial run of a network in a process of its own, before a running node takes it over.

`onnx_limits` bounds what stands in a file. What a graph does while it runs (shapes that it
computes, a fault in the runtime) can only be seen by running it: here in a child with little memory
and time, whose end, whatever it is, the node survives.
"""

from __future__ import annotations

import hashlib
import json
import os
import resource
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

from nn_perception.bundle import Bundle, BundleConfig
from nn_perception.config import from_mapping, to_mapping
from nn_perception.errors import BundleError, NnPerceptionError
from nn_perception.signal_names import signal_name

TIMEOUT_S = 10.0
MEMORY_BYTES = 1 << 30
"""What a network may use, beyond four times the size of its file."""

# With "-m" Python would import from the working directory first, whoever may write there.
_PROGRAM = """
import sys
sys.path[:] = {path!r}
from nn_perception.engine_trial import main
sys.exit(main())
"""
_REFUSED = 3
_MAX_REASON = 500
_passed: dict[str, None] = {}
_REMEMBERED = 256


def try_network(
    bundle: Bundle, timeout_s: float = TIMEOUT_S, memory_bytes: int = MEMORY_BYTES
) -> None:
    """Load and run a bundle's ONNX graph on probe inputs in a child process.

    A graph that passed is remembered, so that swapping back and forth costs this once.

    Args:
        bundle: a verified bundle.
        timeout_s: longest time, the start of the process included.
        memory_bytes: most memory of the network, beyond four times the size of its file.

    Raises:
        BundleError: it failed, crashed, or needed more time or memory than that.
    """
    if _key(bundle) in _passed:
        return
    memory_bytes += 4 * len(bundle.onnx)
    task = {
        "name": bundle.name,
        "config": to_mapping(bundle.config),
        "timeout_s": timeout_s,
        "memory_bytes": memory_bytes,
    }
    answer = _run(json.dumps(task).encode() + b"\n" + bundle.onnx, bundle.name, timeout_s)
    reason = answer.stdout.decode(errors="replace").strip()[:_MAX_REASON]
    if answer.returncode == _REFUSED and reason:
        raise BundleError(reason)
    if answer.returncode != 0:
        raise BundleError(
            f"{bundle.name} ended its trial run by {_ending(answer.returncode)}: the network needs "
            f"more than {timeout_s:.0f} s or {memory_bytes >> 20} MiB, or is damaged"
        )
    remember(bundle)


def remember(bundle: Bundle) -> None:
    """Note that a network ran without harm, so that it is not tried in this process again."""
    while len(_passed) >= _REMEMBERED:
        _passed.pop(next(iter(_passed)), None)
    _passed[_key(bundle)] = None


def _key(bundle: Bundle) -> str:
    return hashlib.sha256(bundle.onnx + repr(bundle.config.inputs).encode()).hexdigest()


def _run(data: bytes, name: str, timeout_s: float) -> subprocess.CompletedProcess[bytes]:
    try:
        return subprocess.run(
            [sys.executable, "-c", _PROGRAM.format(path=sys.path)],
            input=data,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=timeout_s,
            start_new_session=True,  # Ctrl-C in a terminal is for the node
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise BundleError(
            f"{name} did not end its trial run within {timeout_s:.0f} s: the network is too large "
            "for this machine, or made to last"
        ) from None
    except OSError as error:
        raise BundleError(
            f"the trial run of {name} cannot be started: {error.strerror or error}"
        ) from None


def _ending(code: int) -> str:
    return f"exit code {code}" if code >= 0 else signal_name(-code)


def main() -> int:
    """Try the network that stands on standard input; say on standard output why it is refused."""
    from nn_perception.engine import OnnxEngine, warm_up

    task: dict[str, Any] = json.loads(sys.stdin.buffer.readline())
    onnx = sys.stdin.buffer.read()
    config = from_mapping(BundleConfig, task["config"])
    bundle = Bundle(Path(task["name"]), "", config, b"", onnx)
    _limit(task["timeout_s"], task["memory_bytes"])
    try:
        warm_up(OnnxEngine(bundle), bundle)
    except NnPerceptionError as error:
        print(f"{bundle.name} failed its trial run: {error}")
        return _REFUSED
    except MemoryError:
        print(f"{bundle.name} needs more than {task['memory_bytes'] >> 20} MiB")
        return _REFUSED
    return 0


def _limit(timeout_s: float, memory_bytes: int) -> None:
    """Bound this process, also for the case that its parent goes away."""
    import onnxruntime  # noqa: F401  what it maps is not the network's

    mapped = int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    resource.setrlimit(resource.RLIMIT_AS, (mapped + memory_bytes,) * 2)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    signal.alarm(int(timeout_s) + 1)
    os.nice(10)  # the stream of the node goes first
