"""The process in which damaged input is opened, and what watches over it.

A crash of OpenCV or ONNX Runtime, a hang, or memory without a bound would take the watching process
with it otherwise. The worker notes the index that it is at; when it dies or does not get further,
the case is known, and a new worker goes on behind it.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nn_perception.signal_names import signal_name

MAX_ADDRESS_BYTES = 8 << 30
"""Of the worker; an input that wants more gets a MemoryError, which is a finding."""
HANG_S = 20.0
BUNDLES = "bundles"
WARM_UP_CASES = 200
"""After these memory is compared with what it is at the end."""
KEPT_FINDINGS = 20


@dataclass
class Outcome:
    """What a number of cases gave.

    Attributes:
        cases: how many were tried.
        refused: those that an error of this package refused.
        findings: (index, what) of crashes, hangs, foreign errors, wrong answers: the first few.
        failures: how many there were of them.
        slowest: CPU seconds of the slowest case, and its index.
        added_bytes: by how much the peak of resident memory rose after the first cases.
    """

    cases: int = 0
    refused: int = 0
    findings: list[tuple[int, str]] = field(default_factory=list)
    failures: int = 0
    slowest: tuple[float, int] = (0.0, -1)
    added_bytes: int = 0

    def found(self, index: int, what: str) -> None:
        """Note a finding."""
        self.failures += 1
        if len(self.findings) < KEPT_FINDINGS:
            self.findings.append((index, what))


def watch(kind: str, seed: int, count: int, work: Path, hang_s: float = HANG_S) -> Outcome:
    """Try cases in workers.

    Args:
        kind: a message type of `fuzz_targets.TARGETS`, or `BUNDLES`.
        seed: of the damage.
        count: cases 0 to ``count`` - 1.
        work: directory for files.
        hang_s: a case that takes longer is a hang.
    """
    outcome, first = Outcome(), 0
    while first < count:
        first = _watch_one(kind, seed, first, count, work, hang_s, outcome)
    return outcome


def _watch_one(
    kind: str, seed: int, first: int, end: int, work: Path, hang_s: float, outcome: Outcome
) -> int:
    """Run one worker; return the index behind the last case that it tried."""
    at, log = work / "fuzz_at", work / "fuzz.log"
    at.write_bytes(first.to_bytes(8, "little"))
    spec = {"kind": kind, "seed": seed, "first": first, "end": end, "work": str(work)}
    command = [sys.executable, "-m", "nn_perception.bench.fuzz_worker", json.dumps(spec)]
    variables = {**os.environ, "OPENCV_LOG_LEVEL": "OFF", "OMP_NUM_THREADS": "1"}
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.DEVNULL, env=variables)
        hung = _wait(process, at, hang_s)
    done = _read_log(log, outcome)
    if done is None:  # it did not come to its end
        index = int.from_bytes(at.read_bytes(), "little")
        code = process.returncode
        name = signal_name(-code) if code < 0 else f"exit code {code}"
        outcome.found(index, f"no end within {hang_s:g} s" if hung else f"crash: {name}")
        outcome.cases += index + 1 - first
        return index + 1
    outcome.cases += end - first
    outcome.refused += done["refused"]
    outcome.slowest = max(outcome.slowest, (done["slowest_s"], done["slowest"]))
    outcome.added_bytes = max(outcome.added_bytes, done["added_bytes"])
    return end


def _wait(process: subprocess.Popen[bytes], at: Path, hang_s: float) -> bool:
    """Wait for the end; kill a process that does not get on, and return True then."""
    known, since_s = b"", time.monotonic()
    while True:
        try:
            process.wait(0.2)
            return False
        except subprocess.TimeoutExpired:
            pass
        now = at.read_bytes()
        if now != known:
            known, since_s = now, time.monotonic()
        elif time.monotonic() - since_s > hang_s:
            process.kill()
            process.wait()
            return True


def _read_log(log: Path, outcome: Outcome) -> dict[str, Any] | None:
    done = None
    for line in log.read_text(errors="replace").splitlines():
        try:
            entry = json.loads(line)
        except ValueError:  # what a library printed
            continue
        if "what" in entry:
            outcome.found(entry["index"], entry["what"])
        else:
            done = entry
    return done


def work_through(spec: dict[str, Any]) -> dict[str, Any]:
    """Try the cases of a specification; print each finding at once, and return the sums."""
    resource.setrlimit(resource.RLIMIT_AS, (MAX_ADDRESS_BYTES, MAX_ADDRESS_BYTES))
    run = _opener(spec)
    at = os.open(Path(spec["work"]) / "fuzz_at", os.O_WRONLY)
    refused, slowest, warm_bytes = 0, (0.0, -1), 0
    for number, index in enumerate(range(spec["first"], spec["end"])):
        os.pwrite(at, index.to_bytes(8, "little"), 0)
        start_s = time.process_time()
        try:
            refused += run(index)
        except Exception as error:
            text = f"{type(error).__name__}: {str(error)[:300]}"
            print(json.dumps({"index": index, "what": text}), flush=True)
        slowest = max(slowest, (time.process_time() - start_s, index))
        if number == WARM_UP_CASES:
            warm_bytes = _peak_bytes()
    added = _peak_bytes() - warm_bytes if warm_bytes else 0
    return {
        "refused": refused,
        "slowest_s": slowest[0],
        "slowest": slowest[1],
        "added_bytes": added,
    }


def _opener(spec: dict[str, Any]) -> Callable[[int], bool]:
    if spec["kind"] == BUNDLES:
        from nn_perception.bench.fuzz_bundles import BundleFuzzer

        return BundleFuzzer(spec["seed"], Path(spec["work"])).run
    from nn_perception.bench.fuzz_messages import Fuzzer

    fuzzer = Fuzzer(spec["kind"], spec["seed"])
    fuzzer.check_health()
    return fuzzer.run


def _peak_bytes() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


if __name__ == "__main__":
    print(json.dumps(work_through(json.loads(sys.argv[1]))), flush=True)
