"""Replay speed: 28x28 frames from MCAP to answers and figures."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from typing import Any

import numpy as np

from nn_perception.bench import BenchSettings, Measurement
from nn_perception.datasets.bags import record_labelled_images
from nn_perception.evaluation.image_classification import ClassificationEvaluation
from nn_perception.evaluation.replay import replay
from nn_perception.share import shipped_model
from nn_perception.tasks.loading import open_pipeline

GOAL_HZ = 3000


def run(settings: BenchSettings, say: Callable[[str], None]) -> list[Measurement]:
    """Record 28x28 frames, replay them three times, report the median rate."""
    count = 2_000 if settings.quick else 20_000
    bag = settings.work / "replay_bag"
    shutil.rmtree(bag, ignore_errors=True)
    draws = np.random.default_rng(0)
    images = draws.integers(0, 256, (count, 28, 28), dtype=np.uint8)
    labels = [str(label) for label in draws.integers(0, 10, count)]
    record_labelled_images(bag, images, labels, rate_hz=100.0)
    pipeline: Any = open_pipeline(settings.model or shipped_model("digits"), device="cpu")
    rates = []
    for _ in range(3):
        done = replay(bag, pipeline, ClassificationEvaluation(pipeline))
        rates.append(done.rate_hz)
    rate = float(np.median(rates))
    engine_us = done.latency.to_dict()["engine"]["p50"] * 1e3
    return [
        Measurement(
            "replay of 28x28 frames, MCAP to figures",
            rate,
            "frames/s",
            f"≥ {GOAL_HZ}",
            rate >= GOAL_HZ,
            f"{count} frames, one engine thread, {engine_us:.0f} µs a frame in the engine; "
            f"runs {min(rates):.0f} to {max(rates):.0f}",
        )
    ]
