"""The way of a body from a recording of ranges, with the ranges' correction in the loop.

A correction that asks where the body is gets the estimate that a robot would have at that moment,
never the truth: what its figures promise is what a robot gets.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from nn_perception.errors import DatasetError
from nn_perception.localisation.multilateration import Fix, multilaterate
from nn_perception.localisation.range_filter import FilterSettings, Float64Array, RangeFilter
from nn_perception.rotations import quat_rotate

Int64Array = NDArray[np.int64]
Correct = Callable[[int, Float64Array], "tuple[float, float] | None"]
"""From a row's number and the body's estimated position (3,) in m: the corrected range and its
standard deviation in m, or None to leave the row out."""

_RETRY_S = 0.1
_START_ROUNDS = 2
HEIGHT_SIGMA_M = 0.05
"""Standard deviation that heights beside the ranges are taken to have."""


class Ranging(NamedTuple):
    """A recording of ranges in the order of time.

    Attributes:
        time_s: (N,) never decreasing within a segment.
        tag: (N,) index into ``levers_m``.
        anchor: (N,) index into ``anchors_m``.
        range_m: (N,) as measured.
        segment: (N,) rows of one uninterrupted time have the same number and follow each other.
        anchors_m: (A, 3) world frame.
        levers_m: (T, 3) from the body to its tags, body frame.
        orientation_xyzw: (N, 4) body to world, as an attitude estimator tells it.
        height_m: (N,) of the body from an altimeter, with a standard deviation of
            `HEIGHT_SIGMA_M`; NaN in rows without one. None: there is no altimeter.
    """

    time_s: Float64Array
    tag: Int64Array
    anchor: Int64Array
    range_m: Float64Array
    segment: Int64Array
    anchors_m: Float64Array
    levers_m: Float64Array
    orientation_xyzw: Float64Array
    height_m: Float64Array | None = None


class Track(NamedTuple):
    """Where the body was.

    Attributes:
        time_s: (N,) of the rows.
        position_m: (N, 3) of the body after each row; NaN while there is none.
        used: (N,) True where the row moved the estimate.
        residual_m: (N,) corrected minus predicted range; NaN where nothing was predicted.
        residual_sigma_m: (N,) its standard deviation as predicted; NaN likewise.
        planar: whether the height was given and not estimated.
    """

    time_s: Float64Array
    position_m: Float64Array
    used: NDArray[np.bool_]
    residual_m: Float64Array
    residual_sigma_m: Float64Array
    planar: bool


def follow(
    ranging: Ranging,
    correct: Correct,
    settings: FilterSettings | None = None,
    *,
    start_window_s: float = 0.5,
    start_m: Float64Array | None = None,
    start_sigma_m: float | None = None,
) -> Track:
    """Run a `RangeFilter` over a recording.

    At the start of a segment, and after a gap, the ranges of ``start_window_s`` are collected for
    a fix: from the raw ranges first, then twice from ranges corrected as seen from the fix before.
    It takes 3 different anchors where the height is known and 4 otherwise, and is tried again every
    0.1 s with what came since. The filter starts at the window's end and gets later rows only.
    Where a start is known with ``start_sigma_m`` and no fix is surer than it, the filter begins
    there: anchors on one line never give a fix.

    Args:
        ranging: the recording.
        correct: called once for each row with the filter's own position, and for the rows of a
            start with that of the fix.
        settings: of the filter.
        start_window_s: see above.
        start_m: (3,) about where the body is in the beginning, where anchors in one plane leave
            two places; see `multilaterate`. A restart takes the last position instead.
        start_sigma_m: standard deviation of each of its coordinates; it grows with the time since,
            as the body may move. None: ``start_m`` chooses between fixes and is never a start.

    Raises:
        DatasetError: arrays do not fit together, or time runs backwards.
    """
    settings = settings or FilterSettings()
    follower = _Follower(ranging, correct, settings, start_window_s, start_m, start_sigma_m)
    for row in range(len(ranging.time_s)):
        follower.take(row)
    return follower.track


def fixes(
    ranging: Ranging,
    correct: Correct,
    window_s: float = 0.3,
    *,
    height_m: float | None = None,
    start_m: Float64Array | None = None,
) -> Track:
    """Return positions without a filter: multilateration over the latest ranges.

    A fix is made every 0.1 s at most, from the rows of the last ``window_s``, and held until the
    next; where one fails there is none until another succeeds. A row is corrected once, as seen
    from the fix that holds when it comes; without one as `follow` does at its start. ``used`` is
    True for rows that the correction did not leave out; nothing is predicted, so the residuals are
    NaN. Arguments and errors: see `follow`.
    """
    levers = _checked(ranging)
    track = _empty(ranging, height_m is not None)
    corrected = np.full(len(track.time_s), math.nan)
    first, held, due_s = 0, np.full(3, math.nan), -math.inf
    for row, time_s in enumerate(track.time_s):
        if row and ranging.segment[row] != ranging.segment[row - 1]:
            first, held, due_s = row, np.full(3, math.nan), -math.inf
        while track.time_s[first] < time_s - window_s:
            first += 1
        if not math.isnan(held[0]):
            corrected[row] = (correct(row, held.copy()) or (math.nan,))[0]
        if time_s >= due_s:
            rows = np.arange(first, row + 1)
            near = start_m if math.isnan(held[0]) else held
            height = _height(ranging, rows, height_m)
            if math.isnan(held[0]):
                fix, corrected[rows] = _first_fix(ranging, levers, rows, correct, height, near)
            else:
                fix = _fix(ranging, levers, rows, corrected[rows], height, near)
            held, due_s = fix.position_m, time_s + _RETRY_S
        track.position_m[row] = held
    track.used[:] = ~np.isnan(corrected)
    return track


class _Follower:
    """A filter on its way through a recording."""

    def __init__(
        self,
        ranging: Ranging,
        correct: Correct,
        settings: FilterSettings,
        window_s: float,
        start_m: Float64Array | None,
        start_sigma_m: float | None,
    ) -> None:
        self.levers_m = _checked(ranging)
        self.track = _empty(ranging, settings.height_m is not None)
        self._ranging, self._correct, self._settings = ranging, correct, settings
        self._filter = RangeFilter(settings)
        self._window_s, self._near_m, self._sigma_m = window_s, start_m, start_sigma_m
        self._near_s = float(ranging.time_s[0]) if len(ranging.time_s) else math.nan
        self._first, self._due_s, self._last_s = 0, -math.inf, self._near_s

    def take(self, row: int) -> None:
        """Take in the next row."""
        time_s = float(self._ranging.time_s[row])
        new = row == 0 or self._ranging.segment[row] != self._ranging.segment[row - 1]
        if new or (self._filter.started and not self._filter.predict(time_s)):
            self._wait(row, time_s)
        if self._filter.started:
            self._last_s = time_s
            self._update(row)
        elif time_s >= self._due_s:
            self._begin(row, time_s)
        if self._filter.started:
            self.track.position_m[row] = self._filter.position_m

    def _wait(self, row: int, time_s: float) -> None:
        if not np.isnan(self._filter.position_m[0]):
            self._near_m, self._near_s = self._filter.position_m, self._last_s
        self._filter = RangeFilter(self._settings)
        self._first, self._due_s = row, time_s + self._window_s

    def _update(self, row: int) -> None:
        ranging, track = self._ranging, self.track
        if ranging.height_m is not None:
            self._filter.update_height(float(ranging.height_m[row]), HEIGHT_SIGMA_M)
        answer = self._correct(row, self._filter.position_m)
        if answer is None:
            return
        anchor = ranging.anchors_m[ranging.anchor[row]]
        told = self._filter.update(anchor, self.levers_m[row], *answer)
        track.residual_m[row], track.residual_sigma_m[row], track.used[row] = told

    def _begin(self, row: int, time_s: float) -> None:
        while self._ranging.time_s[self._first] < time_s - self._window_s:
            self._first += 1
        self._due_s = time_s + _RETRY_S
        rows = np.arange(self._first, row + 1)
        place, sigma = self._near_m, self._known_to_m(time_s)
        fix = self._window_fix(rows)
        if fix is not None:
            spread = math.sqrt(float(np.linalg.eigvalsh(fix.covariance)[-1]))
            if spread < sigma:
                # The fix is of the window's middle, and the body went on from there.
                moved = 0.5 * self._window_s * self._settings.first_velocity_m_s
                place, sigma = fix.position_m, math.hypot(spread, moved)
        if place is not None and sigma < math.inf:
            self._filter.begin(time_s, place, sigma)

    def _window_fix(self, rows: Int64Array) -> Fix | None:
        ranging = self._ranging
        height = _height(ranging, rows, self._settings.height_m)
        if len(np.unique(ranging.anchor[rows])) < (4 if height is None else 3):
            return None
        fix, _ = _first_fix(ranging, self.levers_m, rows, self._correct, height, self._near_m)
        return None if fix.problem else fix

    def _known_to_m(self, time_s: float) -> float:
        """Return how well the place that is known is known by now; infinite without one."""
        if self._near_m is None or self._sigma_m is None:
            return math.inf
        moved = abs(time_s - self._near_s) * self._settings.first_velocity_m_s
        return math.hypot(self._sigma_m, moved)


def _height(ranging: Ranging, rows: Int64Array, fixed_m: float | None) -> float | None:
    """Return the height in some rows: what is fixed, else the altimeter's median, if there is."""
    if fixed_m is not None or ranging.height_m is None:
        return fixed_m
    heights = ranging.height_m[rows]
    heights = heights[np.isfinite(heights)]
    return float(np.median(heights)) if len(heights) else None


