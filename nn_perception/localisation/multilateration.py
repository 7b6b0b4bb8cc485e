"""A position from several ranges at once, with some of them wrong.

Least squares of the ranges' residuals under Cauchy's loss, by Levenberg and Marquardt's steps with
iterated weights. The loss forgives wrong ranges but has several minima, so that the search starts
from several places (a closed-form one among them) under a wide loss that is then narrowed
(graduated non-convexity, Blake and Zisserman 1987); all starts are moved together, as one array.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Float64Array = NDArray[np.float64]

LONGEST_RANGE_M = 1000.0
"""Longer than any such radio reaches: a longer range is a fault, and is ignored."""
_WIDTHS = (3.0, 1.0)
"""Of the loss, in units of the last."""
_STEPS = (8, 40)
_SETTLED_M = 1e-9
_SAME_ANCHOR_M = 1e-3
_FLAT = 1e-3
"""Anchors whose second principal extent is below this share of the first are on a line."""


class Fix(NamedTuple):
    """A position.

    Attributes:
        position_m: (3,) of the body, world frame; NaN when it cannot be told.
        residual_rms_m: of the ranges, each with its weight in the loss.
        covariance: (3, 3) m^2, to first order; a range counts as having a standard deviation of
            a third of ``robust_m`` at least. Planar: row and column of z are 0.
        converged: True when the search came to rest.
        problem: what is wrong, in words; empty when nothing is.
    """

    position_m: Float64Array
    residual_rms_m: float
    covariance: Float64Array
    converged: bool
    problem: str


def multilaterate(
    anchors_m: Float64Array,
    levers_m: Float64Array,
    ranges_m: Float64Array,
    *,
    start_m: Float64Array | None = None,
    height_m: float | None = None,
    robust_m: float = 0.3,
) -> Fix:
    """Find the position that fits ranges best.

    Needed are three different anchors that are not on one line (planar: as seen from above); a tag
    with another lever arm makes an anchor another one. Three anchors, or more in one plane, leave
    two positions, one on either side: without ``start_m`` the lower one is taken, which for an
    upright plane is a problem; with it the nearer one. Anchors count as being in a plane within
    RMS ``robust_m / 5``, since noise would choose the side.

    Args:
        anchors_m: (K, 3) world frame, one for each range; the same anchor may come often.
        levers_m: (K, 3) from the body to the tag, turned into the world frame.
        ranges_m: (K,). Those not finite, not above 0 or beyond any radio are left out.
        start_m: (3,) a position near by, if one is known.
        height_m: the body's height, if it is known (planar).
        robust_m: width of the loss: a residual of this size counts half.
    """
    ranges = np.asarray(ranges_m, np.float64)
    seen = np.asarray(anchors_m, np.float64) - np.asarray(levers_m, np.float64)
    good = np.isfinite(seen).all(-1) & (ranges > 0.0) & (ranges <= LONGEST_RANGE_M)
    seen, ranges = seen[good], ranges[good]
    near = None if start_m is None else np.array(start_m, np.float64)
    if near is not None and not np.isfinite(near).all():
        near = None
    free = 3 if height_m is None else 2
    problem = _too_few(seen[:, :free])
    if problem:
        return _no_fix(problem)
    frame = _Frame(seen[:, :free])
    flat = free == 3 and frame.off_plane_m < robust_m / 5.0
    if flat and near is None and abs(frame.normal[2]) < 0.1:
        return _no_fix("the anchors are in one upright plane: start_m has to tell the side")
    starts = _starts(frame, seen, ranges, near, height_m)
    found = _search(starts, seen, ranges, free, robust_m)
    chosen = _choose(found, frame if flat else None, near, robust_m)
    return _fix(found.position_m[chosen], bool(found.settled[chosen]), seen, ranges, free, robust_m)


class _Frame:
    """Middle and principal axes of anchors (K, 2 or 3) as the tags see them."""

    def __init__(self, seen: Float64Array) -> None:
        self.middle: Float64Array = seen.mean(0)
        _, sizes, axes = np.linalg.svd(seen - self.middle, full_matrices=True)
        self.axes: Float64Array = axes
        self.off_plane_m = float(sizes[-1]) / math.sqrt(len(seen)) if len(sizes) > 2 else 0.0
        self.normal: Float64Array = axes[-1] * (1.0 if axes[-1][-1] >= 0.0 else -1.0)


def _too_few(seen: Float64Array) -> str:
    places = np.unique(np.round(seen / _SAME_ANCHOR_M), axis=0)
    where = "" if seen.shape[1] > 2 else " as seen from above"
    if len(places) < 3:
        return f"{len(places)} different anchors{where} with a usable range, expected 3 or more"
    sizes = np.linalg.svd(places - places.mean(0), compute_uv=False)
    if sizes[1] < _FLAT * sizes[0]:
        return f"the anchors are on one line{where}, expected 3 or more that are not"
    return ""


def _starts(
    frame: _Frame,
    seen: Float64Array,
    ranges: Float64Array,
    near: Float64Array | None,
    height_m: float | None,
) -> Float64Array:
    """Return places (S, 3) to start from.

    Closed form: differences of squared ranges are linear in the position. Along the direction in
    which the anchors are flattest that says little, and the mean square says it better, but for
    its sign. The anchors' middle is there for ranges that are so wrong that no formula helps.
    """
    count, free = len(seen), frame.axes.shape[0]
    middle = np.append(frame.middle, [] if height_m is None else height_m)
    rest = (seen - middle)[:, free:] ** 2
    squares = ranges**2 - rest.sum(-1)
    arms = (seen[:, :free] - frame.middle) @ frame.axes.T
    wanted = 0.5 * ((arms**2).sum(-1) - squares)
    wanted = wanted - wanted.mean()
    linear = np.linalg.lstsq(arms, wanted, rcond=1e-6)[0]
    along = [linear, np.zeros(free)]
    if free == 3:
        flat = np.append(np.linalg.lstsq(arms[:, :2], wanted, rcond=1e-6)[0], 0.0)
        height = math.sqrt(max(float((squares - ((arms - flat) ** 2).sum(-1)).mean()), 0.01))
        half = 0.5 * math.sqrt(float((ranges**2).sum()) / count)
        up = np.array([0.0, 0.0, 1.0])
        along = [linear, flat + height * up, flat - height * up, half * up, -half * up]
    starts = np.tile(middle, (len(along), 1))
    starts[:, :free] += np.stack(along) @ frame.axes
    if near is not None:
        starts = np.concatenate([starts, near[None]])
        if height_m is not None:
            starts[-1, 2] = height_m
    return starts


class _Found(NamedTuple):
    """Where S searches ended: (S, 3) positions, (S,) costs, (S,) True where it came to rest."""

    position_m: Float64Array
    cost: Float64Array
    settled: NDArray[np.bool_]


def _search(
    starts: Float64Array, seen: Float64Array, ranges: Float64Array, free: int, robust_m: float
) -> _Found:
    position = starts.copy()
    settled = np.zeros(len(starts), bool)
    cost = np.zeros(len(starts))
    for wide, steps in zip(_WIDTHS, _STEPS, strict=True):
        width = wide * robust_m
        damping = np.full(len(starts), 1e-3)
        residual, jacobian = _residuals(position, seen, ranges, free)
        cost = _cost(residual, width)
        for _ in range(steps):
            step = _step(residual, jacobian, damping, width)
            tried = position.copy()
            tried[:, :free] += step
            tried_residual, tried_jacobian = _residuals(tried, seen, ranges, free)
            tried_cost = _cost(tried_residual, width)
            better = tried_cost <= cost
            position[better], cost[better] = tried[better], tried_cost[better]
            residual[better], jacobian[better] = tried_residual[better], tried_jacobian[better]
            damping = np.clip(np.where(better, 0.1 * damping, 10.0 * damping), 1e-12, 1e9)
            settled = abs(step).max(-1) < _SETTLED_M
            if settled.all():
                break
    return _Found(position, cost, settled)


def _residuals(
    position: Float64Array, seen: Float64Array, ranges: Float64Array, free: int
) -> tuple[Float64Array, Float64Array]:
    """Return distance minus range (S, K) and its derivative (S, K, 2 or 3)."""
    offset = position[:, None] - seen
    distance: Float64Array = np.sqrt((offset**2).sum(-1) + 1e-18)
    jacobian: Float64Array = offset[..., :free] / distance[..., None]
    return distance - ranges, jacobian


def _cost(residual: Float64Array, width: float) -> Float64Array:
    cost: Float64Array = np.log1p((residual / width) ** 2).sum(-1)
    return cost


def _step(
    residual: Float64Array, jacobian: Float64Array, damping: Float64Array, width: float
) -> Float64Array:
    weight = 1.0 / (1.0 + (residual / width) ** 2)
    weighted = np.swapaxes(jacobian * weight[..., None], 1, 2)
    normal = weighted @ jacobian
    size = np.trace(normal, axis1=1, axis2=2) + 1e-9
    normal += (damping * size)[:, None, None] * np.eye(jacobian.shape[-1])
    step: Float64Array = np.linalg.solve(normal, weighted @ -residual[..., None])[..., 0].astype(
        np.float64, copy=False
    )
    return step


def _choose(found: _Found, flat: _Frame | None, near: Float64Array | None, robust_m: float) -> int:
    """Return which search to believe: the best, or among equals the side that was asked for."""
    best = int(found.cost.argmin())
    if flat is None:
        return best
    # Equal but for what noise of a third of the width does to a few ranges.
    equal = np.flatnonzero(found.cost <= found.cost[best] + 1.0)
    if near is not None:
        return int(equal[((found.position_m[equal] - near) ** 2).sum(-1).argmin()])
    lower = equal[(found.position_m[equal] - flat.middle) @ flat.normal <= 0.0]
    return int(lower[found.cost[lower].argmin()]) if len(lower) else best


def _fix(
    position: Float64Array,
    settled: bool,
    seen: Float64Array,
    ranges: Float64Array,
    free: int,
    robust_m: float,
) -> Fix:
    residual, jacobian = (each[0] for each in _residuals(position[None], seen, ranges, free))
    weight = 1.0 / (1.0 + (residual / robust_m) ** 2)
    square = float(weight @ residual**2)
    variance = max(square / max(weight.sum() - free, 1.0), (robust_m / 3.0) ** 2)
    covariance = np.zeros((3, 3))
    normal = (jacobian * weight[:, None]).T @ jacobian
    # In the anchors' plane itself the ranges say nothing about the way out of it.
    covariance[:free, :free] = variance * np.linalg.inv(normal + 1e-9 * np.eye(free))
    problem = "" if settled else f"the search did not come to rest in {sum(_STEPS)} steps"
    return Fix(position, math.sqrt(square / weight.sum()), covariance, settled, problem)


def _no_fix(problem: str) -> Fix:
    return Fix(np.full(3, math.nan), math.nan, np.full((3, 3), math.nan), False, problem)
