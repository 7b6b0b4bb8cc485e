"""The bias of a gyroscope, remembered from the moments when it was at rest.

A weighted mean: each sample weighs in by how much the sensor seems at rest, told from how much rate
and specific force scatter of late and from how far the rate is from the bias to be expected. The
mean begins with an expected bias that weighs as much as ``prior_s`` seconds of rest. All sums run,
so that a sample costs the same after an hour; all operations are linear in the rate, so that
thresholds and prior are trained by back-propagation.

Written for arrays (N, T, ...) of sensors and samples, of torch (training) or NumPy, and in
`RestMemory` once more for one sample at a time (a node), whose cost would else be that of thirty
calls of NumPy.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import exp
from typing import Any, NamedTuple

from nn_perception.inertial.small import module_of
from nn_perception.rotations import Array

SMOOTHING_S = 0.15
"""Time constant over which scatter is looked at."""
SETTLING_S = 0.3005
"""No sample counts before the scatter is known. Half a millisecond beside the multiples of common
periods: there, the rounding of sums would decide whether a sample counts."""


class RestState(NamedTuple):
    """Running sums of N sensors.

    Attributes:
        mean: (N, 6) smoothed rate, without the expected bias, and specific force.
        scatter: (N, 2) smoothed squared deviation of rate and specific force.
        weighted_rad: (N, 3) sum of weight x time x rate without the expected bias.
        weight_s: (N, 1) sum of weight x time.
        age_s: (N, 1) time since the start.
    """

    mean: Array
    scatter: Array
    weighted_rad: Array
    weight_s: Array
    age_s: Array


class Remembered(NamedTuple):
    """What is known at each sample.

    Attributes:
        bias_rad_s: (N, T, 3) difference to the expected bias.
        at_rest: (N, T, 1) 0 in motion to 1 at rest.
        known: (N, T, 1) 0 with the expected bias alone to 1 with much rest seen.
    """

    bias_rad_s: Array
    at_rest: Array
    known: Array


def first_state(samples: Array) -> RestState:
    """Return the state before the first samples (N, T, 6), see `remember`."""
    zero = 0.0 * samples[:, 0, :1]
    xp = module_of(samples)
    three = xp.concatenate([zero] * 3, -1)
    return RestState(samples[:, 0], xp.concatenate([zero, zero], -1), three, zero, zero)


def remember(
    state: RestState, samples: Array, dt_s: Array, decay: float, thresholds: Array
) -> tuple[Remembered, RestState]:
    """Take T samples.

    Args:
        state: before them.
        samples: (N, T, 6) rate, calibrated and without the expected bias, and specific force.
        dt_s: (N, T, 1) time since the sample before.
        decay: of the smoothing, per sample: exp(-period / `SMOOTHING_S`).
        thresholds: (4,) ``prior_s``, and what scatter of the rate (rad/s), scatter of the force
            (m/s2) and distance of the smoothed rate from zero (rad/s) count as rest.
    """
    xp = module_of(samples)
    mean = smooth(xp, samples, state.mean, decay)
    before = xp.concatenate([state.mean[:, None], mean[:, :-1]], 1)
    off = (samples - before) ** 2
    squares = xp.stack([off[..., :3].sum(-1), off[..., 3:].sum(-1)], -1)
    scatter = smooth(xp, decay * squares, state.scatter, decay)
    age = state.age_s[:, None] + xp.cumsum(dt_s, 1)
    distance = (mean[..., :3] ** 2).sum(-1)[..., None]
    excess = scatter[..., :1] / thresholds[1] ** 2 + scatter[..., 1:] / thresholds[2] ** 2
    # Fourth powers of the deviations: nearly flat at rest, nearly nothing beyond the threshold.
    at_rest = xp.exp(-(excess**2) - (0.25 * distance / thresholds[3] ** 2) ** 2)
    at_rest = at_rest * (age > SETTLING_S)
    weight = at_rest * dt_s
    weight_s = state.weight_s[:, None] + xp.cumsum(weight, 1)
    weighted = state.weighted_rad[:, None] + xp.cumsum(weight * samples[..., :3], 1)
    total = weight_s + thresholds[0]
    after = RestState(mean[:, -1], scatter[:, -1], weighted[:, -1], weight_s[:, -1], age[:, -1])
    return Remembered(weighted / total, at_rest, weight_s / total), after


def smooth(xp: Any, values: Array, before: Array, decay: float) -> Array:
    """Return y[t] = decay y[t-1] + (1 - decay) values[t] along axis 1, y[-1] being ``before``.

    By doubling: as many steps as the logarithm of the memory, whatever the length.

    Args:
        xp: numpy or torch.
        values: (N, T, C).
        before: (N, C).
        decay: 0 to 1.
    """
    head = decay * before[:, None] + (1.0 - decay) * values[:, :1]
    result = xp.concatenate([head, (1.0 - decay) * values[:, 1:]], 1)
    shift = 1
    while shift < values.shape[1] and decay**shift > 1e-12:
        moved = result[:, :-shift] * decay**shift
        result = xp.concatenate([result[:, :shift], result[:, shift:] + moved], 1)
        shift *= 2
    return result


class RestMemory:
    """`remember` for one sensor, sample by sample, in plain floats."""

    __slots__ = ("_age_s", "_mean", "_scatter", "_weight_s", "_weighted_rad")

    def __init__(self) -> None:
        self.begin((0.0,) * 6)

    def begin(self, sample: Sequence[float]) -> None:
        """Forget everything; see `first_state`."""
        self._mean: Sequence[float] = sample
        self._scatter = (0.0, 0.0)
        self._weighted_rad = (0.0, 0.0, 0.0)
        self._weight_s = self._age_s = 0.0

    def move(self, rate_rad_s: Sequence[float]) -> None:
        """Go on with rates that are higher by so much (3,): the expected bias is another one."""
        x, y, z = rate_rad_s
        mean, weighted, weight_s = self._mean, self._weighted_rad, self._weight_s
        self._mean = (mean[0] + x, mean[1] + y, mean[2] + z, *mean[3:])
        self._weighted_rad = (
            weighted[0] + weight_s * x,
            weighted[1] + weight_s * y,
            weighted[2] + weight_s * z,
        )

    def add(
        self, sample: Sequence[float], dt_s: float, decay: float, thresholds: Sequence[float]
    ) -> tuple[tuple[float, float, float], float, float]:
        """Take a sample; see `remember`.

        Returns:
            Bias (3,), at rest, known, as in `Remembered`.
        """
        prior_s, rate_rad_s, force_m_s2, distance_rad_s = thresholds
        new = 1.0 - decay
        squares = [
            (now - mean) * (now - mean) for now, mean in zip(sample, self._mean, strict=True)
        ]
        self._mean = mean = [
            decay * mean + new * now for now, mean in zip(sample, self._mean, strict=True)
        ]
        of_rate, of_force = self._scatter
        of_rate = decay * (of_rate + new * (squares[0] + squares[1] + squares[2]))
        of_force = decay * (of_force + new * (squares[3] + squares[4] + squares[5]))
        self._scatter = of_rate, of_force
        self._age_s += dt_s
        at_rest = 0.0
        if self._age_s > SETTLING_S:
            distance = mean[0] * mean[0] + mean[1] * mean[1] + mean[2] * mean[2]
            excess = of_rate / (rate_rad_s * rate_rad_s) + of_force / (force_m_s2 * force_m_s2)
            far = 0.25 * distance / (distance_rad_s * distance_rad_s)
            at_rest = exp(-excess * excess - far * far)
        weight = at_rest * dt_s
        self._weight_s += weight
        x, y, z = self._weighted_rad
        x, y, z = x + weight * sample[0], y + weight * sample[1], z + weight * sample[2]
        self._weighted_rad = x, y, z
        total = self._weight_s + prior_s
        return (x / total, y / total, z / total), at_rest, self._weight_s / total
