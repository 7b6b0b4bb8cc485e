"""The live image node with real sizes: digits found in frames, and four cameras in one process."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from nn_perception.bench import BenchSettings, Measurement
from nn_perception.bench.streaming import (
    model_parameters,
    quick_thread_switches,
    sleep_until,
    with_stamp,
)
from nn_perception.datasets.digit_frames import TRAIN_SEEDS, open_digit_frames
from nn_perception.share import shipped_model
from nn_perception.tasks import get_task

RATE_HZ = 30.0
FRAMES = 24
"""Different frames that are sent again and again; making one takes longer than answering it."""
PIPELINE_GOAL_MS = 6.0
GROWTH_GOAL = 1.1
CAMERAS = ("front", "left", "right", "rear")
LATENCY_GOAL_MS = 50.0
STAGES = ("decode", "preprocess", "engine", "postprocess")


class Sent(NamedTuple):
    """One frame: when it was published and, where it was answered, when the answer came."""

    published_s: float
    answered_s: float | None


class Run(NamedTuple):
    """What a run gave.

    Attributes:
        cameras: what was sent, by camera, in order.
        counts: what the node counted meanwhile, by the keys of its diagnostics.
        stages_ms: p50 of each of the node's stages at the end.
        cpu: time that the node's process computed, over the run's duration.
    """

    cameras: Mapping[str, Sequence[Sent]]
    counts: Mapping[str, int]
    stages_ms: Mapping[str, float]
    cpu: float

    def latencies_s(self, begin: float = 0.0, end: float = 1.0) -> NDArray[np.float64]:
        """Return the latencies of all answers to a part of the run, given by fractions of it."""
        parts = [
            one.answered_s - one.published_s
            for sent in self.cameras.values()
            for one in sent[round(begin * len(sent)) : round(end * len(sent))]
            if one.answered_s is not None
        ]
        return np.array(parts)

    @property
    def sent(self) -> int:
        """Frames of all cameras."""
        return sum(map(len, self.cameras.values()))

    @property
    def answered(self) -> list[int]:
        """Answered frames of each camera."""
        return [sum(f.answered_s is not None for f in sent) for sent in self.cameras.values()]

    @property
    def complete(self) -> bool:
        """Whether every frame was answered, or replaced by a newer one of its camera."""
        return self.sent == sum(self.answered) + self.counts["dropped"]

    @property
    def pipeline_ms(self) -> float:
        """The p50 of the pipeline's stages, summed up."""
        return sum(self.stages_ms[stage] for stage in STAGES)


def digits_regions(settings: BenchSettings, say: Callable[[str], None]) -> list[Measurement]:
    """One camera of 640x480 rgb8 at 30 Hz, ``regions`` digits, for ten minutes."""
    seconds = 20.0 if settings.quick else 600.0
    say(f"regions digits: one camera at {RATE_HZ:g} Hz, {seconds:.0f} s")
    with _node(settings, "digits", ("",)) as stream:
        run = stream(seconds)
    second, last = (np.median(run.latencies_s(*part)) for part in ((0.1, 0.2), (0.9, 1.0)))
    stages = ", ".join(f"{stage} {run.stages_ms[stage]:.2f}" for stage in STAGES)
    regions = run.counts["regions"] / max(1, sum(run.answered))
    conditions = (
        f"640x480 rgb8, {RATE_HZ:g} Hz, {seconds:.0f} s, {regions:.1f} digits a frame, "
        f"{sum(run.answered)} of {run.sent} frames answered, {run.counts['dropped']} replaced"
    )
    return [
        Measurement(
            "digits found and read in a frame, pipeline p50",
            run.pipeline_ms,
            "ms",
            f"≤ {PIPELINE_GOAL_MS:g} ms",
            run.pipeline_ms <= PIPELINE_GOAL_MS and run.complete,
            f"{conditions}; {stages} ms; with waiting and publishing "
            f"{run.stages_ms['total']:.2f} ms; CPU {run.cpu * 100:.0f} % of one core",
        ),
        Measurement(
            "latency of the last tenth of the run, second tenth = 1",
            float(last / second),
            goal=f"≤ {GROWTH_GOAL:g}",
            passed=bool(last / second <= GROWTH_GOAL) and run.complete,
            detail=f"publish to result, medians {second * 1e3:.2f} and {last * 1e3:.2f} ms",
        ),
    ]


