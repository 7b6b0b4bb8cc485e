"""Quaternions: group laws, exp and log up to 0 and pi, conversions, against SciPy."""

import functools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import nn_perception.rotations as rot
from nn_perception.errors import NnPerceptionError

Rotation = pytest.importorskip("scipy.spatial.transform").Rotation

assert_close = functools.partial(np.testing.assert_allclose, rtol=0)
properties = settings(derandomize=True, deadline=None, max_examples=100, database=None)

SPECIAL_ANGLES = [0.0, 1e-300, 1e-160, 1e-12, 1e-8, 1e-4, 0.01 - 1e-9, 0.01, 0.01 + 1e-9]
SPECIAL_ANGLES += [math.pi - delta for delta in (1e-3, 1e-6, 1e-9, 1e-12, 0.0)]
unit = st.floats(-1.0, 1.0)
axes = (
    st.tuples(unit, unit, unit)
    .map(np.array)
    .filter(lambda v: np.linalg.norm(v) > 1e-3)
    .map(lambda v: v / np.linalg.norm(v))
)
angles = st.floats(0.0, math.pi) | st.sampled_from(SPECIAL_ANGLES)
rotvecs = st.builds(lambda axis, angle: axis * angle, axes, angles)
quats = rotvecs.map(rot.quat_exp)
vectors = st.tuples(unit, unit, unit).map(np.array)


def assert_same_rotation(a, b, tolerance=1e-14):
    assert rot.quat_distance(a, b).max() <= tolerance
    assert np.abs(np.linalg.norm(a, axis=-1) - 1).max() <= tolerance


@pytest.fixture(scope="module")
def many():
    return rot.quat_random((500,), np.random.RandomState(0))


@properties
@given(quats, quats, quats)
def test_group_laws(a, b, c):
    identity = np.array([0.0, 0.0, 0.0, 1.0])
    multiply = rot.quat_multiply
    assert_close(multiply(multiply(a, b), c), multiply(a, multiply(b, c)), atol=1e-14)
    np.testing.assert_array_equal(multiply(a, identity), a)
    np.testing.assert_array_equal(multiply(identity, a), a)
    assert_close(multiply(a, rot.quat_conjugate(a)), identity, atol=1e-14)
    assert_close(
        rot.quat_conjugate(multiply(a, b)),
        multiply(rot.quat_conjugate(b), rot.quat_conjugate(a)),
        atol=1e-14,
    )


@properties
@given(quats, quats, vectors)
def test_rotating_twice_is_rotating_by_the_product(a, b, v):
    twice = rot.quat_rotate(a, rot.quat_rotate(b, v))
    assert_close(rot.quat_rotate(rot.quat_multiply(a, b), v), twice, atol=1e-14)
    assert np.linalg.norm(twice) == pytest.approx(np.linalg.norm(v), abs=1e-14)
    assert_close(rot.quat_to_matrix(a) @ v, rot.quat_rotate(a, v), atol=1e-14)


@properties
@given(quats, vectors)
def test_q_and_minus_q_are_the_same_rotation(q, v):
    np.testing.assert_array_equal(rot.quat_rotate(-q, v), rot.quat_rotate(q, v))
    np.testing.assert_array_equal(rot.quat_to_matrix(-q), rot.quat_to_matrix(q))
    np.testing.assert_array_equal(rot.quat_log(-q), rot.quat_log(q))
    np.testing.assert_array_equal(rot.quat_canonical(-q), rot.quat_canonical(q))
    assert rot.quat_distance(q, -q) <= 1e-14
    canonical = rot.quat_canonical(q)
    assert canonical[3] > 0 or (canonical[3] == 0 and canonical[np.flatnonzero(canonical)[0]] > 0)


@properties
@given(rotvecs)
def test_log_inverts_exp(v):
    back = rot.quat_log(rot.quat_exp(v))
    # At pi both axes are right; below it w = sin(delta / 2) carries the sign.
    if np.linalg.norm(v) > math.pi - 1e-14:
        back = back * np.sign(back @ v)
    assert_close(back, v, atol=1e-14 * np.linalg.norm(v) + 1e-300)


@properties
@given(quats)
def test_exp_inverts_log(q):
    v = rot.quat_log(q)
    assert np.linalg.norm(v) <= math.pi + 1e-14
    assert_close(rot.quat_exp(v), rot.quat_canonical(q), atol=1e-14)


