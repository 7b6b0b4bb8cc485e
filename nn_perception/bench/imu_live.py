"""The live node for IMUs: CPU, latency against an echo node, and how many units it serves."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from nn_perception.bench import BenchSettings, Measurement
from nn_perception.bench.streaming import (
    model_parameters,
    quick_thread_switches,
    sleep_until,
    with_stamp,
)
from nn_perception.bundle import load_bundle
from nn_perception.share import shipped_model

RATE_HZ = 200.0
CPU_GOAL_PERCENT = 8.0
LATENCY_GOAL_MS = 1.0
BACKLOG_S = 0.1
"""A node whose answers come later than this has a backlog."""
UNITS = (1, 8, 32, 64)
UNITS_GOAL = 32
NODES = {
    "attitude": ("attitude_estimator", "imu/data"),
    "gyro": ("gyro_corrector", "imu/data_corrected"),
}
"""Task -> executable and the topic of its answers."""


@dataclass(frozen=True)
class Run:
    """What one stream of samples gave.

    Attributes:
        sent: samples published.
        received: answers to them.
        latency_s: of each answer, from publishing to receiving; by units, then by time.
        last_latency_s: of the answers to the last second.
        cpu: time that the node's process computed for the stream, over the stream's duration.
    """

    sent: int
    received: int
    latency_s: Any
    last_latency_s: Any
    cpu: float

    @property
    def complete(self) -> bool:
        """Whether every sample was answered once."""
        return self.sent == self.received

    @property
    def keeps_up(self) -> bool:
        """Whether it is complete and no backlog was there at the end."""
        return self.complete and float(np.median(self.last_latency_s)) <= BACKLOG_S

    def percentile_ms(self, percentile: float) -> float:
        """Return a percentile of the latency; NaN without answers."""
        if not len(self.latency_s):
            return float("nan")
        return float(np.percentile(self.latency_s, percentile)) * 1e3


def run(settings: BenchSettings, say: Callable[[str], None]) -> list[Measurement]:
    """Measure one unit against an echo node, then more and more units in one process."""
    model = settings.model or shipped_model("attitude")
    task = load_bundle(model).task
    executable, topic = NODES[task]
    parameters = {"task": task, **model_parameters(model)}
    seconds = 5.0 if settings.quick else 30.0
    with quick_thread_switches():
        alone = _against_echo(settings, executable, topic, parameters, seconds, say)
        runs = {}
        for units in UNITS:
            say(f"{executable} with {units} IMUs at {RATE_HZ:g} Hz, {seconds / 3:.0f} s")
            with _node(settings, executable, topic, parameters, units) as stream:
                runs[units] = stream(seconds / 3)
    return [*alone, _capacity(runs)]


def _against_echo(
    settings: BenchSettings,
    executable: str,
    topic: str,
    parameters: Mapping[str, Any],
    seconds: float,
    say: Callable[[str], None],
) -> list[Measurement]:
    """Let echo and node take turns with one unit."""
    runs: dict[str, list[Run]] = {"echo": [], executable: []}
    for turn in range(2):
        for name, turns in runs.items():
            say(f"{name}, one IMU at {RATE_HZ:g} Hz, {seconds:.0f} s, turn {turn + 1} of 2")
            with _node(settings, name, topic, parameters, 1) as stream:
                turns.append(stream(seconds))
    (echo, ours) = (_together(turns) for turns in runs.values())
    added_ms = [ours.percentile_ms(p) - echo.percentile_ms(p) for p in (50, 99)]
    conditions = f"one IMU at {RATE_HZ:g} Hz, {ours.sent} samples, {ours.received} answers"
    return [
        Measurement(
            f"CPU of {executable} at {RATE_HZ:g} Hz, of one core",
            ours.cpu * 100.0,
            "%",
            f"≤ {CPU_GOAL_PERCENT:g} %",
            ours.cpu * 100.0 <= CPU_GOAL_PERCENT and ours.complete,
            f"{conditions}; echo node {echo.cpu * 100.0:.1f} %",
        ),
        Measurement(
            f"latency that {executable} adds to an echo node, p99",
            added_ms[1],
            "ms",
            f"≤ {LATENCY_GOAL_MS:g} ms",
            added_ms[1] <= LATENCY_GOAL_MS and ours.complete,
            f"{conditions}; p50 {added_ms[0]:.2f} ms added; node p50 "
            f"{ours.percentile_ms(50):.2f}, p99 {ours.percentile_ms(99):.2f} ms; echo p50 "
            f"{echo.percentile_ms(50):.2f}, p99 {echo.percentile_ms(99):.2f} ms",
        ),
    ]


def _capacity(runs: Mapping[int, Run]) -> Measurement:
    kept_up = 0
    for units, result in runs.items():
        if not result.keeps_up:
            break
        kept_up = units
    costs = {units: result.cpu * 100.0 / units for units, result in runs.items()}
    falling = all(costs[more] < costs[fewer] for fewer, more in zip(runs, UNITS[1:], strict=False))
    return Measurement(
        f"IMUs at {RATE_HZ:g} Hz that one process keeps up with",
        kept_up,
        "",
        f"≥ {UNITS_GOAL}, cost per IMU falls",
        kept_up >= UNITS_GOAL and falling,
        "CPU per IMU, of one core: "
        + ", ".join(
            f"{units}: {costs[units]:.1f} % ({result.received} of {result.sent} answered, p99 "
            f"{result.percentile_ms(99):.1f} ms)"
            for units, result in runs.items()
        ),
    )


def _together(runs: list[Run]) -> Run:
    return Run(
        sum(r.sent for r in runs),
        sum(r.received for r in runs),
        np.concatenate([r.latency_s for r in runs]),
        np.concatenate([r.last_latency_s for r in runs]),
        float(np.mean([r.cpu for r in runs])),
    )


class _Stream:
    """Sends samples of all units at their rate, and counts the answers."""

    def __init__(self, client: Any, process: Any, units: int, topics: list[str]) -> None:
        from nn_perception.nodes.imu_client import FIRST_STAMP_NS, sample

        self._client, self._process, self._units, self._topics = client, process, units, topics
        self._stamp_ns = FIRST_STAMP_NS
        turns = 2.0 * np.pi * np.arange(400) / 400
        self._samples = [
            sample(0, (0.5 * np.sin(t), 0.3 * np.cos(t), 0.1), (np.sin(t), np.cos(t), 9.7))
            for t in turns
        ]

    def __call__(self, seconds: float) -> Run:
        self._send(1.0)  # warms caches up
        self._client.wait_for_silence(0.5)
        self._client.forget()
        cpu_s, start_s = self._process.cpu_s(), time.monotonic()
        sent = self._send(seconds)
        end_s = time.monotonic()
        self._client.wait_for_silence(0.1)  # what a backlog costs belongs to the stream, too
        cpu = (self._process.cpu_s() - cpu_s) / (end_s - start_s)
        self._client.wait_for_silence(1.0)
        times = [
            (published[answer.stamp_ns], answer.received_s)
            for published, topic in zip(sent, self._topics, strict=True)
            for answer in self._client.answers(topic)
            if answer.stamp_ns in published  # an overloaded node may still answer the warm-up
        ]
        published_s, received_s = np.array(times).reshape(-1, 2).T
        latency_s = received_s - published_s
        last = latency_s[published_s > end_s - 1.0]
        return Run(sum(map(len, sent)), len(latency_s), latency_s, last, cpu)

    def _send(self, seconds: float) -> list[dict[int, float]]:
        """Publish at the rate, the units one after the other; return stamp -> time for each."""
        sent: list[dict[int, float]] = [{} for _ in range(self._units)]
        period_s = 1.0 / RATE_HZ / self._units
        start_s = time.monotonic()
        for number in range(round(seconds * RATE_HZ)):
            self._stamp_ns += round(1e9 / RATE_HZ)
            raw = with_stamp(self._samples[number % len(self._samples)], self._stamp_ns)
            for unit in range(self._units):
                sleep_until(start_s + (number * self._units + unit) * period_s)
                sent[unit][self._stamp_ns] = self._client.publish(raw, unit)
        return sent


@contextmanager
def _node(
    settings: BenchSettings,
    executable: str,
    topic: str,
    parameters: Mapping[str, Any],
    units: int,
) -> Iterator[_Stream]:
    from sensor_msgs.msg import Imu

    from nn_perception.nodes.echo import IMU
    from nn_perception.nodes.imu_client import ImuClient
    from nn_perception.nodes.process import NodeProcess, enter_ros_environment

    enter_ros_environment(settings.domain_id)
    echo = executable == "echo"
    topic = "imu/data" if echo else topic
    imus = [f"imu_{number}" for number in range(units)] if units > 1 else [""]
    log: Path = settings.work / f"{executable}.log"
    with (
        NodeProcess(
            executable,
            domain_id=settings.domain_id,
            log=log,
            parameters={} if echo else {**parameters, "imus": ",".join(imus)},
            arguments=(IMU,) if echo else (),
        ) as process,
        ImuClient(
            f"/{executable}", outputs={topic: Imu}, imus=imus, alive=process.check_running
        ) as client,
    ):
        client.connect(lifecycle=not echo)
        topics = [f"{imu}/{topic}" if imu else topic for imu in imus]
        yield _Stream(client, process, units, topics)
