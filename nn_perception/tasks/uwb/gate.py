"""What a range must be before anything is asked of its geometry.

| condition | kind |
|---|---|
| NaN, infinite (REP-117: -inf too close, +inf nothing heard) | ``not_finite`` |
| 0 or less; outside of the limits | ``out_of_range`` |
| the same stamp, tag and anchor again | ``duplicate_stamp`` |

Ranges of one pair may come out of order: radios answer when they can.
"""

from __future__ import annotations

from collections import deque
from math import inf, isfinite

from nn_perception.errors import ConfigError, MessageError
from nn_perception.tasks.uwb.readings import RangeReading

MIN_RANGE_M, MAX_RANGE_M = 0.0, 200.0

_KEPT_STAMPS, _KEPT_PAIRS = 16, 512


class RangeGate:
    """Checks ranges, and remembers the latest stamps of each tag and anchor."""

    def __init__(self, min_range_m: float = MIN_RANGE_M, max_range_m: float = MAX_RANGE_M) -> None:
        """Take the limits, beside which those of each message hold.

        Raises:
            ConfigError: they are out of range.
        """
        if not 0.0 <= min_range_m < max_range_m < inf:
            raise ConfigError(
                f"min_range_m is {min_range_m}, max_range_m is {max_range_m}, expected 0 or more "
                f"and a larger one; {MIN_RANGE_M:g} and {MAX_RANGE_M:g} m are a start"
            )
        self._limits_m = (min_range_m, max_range_m)
        self._stamps: dict[tuple[str, str], deque[int]] = {}

    def reset(self) -> None:
        """Forget the stamps."""
        self._stamps.clear()

    def adopt(self, previous: RangeGate) -> None:
        """Go on with the stamps of another one."""
        self._stamps = previous._stamps

    def check(self, tag: str, reading: RangeReading) -> None:
        """Take the next range of a tag.

        Raises:
            MessageError: see this module's table.
        """
        range_m, name = reading.range_m, reading.frame_id[:40]
        if not isfinite(range_m):
            raise MessageError(
                "not_finite",
                f"range {range_m} to {name!r}, expected metres; REP-117: -inf too close, +inf "
                "nothing heard, NaN an error of the radio",
            )
        low, high = self._limits_m
        if reading.max_range_m > reading.min_range_m:  # drivers without limits leave both at 0
            low, high = max(low, reading.min_range_m), min(high, reading.max_range_m)
        if not (range_m > 0.0 and low <= range_m <= high):
            raise MessageError(
                "out_of_range",
                f"range {range_m:.3f} m to {name!r}, expected above 0 and {low:g} to {high:g} m, "
                "the limits of the message and of min_range_m and max_range_m; the radio failed, "
                "or the limits are too narrow",
            )
        stamps = self._stamps_of(tag, reading.frame_id)
        if reading.stamp_ns in stamps:
            raise MessageError(
                "duplicate_stamp",
                f"a range of {tag} to {name!r} at {reading.stamp_ns} ns came twice, expected one; "
                "look for a second publisher on the topic",
            )
        stamps.append(reading.stamp_ns)

    def _stamps_of(self, tag: str, anchor: str) -> deque[int]:
        stamps = self._stamps.get((tag, anchor))
        if stamps is None:
            if len(self._stamps) >= _KEPT_PAIRS:  # of frames that are no anchors, any number
                self._stamps.clear()
            stamps = self._stamps[tag, anchor] = deque(maxlen=_KEPT_STAMPS)
        return stamps
