"""A Kalman filter for position and velocity that takes one range at a time.

Radios answer one after the other while the robot moves, so that there is never a set of ranges of
one moment: every range corrects the state when it comes.

An extended Kalman filter of first order with white acceleration (Bar-Shalom, Li and Kirubarajan
2001, sections 6.2.2 and 10.3). The terms of second order were tried and left out: where anchors say
nothing about one direction, its variance grows, and with it the doubt about every range.

Ranges that do not fit are mostly too long, since the direct path was blocked: a gate leaves them
out, and Huber's weights hold down what just passes. But a gate shuts out the truth when the state
is wrong. Then many ranges do not fit for some time: the filter looks for a better place in the
latest ones, and where they do not tell one, it widens.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from nn_perception.errors import ConfigError
from nn_perception.localisation.multilateration import LONGEST_RANGE_M, multilaterate

Float64Array = NDArray[np.float64]

_LEAST_SIGMA_M = 1e-3
"""Below it, rounding could cost a vague covariance its positive sign."""
_LEAST_DISTANCE_M = 1e-6
_MEMORY = 20.0
"""Over how many ranges the share of those shut out is averaged."""
_SUSPICIOUS_SHARE = 0.35
_LATEST = 48
_LATEST_S = 0.6
"""How many ranges, and how old, tell a new place: of them the body should hardly have moved."""
_ROBUST_M = 0.3


@dataclass(frozen=True)
class FilterSettings:
    """What the filter expects.

    Attributes:
        acceleration_m_s2: root of the spectral density of the white acceleration, in m/s^2 per
            root Hz: the velocity wanders by this after 1 s.
        range_sigma_m: standard deviation of a range for which none is told.
        gate_sigma: residuals beyond this many standard deviations are left out.
        huber_sigma: residuals beyond this many lose weight; infinity turns it off.
        first_velocity_m_s: standard deviation of the velocity at the start and after opening.
        max_gap_s: after a longer time without `RangeFilter.predict` the filter is to be restarted.
        patience_s: after so long with many of the ranges shut out the filter opens.
        height_m: the body's height where it never changes (planar), else None.

    Raises:
        ConfigError: a number that is not positive, or a height that is not finite.
    """

    acceleration_m_s2: float = 1.0
    range_sigma_m: float = 0.1
    gate_sigma: float = 3.0
    huber_sigma: float = 1.5
    first_velocity_m_s: float = 1.0
    max_gap_s: float = 2.0
    patience_s: float = 0.5
    height_m: float | None = None

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if name != "height_m" and not value > 0.0:
                raise ConfigError(f"{name} is {value}, expected a number above 0")
        if self.height_m is not None and not math.isfinite(self.height_m):
            raise ConfigError(f"height_m is {self.height_m}, expected a finite height, or None")


class Innovation(NamedTuple):
    """What a range told.

    Attributes:
        residual_m: measured minus predicted range; NaN for a range that is ignored.
        sigma_m: standard deviation that the filter expected of the residual; NaN likewise.
        used: False when it was shut out or ignored.
    """

    residual_m: float
    sigma_m: float
    used: bool


_IGNORED = Innovation(math.nan, math.nan, False)


class RangeFilter:
    """Position and velocity of a body in the world, from ranges between its tags and anchors.

    Attributes:
        settings: as given.
        started: False before `begin`, and again after a gap longer than ``max_gap_s``: the last
            velocity says nothing about where the body went in that time.
    """

    def __init__(self, settings: FilterSettings | None = None) -> None:
        self.settings = settings or FilterSettings()
        self.started = False
        self._planar = self.settings.height_m is not None
        # Planar: the rows of z stay zero in the covariance, so no gain ever moves the height.
        self._free = np.diag([1.0, 1.0, 0.0 if self._planar else 1.0])
        self._density = self.settings.acceleration_m_s2**2 * self._free
        self._state = np.full(6, math.nan)
        self._covariance = np.full((6, 6), math.nan)
        self._scratch = np.empty((6, 6))
        self._time_s = math.nan
        self._forget()

    @property
    def position_m(self) -> Float64Array:
        """(3,) of the body, world frame; before the first start NaN."""
        return self._state[:3].copy()

    @property
    def velocity_m_s(self) -> Float64Array:
        """(3,) of the body, world frame; before the first start NaN."""
        return self._state[3:].copy()

    @property
    def covariance(self) -> Float64Array:
        """(6, 6) of position and velocity; planar: rows and columns of z are 0."""
        return self._covariance.copy()

    def begin(self, time_s: float, position_m: Float64Array, sigma_m: float) -> None:
        """Start, or start again, at rest.

        Args:
            time_s: of the position.
            position_m: (3,) of the body, world frame; planar: its z is not used.
            sigma_m: standard deviation of each of its coordinates.

        Raises:
            ValueError: something is not finite, or the deviation is not positive.
        """
        position = np.array(position_m, np.float64)
        if self._planar:
            position[2] = self.settings.height_m
        if not (math.isfinite(time_s) and np.isfinite(position).all() and 0 < sigma_m < math.inf):
            raise ValueError(
                f"a start at time {time_s}, position {position}, sigma {sigma_m} m: expected "
                "finite numbers and a sigma above 0"
            )
        self._time_s = float(time_s)
        self._state[:3], self._state[3:] = position, 0.0
        self._covariance[:] = 0.0
        self._covariance[:3, :3] = sigma_m**2 * self._free
        self._covariance[3:, 3:] = self.settings.first_velocity_m_s**2 * self._free
        self.started = True
        self._forget()

    def predict(self, time_s: float) -> bool:
        """Move on to a time.

        With density q the noise over a step is Q = q [[dt^3 / 3, dt^2 / 2], [dt^2 / 2, dt]] for
        each axis. Returns ``started``: after a gap longer than ``max_gap_s`` it is False, nothing
        moves, and `begin` is needed.

        Raises:
            ValueError: the time is before the last one or not finite, or there was no start.
        """
        self._must_be_started("predict")
        dt = float(time_s) - self._time_s
        if not 0.0 <= dt < math.inf:
            raise ValueError(
                f"predict to {time_s} s from {self._time_s} s: expected a finite time, not before "
                "the last; sort the ranges, or begin again after a jump of the clock"
            )
        if dt > self.settings.max_gap_s:
            self.started = False
        elif dt > 0.0:
            self._move(dt)
            self._time_s = float(time_s)
        return self.started

    def update(
        self,
        anchor_m: Float64Array,
        lever_m: Float64Array,
        range_m: float,
        sigma_m: float | None = None,
    ) -> Innovation:
        """Take in a range of the time that `predict` went to.

        Ignored, with NaN in the answer and no trace in the filter: a range that is not finite, not
        above 0 or above `LONGEST_RANGE_M`, a sigma that is not finite or not above 0, an anchor or
        a lever that is not finite, a tag on its anchor. A sigma counts as 1 mm at least.

        Args:
            anchor_m: (3,) world frame.
            lever_m: (3,) from the body to its tag, turned into the world frame.
            range_m: between anchor and tag.
            sigma_m: its standard deviation; None: ``range_sigma_m``.

        Raises:
            ValueError: there was no start.
        """
        self._must_be_started("update")
        sigma = self.settings.range_sigma_m if sigma_m is None else float(sigma_m)
        offset = self._state[:3] + lever_m - anchor_m
        distance = math.sqrt(offset @ offset)
        known = 0.0 < range_m <= LONGEST_RANGE_M and 0.0 < sigma < math.inf
        if not (known and _LEAST_DISTANCE_M < distance < math.inf):
            return _IGNORED
        direction = offset / distance
        shared = self._covariance[:, :3] @ direction
        along = float(shared[:3] @ direction)
        noise = max(sigma, _LEAST_SIGMA_M) ** 2
        residual = float(range_m) - distance
        expected = math.sqrt(along + noise)
        score = abs(residual) / expected
        used = score <= self.settings.gate_sigma
        if used:
            noise *= max(1.0, score / self.settings.huber_sigma)
            self._correct(shared, residual, along + noise)
        self._watch(used, anchor_m - lever_m, float(range_m), residual)
        return Innovation(residual, expected, used)

    def update_height(self, height_m: float, sigma_m: float) -> Innovation:
        """Take in the body's height from another sensor, at the time that `predict` went to.

        No gate: a height is not longer for an obstacle as a range is, and where ranges hardly show
        the height a gate would keep a wrong one for good. Ignored, as in `update`: a height or a
        sigma that is not finite, a sigma not above 0; planar every height, since it is given.

        Args:
            height_m: z of the body's origin, world frame.
            sigma_m: its standard deviation; counts as 1 mm at least.

        Raises:
            ValueError: there was no start.
        """
        self._must_be_started("update_height")
        if self._planar or not (math.isfinite(height_m) and 0.0 < sigma_m < math.inf):
            return _IGNORED
        residual = float(height_m) - float(self._state[2])
        expected = float(self._covariance[2, 2]) + max(float(sigma_m), _LEAST_SIGMA_M) ** 2
        self._correct(self._covariance[:, 2].copy(), residual, expected)
        return Innovation(residual, math.sqrt(expected), True)

    def _correct(self, shared: Float64Array, residual: float, variance: float) -> None:
        root = shared / math.sqrt(variance)
        self._state += root * (residual / math.sqrt(variance))
        # A product with itself is symmetric to the last bit, and so stays the covariance.
        self._covariance -= np.multiply(root[:, None], root, out=self._scratch)

    def _move(self, dt: float) -> None:
        position, both = self._covariance[:3, :3], self._covariance[:3, 3:]
        velocity = self._covariance[3:, 3:]
        self._state[:3] += dt * self._state[3:]
        position += dt * (both + both.T) + dt**2 * velocity + (dt**3 / 3.0) * self._density
        both += dt * velocity + (0.5 * dt**2) * self._density
        velocity += dt * self._density
        self._covariance[3:, :3] = both.T

    def _watch(self, used: bool, seen: Float64Array, range_m: float, residual: float) -> None:
        """Open when many ranges were shut out for some time.

        A single range that fits by chance proves nothing, so it is the share that counts; and many
        ranges of one instant may be one obstacle, so time counts as well.
        """
        self._latest.append((self._time_s, seen, range_m, residual))
        self._share += ((not used) - self._share) / _MEMORY
        if self._share <= _SUSPICIOUS_SHARE:
            self._bad_since_s = math.inf
            return
        self._bad_since_s = min(self._bad_since_s, self._time_s)
        if self._time_s - self._bad_since_s >= self.settings.patience_s:
            self._open()

    def _open(self) -> None:
        """Begin at a place that explains the latest ranges much better, or widen."""
        latest = [each for each in self._latest if each[0] >= self._time_s - _LATEST_S]
        seen = np.stack([each[1] for each in latest])
        ranges, residuals = (np.array([each[i] for each in latest]) for i in (2, 3))
        now, height = self.position_m, self.settings.height_m
        levers = np.zeros_like(seen)
        fix = multilaterate(seen, levers, ranges, start_m=now, height_m=height, robust_m=_ROBUST_M)
        costs = [
            np.log1p(((np.linalg.norm(place - seen, axis=-1) - ranges) / _ROBUST_M) ** 2).sum()
            for place in (now, fix.position_m)
        ]
        if fix.converged and costs[1] < 0.5 * costs[0]:
            moved = 0.5 * _LATEST_S * self.settings.first_velocity_m_s
            variance = float(np.linalg.eigvalsh(fix.covariance)[-1])
            self.begin(self._time_s, fix.position_m, math.sqrt(variance + moved**2))
        else:
            self._covariance[:3, :3] += float(np.median(residuals**2)) * self._free
            self._covariance[3:, 3:] += self.settings.first_velocity_m_s**2 * self._free
            self._forget()

    def _forget(self) -> None:
        self._share, self._bad_since_s = 0.0, math.inf
        self._latest: deque[tuple[float, Float64Array, float, float]] = deque(maxlen=_LATEST)

    def _must_be_started(self, what: str) -> None:
        if not self.started:
            raise ValueError(
                f"{what} without a start, or after a gap longer than max_gap_s "
                f"({self.settings.max_gap_s} s): call begin with a position first"
            )
