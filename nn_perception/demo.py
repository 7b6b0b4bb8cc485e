"""The whole loop in one go: train, bundle, record, run live, swap, replay, report."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import cv2
import numpy as np
import numpy.typing as npt

from nn_perception.bundle import Bundle
from nn_perception.datasets.arrays import ImageSet
from nn_perception.datasets.bags import record_labelled_images
from nn_perception.datasets.builtin import load_builtin_digits
from nn_perception.datasets.mnist import find_mnist, load_mnist
from nn_perception.evaluation.classification import ClassificationMetrics, classification_metrics
from nn_perception.evaluation.image_classification import ClassificationEvaluation
from nn_perception.evaluation.replay import Replay, replay
from nn_perception.evaluation.report import write_classification_report
from nn_perception.progress import progress_bar
from nn_perception.tasks.loading import open_pipeline
from nn_perception.training.log import read_metrics

FIRST, SECOND = "mlp", "digit_cnn"
FRAME_SHAPE = (240, 320)
STAGES = ("wait", "decode", "preprocess", "engine", "postprocess", "publish", "total")

# A demo's worth of training: (built-in digits, MNIST). The recipes train longer.
EPOCHS = {FIRST: (20, 4), SECOND: (12, 1)}
BATCH = {FIRST: (32, 128), SECOND: (64, 128)}


@dataclass(frozen=True)
class DemoSettings:
    """What the demo does: where it writes, its data, how many frames at which rate."""

    out: Path
    data: Path | None = None
    frames: int = 600
    rate_hz: float = 30.0
    domain_id: int = 77


@dataclass(frozen=True)
class Demo:
    """What the demo measured.

    Attributes:
        rows: (what, value) of the main table.
        latency_rows: (stage, p50, p99) in milliseconds.
        page: the HTML report.
        passed: no frame lost, the swap took place, live and replay agree.
        figures: all of it for JSON.
    """

    LATENCY_HEADER: ClassVar[tuple[str, ...]] = ("stage", "p50 ms", "p99 ms")

    rows: list[tuple[str, object]]
    latency_rows: list[tuple[str, float, float]]
    page: Path
    passed: bool
    figures: dict[str, Any]

    def to_dict(self) -> dict[str, Any]:
        """Return the figures for JSON."""
        return {**self.figures, "passed": self.passed, "report": str(self.page)}


@dataclass(frozen=True)
class _Live:
    playback: Any
    metrics: ClassificationMetrics
    wrong: list[tuple[npt.NDArray[np.uint8], str, str, float]]
    agree: int


def run_demo(settings: DemoSettings, say: Callable[[str], None]) -> Demo:
    """Run the demo; needs rclpy.

    Raises:
        NnPerceptionError: a step failed.
    """
    directory = find_mnist(settings.data)
    say(f"data     {'MNIST' if directory else 'the handwritten digits of scikit-learn'}")
    models = settings.out / "models"
    bundles = {name: _train(name, directory, models, say) for name in (FIRST, SECOND)}
    test = load_mnist(directory, "test") if directory else load_builtin_digits("test")
    frames, labels = camera_frames(test, settings.frames)
    bag = settings.out / "bag"
    say(f"record   {len(frames)} camera frames {frames.shape[2]}x{frames.shape[1]} -> {bag}")
    _record(bag, frames, labels, settings.rate_hz)
    say(f"live     node image_classifier, {settings.rate_hz:g} Hz, swap in the middle")
    playback = _play(bag, models, settings)
    say("replay   the same bag through the same pipeline, without ROS")
    replays = {name: _replay(bag, bundle) for name, bundle in bundles.items()}
    live = _judge(playback, labels, frames, bundles, replays)
    say("report   tables and pictures")
    return _summarise(settings, bundles, live, replays, directory is not None)


def camera_frames(
    digits: ImageSet, count: int, seed: int = 0
) -> tuple[npt.NDArray[np.uint8], list[str]]:
    """Return (N, 240, 320) camera frames that each show one digit, and their labels.

    The digit fills the frame's height, on a dark ground with sensor noise and varying exposure.
    """
    draws = np.random.default_rng(seed)
    height, width = FRAME_SHAPE
    order = np.resize(draws.permutation(len(digits.labels)), count)
    frames = np.zeros((count, height, width), np.uint8)
    bar = progress_bar(count, "frames", "frame")
    for frame, index in zip(frames, order, strict=True):
        bar.update()
        digit = cv2.resize(digits.images[index, :, :, 0], (height, height))
        left = (width - height) // 2
        exposure = draws.uniform(0.7, 1.0)
        noisy = draws.normal(8.0, 4.0, (height, width))
        noisy[:, left : left + height] += digit * exposure
        frame[...] = np.clip(noisy, 0, 255)
    bar.close()
    return frames, [digits.class_names[digits.labels[index]] for index in order]


def _train(
    network: str, directory: Path | None, models: Path, say: Callable[[str], None]
) -> Bundle:
    from nn_perception.training.run import resolve_config, train_task

    real = directory is not None
    overrides = {
        "network": network,
        "epochs": EPOCHS[network][real],
        "batch_size": BATCH[network][real],
        "validation_fraction": 0.1 if real else 0.2,
    }
    say(f"train    {network}, {overrides['epochs']} epochs -> {models / network}")
    config = resolve_config("digits", {}, overrides)
    trained = train_task("digits", config, data=directory, out=models / network, show_progress=True)
    if trained.bundle is None:  # only in the helper processes of a data-parallel run
        raise RuntimeError("no bundle was written")
    return trained.bundle


def _record(bag: Path, frames: npt.NDArray[np.uint8], labels: list[str], rate_hz: float) -> None:
    if (bag / "metadata.yaml").is_file():
        shutil.rmtree(bag)
    record_labelled_images(bag, frames, labels, rate_hz=rate_hz, frame_id="camera")


def _play(bag: Path, models: Path, settings: DemoSettings) -> Any:
    from nn_perception.nodes.player import play_bag
    from nn_perception.nodes.process import NodeProcess, enter_ros_environment

    enter_ros_environment(settings.domain_id)
    # A short queue: every frame shall be answered, though this machine may stall for a moment,
    # and whatever it shows: each frame is one of the digits here.
    parameters = {
        "model_root": str(models.resolve()),
        "model": FIRST,
        "queue_size": 10,
        "keep_percent": 100.0,
    }
    log = settings.out / "node.log"
    with (
        NodeProcess(
            "image_classifier", domain_id=settings.domain_id, log=log, parameters=parameters
        ) as process,
        progress_bar(settings.frames, "live", "frame") as bar,
    ):
        return play_bag(
            bag,
            settings={settings.frames // 2: {"model": SECOND}},
            alive=process.check_running,
            on_progress=bar.update,
        )


def _replay(bag: Path, bundle: Bundle) -> tuple[Replay, ClassificationEvaluation]:
    pipeline: Any = open_pipeline(bundle, device="cpu")
    evaluation = ClassificationEvaluation(pipeline)
    return replay(bag, pipeline, evaluation), evaluation


def _judge(
    playback: Any,
    labels: list[str],
    frames: npt.NDArray[np.uint8],
    bundles: Mapping[str, Bundle],
    replays: Mapping[str, tuple[Replay, ClassificationEvaluation]],
) -> _Live:
    """Compare every live answer with the truth and with what the replay gave for that frame."""
    names = bundles[FIRST].labels
    answered = [frame for frame in playback.frames if frame.labels]
    scores = np.array(
        [[dict(zip(f.labels, f.scores, strict=True))[n] for n in names] for f in answered]
    )
    truth = np.array([names.index(labels[frame.index]) for frame in answered])
    replayed = [evaluation.scores_by_stamp for _, evaluation in replays.values()]
    agree = sum(
        any(np.allclose(row, by_stamp[frame.stamp_ns], atol=1e-6) for by_stamp in replayed)
        for row, frame in zip(scores, answered, strict=True)
    )
    wrong = [
        (frames[frame.index], names[t], frame.labels[0], frame.scores[0])
        for frame, t in zip(answered, truth, strict=True)
        if frame.labels[0] != names[t]
    ]
    return _Live(playback, classification_metrics(scores, truth, names), wrong, agree)


def _summarise(
    settings: DemoSettings,
    bundles: Mapping[str, Bundle],
    live: _Live,
    replays: Mapping[str, tuple[Replay, ClassificationEvaluation]],
    real_mnist: bool,
) -> Demo:
    playback, metrics = live.playback, live.metrics
    change = playback.changes[0]
    # The first answer of the new model may come up to a frame after the request.
    gap_ms = (playback.swap_gap_s() - 1.0 / settings.rate_hz) * 1e3
    swapped = "done" if change.successful else f"refused: {change.reason}"
    rows: list[tuple[str, object]] = [
        ("data", "MNIST" if real_mnist else "scikit-learn digits, 28x28"),
        ("frames in / out / lost", f"{playback.sent} / {playback.answered} / {playback.lost}"),
        ("accuracy, live", f"{metrics.accuracy:.2%}"),
        *(
            (f"accuracy, replay {name}", _percent(evaluation.metrics()))
            for name, (_, evaluation) in replays.items()
        ),
        ("live answers equal to replay", f"{live.agree} of {playback.answered}"),
        (
            "replay speed",
            f"{replays[SECOND][0].rate_hz:,.0f} frames/s, "
            f"{replays[SECOND][0].times_real_time:,.0f} x real time",
        ),
        (f"hot swap {FIRST} -> {SECOND}", swapped),
        ("swap gap beyond the frame period", f"{max(gap_ms, 0.0):.1f} ms"),
    ]
    latency_rows = _latency_rows(playback)
    passed = (
        playback.lost == 0
        and playback.answered_twice == 0
        and change.successful
        and live.agree == playback.answered > 0
    )
    history = read_metrics(settings.out / "models" / f"{SECOND}.run")
    page = write_classification_report(
        settings.out / "report",
        title="nn_perception demo: digits, live",
        metrics=metrics,
        wrong=live.wrong,
        latency={"publish to result": playback.latency_s},
        history=history,
        facts={name: str(value) for name, value in rows}
        | {
            f"latency {stage}": f"p50 {p50:.2f} ms, p99 {p99:.2f} ms"
            for stage, p50, p99 in latency_rows
        },
    )
    figures = {
        "accuracy": metrics.accuracy,
        "frames_in": playback.sent,
        "frames_out": playback.answered,
        "frames_lost": playback.lost,
        "live_equals_replay": live.agree,
        "swap_gap_ms": max(gap_ms, 0.0),
        "latency_ms": {stage: {"p50": p50, "p99": p99} for stage, p50, p99 in latency_rows},
        "bundles": {name: bundle.id for name, bundle in bundles.items()},
    }
    return Demo(rows, latency_rows, page, passed, figures)


def _latency_rows(playback: Any) -> list[tuple[str, float, float]]:
    """Return end to end as the client saw it, then the node's own stages from its diagnostics."""
    end_to_end = np.percentile(playback.latency_s, [50, 99]) * 1e3
    rows = [("publish to result", float(end_to_end[0]), float(end_to_end[1]))]
    for stage in STAGES:
        values = [playback.diagnostics.get(f"latency.{stage}.{p}_ms") for p in ("p50", "p99")]
        if None not in values:
            rows.append((f"  node: {stage}", float(values[0]), float(values[1])))
    return rows


def _percent(metrics: ClassificationMetrics | None) -> str:
    return "-" if metrics is None else f"{metrics.accuracy:.2%}"
