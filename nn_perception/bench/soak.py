"""All nodes at full rate for a long time: memory and latency must not grow, nothing may get lost.

Ten minutes; ``--minutes 1440`` makes it a day. The run has ten parts, minutes in the usual one, of
each of which a percentile and a median are kept.

Resident memory is all that a process has: pages of the shared memory in which DDS hands messages
over are part of it, as soon as the process has seen them. Where the echo process, which only sends
ranges back, became slower between the two parts that are compared, so did the machine: by as much
the nodes may be slower, too.
"""

from __future__ import annotations

import time
from array import array
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from nn_perception.bench import BenchSettings, Measurement
from nn_perception.bench.mixed_load import Load, accounts, mixed_load
from nn_perception.bench.mixed_sources import ECHO, OUTPUTS, SHIPPED

MINUTES, QUICK_MINUTES = 10.0, 10.0 / 60.0
PERIODS = 10
"""Parts of the run that are compared: minutes, in one of ten minutes."""
SWAP_PERIOD_S = 10.0
GROWTH_GOAL_PERCENT = 1.0
LATENCY_GOAL = 1.1
MEBIBYTE = 2**20


class Part(NamedTuple):
    """What one part of the run showed.

    Attributes:
        p99_ms: topic -> latency, from sending to the answer's leaving the node.
        resident: process -> bytes, the median of the samples of each second.
    """

    p99_ms: Mapping[str, float]
    resident: Mapping[str, float]


class Watch:
    """Collects latencies and memory part by part."""

    def __init__(self, part_s: float) -> None:
        """Start the first part.

        Args:
            part_s: length of a part.
        """
        self.parts: list[Part] = []
        self._part_ns = round(part_s * 1e9)
        self._begin_ns: int | None = None
        self._latency_ms = {topic: array("f") for topic in (*OUTPUTS, ECHO)}
        self._resident: dict[str, list[int]] = {}

    def keeper(self, topic: str) -> Callable[[int, int, int, bytes], None]:
        """Return what takes the answers of a topic; see `Ledger`."""

        def keep(_stamp_ns: int, sent_ns: int, answered_ns: int, _raw: bytes) -> None:
            self._latency_ms[topic].append((answered_ns - sent_ns) * 1e-6)

        return keep

    def look(self, now_ns: int, resident: Mapping[str, int]) -> None:
        """Note the memory of all processes, and end a part when its time is over.

        Args:
            now_ns: any clock that does not jump.
            resident: process -> bytes.
        """
        if self._begin_ns is None:
            self._begin_ns = now_ns
        for name, size in resident.items():
            self._resident.setdefault(name, []).append(size)
        if now_ns - self._begin_ns >= self._part_ns:
            self._begin_ns += self._part_ns
            self.end_part()

    def end_part(self) -> None:
        """Sum up what came since the last part, if anything did."""
        if not self._resident:
            return
        latencies, self._latency_ms = self._latency_ms, {t: array("f") for t in self._latency_ms}
        samples, self._resident = self._resident, {}
        self.parts.append(
            Part(
                {t: float(np.percentile(values, 99)) for t, values in latencies.items() if values},
                {name: float(np.median(values)) for name, values in samples.items()},
            )
        )


def run(settings: BenchSettings, say: Callable[[str], None]) -> list[Measurement]:
    """Run all nodes for ten minutes, or as long as the settings say."""
    minutes = settings.minutes or (QUICK_MINUTES if settings.quick else MINUTES)
    say(f"all nodes at full rate for {minutes:.3g} min")
    with mixed_load(settings) as load:
        return soak(load, minutes)


def soak(load: Load, minutes: float) -> list[Measurement]:
    """Send at full rate, swap a model each ten seconds; compare the last part with the second."""
    seconds = 60.0 * minutes
    swaps = max(len(SHIPPED), round(seconds / SWAP_PERIOD_S))
    watch = Watch(seconds / PERIODS)
    nodes = {name: process for name, process in load.processes.items() if name != "echo"}

    def look() -> None:
        resident = {name: process.resident_bytes() for name, process in nodes.items()}
        watch.look(time.monotonic_ns(), resident)

    keep = {topic: watch.keeper(topic) for topic in (*OUTPUTS, ECHO)}
    look()
    done = load.run(seconds, swaps, keep, look)
    watch.end_part()
    refused = sum(bool(swap.reason) for swap in done)
    return [_lost(load, minutes, len(done), refused), *rows(watch.parts, minutes)]


def _lost(load: Load, minutes: float, swaps: int, refused: int) -> Measurement:
    due, wrong, words = accounts(load.ledgers)
    return Measurement(
        f"answers lost or doubled in {minutes:.3g} min at full rate",
        wrong,
        "answers",
        "0",
        wrong == refused == 0,
        f"images 30 Hz, IMU 200 Hz (two nodes), ranges 480 Hz at once: {due} answers due, "
        f"{words}; {swaps} swaps meanwhile, {refused} refused",
    )


def rows(parts: Sequence[Part], minutes: float) -> list[Measurement]:
    """Compare the last part with the second one; none where there are fewer than three."""
    if len(parts) < 3:
        return []
    # The last one may be short: what came behind the last full part.
    second, last = parts[1], parts[min(len(parts), PERIODS) - 1]
    growth = {
        name: 100.0 * (last.resident[name] / size - 1.0) for name, size in second.resident.items()
    }
    name = max(growth, key=lambda n: growth[n])
    ratios = {t: last.p99_ms[t] / p99 for t, p99 in second.p99_ms.items() if t in last.p99_ms}
    topic = max((t for t in ratios if t != ECHO), key=lambda t: ratios[t])
    machine = max(1.0, ratios.get(ECHO, 1.0))
    length = f"a tenth of {minutes:.3g} min"
    return [
        Measurement(
            "growth of resident memory after warm-up, largest of all nodes",
            growth[name],
            "%",
            f"< {GROWTH_GOAL_PERCENT:g} %",
            growth[name] < GROWTH_GOAL_PERCENT,
            f"last part against the second, {length} each: "
            + ", ".join(
                f"{n} {second.resident[n] / MEBIBYTE:.1f} -> {last.resident[n] / MEBIBYTE:.1f} MiB"
                for n in growth
            ),
        ),
        Measurement(
            "latency p99 of the last part, second part = 1, largest of all topics",
            ratios[topic],
            goal=f"≤ {LATENCY_GOAL:g}",
            passed=ratios[topic] <= LATENCY_GOAL * machine,
            detail=f"{length} each; "
            + ", ".join(
                f"{t} {second.p99_ms[t]:.2f} -> {last.p99_ms[t]:.2f} ms" for t in sorted(ratios)
            ),
        ),
    ]
