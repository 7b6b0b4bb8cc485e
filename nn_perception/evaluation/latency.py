"""Durations of pipeline stages: cheap to record, bounded in memory, summed up by percentiles."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

CAPACITY = 10_000
"""Samples kept per stage by default; older ones go."""

Seconds = Mapping[str, npt.NDArray[np.float64] | Sequence[float]]
"""Stage -> durations in seconds."""


@dataclass(frozen=True)
class LatencySummary:
    """Durations of one stage, seconds; NaN without samples.

    Attributes:
        n: samples behind the figures.
        p50_s: median.
        p90_s: 90th percentile.
        p95_s: 95th percentile.
        p99_s: 99th percentile.
        max_s: largest.
        mean_s: arithmetic mean.
    """

    n: int
    p50_s: float
    p90_s: float
    p95_s: float
    p99_s: float
    max_s: float
    mean_s: float

    def to_ms(self) -> dict[str, float]:
        """Return ``p50``, ``p90``, ``p95``, ``p99``, ``max`` and ``mean`` in milliseconds."""
        names = ("p50", "p90", "p95", "p99", "max", "mean")
        return {name: getattr(self, f"{name}_s") * 1e3 for name in names}


def measured(latency: Seconds | None) -> Seconds:
    """Return the stages of which there are durations."""
    return {stage: seconds for stage, seconds in (latency or {}).items() if len(seconds)}


def percentiles_ms(latency: Seconds) -> dict[str, dict[str, float]]:
    """Return stage -> what `LatencySummary.to_ms` returns."""
    return {stage: summarise(seconds).to_ms() for stage, seconds in latency.items()}


def summarise(seconds: npt.ArrayLike) -> LatencySummary:
    """Sum up durations in seconds; percentiles interpolate linearly, as NumPy's do."""
    values = np.asarray(seconds, np.float64).reshape(-1)
    if not values.size:
        return LatencySummary(0, *[math.nan] * 6)
    p50, p90, p95, p99 = np.percentile(values, [50, 90, 95, 99]).tolist()
    return LatencySummary(
        values.size, p50, p90, p95, p99, float(values.max()), float(values.mean())
    )


class LatencyRecorder:
    """Keeps the newest durations of each stage.

    One thread may add while another one reads, without a lock: appending to a deque and copying it
    are single operations of the interpreter.
    """

    def __init__(self, capacity: int = CAPACITY) -> None:
        """Keep the newest ``capacity`` samples per stage."""
        self._capacity = capacity
        self._stages: dict[str, deque[float]] = {}

    def add(self, stage: str, seconds: float) -> None:
        """Record one duration in seconds (about 0.1 us)."""
        try:
            self._stages[stage].append(seconds)
        except KeyError:
            self._stages[stage] = deque((seconds,), maxlen=self._capacity)

    def add_all(self, stage_s: Mapping[str, float]) -> None:
        """Record one duration of several stages."""
        stages = self._stages
        for stage, seconds in stage_s.items():
            if stage in stages:
                stages[stage].append(seconds)
            else:
                self.add(stage, seconds)

    def clear(self) -> None:
        """Forget everything."""
        self._stages = {}

    def samples(self) -> dict[str, npt.NDArray[np.float64]]:
        """Return the kept durations per stage in seconds, oldest first."""
        return {
            stage: np.array(kept.copy(), np.float64) for stage, kept in self._stages.copy().items()
        }

    def summary(self) -> dict[str, LatencySummary]:
        """Return the figures of each stage, in the order in which stages first appeared."""
        return {stage: summarise(seconds) for stage, seconds in self.samples().items()}

    def to_dict(self) -> dict[str, dict[str, float]]:
        """Return stage -> ``p50``, ``p90``, ``p95``, ``p99``, ``max``, ``mean`` in milliseconds."""
        return percentiles_ms(self.samples())
