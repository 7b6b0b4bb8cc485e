"""The live node: latency against an echo node, hot swap under load, memory."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from nn_perception.bench import BenchSettings, Measurement
from nn_perception.bench.streaming import model_parameters
from nn_perception.datasets.bags import BagReader, record_labelled_images
from nn_perception.share import shipped_model

RATIO_GOAL = 1.25


def latency(settings: BenchSettings, say: Callable[[str], None]) -> list[Measurement]:
    """640x480 rgb8 at 30 Hz, publish to result; the two nodes take turns."""
    frames = 90 if settings.quick else 450
    bag = _record(settings.work / "latency_bag", (frames, 480, 640, 3), 30.0)
    engine_s = 0.0
    seen: dict[str, list[float]] = {"echo": [], "image_classifier": []}
    for turn in range(2):
        for executable, latencies in seen.items():
            say(f"{executable}, {frames} frames of 640x480 at 30 Hz, turn {turn + 1} of 2")
            with _node(settings, executable) as play:
                playback = play(bag, 1.0, {})
            # The first second warms caches and the transport up.
            latencies.extend(playback.latency_s[30:])
            if executable == "image_classifier":
                engine_s = float(playback.diagnostics["latency.engine.p50_ms"]) * 1e-3
    echo, ours = (np.array(seen[name]) for name in ("echo", "image_classifier"))
    bound = float(np.median(echo)) + engine_s
    ratio = float(np.median(ours)) / bound
    p99 = [float(np.percentile(values, 99)) * 1e3 for values in (ours, echo)]
    return [
        Measurement(
            "latency publish to result, (echo node + engine) = 1",
            ratio,
            goal=f"≤ {RATIO_GOAL}",
            passed=ratio <= RATIO_GOAL,
            detail=f"640x480 rgb8, 30 Hz, newest frame, p50: node {np.median(ours) * 1e3:.2f} ms, "
            f"echo {np.median(echo) * 1e3:.2f} ms, engine {engine_s * 1e3:.2f} ms; "
            f"p99: node {p99[0]:.1f} ms, echo {p99[1]:.1f} ms",
        )
    ]


def swap(settings: BenchSettings, say: Callable[[str], None]) -> list[Measurement]:
    """28x28 at 100 Hz while models are swapped again and again.

    With a queue nothing may get lost. In newest-frame mode a frame is replaced whenever two arrive
    within one answer, as after a stall of the sender: a run without swaps tells how often.
    """
    seconds = 5 if settings.quick else 20
    bag = _record(settings.work / "swap_bag", (100 * seconds, 28, 28), 100.0)
    models = settings.work / "swap_models"
    shutil.rmtree(models, ignore_errors=True)
    source = settings.model or shipped_model("digits")
    for name in ("a", "b"):
        shutil.copytree(source, models / name)
    changes = {
        frame: {"model": "b" if number % 2 == 0 else "a"}
        for number, frame in enumerate(range(50, 100 * seconds - 50, 50))
    }
    parameters = {"model_root": str(models.resolve()), "model": "a"}
    runs: dict[str, Any] = {}
    for name, queue_size, wanted in (
        ("queue", 10, changes),
        ("newest", 1, changes),
        ("newest, no swaps", 1, {}),
    ):
        say(f"{name}: {len(wanted)} swaps in {seconds} s at 100 Hz")
        with _node(settings, "image_classifier", {**parameters, "queue_size": queue_size}) as play:
            runs[name] = play(bag, 1.0, wanted)
    playback = runs["queue"]
    refused = sum(not change.successful for change in playback.changes)
    took_ms = np.median([change.answered_s - change.requested_s for change in playback.changes])
    return [
        Measurement(
            "frames lost during hot swaps",
            playback.lost,
            "frames",
            "0",
            playback.lost == 0 and playback.answered_twice == 0 and refused == 0,
            f"28x28, 100 Hz, queue_size 10: {playback.sent} frames, {len(changes)} swaps of "
            f"{took_ms * 1e3:.0f} ms, {refused} refused, {playback.answered_twice} answered twice; "
            f"newest-frame mode replaced {runs['newest'].lost} frames with these swaps and "
            f"{runs['newest, no swaps'].lost} without any",
        ),
        Measurement(
            "largest gap between answers around a swap",
            playback.swap_gap_s() * 1e3,
            "ms",
            detail="one period is 10 ms; largest gap of a run without swaps: "
            f"{runs['newest, no swaps'].largest_gap_s() * 1e3:.0f} ms",
        ),
    ]


def memory(settings: BenchSettings, say: Callable[[str], None]) -> list[Measurement]:
    """Resident memory of the node process while it runs the shipped model."""
    bag = _record(settings.work / "memory_bag", (60, 480, 640, 3), 30.0)
    with _node(settings, "image_classifier") as play:
        play(bag, 1.0, {})
        process = play.process
        resident, libraries = process.resident_bytes(), process.loaded_libraries()
    torch_loaded = any("libtorch" in name for name in libraries)
    return [
        Measurement(
            "resident memory of the node, ONNX engine",
            resident / 2**20,
            "MiB",
            "torch not imported",
            not torch_loaded,
            "after 60 frames of 640x480; torch is " + ("loaded" if torch_loaded else "not loaded"),
        )
    ]


class _Play:
    """Plays bags into one running node."""

    def __init__(self, client: Any, process: Any) -> None:
        self.client = client
        self.process = process

    def __call__(self, bag: Path, rate: float, changes: dict[int, dict[str, Any]]) -> Any:
        from nn_perception.nodes.player import play_frames

        with BagReader(bag) as reader:
            frames = [(t, raw) for _, t, raw in reader.raw_messages(["/image_raw"])]
        return play_frames(self.client, frames, rate=rate, settings=changes)


@contextmanager
def _node(
    settings: BenchSettings, executable: str, parameters: dict[str, Any] | None = None
) -> Iterator[_Play]:
    from nn_perception.nodes.client import ClassifierClient
    from nn_perception.nodes.process import NodeProcess, enter_ros_environment

    enter_ros_environment(settings.domain_id)
    if parameters is None and executable == "image_classifier":
        parameters = dict(model_parameters(settings.model or shipped_model("digits")))
    log = settings.work / f"{executable}.log"
    with (
        NodeProcess(
            executable, domain_id=settings.domain_id, log=log, parameters=parameters or {}
        ) as process,
        ClassifierClient(f"/{executable}", alive=process.check_running) as client,
    ):
        client.connect(lifecycle=executable != "echo")
        yield _Play(client, process)


def _record(bag: Path, shape: tuple[int, ...], rate_hz: float) -> Path:
    shutil.rmtree(bag, ignore_errors=True)
    draws = np.random.default_rng(0)
    # A few different pictures suffice; noise for each frame would take longer than the run.
    few = draws.integers(0, 256, (8, *shape[1:]), dtype=np.uint8)
    record_labelled_images(bag, few[np.arange(shape[0]) % 8], ["0"] * shape[0], rate_hz=rate_hz)
    return bag
