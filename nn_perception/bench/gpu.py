"""On a GPU: training to 99 %, and the engine's CUDA graph against the bare graph."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import torch

from nn_perception.bench import BenchSettings, Measurement
from nn_perception.bench.engines import interleaved
from nn_perception.bundle import load_bundle
from nn_perception.datasets.mnist import find_mnist
from nn_perception.engine import create_engine, probe_inputs
from nn_perception.share import shipped_model
from nn_perception.tasks import get_task
from nn_perception.training.config import TrainingConfig
from nn_perception.training.loop import Trainer

TARGET = 0.99


def run(settings: BenchSettings, say: Callable[[str], None]) -> list[Measurement]:
    """Measure; nothing when there is no GPU."""
    if not torch.cuda.is_available():
        say("no GPU here: skipped")
        return []
    return [*_training(settings, say), *_engine(settings)]


def _training(settings: BenchSettings, say: Callable[[str], None]) -> list[Measurement]:
    directory = find_mnist(settings.data)
    if directory is None:
        say("no MNIST: training skipped")
        return []
    config = TrainingConfig(
        network="digit_cnn",
        epochs=3,
        batch_size=1024,
        learning_rate=0.01,
        validation_fraction=0.1,
        mixed_precision="on",
        deterministic=False,
        device="cuda",
    )
    learning = get_task("digits").load_learning()
    seconds = 0.0
    for _ in range(2):  # the first run compiles
        trainer = Trainer(
            learning(config, directory),
            on_epoch=lambda record: bool(record["validation_accuracy"] >= TARGET),
        )
        start = time.perf_counter()
        fit = trainer.fit()
        torch.cuda.synchronize()
        seconds = time.perf_counter() - start
    reached = fit.history[-1]["validation_accuracy"] >= TARGET
    return [
        Measurement(
            "digit_cnn to 99 % on the GPU",
            seconds,
            "s",
            "≤ 0.5",
            reached and seconds <= 0.5,
            f"{torch.cuda.get_device_name()}, {len(fit.history)} epochs, second run: compilation "
            "not counted",
        )
    ]


def _engine(settings: BenchSettings) -> list[Measurement]:
    bundle = load_bundle(settings.model or shipped_model("digits"))
    inputs = probe_inputs(bundle)
    engine: Any = create_engine(bundle, "cuda")
    engine(*inputs)
    bare = engine.bare_graph()

    def replay() -> None:
        bare.replay()
        torch.cuda.synchronize()

    times = interleaved({"engine": lambda: engine(*inputs), "graph": replay}, 2000)
    ratio = times["engine"] / times["graph"]
    return [
        Measurement(
            "engine call on the GPU, bare CUDA graph = 1",
            ratio,
            goal="≤ 1.2",
            passed=ratio <= 1.2,
            detail=f"batch 1, host to host: {times['engine'] * 1e6:.0f} against "
            f"{times['graph'] * 1e6:.0f} µs",
        )
    ]
