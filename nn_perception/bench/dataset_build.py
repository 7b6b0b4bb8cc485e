"""Data sets from bags: megabytes of MCAP per second of one core, and the memory that it takes.

A child process builds the data set, so that the memory is its own: peak of the resident set, all
imports included.
"""

from __future__ import annotations

import json
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from nn_perception.bench import BenchSettings, Measurement
from nn_perception.bench.streaming import with_stamp
from nn_perception.datasets.bag_types import default_typestore
from nn_perception.datasets.bag_writer import (
    IMAGE,
    IMAGE_TOPIC,
    LABEL_TOPIC,
    START_NS,
    BagWriter,
    classification_message,
    image_message,
)
from nn_perception.datasets.bags import BagReader
from nn_perception.datasets.imu_bags import write_imu_bag
from nn_perception.datasets.imu_simulator import Motion, simulate_imu
from nn_perception.datasets.uwb_bag_writer import write_uwb_bag
from nn_perception.datasets.uwb_simulated import TEST_SEEDS, simulated_uwb
from nn_perception.datasets.vision_msgs import CLASSIFICATION
from nn_perception.errors import NnPerceptionError

GOAL_MB_S, GOAL_MIB = 50.0, 500.0
_FULL_BYTES, _QUICK_BYTES = 2_050_000_000, 60_000_000
_FRAME_HZ = 30.0


@dataclass(frozen=True)
class _Case:
    """One kind of bag.

    Attributes:
        name: in words.
        task: that the data set is for.
        write: makes a bag of at least so many bytes.
    """

    name: str
    task: str
    write: Callable[[Path, int], None]


def run(settings: BenchSettings, say: Callable[[str], None]) -> list[Measurement]:
    """Build a data set of each kind; report speed and memory."""
    wanted = _QUICK_BYTES if settings.quick else _FULL_BYTES
    found = []
    for case in _CASES:
        bag, out = settings.work / f"{case.task}_bag", settings.work / f"{case.task}_set"
        for path in (bag, out):
            shutil.rmtree(path, ignore_errors=True)
        say(f"{case.name}: writing {wanted / 1e6:,.0f} MB")
        case.write(bag, wanted)
        size = sum(file.stat().st_size for file in bag.glob("*.mcap"))
        say(f"{case.name}: building the data set")
        told = _build(bag, case.task, out)
        found += _measurements(case.name, size, told, judged=not settings.quick)
        for path in (bag, out):
            shutil.rmtree(path, ignore_errors=True)
    return found


def _measurements(name: str, size: int, told: dict[str, Any], *, judged: bool) -> list[Measurement]:
    """Compare with the goals; the time for a small bag is mostly start-up, and not judged."""
    speed = size / 1e6 / told["cpu_s"]
    detail = (
        f"{size / 1e9:.2f} GB, {told['rows']:,} rows, one process; {told['cpu_s']:.1f} s of CPU, "
        f"{told['wall_s']:.1f} s in all; hashes, alignment, Parquet and the page included"
    )
    return [
        Measurement(
            f"data set from MCAP, {name}",
            speed,
            "MB/s per core",
            f"≥ {GOAL_MB_S:g}",
            speed >= GOAL_MB_S if judged else None,
            detail,
        ),
        Measurement(
            f"peak memory while it is built, {name}",
            told["peak_mib"],
            "MiB",
            f"≤ {GOAL_MIB:g}",
            told["peak_mib"] <= GOAL_MIB,
            f"resident set of the process, bag of {size / 1e9:.2f} GB",
        ),
    ]


