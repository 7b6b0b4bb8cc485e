"""A Gaussian process over ranges: from few noisy errors to a smooth function with its doubt.

A network that is fit to a few thousand ranges of one flight learns their noise by heart. The
process does not: it weighs each range by how similarly tag and anchor saw each other. It costs
thousands of exponentials for each prediction, though. So it teaches: the network is fit to what
the process says at as many poses as it likes, which leaves it nothing to learn by heart.

The covariance of two ranges is a sum (kernels: Rasmussen and Williams 2006, section 4.2.1) of

* constants: of a tag, of an anchor, of a pair (delays of antennas and cables);
* a pattern of the anchor's antenna over directions in its frame, and one of the tag's antenna over
  directions in the body's: smooth, squared exponential;
* what is left at a place, over both directions and the distance: reflections in a room, which
  change within a hand's breadth; exponential, whose functions are continuous but rough.

What holds in one room only (place, and the tag's pattern, since a vehicle that hardly turns cannot
tell the two apart) is shared by ranges of one room alone, and can be left out when asked about
another one.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from nn_perception.tasks.uwb.data import RangeRows

_STEPS = 3
"""Rounds of robust weights."""
_CHUNK = 4000
_MOST = 4.0
_JITTER = 1e-8


@dataclass(frozen=True)
class Kernel:
    """Standard deviations (m) and lengths of the terms.

    Attributes:
        constant_m: of the constant of a tag, of an anchor, and of a pair, each.
        anchor_m: of the anchor's pattern.
        tag_m: of the tag's pattern.
        place_m: of what is left at a place.
        room_m: of a constant of a room, and of an anchor in a room.
        pattern_length: chord between unit vectors over which a pattern changes.
        place_length: likewise, of what is left at a place.
        place_length_m: likewise, over distances.
        noise_m: of a range.
    """

    constant_m: float = 0.055
    anchor_m: float = 0.063
    tag_m: float = 0.063
    place_m: float = 0.13
    room_m: float = 0.04
    pattern_length: float = 1.0
    place_length: float = 1.6
    place_length_m: float = 2.0
    noise_m: float = 0.04


class Teacher:
    """The process, fit to ranges.

    Args:
        rows: what it learns from; a few thousand at most, since the cost grows with the cube.
        kernel: see `Kernel`.
        prior_m: (N,) errors that are expected at ``rows`` before anything is learned.
        rooms: whether the rows come from several rooms: what holds in one room only is then not
            shared between them.
        device: where to compute.
    """

    def __init__(
        self,
        rows: RangeRows,
        kernel: Kernel,
        prior_m: np.ndarray,
        *,
        rooms: bool,
        device: torch.device | None = None,
    ) -> None:
        self._kernel, self._rooms = kernel, rooms
        self._known = _Columns(rows, device)
        target = torch.from_numpy(rows.error_m - prior_m).to(self._known.tag.device)
        covariance = self._covariance(self._known, self._known, new_room=False)
        noise = kernel.noise_m**2
        weight = self._known.count
        # Weights of a Cauchy likelihood: ranges that nothing explains must not bend the function.
        for _ in range(_STEPS):
            inner = covariance + torch.diag(noise / weight + _JITTER)
            self._solved = torch.cholesky_solve(target[:, None], torch.linalg.cholesky(inner))[:, 0]
            left = target - covariance @ self._solved
            weight = self._known.count / (1.0 + left**2 / (4.0 * noise))

    def predict(self, rows: RangeRows, *, new_room: bool = False) -> np.ndarray:
        """Return the errors (N,) in metres that are expected beyond the prior.

        Args:
            rows: their errors are not looked at.
            new_room: leave out what the known rooms alone can tell.
        """
        found = []
        for at in range(0, len(rows), _CHUNK):
            part = rows.take(np.arange(at, min(at + _CHUNK, len(rows))))
            columns = _Columns(part, self._known.tag.device)
            covariance = self._covariance(columns, self._known, new_room=new_room)
            found.append((covariance @ self._solved).cpu())
        result: np.ndarray = torch.cat(found).numpy()
        return result

    def _covariance(self, a: _Columns, b: _Columns, *, new_room: bool) -> Tensor:
        k = self._kernel
        same_tag, same_anchor = _same(a.tag, b.tag), _same(a.anchor, b.anchor)
        apart = torch.cdist(a.at_anchor, b.at_anchor)
        total = k.anchor_m**2 * torch.exp(-0.5 * (apart / k.pattern_length) ** 2)
        if self._rooms:
            total += k.constant_m**2
        else:
            total *= 0.3 + 0.7 * same_anchor  # what stands around an anchor is its own
            total += k.constant_m**2 * (same_tag + same_anchor + same_tag * same_anchor)
        if self._rooms and new_room:
            return total
        turned = torch.cdist(a.at_tag, b.at_tag)
        local = k.tag_m**2 * torch.exp(-0.5 * (turned / k.pattern_length) ** 2)
        local *= 0.5 + 0.5 * same_tag
        further = torch.cdist(a.distance, b.distance)
        place = torch.exp(-(apart + turned) / k.place_length - further / k.place_length_m)
        local += k.place_m**2 * place * same_anchor * (0.3 + 0.7 * same_tag)
        if self._rooms:
            local = _same(a.room, b.room) * (local + k.room_m**2 * (1.0 + same_anchor))
        return total + local


class _Columns:
    """What the kernel looks at, as tensors."""

    def __init__(self, rows: RangeRows, device: torch.device | None) -> None:
        features = torch.from_numpy(rows.features).to(device)
        self.at_tag, self.at_anchor = features[:, 0:3], features[:, 3:6]
        self.distance = features[:, 12:13]
        # Many measurements at one pose share what is wrong there: they count as a few.
        self.count = torch.from_numpy(rows.count.clip(max=_MOST)).to(device)
        self.tag, self.anchor, self.room = (
            torch.from_numpy(column).to(device) for column in (rows.tag, rows.anchor, rows.room)
        )


def _same(a: Tensor, b: Tensor) -> Tensor:
    return (a[:, None] == b[None]).double()