def _first_fix(
    ranging: Ranging,
    levers_m: Float64Array,
    rows: Int64Array,
    correct: Correct,
    height_m: float | None,
    near_m: Float64Array | None,
) -> tuple[Fix, Float64Array]:
    """Return a fix where no position is known to correct by, and the corrected ranges."""
    ranges = np.asarray(ranging.range_m, np.float64)[rows]
    fix = _fix(ranging, levers_m, rows, ranges, height_m, near_m)
    for _ in range(_START_ROUNDS):
        if math.isnan(fix.position_m[0]):
            break
        answers = [correct(int(row), fix.position_m.copy()) for row in rows]
        ranges = np.array([math.nan if each is None else each[0] for each in answers])
        fix = _fix(ranging, levers_m, rows, ranges, height_m, fix.position_m)
    return fix, ranges


def _fix(
    ranging: Ranging,
    levers_m: Float64Array,
    rows: Int64Array,
    ranges_m: Float64Array,
    height_m: float | None,
    near_m: Float64Array | None,
) -> Fix:
    anchors = ranging.anchors_m[ranging.anchor[rows]]
    return multilaterate(anchors, levers_m[rows], ranges_m, start_m=near_m, height_m=height_m)


def _checked(ranging: Ranging) -> Float64Array:
    """Return the lever arms (N, 3) turned into the world frame."""
    count = len(ranging.time_s)
    given = ("tag", "anchor", "range_m", "segment", "orientation_xyzw")
    for name in given if ranging.height_m is None else (*given, "height_m"):
        if len(getattr(ranging, name)) != count:
            raise DatasetError(
                f"{name} has {len(getattr(ranging, name))} rows and time_s {count}; expected one "
                "of each for every range"
            )
    for name, known in (("tag", len(ranging.levers_m)), ("anchor", len(ranging.anchors_m))):
        index = getattr(ranging, name)
        if count and not (index.min() >= 0 and index.max() < known):
            raise DatasetError(
                f"{name} goes from {index.min()} to {index.max()}, expected 0 to {known - 1}; "
                "number them by their place in the table of positions"
            )
    step = np.diff(ranging.time_s)
    bad = np.flatnonzero(~(step >= 0.0) & (np.diff(ranging.segment) == 0))
    if len(bad) or not np.isfinite(ranging.time_s).all():
        raise DatasetError(
            f"time_s goes back or is not finite (first after row {bad[0] if len(bad) else '?'}); "
            "sort the rows of a segment, or begin a new segment there"
        )
    levers: Float64Array = quat_rotate(
        np.asarray(ranging.orientation_xyzw, np.float64), ranging.levers_m[ranging.tag]
    )
    return levers


def _empty(ranging: Ranging, planar: bool) -> Track:
    count = len(ranging.time_s)
    residual, sigma = np.full((2, count), math.nan)
    time_s = np.asarray(ranging.time_s, np.float64)
    position = np.full((count, 3), math.nan)
    return Track(time_s, position, np.zeros(count, bool), residual, sigma, planar)