def cameras(settings: BenchSettings, say: Callable[[str], None]) -> list[Measurement]:
    """Four cameras of 640x480 rgb8 at 30 Hz each, one process, whole frames and digits."""
    seconds = 10.0 if settings.quick else 60.0
    found = []
    for regions in ("full", "digits"):
        say(f"{len(CAMERAS)} cameras at {RATE_HZ:g} Hz, regions {regions}, {seconds:.0f} s")
        with _node(settings, regions, CAMERAS) as stream:
            run = stream(seconds)
        p50, p99 = (float(p) * 1e3 for p in np.percentile(run.latencies_s(), [50, 99]))
        found.append(
            Measurement(
                f"latency with {len(CAMERAS)} cameras, regions {regions}, p99",
                p99,
                "ms",
                f"≤ {LATENCY_GOAL_MS:g} ms, every newest frame answered",
                p99 <= LATENCY_GOAL_MS and run.complete,
                f"{len(CAMERAS)} x 640x480 rgb8, {RATE_HZ:g} Hz each, {seconds:.0f} s: {run.sent} "
                f"frames, answered by camera {', '.join(map(str, run.answered))}, "
                f"{run.counts['dropped']} replaced by newer ones; p50 {p50:.1f} ms; CPU "
                f"{run.cpu * 100:.0f} % of one core",
            )
        )
    return found


class _Stream:
    """Sends the frames of all cameras at their rate, one camera after the other."""

    def __init__(self, client: Any, process: Any, names: Sequence[str], pictures: Any) -> None:
        from nn_perception.nodes.camera_client import frame
        from nn_perception.nodes.stream_client import FIRST_STAMP_NS

        self._client, self._process, self._names = client, process, names
        self._raws = [frame(0, picture, "rgb8") for picture in pictures]
        self._stamp_ns = FIRST_STAMP_NS

    def __call__(self, seconds: float) -> Run:
        self._send(1.0)  # warms caches and the transport up
        self._client.wait_for_silence(0.5)
        self._client.forget()
        before = self._counts()
        cpu_s, start_s = self._process.cpu_s(), time.monotonic()
        published = self._send(seconds)
        cpu = (self._process.cpu_s() - cpu_s) / (time.monotonic() - start_s)
        self._client.wait_for_silence(0.5)
        after = self._counts()
        values = self._client.diagnostics
        return Run(
            {
                name: _matched(times, self._client.answers(topic))
                for name, times, topic in zip(
                    self._names, published, self._client.outputs, strict=True
                )
            },
            {key: after.get(key, 0) - before.get(key, 0) for key in (*after, "regions")},
            {
                stage: float(values[f"latency.{stage}.p50_ms"])
                for stage in (*STAGES, "publish", "total")
            },
            cpu,
        )

    def _counts(self) -> dict[str, int]:
        """Return what the node has counted, when it is done with all that came."""
        seen: dict[str, int] | None = None
        while True:
            values = self._client.next_diagnostics()
            counts = {key: int(value) for key, value in values.items() if value.isdigit()}
            if counts == seen:
                return counts
            seen = counts

    def _send(self, seconds: float) -> list[dict[int, float]]:
        """Publish at the rate; return stamp -> time for each camera."""
        published: list[dict[int, float]] = [{} for _ in self._names]
        period_s = 1.0 / RATE_HZ / len(self._names)
        start_s = time.monotonic()
        for number in range(round(seconds * RATE_HZ)):
            self._stamp_ns += round(1e9 / RATE_HZ)
            for camera in range(len(self._names)):
                template = self._raws[(number + 7 * camera) % len(self._raws)]
                raw = with_stamp(template, self._stamp_ns)
                sleep_until(start_s + (number * len(self._names) + camera) * period_s)
                published[camera][self._stamp_ns] = self._client.publish(raw, camera)
        return published


def _matched(published: Mapping[int, float], answers: Sequence[Any]) -> list[Sent]:
    received = {answer.stamp_ns: answer.received_s for answer in answers}
    return [Sent(time_s, received.get(stamp_ns)) for stamp_ns, time_s in published.items()]


@contextmanager
def _node(settings: BenchSettings, regions: str, names: Sequence[str]) -> Iterator[_Stream]:
    from nn_perception.nodes.camera_client import CameraClient
    from nn_perception.nodes.process import NodeProcess, enter_ros_environment

    enter_ros_environment(settings.domain_id)
    frames = open_digit_frames("train", TRAIN_SEEDS[0], settings.data)
    pictures = [frames[number].image for number in range(FRAMES)]
    shipped = get_task("digits").shipped_model({"regions": regions})
    parameters = {
        **model_parameters(settings.model or shipped_model(shipped)),
        "regions": regions,
        "cameras": ",".join(names),
    }
    log = settings.work / "image_classifier.log"
    with (
        quick_thread_switches(),
        NodeProcess(
            "image_classifier", domain_id=settings.domain_id, log=log, parameters=parameters
        ) as process,
        CameraClient(cameras=names, regions=regions, alive=process.check_running) as client,
    ):
        client.connect()
        yield _Stream(client, process, names, pictures)
