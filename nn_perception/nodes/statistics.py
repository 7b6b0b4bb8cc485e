"""Counts and latencies of one node, written by its threads and read by its diagnostics."""

from __future__ import annotations

import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from nn_perception.evaluation.latency import LatencyRecorder
from nn_perception.inertial.gate import START

LATENCY_WINDOW = 1000
"""Results that the percentiles cover: half a minute of camera frames."""

FLAG_RECENT_S = 3.0
"""A flag that came within this time is worth a warning."""

HARMLESS_FLAGS = frozenset({START})
"""Flags that come with every start: counted, and no reason to warn."""


@dataclass(frozen=True)
class Snapshot:
    """The state of the counters at one moment; rates and ``*_in_period`` since the last one.

    Attributes:
        received: messages that arrived.
        received_by: the same for each input.
        published: results that were published.
        dropped: messages that newer ones replaced before the network was free.
        bad: unusable messages by kind.
        internal_errors: errors that were not the message's fault.
        rate_in_hz: messages per second.
        rates_in_hz: the same for each input.
        rate_out_hz: results per second.
        input_age_s: seconds since the last message, or since activation; None when inactive.
        input_ages_s: the same for each input; empty when inactive.
        dropped_by: drops by input, and
        throttled_by: messages that were left out since the input is faster than wanted, by input;
            both empty where inputs share a queue.
        dropped_in_period: drops since the last snapshot.
        errors_in_period: unusable messages and internal errors since the last snapshot.
        last_error: the latest error message, empty when there was none.
        flags: results with a flag, by flag.
        recent_flags: those of them that came in the last `FLAG_RECENT_S`, without harmless ones.
    """

    received: int
    received_by: Mapping[str, int]
    published: int
    dropped: int
    bad: Mapping[str, int]
    internal_errors: int
    rate_in_hz: float
    rates_in_hz: Mapping[str, float]
    rate_out_hz: float
    input_age_s: float | None
    input_ages_s: Mapping[str, float]
    dropped_by: Mapping[str, int]
    throttled_by: Mapping[str, int]
    dropped_in_period: int
    errors_in_period: int
    last_error: str
    flags: Mapping[str, int]
    recent_flags: tuple[str, ...]


class _Before(NamedTuple):
    """The counters at the last snapshot."""

    clock_s: float
    received_by: Mapping[str, int]
    published: int
    dropped: int
    errors: int