def _build(bag: Path, task: str, out: Path) -> dict[str, Any]:
    command = [sys.executable, "-m", "nn_perception.bench.dataset_build", str(bag), task, str(out)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        last = done.stderr.strip().splitlines()[-1:] or [f"exit code {done.returncode}"]
        raise NnPerceptionError(f"the data set could not be built: {last[0]}")
    told: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return told


def _child(bag: str, task: str, out: str) -> None:
    """Build, and print what it took as JSON."""
    from nn_perception.datasets.build import build_dataset
    from nn_perception.datasets.build_settings import BuildSettings

    start_s, cpu_s = time.perf_counter(), time.process_time()
    summary = build_dataset([Path(bag)], task, Path(out), BuildSettings(jobs=1))
    told = {
        "cpu_s": time.process_time() - cpu_s,
        "wall_s": time.perf_counter() - start_s,
        "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "rows": sum(summary.rows.values()),
    }
    print(json.dumps(told))


def _write_imu(path: Path, size: int) -> None:
    """Ten simulated minutes again and again, each time later."""
    small = path.with_name("imu_template")
    write_imu_bag(simulate_imu(200.0, seed=1, motion=Motion(duration_s=120.0)), small)
    _repeat(small, path, size)


def _write_ranges(path: Path, size: int) -> None:
    small = path.with_name("uwb_template")
    write_uwb_bag(simulated_uwb(TEST_SEEDS[:1])[0], small)
    _repeat(small, path, size)


def _repeat(small: Path, path: Path, size: int) -> None:
    """Write the messages of a bag over and over with later stamps, and remove it."""
    with BagReader(small) as bag:
        types = {name: topic.type for name, topic in bag.topics.items()}
        messages = list(bag.raw_messages())
        period_ns = round(bag.duration_s * 1e9) + 5_000_000
    once = {name for name, kind in types.items() if kind.startswith("std_msgs")}
    with BagWriter(path) as bag_writer:
        for name, kind in types.items():
            bag_writer.add_topic(name, kind)
        written = turn = 0
        while written < size:
            for name, time_ns, data in messages:
                if name in once:
                    if not turn:
                        bag_writer.write_raw(name, time_ns, data)
                    continue
                later = time_ns + turn * period_ns
                bag_writer.write_raw(name, later, with_stamp(data, later))
                written += len(data) + 31
            turn += 1
    shutil.rmtree(small)


def _write_images(path: Path, size: int) -> None:
    """Frames of 640x480, each another, with the label of its scene."""
    store = default_typestore()
    with BagWriter(path) as bag:
        bag.add_topic(IMAGE_TOPIC, IMAGE)
        bag.add_topic(LABEL_TOPIC, CLASSIFICATION)
        for index, (label, frame) in enumerate(_frames()):
            if index * frame.nbytes >= size:
                break
            stamp = START_NS + round(index * 1e9 / _FRAME_HZ)
            image = store.serialize_cdr(image_message(frame, "rgb8", stamp), IMAGE)
            bag.write_raw(IMAGE_TOPIC, stamp, bytes(image))
            bag.write(LABEL_TOPIC, stamp, classification_message([label], [1.0], stamp))


def _frames() -> Iterator[tuple[str, np.ndarray[Any, np.dtype[np.uint8]]]]:
    """Yield frames with structure and noise, as a camera gives them."""
    draw = np.random.default_rng(0)
    scenes = []
    for _ in range(4):
        coarse = draw.integers(0, 256, (12, 16, 3), np.uint8)
        scene = cv2.resize(coarse, (640, 480), interpolation=cv2.INTER_CUBIC).astype(np.int16)
        noisy = scene + draw.normal(0.0, 3.0, scene.shape)
        scenes.append(np.clip(noisy, 0, 255).astype(np.uint8))
    for index, (label, scene) in enumerate(cycle(zip("abcd", scenes, strict=True))):
        yield label, np.roll(scene, (29 * index, 13 * index), axis=(0, 1))


_CASES = (
    _Case("Imu and pose", "gyro", _write_imu),
    _Case("640x480 frames and labels", "objects", _write_images),
    _Case("ranges and poses", "uwb", _write_ranges),
)

if __name__ == "__main__":
    _child(*sys.argv[1:])