def test_exp_is_exact_beside_the_border_of_its_series():
    v = np.array([1.0, 0, 0]) * np.linspace(0.0099, 0.0101, 201)[:, None]
    expected = np.stack([np.sin(v[:, 0] / 2), np.cos(v[:, 0] / 2)], axis=-1)
    assert_close(rot.quat_exp(v)[:, [0, 3]], expected, rtol=1e-15)


@properties
@given(quats, st.floats(1e-3, 1e3))
def test_log_does_not_depend_on_the_norm(q, scale):
    assert_close(rot.quat_log(q * scale), rot.quat_log(q), rtol=1e-13, atol=1e-13)


@properties
@given(quats)
def test_matrix_round_trip(q):
    matrix = rot.quat_to_matrix(q)
    assert_close(matrix @ matrix.T, np.eye(3), atol=1e-14)
    assert np.linalg.det(matrix) == pytest.approx(1, abs=1e-14)
    assert_same_rotation(rot.quat_from_matrix(matrix), q)
    assert rot.quat_from_matrix(matrix)[3] >= 0


@properties
@given(st.floats(-3.1, 3.1), st.floats(-1.56, 1.56), st.floats(-3.1, 3.1))
def test_euler_round_trip_away_from_gimbal_lock(roll, pitch, yaw):
    rpy = np.array([roll, pitch, yaw])
    assert_close(rot.quat_to_euler(rot.quat_from_euler(rpy)), rpy, atol=1e-12)


@properties
@given(
    st.floats(-math.pi, math.pi),
    st.sampled_from([0.0, 1e-12, 1e-9, 1e-7, 2.1e-7, 1e-6, 1e-3]),
    st.sampled_from([-1.0, 1.0]),
    st.floats(-math.pi, math.pi),
)
def test_euler_at_gimbal_lock_gives_the_same_rotation(roll, short_of_lock, sign, yaw):
    q = rot.quat_from_euler(np.array([roll, sign * (math.pi / 2 - short_of_lock), yaw]))
    rpy = rot.quat_to_euler(q)
    # Within the lock, 2e-7 rad wide, yaw is set to 0, which turns by at most that.
    assert rot.quat_distance(rot.quat_from_euler(rpy), q) <= 3e-7
    assert (np.abs(rpy) <= np.array([math.pi, math.pi / 2, math.pi]) + 1e-14).all()
    if short_of_lock < 1e-7:
        assert rpy[2] == 0.0


def test_euler_follows_rep_103():
    """Roll right, pitch down and yaw left are positive, and yaw is applied last."""
    quarter = math.pi / 2
    x, y, z = np.eye(3)

    def turned(roll, pitch, yaw, v):
        return rot.quat_rotate(rot.quat_from_euler(np.array([roll, pitch, yaw])), v)

    assert_close(turned(quarter, 0, 0, y), z, atol=1e-14)
    assert_close(turned(0, quarter, 0, x), -z, atol=1e-14)
    assert_close(turned(0, 0, quarter, x), y, atol=1e-14)
    assert_close(turned(quarter, 0, quarter, y), z, atol=1e-14)
    assert_close(turned(0, quarter, quarter, z), y, atol=1e-14)


def test_as_scipy(many):
    theirs = Rotation.from_quat(many)
    assert_close(rot.quat_to_matrix(many), theirs.as_matrix(), atol=1e-14)
    assert_close(rot.quat_log(many), theirs.as_rotvec(), atol=1e-14)
    assert_close(rot.quat_to_euler(many), theirs.as_euler("xyz"), atol=1e-13)
    assert_same_rotation(rot.quat_exp(theirs.as_rotvec()), many)
    assert_same_rotation(rot.quat_from_matrix(theirs.as_matrix()), many)
    assert_same_rotation(rot.quat_from_euler(theirs.as_euler("xyz")), many)
    other = many[::-1].copy()
    product = (theirs * Rotation.from_quat(other)).as_quat()
    assert_same_rotation(rot.quat_multiply(many, other), product)
    between = (theirs.inv() * Rotation.from_quat(other)).magnitude()
    assert_close(rot.quat_distance(many, other), between, atol=1e-14)
    assert_same_rotation(rot.quat_mean(many), theirs.mean().as_quat(), 1e-12)


