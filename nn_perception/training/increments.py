"""Rotations over stretches of samples, for losses on integrated rates (Brossard 2020, eq. 9-11)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from nn_perception.rotations.quaternions import exp_components, product


def rate_increments(rate_rad_s: Tensor, dt_s: Tensor, lengths: Sequence[int]) -> dict[int, Tensor]:
    """Return the rotations (B, T // n, 4) over every n intervals, by pairwise products.

    The rate of an interval is the mean of its two ends (trapezoidal rule).

    Args:
        rate_rad_s: (B, T, 3) at the samples.
        dt_s: (B, T, 1) time since the sample before; the first is not used.
        lengths: powers of two.
    """
    turned = 0.5 * (rate_rad_s[:, 1:] + rate_rad_s[:, :-1]) * dt_s[:, 1:]
    parts = exp_components(torch, tuple(turned.unbind(-1)))
    found: dict[int, Tensor] = {}
    length = 1
    while length < max(lengths):
        even = parts[0].shape[1] // 2 * 2
        parts = product(
            tuple(part[:, 0:even:2] for part in parts), tuple(part[:, 1:even:2] for part in parts)
        )
        length *= 2
        if length in lengths:
            found[length] = torch.stack(parts, -1)
    return found


def relative_turns(quat_xyzw: Tensor, known: Tensor, length: int) -> tuple[Tensor, Tensor]:
    """Return the rotations (B, K, 4) from every ``length``-th orientation to the next.

    Also whether both are known, (B, K).
    """
    ends, there = quat_xyzw[:, ::length], known[:, ::length]
    x, y, z, w = ends[:, :-1].unbind(-1)
    turns = product((-x, -y, -z, w), tuple(ends[:, 1:].unbind(-1)))
    return torch.stack(turns, -1), there[:, :-1] & there[:, 1:]
