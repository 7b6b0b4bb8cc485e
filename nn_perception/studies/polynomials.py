"""Polynomials through noisy points of a sine: least squares, ridge, bias and variance.

The example of C. Bishop, "Pattern Recognition and Machine Learning", 2006, sections 1.1 and 3.2:
y = sin(2 pi x) + noise for x from 0 to 1.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]

DEGREES = tuple(range(1, 16))
PENALTIES = tuple(10.0**exponent for exponent in range(-8, 3))
"""Factors of the L2 penalty, lambda."""

TEST_POINTS = 200


def truth(x: FloatArray) -> FloatArray:
    """Return sin(2 pi x)."""
    return np.asarray(np.sin(2 * np.pi * x))


def features(x: FloatArray, degree: int) -> FloatArray:
    """Return the powers 0 to ``degree`` of 2 x - 1, (N, degree + 1).

    Of -1..1 and not of 0..1: powers of a centred input are less alike, and a penalty on their
    weights does not favour one end.
    """
    return np.vander(2 * x - 1, degree + 1, increasing=True)


def fit(x: FloatArray, y: FloatArray, degree: int, penalty: float = 0.0) -> FloatArray:
    """Return the weights with the least ``|y - X w|^2 + penalty |w|^2``, w[0] not counted.

    In closed form, as least squares of X with rows sqrt(penalty) below it, which is better
    conditioned than the normal equations.

    Args:
        x: (N,).
        y: (N,), or (N, sets) of several sets with the same x.
        degree: of the polynomial.
        penalty: lambda, 0 or more; 0: least squares.

    Returns:
        (degree + 1,) or (degree + 1, sets).
    """
    rows = features(x, degree)
    if penalty:
        shrunk = np.sqrt(penalty) * np.eye(degree + 1)[1:]
        rows = np.concatenate((rows, shrunk))
        y = np.concatenate((y, np.zeros((degree, *y.shape[1:]))))
    return np.asarray(np.linalg.lstsq(rows, y, rcond=None)[0])


@dataclass(frozen=True)
class Errors:
    """Mean squared errors over many drawn sets, and what they consist of.

    Attributes:
        degree: of the polynomial.
        penalty: lambda.
        training: on the points of each set itself.
        test: on new noisy points, measured.
        bias2: squared distance of the mean fit to the truth.
        variance: of the fits around their mean.
        noise: variance of the noise.
        exact_bias2: what ``bias2`` is with infinitely many sets.
        exact_variance: likewise.
    """

    degree: int
    penalty: float
    training: float
    test: float
    bias2: float
    variance: float
    noise: float
    exact_bias2: float
    exact_variance: float

    @property
    def expected(self) -> float:
        """Bias^2 + variance + noise."""
        return self.bias2 + self.variance + self.noise


@dataclass(frozen=True, eq=False)
class Sets:
    """Noisy values of the truth at the same places, drawn again and again.

    Attributes:
        x: (N,) places, evenly spaced.
        y: (N, sets) values.
        test_x: (M,) other places.
        test_y: (M, sets) values with noise of their own.
        noise: standard deviation.
    """

    x: FloatArray
    y: FloatArray
    test_x: FloatArray
    test_y: FloatArray
    noise: float


def draw_sets(points: int, sets: int, noise: float, seed: int) -> Sets:
    """Draw sets of noisy points.

    Args:
        points: of each set.
        sets: how many.
        noise: standard deviation of the values.
        seed: same seed, same sets.
    """
    draw = np.random.RandomState(seed)
    x, test_x = np.linspace(0.0, 1.0, points), (np.arange(TEST_POINTS) + 0.5) / TEST_POINTS
    y = truth(x)[:, None] + noise * draw.standard_normal((points, sets))
    test_y = truth(test_x)[:, None] + noise * draw.standard_normal((TEST_POINTS, sets))
    return Sets(x, y, test_x, test_y, noise)


def errors(drawn: Sets, degree: int, penalty: float = 0.0) -> Errors:
    """Fit all sets and take their errors apart.

    The expected squared error is bias^2 + variance + noise (S. Geman et al. 1992, "Neural networks
    and the bias/variance dilemma"). Fits are linear in y, f = S y, so that with the truth t the
    exact terms are the means of (S t - t)^2 and of noise^2 times the sums of S^2.
    """
    weights = fit(drawn.x, drawn.y, degree, penalty)
    fitted = features(drawn.test_x, degree) @ weights
    at_points = features(drawn.x, degree) @ weights
    smoother = features(drawn.test_x, degree) @ fit(drawn.x, np.eye(len(drawn.x)), degree, penalty)
    target = truth(drawn.test_x)
    return Errors(
        degree=degree,
        penalty=penalty,
        training=float(np.mean((drawn.y - at_points) ** 2)),
        test=float(np.mean((drawn.test_y - fitted) ** 2)),
        bias2=float(np.mean((fitted.mean(1) - target) ** 2)),
        variance=float(np.mean(fitted.var(1))),
        noise=drawn.noise**2,
        exact_bias2=float(np.mean((smoother @ truth(drawn.x) - target) ** 2)),
        exact_variance=float(drawn.noise**2 * np.mean((smoother**2).sum(1))),
    )


@dataclass(frozen=True, eq=False)
class PolynomialStudy:
    """Errors by degree without a penalty, and by penalty of the highest degree.

    Attributes:
        drawn: the sets.
        by_degree: of `DEGREES`.
        by_penalty: of `PENALTIES`.
    """

    drawn: Sets
    by_degree: Sequence[Errors]
    by_penalty: Sequence[Errors]

    @property
    def best_degree(self) -> Errors:
        """Of the least error on new points."""
        return min(self.by_degree, key=lambda e: e.test)

    @property
    def best_penalty(self) -> Errors:
        """Of the least error on new points."""
        return min(self.by_penalty, key=lambda e: e.test)

    @property
    def largest_gap(self) -> float:
        """By how much bias^2 + variance + noise misses the measured error at most, as a share."""
        every = (*self.by_degree, *self.by_penalty)
        return max(abs(e.expected - e.test) / e.test for e in every)

    def to_dict(self) -> dict[str, Any]:
        """Return the figures for JSON."""
        return {
            "polynomials": {
                "by_degree": [dataclasses.asdict(e) for e in self.by_degree],
                "by_penalty": [dataclasses.asdict(e) for e in self.by_penalty],
                "largest_gap": self.largest_gap,
            }
        }


def study(points: int, sets: int, noise: float, seed: int) -> PolynomialStudy:
    """Fit all degrees and penalties to the same drawn sets; arguments as of `draw_sets`."""
    drawn = draw_sets(points, sets, noise, seed)
    return PolynomialStudy(
        drawn,
        [errors(drawn, degree) for degree in DEGREES],
        [errors(drawn, DEGREES[-1], penalty) for penalty in PENALTIES],
    )
