"""What time and health a stream of inertial samples has: gaps, jumps, repeats, stuck sensors.

| condition | what happens |
|---|---|
| same stamp as before | refused, ``duplicate_stamp`` |
| earlier stamp | refused, ``backward_stamp``; a clock that stays back is a jump |
| back by more than a second, or ten samples in order behind | a jump: flag ``reset``, state anew |
| gap longer than `Limits.max_gap_s` | flag ``reset``, state anew |
| shorter gap | flag ``gap``: bridged with what is known, uncertainty grows |
| the same large rate three times | flag ``saturated``: as a gap as long as it lasts |
| the very same sample for `Limits.frozen_after_s` | flag ``frozen``: likewise |
| far from the trained or supported rate | flag ``rate`` |
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

from nn_perception.errors import ConfigError, MessageError
from nn_perception.inertial.readings import ImuReading

START, RESET, GAP, SATURATED, FROZEN, RATE = "start", "reset", "gap", "saturated", "frozen", "rate"

JUMP_BACK_S = 1.0
_BEHIND_SAMPLES = 10
_GAP_PERIODS = 2.5
_SHORTEST_GAP_S = 0.03
_SATURATED_RAD_S = 3.0
_SATURATED_SAMPLES = 3
_NONE_STUCK = [0, 0, 0]
"""Samples of the same large rate, by axis; never written to."""
_NEW_RATE_GAPS = 20
_PERIOD_WEIGHT = 0.02
_PERIOD_SAMPLES = 20


@dataclass(frozen=True)
class Limits:
    """Where a stream stops being fine.

    Attributes:
        max_gap_s: longest gap that is bridged; a longer one starts anew.
        frozen_after_s: repetition of the very same sample that counts as a dead sensor; 0: never,
            for a simulator without noise.
        min_rate_hz: slowest stream without the flag ``rate``.
        max_rate_hz: fastest one.
    """

    max_gap_s: float = 1.0
    frozen_after_s: float = 0.25
    min_rate_hz: float = 0.0
    max_rate_hz: float = math.inf

    def __post_init__(self) -> None:
        """Check the ranges.

        Raises:
            ConfigError: a value out of its range.
        """
        if not 0.0 < self.max_gap_s <= 10.0:
            raise ConfigError(f"max_gap_s is {self.max_gap_s}, expected above 0 and up to 10 s")
        if not 0.0 <= self.frozen_after_s <= 60.0:
            raise ConfigError(f"frozen_after_s is {self.frozen_after_s}, expected 0 to 60 s")


class Passed(NamedTuple):
    """A sample that may be used.

    Attributes:
        dt_s: time since the sample before; 0 at a start or reset.
        starts: whether the state has to begin anew with this sample.
        unknown_s: the part of ``dt_s`` about which the sample tells nothing sure.
        flags: conditions, see the table of this module.
    """

    dt_s: float
    starts: bool
    unknown_s: float
    flags: tuple[str, ...]


class StreamGate:
    """Checks the samples of one sensor, in order of arrival. Costs a few microseconds each."""

    def __init__(self, limits: Limits | None = None) -> None:
        self.limits = Limits() if limits is None else limits
        self.reset()

    def reset(self) -> None:
        """Forget everything: the next sample starts the stream."""
        self._last_ns: int | None = None
        self._behind_ns: int | None = None
        self._behind = 0
        self._period_s = 0.0
        self._samples = 0
        self._gaps = 0
        self._rates: list[float] = [0.0, 0.0, 0.0]
        self._forces: list[float] = []
        self._same = _NONE_STUCK
        self._frozen_s = 0.0

    @property
    def rate_hz(self) -> float:
        """Sample rate of late; 0 before it is known."""
        return 1.0 / self._period_s if self._period_s > 0.0 else 0.0

    def check(self, reading: ImuReading) -> Passed:
        """Take the next sample.

        Raises:
            MessageError: ``"duplicate_stamp"`` or ``"backward_stamp"``: leave this sample out.
        """
        jumped = False
        if self._last_ns is not None:
            dt = (reading.stamp_ns - self._last_ns) * 1e-9
            if dt <= 0.0:
                self._look_back(reading.stamp_ns, dt)  # raises unless the clock jumped
                jumped = True
            elif dt > self.limits.max_gap_s:
                jumped = True
            else:
                self._behind = 0
                return self._go_on(reading, dt)
        self.reset()
        self._last_ns = reading.stamp_ns
        self._rates, self._forces = reading.gyro_rad_s.tolist(), reading.accel_m_s2.tolist()
        return Passed(0.0, True, 0.0, (RESET,) if jumped else (START,))

    def _look_back(self, stamp_ns: int, dt: float) -> None:
        if dt == 0.0:
            raise MessageError(
                "duplicate_stamp",
                f"stamp {stamp_ns} ns came twice; expected a later one for each sample: look for a "
                "second publisher on the topic",
            )
        in_order = self._behind_ns is not None and stamp_ns > self._behind_ns
        self._behind = self._behind + 1 if in_order else 1
        self._behind_ns = stamp_ns
        if dt < -JUMP_BACK_S or self._behind > _BEHIND_SAMPLES:
            return
        raise MessageError(
            "backward_stamp",
            f"stamp {stamp_ns} ns is {-dt * 1e3:.3f} ms before the last one; expected samples in "
            "order of their stamps: look for a second publisher, or a driver that re-orders",
        )

    def _go_on(self, reading: ImuReading, dt: float) -> Passed:
        flags: list[str] = []
        known = self._samples >= _PERIOD_SAMPLES
        is_gap = known and dt > _SHORTEST_GAP_S and dt > _GAP_PERIODS * self._period_s
        unknown = 0.0
        self._gaps = self._gaps + 1 if is_gap else 0
        if self._gaps > _NEW_RATE_GAPS:  # so many in a row are another rate, not gaps
            self._period_s, self._samples, self._gaps, is_gap = dt, 1, 0, False
        elif is_gap:
            flags.append(GAP)
            unknown = dt - self._period_s
        if not is_gap:
            samples = self._samples = self._samples + 1
            weight = 1.0 / samples if samples * _PERIOD_WEIGHT < 1.0 else _PERIOD_WEIGHT
            self._period_s += weight * (dt - self._period_s)
        rates, forces = reading.gyro_rad_s.tolist(), reading.accel_m_s2.tolist()
        if self._is_frozen(rates, forces, dt):
            flags.append(FROZEN)
            unknown = dt
        if self._is_saturated(rates):
            flags.append(SATURATED)
            unknown = dt
        limits = self.limits
        period = self._period_s
        if known and not limits.min_rate_hz * period <= 1.0 <= limits.max_rate_hz * period:
            flags.append(RATE)
        self._last_ns, self._rates, self._forces = reading.stamp_ns, rates, forces
        return Passed(dt, False, unknown, tuple(flags))

    def _is_frozen(self, rates: list[float], forces: list[float], dt: float) -> bool:
        if not self.limits.frozen_after_s:
            return False
        # Real sensors have noise: all six values never repeat for long.
        same = rates == self._rates and forces == self._forces
        self._frozen_s = self._frozen_s + dt if same else 0.0
        return self._frozen_s >= self.limits.frozen_after_s

    def _is_saturated(self, rates: list[float]) -> bool:
        x, y, z = rates
        limit = _SATURATED_RAD_S
        if -limit < x < limit and -limit < y < limit and -limit < z < limit:
            self._same = _NONE_STUCK
            return False
        self._same = list(self._same)
        for axis, rate in enumerate(rates):
            stuck = abs(rate) >= _SATURATED_RAD_S and rate == self._rates[axis]
            self._same[axis] = self._same[axis] + 1 if stuck else 0
        return max(self._same) >= _SATURATED_SAMPLES - 1
