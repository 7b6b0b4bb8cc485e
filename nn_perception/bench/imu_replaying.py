"""Replay speed of the tasks for inertial sensors: a 200 Hz bag from MCAP to answers."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from nn_perception.bench import BenchSettings, Measurement
from nn_perception.datasets.imu_bags import write_imu_bag
from nn_perception.datasets.imu_simulator import Motion, simulate_imu
from nn_perception.evaluation.replay import replay
from nn_perception.share import shipped_model
from nn_perception.tasks import get_task
from nn_perception.tasks.loading import open_pipeline

RATE_HZ = 200.0
GOAL = 100
_RUNS = 3


def run(settings: BenchSettings, say: Callable[[str], None]) -> list[Measurement]:
    """Replay a simulated recording three times with each model; report the median speed.

    The models are the one that the settings name, else those of `attitude` and `gyro` that ship
    with the package.
    """
    shipped = (shipped_model(name) for name in ("attitude", "gyro"))
    models = [settings.model] if settings.model else [path for path in shipped if path.is_dir()]
    if not models:
        say("no model of attitude or gyro here: name one with --model")
        return []
    bag = record(settings.work / "imu_bag", 30.0 if settings.quick else 300.0)
    return [measure(model, bag) for model in models]


def record(bag: Path, duration_s: float) -> Path:
    """Write a simulated recording with its truth as a bag, in place of an older one."""
    shutil.rmtree(bag, ignore_errors=True)
    write_imu_bag(simulate_imu(RATE_HZ, seed=0, motion=Motion(duration_s=duration_s)), bag)
    return bag


def measure(model: Path, bag: Path) -> Measurement:
    """Replay the bag with one model; reading, decoding and collecting the truth are included."""
    pipeline: Any = open_pipeline(model, device="cpu")
    evaluation = get_task(pipeline.bundle.task).load_evaluation()
    done = [replay(bag, pipeline, evaluation(pipeline)) for _ in range(_RUNS)]
    speeds = [each.times_real_time for each in done]
    speed = float(np.median(speeds))
    per_message_us = 1e6 / (speed * RATE_HZ)
    return Measurement(
        f"replay of a {RATE_HZ:.0f} Hz IMU, {pipeline.bundle.task}",
        speed,
        "x real time",
        f"≥ {GOAL}",
        speed >= GOAL,
        f"{done[0].messages} samples, one engine thread, {per_message_us:.0f} µs a sample; "
        f"runs {min(speeds):.0f} to {max(speeds):.0f}",
    )