@properties
@given(quats, quats, quats)
def test_distance_is_a_metric(a, b, c):
    distance = rot.quat_distance
    assert 0 <= distance(a, b) <= math.pi + 1e-14
    assert distance(a, b) == pytest.approx(distance(b, a), abs=1e-14)
    assert distance(a, c) <= distance(a, b) + distance(b, c) + 1e-14
    moved = distance(rot.quat_multiply(c, a), rot.quat_multiply(c, b))
    assert moved == pytest.approx(distance(a, b), abs=1e-14)


@properties
@given(quats, axes, angles)
def test_distance_resolves_small_angles_and_pi(q, axis, angle):
    turned = rot.quat_multiply(q, rot.quat_exp(axis * angle))
    assert rot.quat_distance(q, turned) == pytest.approx(angle, abs=2e-15)


@properties
@given(quats, quats, st.floats(0.0, 1.0))
def test_slerp_end_points_and_constant_speed(a, b, fraction):
    assert_same_rotation(rot.quat_slerp(a, b, 0.0), a)
    assert_same_rotation(rot.quat_slerp(a, b, 1.0), b)
    between = rot.quat_slerp(a, b, fraction)
    whole = rot.quat_distance(a, b)
    assert rot.quat_distance(a, between) == pytest.approx(fraction * whole, abs=1e-14)
    assert rot.quat_distance(between, b) == pytest.approx((1 - fraction) * whole, abs=1e-14)
    assert_same_rotation(rot.quat_slerp(a, -b, 0.0), a)


@properties
@given(quats, axes, st.sampled_from([0.0, 1e-300, 1e-15, 1e-9]))
def test_slerp_between_nearly_equal_orientations(a, axis, angle):
    b = rot.quat_multiply(a, rot.quat_exp(axis * angle))
    assert_same_rotation(rot.quat_slerp(a, b, 0.5), a, angle / 2 + 4e-15)


def test_slerp_takes_a_fraction_per_orientation():
    a, b = rot.quat_random((2, 5), np.random.RandomState(1))
    fractions = np.linspace(0, 1, 5)
    rows = [rot.quat_slerp(a[i], b[i], float(fractions[i])) for i in range(5)]
    assert_close(rot.quat_slerp(a, b, fractions), rows, atol=1e-16)
    assert rot.quat_slerp(a[0], b[0], fractions).shape == (5, 4)


@pytest.mark.parametrize("scale", [1e-300, 1e-30, 1.0, 1e30, 1e300])
def test_normalise_at_any_size(many, scale):
    assert_close(rot.quat_normalise(many * scale), many, rtol=1e-14)


def test_normalise_degenerate():
    zero = np.zeros((2, 4))
    np.testing.assert_array_equal(rot.quat_normalise(zero), [[0, 0, 0, 1]] * 2)
    np.testing.assert_array_equal(rot.quat_log(zero), np.zeros((2, 3)))
    assert np.isnan(rot.quat_normalise(np.array([np.nan, 0, 0, 1]))).all()
    with np.errstate(invalid="ignore"):
        assert np.isnan(rot.quat_normalise(np.array([np.inf, 0, 0, 1]))).any()


@pytest.mark.parametrize("function", [rot.quat_canonical, rot.quat_log, rot.quat_to_euler])
def test_nan_stays_nan_and_spares_its_neighbours(function, many):
    q = many[:3].copy()
    q[1] = np.nan
    result = function(q)
    assert np.isnan(result[1]).all()
    np.testing.assert_array_equal(result[[0, 2]], function(many[:3])[[0, 2]])


def test_wxyz(many):
    wxyz = rot.quat_to_wxyz(many)
    np.testing.assert_array_equal(wxyz[:, 0], many[:, 3])
    np.testing.assert_array_equal(rot.quat_from_wxyz(wxyz), many)


def test_random_is_seeded_and_uniform():
    first = rot.quat_random((20_000,), np.random.default_rng(3))
    np.testing.assert_array_equal(first, rot.quat_random((20_000,), np.random.default_rng(3)))
    # Uniform: every direction equally often, and the angle's mean is pi / 2 + 2 / pi.
    up = rot.quat_rotate(first, np.array([0.0, 0.0, 1.0]))
    assert np.abs(up.mean(axis=0)).max() < 0.02
    angle = np.linalg.norm(rot.quat_log(first), axis=-1)
    assert angle.mean() == pytest.approx(math.pi / 2 + 2 / math.pi, abs=0.02)
    assert rot.quat_random((), np.random.default_rng(0), np.float32).dtype == np.float32
    with pytest.raises(rot.RotationError, match="generator is a int"):
        rot.quat_random((2,), 3)


