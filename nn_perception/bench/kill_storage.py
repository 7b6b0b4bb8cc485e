"""Writers of bundles that are killed, and disks that fill while one is written."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from nn_perception.bench import BenchSettings, Measurement
from nn_perception.bench.kill_rig import NODE, TRAINER, Rig
from nn_perception.bench.kill_watching import visible_bundles, write_pictures
from nn_perception.bundle import Bundle, load_bundle
from nn_perception.bundle_writer import save_bundle
from nn_perception.errors import BundleError
from nn_perception.share import shipped_model

Say = Callable[[str], None]

WRITER = """
import sys
from pathlib import Path
from nn_perception.bench.kill_storage import write
from nn_perception.bundle import load_bundle
bundles = [load_bundle(path) for path in sys.argv[2:4]]
print("ready", flush=True)
while True:
    for bundle in bundles:
        write(bundle, Path(sys.argv[1]) / "model")
"""


def write(bundle: Bundle, path: Path) -> None:
    """Write a bundle that is in memory to another place."""
    save_bundle(path, bundle.config, bundle.tensors, bundle.onnx, card="# A model\n")


def killed_writer(work: Path, count: int, random: np.random.Generator, say: Say) -> Measurement:
    """Kill a process that replaces one bundle by another all the time."""
    say(f"kill -9 of a process that writes a bundle, {count} times")
    work.mkdir(parents=True)
    models = [shipped_model("digits"), shipped_model("digit_reader")]
    problems: list[str] = []
    seen = Counter[str]()
    for _ in range(count):
        writer = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(work), *map(str, models)], stdout=subprocess.PIPE
        )
        assert writer.stdout is not None
        writer.stdout.readline()
        time.sleep(float(random.uniform(0.0, 0.1)))
        writer.kill()
        writer.communicate()
        seen[_look(work, problems)] += 1
    half = len(list(work.glob(".*")))
    shutil.rmtree(work)
    return Measurement(
        "kill -9 of a writer of bundles: half bundles seen",
        len(problems),
        "",
        "0",
        not problems,
        f"{count} at random moments; behind them {_told(seen)}; hidden leftovers: {half}"
        + "".join(f"; {problem}" for problem in problems[:3]),
    )


def full_disk(work: Path, count: int, random: np.random.Generator, say: Say) -> Measurement:
    """Write a bundle to a disk that is full at a random byte; then make room and write again."""
    new, old = (load_bundle(shipped_model(name)) for name in ("digits", "digit_reader"))
    size = sum(file.stat().st_size for file in shipped_model("digits").rglob("*"))
    say(f"a full disk while a bundle is written, {count} times")
    problems: list[str] = []
    refused = 0
    with small_disk(work, 4 * size) as (disk, kind):
        if not kind:
            return _skipped("full disk while a bundle is written")
        filler = disk / "filler"
        for _ in range(count):
            shutil.rmtree(disk / "model", ignore_errors=True)
            write(old, disk / "model")
            fill(filler, disk, leave=int(random.uniform(0, 1.1 * size)))
            try:
                write(new, disk / "model")
            except BundleError as error:
                refused += 1
                if "No space left" not in str(error):
                    problems.append(f"refused without the reason: {error}")
            found = _look(disk, problems)
            filler.unlink()
            if found not in (old.id, new.id):
                problems.append(f"{found} is there, neither the old nor the new bundle")
            write(new, disk / "model")
            if _look(disk, problems) != new.id:
                problems.append("with room again the bundle cannot be written")
    return Measurement(
        "full disk while a bundle is written: half bundles seen, or old ones lost",
        len(problems),
        "",
        "0",
        not problems,
        f"{count} fillings of a {kind}, full at a random byte: {refused} writings refused, "
        f"{count - refused} had room" + "".join(f"; {problem}" for problem in problems[:3]),
    )


def full_disk_of_trainer(settings: BenchSettings, work: Path, say: Say) -> list[Measurement]:
    """Let a whole training meet a full disk in each of its phases; it goes on when there is room.

    The file system grows step by step from too small for anything to large enough.
    """
    say("a training on a disk that is too small, and grows")
    work.mkdir(parents=True)
    problems: list[str] = []
    failures = 0
    with small_disk(work / "disk", 8 << 20) as (disk, kind):
        if not kind:
            return [_skipped("full disk under a trainer")]
        with Rig(work, settings.domain_id, disk / "models") as rig:
            data = write_pictures(work / "pictures.npz")
            process = rig.start(NODE, model_root=str(rig.out), model="old")
            node = rig.client(f"/{NODE}", process)
            trainer = rig.client(
                f"/{TRAINER}",
                rig.start(
                    TRAINER, data=str(data), out=str(rig.out), target_nodes=f"/{NODE}", nice=0,
                    device="cpu", overrides="network=mlp augment={} compile=off epochs=8",
                ),
            )  # fmt: skip
            status: dict[str, str] = {}
            for leave in (0, 60_000, 500_000, 1_500_000, 2_500_000, 5_000_000):
                fill(disk / "filler", disk, leave=leave)
                trainer.forget()
                taken, reason = trainer.train()
                status = trainer.wait_for_end(300.0) if taken else {"state": reason}
                problems += [f"half a bundle: {error}" for error in _half(rig.out)]
                if status["state"] == "done":
                    break
                failures += 1
                if "No space left" not in status.get("message", ""):
                    problems.append(f"failed without the reason: {status}")
                (disk / "filler").unlink(missing_ok=True)
            if status.get("decision") != "deployed":
                problems.append(f"with room it does not go on: {status.get('message')}")
            node.remote.wait_for_state("active")
    return [
        Measurement(
            "full disk under a trainer: half bundles seen, unclear reasons, no way on",
            len(problems),
            "",
            "0",
            not problems,
            f"{failures} trainings failed for want of room, the last one went on from there and "
            f"was deployed; a {kind}" + "".join(f"; {problem}" for problem in problems[:3]),
        )
    ]


@contextmanager
def small_disk(path: Path, size: int) -> Iterator[tuple[Path, str]]:
    """Give a file system of some bytes in memory, and its kind: empty where none may be mounted."""
    path.mkdir(parents=True, exist_ok=True)
    command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(path)]
    try:
        mounted = subprocess.run(command, capture_output=True, check=False).returncode == 0
    except OSError:
        mounted = False
    try:
        yield path, f"tmpfs of {size >> 10} KiB" if mounted else ""
    finally:
        if mounted:
            subprocess.run(["umount", "-l", str(path)], capture_output=True, check=False)


def fill(filler: Path, disk: Path, leave: int) -> None:
    """Fill a disk with a file until some bytes are left, to a page."""
    filler.unlink(missing_ok=True)
    state = os.statvfs(disk)
    free = state.f_bavail * state.f_frsize
    with filler.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, max(1, free - leave))


def _look(place: Path, problems: list[str]) -> str:
    """Return the identity of the one bundle that can be seen; empty when none can."""
    found = ""
    for path in visible_bundles(place):
        try:
            found = load_bundle(path).id
        except BundleError as error:
            problems.append(str(error))
    return found


def _half(out: Path) -> list[str]:
    problems: list[str] = []
    _look(out, problems)
    return problems


def _skipped(what: str) -> Measurement:
    detail = "not measured: no file system can be mounted here (it takes root)"
    return Measurement(what, float("nan"), "", "0", None, detail)


def _told(seen: Counter[str]) -> str:
    return ", ".join(f"{name or 'none'} {count}" for name, count in sorted(seen.items()))
