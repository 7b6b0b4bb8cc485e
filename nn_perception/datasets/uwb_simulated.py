"""Simulate UWB ranging in a room: data with exact truth, without a download.

A body flies smoothly through a room with anchors on its walls. The error of a range is a constant
of its tag and anchor, a bias that depends on the directions in which the two antennas see each
other, noise, and now and then a path that is not the direct one (NLOS). The antennas' patterns are
the same in all simulated recordings: what is learned of them in one room holds in another.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, fields, replace

import numpy as np

from nn_perception.datasets.imu_simulated import SIMULATED
from nn_perception.datasets.imu_splines import DEGREE, spline
from nn_perception.datasets.uwb import Anchor, Float64Array, UwbSequence
from nn_perception.datasets.uwb_text import Vector3
from nn_perception.errors import DatasetError
from nn_perception.rotations import quat_conjugate, quat_from_euler, quat_rotate

__all__ = [
    "SIMULATED",
    "TEST_SEEDS",
    "TRAINING_SEEDS",
    "RangeErrors",
    "pattern_bias_m",
    "simulate_uwb",
    "simulated_site",
    "simulated_uwb",
]

TRAINING_SEEDS = range(20)
TEST_SEEDS = range(100, 104)
"""What `SIMULATED` gives; training never sees these."""

ROOM_M = (8.0, 6.0, 3.0)
PATTERN_RMS_M = 0.08
"""Of the directional bias over all directions of both antennas."""
MAX_TAGS, MIN_ANCHORS, MAX_ANCHORS = 3, 1, 8

_RATE_HZ = 20.0  # of each pair of a tag and an anchor
_KNOT_S = 1.5
_MARGIN_M = (1.0, 1.0, 0.4)  # between the body and the walls, floor and ceiling
_TILT_RAD = 0.35
_TURN_RAD = 1.0
_PATTERN_SEED = 20240607
_STREAMS = {"site": 10, "flight": 11, "ranges": 12}
_LEVERS: tuple[Vector3, ...] = ((0.0, 0.0, 0.0), (0.25, 0.15, 0.05), (-0.2, 0.2, -0.05))
# Mean squares of the functions of `_harmonics` over the sphere.
_MEAN_SQUARES = (
    *(1 / 3, 1 / 3, 1 / 3),
    *(1 / 15, 1 / 15, 1 / 15, 4 / 15, 4 / 5),
    *(1 / 105, 4 / 105, 4 / 7, 8 / 21, 8 / 21, 8 / 35, 8 / 35),
)
_DEGREES = (1, 1, 1, 2, 2, 2, 2, 2, 3, 3, 3, 3, 3, 3, 3)


@dataclass(frozen=True)
class RangeErrors:
    """What the radios do wrong. The default is that of common modules, not calibrated.

    Attributes:
        constant_m: mean of the constants of the pairs.
        constant_std_m: how much they differ.
        pattern: share of `pattern_bias_m` that is added; 0 for antennas without a direction.
        noise_m: standard deviation of the noise.
        nlos_share: of ranges along another path than the direct one, 0 to 1.
        nlos_mean_m: mean of what such a path is longer; exponentially distributed.
        failure_share: of ranges that come out 0 or less, 0 to 1.

    Raises:
        DatasetError: a value is negative or NaN, or the shares are no shares.
    """

    constant_m: float = 0.2
    constant_std_m: float = 0.05
    pattern: float = 1.0
    noise_m: float = 0.03
    nlos_share: float = 0.03
    nlos_mean_m: float = 0.8
    failure_share: float = 0.001

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            limit = 1.0 if field.name.endswith("share") else math.inf
            if not (0.0 <= value <= limit and value < math.inf):
                raise DatasetError(
                    f"RangeErrors: {field.name} is {value}, expected 0 or more"
                    f"{', at most 1' if limit == 1.0 else ''}; RangeErrors() is a start"
                )

    @classmethod
    def none(cls) -> RangeErrors:
        """Return perfect radios."""
        return cls(**{field.name: 0.0 for field in fields(cls)})


def simulate_uwb(
    seed: int,
    *,
    site: int | None = None,
    duration_s: float = 120.0,
    tags: int = 1,
    anchors: int = 6,
    errors: RangeErrors | None = None,
) -> UwbSequence:
    """Simulate one recording: the pairs of tag and anchor in turn, each at 20 Hz.

    The flight depends on the seed alone. ``numpy.random.RandomState`` draws, as its stream is
    frozen (NEP 19).

    Args:
        seed: same seed, same recording; 0 to 2^32 - 1.
        site: recordings of one site share anchors and constants; the seed by default.
        duration_s: length, at least 1 s.
        tags: 1 to 3.
        anchors: 1 to 8.
        errors: of the radios; ``RangeErrors()`` by default.

    Returns:
        The recording ``simulated_SEED`` with the true pose in every row; ``source`` is
        ``simulated``.

    Raises:
        DatasetError: an argument is out of range.
    """
    errors = RangeErrors() if errors is None else errors
    place = seed if site is None else site
    _check_arguments(seed, place, duration_s, tags, anchors)
    mounted, constants_m = simulated_site(place, errors)
    mounted = dict(list(mounted.items())[:anchors])
    levers = {f"tag{index}": lever for index, lever in enumerate(_LEVERS[:tags])}
    rows = np.arange(int(duration_s * _RATE_HZ) * tags * anchors)
    time_s = rows / (_RATE_HZ * tags * anchors)
    anchor, tag = rows % anchors, rows // anchors % tags
    position_m, quat = _flight(duration_s, time_s, seed)
    exact = UwbSequence(
        name=f"{SIMULATED}_{seed}",
        time_s=time_s,
        tag=tag,
        anchor=anchor,
        range_m=np.ones(len(rows)),
        anchors=mounted,
        tags=levers,
        position_m=position_m,
        orientation_xyzw=quat,
        source=SIMULATED,
    )
    return _measured(exact, constants_m, errors, seed)


def simulated_uwb(seeds: Iterable[int], duration_s: float = 120.0) -> list[UwbSequence]:
    """Return one recording a seed, each in a room of its own, with 1 or 2 tags and 4 to 8 anchors.

    Raises:
        DatasetError: see `simulate_uwb`.
    """
    return [
        simulate_uwb(seed, duration_s=duration_s, tags=1 + seed % 2, anchors=4 + seed % 5)
        for seed in seeds
    ]


def simulated_site(
    site: int, errors: RangeErrors | None = None
) -> tuple[dict[str, Anchor], Float64Array]:
    """Return all anchors of a site, and the constants of the pairs (tags, anchors), metres."""
    errors = RangeErrors() if errors is None else errors
    draw = np.random.RandomState([_STREAMS["site"], site])
    along, up = draw.uniform(0.15, 0.85, MAX_ANCHORS), draw.uniform(0.1, 0.9, MAX_ANCHORS)
    turns = draw.uniform(-0.3, 0.3, (MAX_ANCHORS, 3))
    anchors = {}
    for index in range(MAX_ANCHORS):
        wall = index % 4
        share = ((0.0, along[index]), (along[index], 0.0), (1.0, along[index]), (along[index], 1.0))
        x, y, z = map(float, np.round(np.multiply(ROOM_M, (*share[wall], up[index])), 3))
        # x of the antenna points into the room, about.
        inward = turns[index] + [0.0, 0.0, (0.0, 0.5, 1.0, -0.5)[wall] * math.pi]
        qx, qy, qz, qw = map(float, quat_from_euler(inward))
        anchors[f"anchor{index}"] = Anchor((x, y, z), (qx, qy, qz, qw))
    spread = draw.standard_normal((MAX_TAGS, MAX_ANCHORS))
    return anchors, errors.constant_m + errors.constant_std_m * spread


def pattern_bias_m(in_tag: Float64Array, in_anchor: Float64Array) -> Float64Array:
    """Return the bias (N,), metres, that the antennas' directions give: two smooth functions' sum.

    Real spherical harmonics of degree 1 to 3 with coefficients of a fixed seed; the mean over all
    directions is 0, the RMS `PATTERN_RMS_M`.

    Args:
        in_tag: (N, 3) unit vectors to the anchor, in the frame of the body.
        in_anchor: (N, 3) unit vectors to the tag, in the frame of the anchor.
    """
    draw = np.random.RandomState(_PATTERN_SEED)
    bias = np.zeros(len(in_tag))
    for direction in (in_tag, in_anchor):
        weights = draw.standard_normal(len(_DEGREES)) / np.array(_DEGREES)
        weights *= PATTERN_RMS_M / math.sqrt(2.0) / np.linalg.norm(weights)
        bias = bias + _harmonics(direction) @ (weights / np.sqrt(_MEAN_SQUARES))
    return bias


def _harmonics(direction: Float64Array) -> Float64Array:
    """Real spherical harmonics of degree 1, 2 and 3, not normalised, (N, 15)."""
    x, y, z = np.moveaxis(direction, -1, 0)
    first = [x, y, z]
    second = [x * y, y * z, z * x, x**2 - y**2, 3.0 * z**2 - 1.0]
    middle = 5.0 * z**2
    third = [x * y * z, z * (x**2 - y**2), z * (middle - 3.0), x * (middle - 1.0)]
    third += [y * (middle - 1.0), x * (x**2 - 3.0 * y**2), y * (3.0 * x**2 - y**2)]
    return np.stack(first + second + third, axis=-1)


def _flight(
    duration_s: float, time_s: Float64Array, seed: int
) -> tuple[Float64Array, Float64Array]:
    """Positions (N, 3) within the margins, and orientations (N, 4), from splines."""
    draw = np.random.RandomState([_STREAMS["flight"], seed])
    count = int(duration_s / _KNOT_S) + 2 + DEGREE
    first = (time_s / _KNOT_S).astype(np.int64)
    part = time_s / _KNOT_S - first
    # A spline stays within the hull of its control points, and smooths: they keep to the borders.
    reach = np.array(ROOM_M) / 2.0 - _MARGIN_M
    points = np.array(ROOM_M) / 2.0 + reach * (2.0 * draw.beta(0.5, 0.5, (count, 3)) - 1.0)
    tilts = _TILT_RAD * draw.uniform(-1.0, 1.0, (count, 2))
    yaw = draw.uniform(-math.pi, math.pi) + np.cumsum(_TURN_RAD * draw.standard_normal(count))
    angles = spline(np.column_stack([tilts, yaw]), first, part, order=0)
    return spline(points, first, part, order=0), quat_from_euler(angles)


def _measured(
    exact: UwbSequence, constants_m: Float64Array, errors: RangeErrors, seed: int
) -> UwbSequence:
    """Put the errors onto the true ranges."""
    away = exact.anchor_position_m - exact.tag_position_m
    away /= np.linalg.norm(away, axis=1, keepdims=True)
    turns = np.array([anchor.orientation_xyzw for anchor in exact.anchors.values()], np.float64)
    bias = pattern_bias_m(
        quat_rotate(quat_conjugate(exact.orientation_xyzw), away),
        quat_rotate(quat_conjugate(turns[exact.anchor]), -away),
    )
    draw = np.random.RandomState([_STREAMS["ranges"], seed])
    count = len(exact)
    error_m = constants_m[exact.tag, exact.anchor] + errors.pattern * bias
    error_m += errors.noise_m * draw.standard_normal(count)
    longer_m = errors.nlos_mean_m * draw.standard_exponential(count)
    error_m += np.where(draw.uniform(size=count) < errors.nlos_share, longer_m, 0.0)
    failed = draw.uniform(size=count) < errors.failure_share
    range_m = np.where(failed, -0.5 * draw.uniform(size=count), exact.range_true_m + error_m)
    # None: found again, by the new ranges.
    return replace(exact, range_m=range_m, outlier=None)  # type: ignore[arg-type]


def _check_arguments(seed: int, site: int, duration_s: float, tags: int, anchors: int) -> None:
    right = 0 <= seed < 2**32 and 0 <= site < 2**32 and 1.0 <= duration_s < math.inf
    if not (right and 1 <= tags <= MAX_TAGS and MIN_ANCHORS <= anchors <= MAX_ANCHORS):
        raise DatasetError(
            f"simulate {duration_s} s with {tags} tags, {anchors} anchors, seed {seed}, site "
            f"{site}, expected 1 s or more, 1 to {MAX_TAGS} tags, {MIN_ANCHORS} to {MAX_ANCHORS} "
            "anchors, seeds from 0 to 2^32 - 1; simulate_uwb(0) is a start"
        )
