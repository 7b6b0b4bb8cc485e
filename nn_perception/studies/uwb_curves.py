"""Learning curves over minutes of a new site: figures of flights, their means, table and JSON."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, ClassVar

from nn_perception.errors import ConfigError

ADAPTED, SCRATCH, CONSTANTS, OTHERS = "adapted", "from scratch", "constants", "others' constant"
WAYS = (ADAPTED, SCRATCH, CONSTANTS, OTHERS)
"""The model of the other flights fine-tuned; one trained on the minutes alone; the mean error of
each pair in the minutes; the mean error of the other flights."""

MINUTE_S = 60.0
MOST_MINUTES = 60.0
MOST_SHARE = 0.6
"""Of a flight may be given to learn from."""
LEAST_JUDGED_S = 30.0
"""Shorter rests of a flight say too little."""


@dataclass(frozen=True)
class Point:
    """What a flight's rest comes to after some minutes of it.

    Attributes:
        minutes: of the flight that were given; 0: nothing of it.
        rmse_m: way -> RMSE of the judged ranges, metres; None where the way needs minutes.
    """

    minutes: float
    rmse_m: Mapping[str, float | None]


@dataclass(frozen=True)
class FlightCurve:
    """One flight, left out of the training of the other flights' model.

    Attributes:
        name: of the recording.
        duration_s: of the flight.
        judged_from_s: all points are judged on the ranges after this, from the flight's start.
        ranges: how many these are, outliers left out.
        raw_rmse_m: of these ranges as measured.
        points: by minutes, increasing.
    """

    name: str
    duration_s: float
    judged_from_s: float
    ranges: int
    raw_rmse_m: float
    points: tuple[Point, ...]

    def rmse_m(self, way: str, minutes: float) -> float | None:
        """Return the figure of a way; None: there is none."""
        found = (p.rmse_m.get(way) for p in self.points if p.minutes == minutes)
        return next(found, None)


def checked_minutes(minutes: Sequence[float]) -> tuple[float, ...]:
    """Return the minutes in order.

    Raises:
        ConfigError: one is out of range or there twice, or none is above 0.
    """
    wrong = [m for m in minutes if not 0.0 <= m <= MOST_MINUTES]
    if wrong:
        raise ConfigError(
            f"minutes: got {wrong[0]:g}, expected 0 to {MOST_MINUTES:g}; give 0 0.5 1"
        )
    if len(set(minutes)) != len(minutes) or not any(minutes):
        got = " ".join(f"{m:g}" for m in minutes) or "none"
        raise ConfigError(f"minutes: got {got}, expected each once and one above 0; give 0 0.5 1")
    return tuple(sorted(minutes))


def judged_from_s(duration_s: float, minutes: Sequence[float]) -> float:
    """Return where the judged part of a flight begins: after the most minutes, or 60 % of it."""
    return min(MINUTE_S * max(minutes), MOST_SHARE * duration_s)


class Curves:
    """The curves of all flights.

    Args:
        minutes: in order; a short flight has no point at the larger ones.
        flights: one or more.
    """

    HEADER: ClassVar[tuple[str, ...]] = ("minutes", "flights", *(f"{way}, m" for way in WAYS))
    FLIGHT_HEADER: ClassVar[tuple[str, ...]] = ("flight", "minutes", "raw, m", *HEADER[2:])

    def __init__(self, minutes: Sequence[float], flights: Sequence[FlightCurve]) -> None:
        self.minutes, self.flights = tuple(minutes), tuple(flights)

    def at(self, minutes: float) -> list[FlightCurve]:
        """Return the flights that have a point there."""
        return [f for f in self.flights if any(p.minutes == minutes for p in f.points)]

    @property
    def common(self) -> tuple[float, ...]:
        """The minutes at which all flights have a point."""
        return tuple(m for m in self.minutes if len(self.at(m)) == len(self.flights))

    def mean_m(self, way: str, minutes: float) -> float | None:
        """Return a way's mean over the flights that have a point there; None: it has no figure."""
        found = [f.rmse_m(way, minutes) for f in self.at(minutes)]
        values = [value for value in found if value is not None]
        return math.fsum(values) / len(values) if values else None

    def rows(self) -> list[tuple[object, ...]]:
        """Return the table of means over flights, a row for each number of minutes."""
        return [
            (
                f"{minutes:g}",
                f"{len(self.at(minutes))} of {len(self.flights)}",
                *(_rounded(self.mean_m(way, minutes)) for way in WAYS),
            )
            for minutes in self.minutes
            if self.at(minutes)
        ]

    def flight_rows(self) -> list[tuple[object, ...]]:
        """Return the table of single flights."""
        return [
            (
                flight.name,
                f"{point.minutes:g}",
                _rounded(flight.raw_rmse_m),
                *(_rounded(point.rmse_m[way]) for way in WAYS),
            )
            for flight in self.flights
            for point in flight.points
        ]

    def to_dict(self) -> dict[str, Any]:
        """Return all figures for JSON, in metres and seconds."""
        return {
            "mean_rmse_m": [
                {
                    "minutes": minutes,
                    "flights": [flight.name for flight in self.at(minutes)],
                    **{way: self.mean_m(way, minutes) for way in WAYS},
                }
                for minutes in self.minutes
                if self.at(minutes)
            ],
            "flights": [asdict(flight) for flight in self.flights],
        }


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)
