"""A Gaussian process over ranges: from few noisy errors to a smooth function with its doubt.

A network that is fit to a few thousand ranges of one flight learns their noise by heart. The
process does not: it weighs each range by how similarly tag and anchor saw each other. It costs
thousands of exponentials for each prediction, though. So it teaches: the network is fit to what
the process says at as many poses as it likes, which leaves it nothing to learn by heart.
"""

from __future__ import annotations

import numpy as np
import torch

from nn_perception.tasks.uwb.data import RangeRows
from nn_perception.tasks.uwb.kernel import (
    Apart,
    Columns,
    Kernel,
    covariance,
    robust_weights,
    solve,
)

_STEPS = 3
"""Rounds of robust weights."""
_CHUNK = 4000


class Teacher:
    """The process, fit to ranges.

    Args:
        rows: what it learns from; a few thousand at most, since the cost grows with the cube.
        kernel: see `Kernel`.
        prior_m: (N,) errors that are expected at ``rows`` before anything is learned.
        rooms: whether the rows come from several rooms; see `covariance`.
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
        self._kernel, self._rooms, self._device = kernel, rooms, device
        self._known = Columns(rows, device)
        target = torch.from_numpy(rows.error_m - prior_m).to(device)
        inside = covariance(kernel, Apart(self._known, self._known), rooms=rooms)
        variance, weight = kernel.noise_m**2, self._known.count
        for _ in range(_STEPS):
            self._solved, _ = solve(inside, variance / weight, target)
            weight = robust_weights(self._known.count, target - inside @ self._solved, variance)

    def predict(self, rows: RangeRows, *, new_room: bool = False) -> np.ndarray:
        """Return the errors (N,) in metres that are expected beyond the prior.

        Args:
            rows: their errors are not looked at.
            new_room: leave out what the known rooms alone can tell.
        """
        found = []
        for at in range(0, len(rows), _CHUNK):
            part = rows.take(np.arange(at, min(at + _CHUNK, len(rows))))
            apart = Apart(Columns(part, self._device), self._known)
            told = covariance(self._kernel, apart, rooms=self._rooms, new_room=new_room)
            found.append((told @ self._solved).cpu())
        result: np.ndarray = torch.cat(found).numpy()
        return result
