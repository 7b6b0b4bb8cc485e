"""How alike the errors of two ranges are, and how that is learned from ranges.

The covariance of two ranges is a sum (kernels: Rasmussen and Williams 2006, section 4.2.1) of

* constants: of a tag, of an anchor, of a pair (delays of antennas and cables);
* a pattern of the anchor's antenna over directions in its frame, and one of the tag's antenna over
  directions in the body's: a smooth part, squared exponential, and a rough one, exponential;
* what is left at a place, over both directions and the distance: reflections in a room, which
  change within a hand's breadth; exponential, whose functions are continuous but rough.

What holds in one room only (place, and the tag's pattern, since a vehicle that hardly turns cannot
tell the two apart) is shared by ranges of one room alone, and can be left out when asked about
another one.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from nn_perception.tasks.uwb.data import RangeRows

MOST = 4.0
"""Many measurements at one pose share what is wrong there: they count as a few."""
_JITTER = 1e-8
_STEPS, _RATE = 30, 0.1
_WEIGH_EVERY = 10


@dataclass(frozen=True)
class Kernel:
    """Standard deviations (m) and lengths of the terms.

    Attributes:
        tag_constant_m: of a constant of a tag.
        anchor_constant_m: of an anchor.
        pair_constant_m: of a pair.
        tag_m: of the tag's smooth pattern.
        tag_rough_m: of its rough one.
        anchor_m: of the anchor's smooth pattern.
        anchor_rough_m: of its rough one.
        place_m: of what is left at a place.
        noise_m: of a range.
        smooth: chord between unit vectors over which a smooth pattern changes.
        rough: likewise, of a rough pattern, and at a place.
        rough_m: likewise, over distances.
        room_m: of a constant of a room, and of an anchor in a room.
    """

    tag_constant_m: float = 0.05
    anchor_constant_m: float = 0.05
    pair_constant_m: float = 0.05
    tag_m: float = 0.06
    tag_rough_m: float = 0.04
    anchor_m: float = 0.06
    anchor_rough_m: float = 0.04
    place_m: float = 0.08
    noise_m: float = 0.045
    smooth: float = 1.0
    rough: float = 1.6
    rough_m: float = 2.0
    room_m: float = 0.04


SEVERAL_ROOMS = Kernel(tag_rough_m=0.0, anchor_rough_m=0.0, place_m=0.13, noise_m=0.04)
"""Not learned: likelihood explains by places in the known rooms what shall hold in another one.
Antennas are smooth, reflections are not, and the latter are left to the places."""


class Columns:
    """What a kernel looks at, as tensors."""

    def __init__(self, rows: RangeRows, device: torch.device | None = None) -> None:
        features = torch.from_numpy(rows.features).to(device)
        self.at_tag, self.at_anchor = features[:, 0:3], features[:, 3:6]
        self.distance = features[:, 12:13]
        self.count = torch.from_numpy(rows.count.clip(max=MOST)).to(device)
        self.tag, self.anchor, self.room = (
            torch.from_numpy(column).to(device) for column in (rows.tag, rows.anchor, rows.room)
        )


class Apart:
    """How far N and M ranges are apart, each with each."""

    def __init__(self, a: Columns, b: Columns) -> None:
        self.at_tag = torch.cdist(a.at_tag, b.at_tag)
        self.at_anchor = torch.cdist(a.at_anchor, b.at_anchor)
        self.distance = torch.cdist(a.distance, b.distance)
        self.same_tag = _same(a.tag, b.tag)
        self.same_anchor = _same(a.anchor, b.anchor)
        self.same_room = _same(a.room, b.room)


def covariance(k: Any, apart: Apart, *, rooms: bool, new_room: bool = False) -> Tensor:
    """Return the covariances (N, M).

    Args:
        k: a `Kernel`, or the like of tensors.
        apart: the ranges.
        rooms: whether they come from several rooms: what holds in one only is then not shared.
        new_room: leave out what the known rooms alone can tell.
    """
    tag, anchor = apart.same_tag, apart.same_anchor
    rough_anchor = torch.exp(-apart.at_anchor / k.rough)
    by_anchor = k.anchor_m**2 * torch.exp(-0.5 * (apart.at_anchor / k.smooth) ** 2)
    by_anchor = by_anchor + k.anchor_rough_m**2 * rough_anchor
    total: Tensor = by_anchor + k.anchor_constant_m**2
    if rooms and new_room:
        return total
    rough_tag = torch.exp(-apart.at_tag / k.rough)
    by_tag = k.tag_m**2 * torch.exp(-0.5 * (apart.at_tag / k.smooth) ** 2)
    by_tag = (by_tag + k.tag_rough_m**2 * rough_tag) * (0.5 + 0.5 * tag)
    near = torch.exp(-apart.distance / k.rough_m)
    place = k.place_m**2 * rough_anchor * rough_tag * near * anchor * (0.3 + 0.7 * tag)
    if rooms:
        local = by_tag + place + k.room_m**2 * (1.0 + anchor)
        total = total + apart.same_room * local
        return total
    constant = k.tag_constant_m**2 * tag + k.anchor_constant_m**2 * anchor
    constant = constant + k.pair_constant_m**2 * tag * anchor
    # What stands around an anchor is its own.
    in_room: Tensor = constant + by_anchor * (0.3 + 0.7 * anchor) + by_tag + place
    return in_room


def solve(inside: Tensor, noise: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """Return (inside + diag(noise))^-1 target (N,), and the logarithm of the root determinant."""
    factor = torch.linalg.cholesky(inside + torch.diag(noise + _JITTER))
    solved = torch.cholesky_solve(target[:, None], factor)[:, 0]
    return solved, torch.log(torch.diagonal(factor)).sum()


def robust_weights(count: Tensor, left: Tensor, variance: Any) -> Tensor:
    """Return the weights (N,) of a Cauchy likelihood: what nothing explains bends nothing."""
    weights: Tensor = count / (1.0 + left**2 / (4.0 * variance))
    return weights


def learn_kernel(rows: RangeRows, target_m: np.ndarray, start: Kernel) -> Kernel:
    """Return the kernel under which the errors of ranges of one room are most likely.

    Gradient ascent on the marginal likelihood (Rasmussen and Williams 2006, eq. 5.8) in the
    logarithms of the kernel's values.

    Args:
        rows: a thousand or two: each step costs the cube.
        target_m: (N,) their errors beyond the prior.
        start: where to begin; a value of 0 stays 0.
    """
    names = [name for name, value in asdict(start).items() if value > 0.0 and name != "room_m"]
    values = torch.tensor([math.log(getattr(start, name)) for name in names], dtype=torch.float64)
    values.requires_grad_()
    columns = Columns(rows)
    apart, target = Apart(columns, columns), torch.from_numpy(target_m)
    optimizer = torch.optim.Adam([values], lr=_RATE)
    weight = columns.count
    for step in range(_STEPS):
        kernel = _Values(start, names, torch.exp(values))
        inside, variance = covariance(kernel, apart, rooms=False), kernel.noise_m**2
        if step and step % _WEIGH_EVERY == 0:
            with torch.no_grad():
                left = target - inside @ solve(inside, variance / weight, target)[0]
                weight = robust_weights(columns.count, left, variance)
        solved, log_determinant = solve(inside, variance / weight, target)
        loss = 0.5 * (target * solved).sum() + log_determinant
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    found = torch.exp(values.detach()).tolist()
    return Kernel(**{**asdict(start), **dict(zip(names, found, strict=True))})


class _Values:
    """A kernel some of whose values are tensors."""

    def __init__(self, start: Kernel, names: list[str], values: Tensor) -> None:
        self.__dict__.update(asdict(start))
        self.__dict__.update(zip(names, values, strict=True))

    def __getattr__(self, name: str) -> Any:  # for the type checker
        raise AttributeError(name)


def _same(a: Tensor, b: Tensor) -> Tensor:
    return (a[:, None] == b[None]).double()