def test_mean_with_signs_and_weights(many):
    q = many[0]
    signs = np.where(np.arange(6) % 2, -1.0, 1.0)[:, None]
    assert_same_rotation(rot.quat_mean(q * signs), q)
    pair = np.stack([q, many[1]])
    assert_same_rotation(rot.quat_mean(pair), rot.quat_slerp(*pair, 0.5), 1e-13)
    assert_same_rotation(rot.quat_mean(pair, np.array([1.0, 0.0])), q)
    assert rot.quat_mean(many.reshape(5, 100, 4)).shape == (5, 4)
    with pytest.raises(rot.RotationError, match="at least one"):
        rot.quat_mean(np.zeros((0, 4)))


def test_float32_stays_float32(many):
    q = many.astype(np.float32)
    for result in (
        rot.quat_multiply(q, q[::-1]),
        rot.quat_multiply(q[0], q[1]),
        rot.quat_normalise(q[0]),
        rot.quat_canonical(q[0]),
        rot.quat_log(q[0]),
        rot.quat_exp(q[0, :3]),
        rot.quat_to_euler(q[0]),
        rot.quat_to_matrix(q[0]),
        rot.quat_from_matrix(rot.quat_to_matrix(q[0])),
        rot.quat_slerp(q[0], q[1], 0.3),
        rot.quat_mean(q),
        rot.quat_distance(q[0], q[1]),
    ):
        assert result.dtype == np.float32
    assert_close(rot.quat_log(q), rot.quat_log(many), atol=2e-6)
    assert_close(rot.quat_to_matrix(q), rot.quat_to_matrix(many), atol=5e-7)
    assert_close(rot.quat_distance(q, q[0]), rot.quat_distance(many, many[0]), atol=1e-6)


def test_leading_axes_broadcast(many):
    a, b = many[:12].reshape(3, 4, 4), many[12:16]
    assert rot.quat_multiply(a, b).shape == (3, 4, 4)
    assert rot.quat_multiply(a[:, None], b[:, None]).shape == (3, 4, 4, 4)
    assert rot.quat_distance(a[:, :1], b).shape == (3, 4)
    assert rot.quat_rotate(a, np.ones(3)).shape == (3, 4, 3)
    assert rot.quat_rotate(many[0], np.ones((7, 3))).shape == (7, 3)
    assert rot.quat_log(np.zeros((0, 4))).shape == (0, 3)


def test_inputs_are_not_written_to(many):
    frozen = many.copy()
    frozen.setflags(write=False)
    for function in (rot.quat_normalise, rot.quat_canonical, rot.quat_log, rot.quat_to_euler):
        function(frozen)
    rot.quat_slerp(frozen, frozen[::-1], 0.5)
    rot.quat_mean(frozen)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: rot.quat_log(np.zeros(3)),
            r"quat_xyzw has the shape \(3,\), expected \(\.\.\., 4\)",
        ),
        (lambda: rot.quat_exp(np.zeros((3, 4))), r"expected \(\.\.\., 3\)"),
        (lambda: rot.quat_exp(np.float64(1)), r"shape \(\)"),
        (lambda: rot.quat_log([0, 0, 0, 1]), "list, expected a NumPy array or a torch tensor"),
        (lambda: rot.quat_log(np.array([0, 0, 0, 1])), "int64, expected a floating type"),
        (lambda: rot.quat_multiply(np.zeros((2, 4)), np.zeros((3, 4))), "leading axes"),
        (lambda: rot.quat_rotate(np.zeros((2, 4)), np.zeros((3, 3))), "leading axes"),
        (lambda: rot.quat_slerp(np.zeros(4), np.zeros((2, 4)), np.zeros(3)), "leading axes"),
        (lambda: rot.quat_from_matrix(np.zeros((3, 4))), r"expected \(\.\.\., 3, 3\)"),
    ],
)
def test_errors_say_what_was_expected(call, message):
    with pytest.raises(rot.RotationError, match=message) as caught:
        call()
    assert isinstance(caught.value, NnPerceptionError)
    assert isinstance(caught.value, ValueError)