class Statistics:
    """Counters for one intake thread, one worker and any number of readers.

    Counting goes on over activations; it starts anew with the process.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """Start at zero; ``clock`` gives seconds."""
        self.latency = LatencyRecorder(LATENCY_WINDOW)
        self._clock = clock
        self._lock = threading.Lock()
        self._received_by: defaultdict[str, int] = defaultdict(int)
        self._published = 0
        self._dropped = 0
        self._dropped_by: dict[str, int] = {}
        self._throttled_by: dict[str, int] = {}
        self._bad: Counter[str] = Counter()
        self._internal = 0
        self._last_error = ""
        self._last_input_s: dict[str, float] = {}
        self._flags: Counter[str] = Counter()
        self._last_flag_s: dict[str, float] = {}
        self._before = _Before(clock(), {}, 0, 0, 0)

    def activated(self, inputs: Iterable[str], by_input: bool = False) -> None:
        """The age of each of these inputs counts from now.

        Args:
            inputs: their names.
            by_input: whether `dropped_from` and `throttled` will be called for each.
        """
        now = self._clock()
        with self._lock:
            self._last_input_s = dict.fromkeys(inputs, now)
            for name in self._last_input_s:
                self._received_by[name] += 0
            if by_input:
                zeros = dict.fromkeys(self._last_input_s, 0)
                self._dropped_by = zeros | self._dropped_by
                self._throttled_by = zeros | self._throttled_by

    def deactivated(self) -> None:
        """No input is expected."""
        with self._lock:
            self._last_input_s = {}

    def received(self, name: str, dropped_one: bool) -> None:
        """Count one message of an input, and whether an older one had to go for it.

        Called by the intake's thread only, so that it needs no lock.
        """
        self._received_by[name] += 1
        self._dropped += dropped_one
        self._last_input_s[name] = self._clock()

    def dropped_from(self, name: str) -> None:
        """Tell that the message dropped last was of this input; see `received` for the thread."""
        self._dropped_by[name] += 1

    def throttled(self, name: str) -> None:
        """Count a message that was received and left out; any thread may."""
        with self._lock:
            self._throttled_by[name] += 1

    def published(self, stage_s: Mapping[str, float]) -> None:
        """Count one result with the seconds of its stages.

        Called by the worker's thread only, so that it needs no lock.
        """
        self._published += 1
        self.latency.add_all(stage_s)

    def bad(self, kind: str, message: str) -> None:
        """Count one unusable message."""
        with self._lock:
            self._bad[kind] += 1
            self._last_error = message

    def internal_error(self, message: str, count: int = 1) -> None:
        """Count messages that were not answered by an error that was not theirs."""
        with self._lock:
            self._internal += count
            self._last_error = message

    def flagged(self, flags: Iterable[str]) -> None:
        """Count a result that was published under conditions that a user should know of."""
        with self._lock:
            now = self._clock()
            for flag in flags:
                self._flags[flag] += 1
                self._last_flag_s[flag] = now

    def latency_ms(self) -> Mapping[str, Mapping[str, float]]:
        """Return stage -> p50, p95, p99 -> milliseconds, of the last `LATENCY_WINDOW` results."""
        return {
            stage: {name: summary[name] for name in ("p50", "p95", "p99")}
            for stage, summary in self.latency.to_dict().items()
        }

    def snapshot(self) -> Snapshot:
        """Return the counters; the next snapshot's rates count from here."""
        with self._lock:
            now = self._clock()
            errors = sum(self._bad.values()) + self._internal
            received_by = self._received_by.copy()
            before = self._before
            self._before = _Before(now, received_by, self._published, self._dropped, errors)
            elapsed = max(now - before.clock_s, 1e-9)
            rates_in_hz = {
                name: (count - before.received_by.get(name, 0)) / elapsed
                for name, count in received_by.items()
            }
            ages = {name: now - then_s for name, then_s in self._last_input_s.copy().items()}
            return Snapshot(
                received=sum(received_by.values()),
                received_by=dict(received_by),
                published=self._published,
                dropped=self._dropped,
                bad=dict(self._bad),
                internal_errors=self._internal,
                rate_in_hz=sum(rates_in_hz.values()),
                rates_in_hz=rates_in_hz,
                rate_out_hz=(self._published - before.published) / elapsed,
                input_age_s=min(ages.values(), default=None),
                input_ages_s=ages,
                dropped_by=self._dropped_by.copy(),
                throttled_by=self._throttled_by.copy(),
                dropped_in_period=self._dropped - before.dropped,
                errors_in_period=errors - before.errors,
                last_error=self._last_error,
                flags=dict(self._flags),
                recent_flags=tuple(
                    flag
                    for flag, last_s in self._last_flag_s.items()
                    if now - last_s < FLAG_RECENT_S and flag not in HARMLESS_FLAGS
                ),
            )


class LogThrottle:
    """Lets one log line per kind through in a period, and counts the others."""

    def __init__(
        self, period_s: Callable[[], float], clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Start with every kind allowed.

        Args:
            period_s: gives the period; asked when a line is let through and not for each message,
                since a node's parameter is dear to look up.
            clock: gives seconds.
        """
        self._period_s = period_s
        self._clock = clock
        self._closed_until_s: dict[str, float] = {}
        self._suppressed: Counter[str] = Counter()

    def allow(self, kind: str) -> int | None:
        """Return how many lines of this kind were held back, or None to hold this one back too."""
        now = self._clock()
        if now < self._closed_until_s.get(kind, now):
            self._suppressed[kind] += 1
            return None
        self._closed_until_s[kind] = now + self._period_s()
        return self._suppressed.pop(kind, 0)
