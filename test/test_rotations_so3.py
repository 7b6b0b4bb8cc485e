"""Rotation matrices: exponential map, distances, Jacobian, projection."""

import functools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import nn_perception.rotations as rot

linalg = pytest.importorskip("scipy.linalg")

assert_close = functools.partial(np.testing.assert_allclose, rtol=0)
properties = settings(derandomize=True, deadline=None, max_examples=100, database=None)
number = st.floats(-2.0, 2.0)
vectors = st.tuples(number, number, number).map(np.array)
scales = st.sampled_from([0.0, 1e-200, 1e-9, 1e-3, 0.00999, 0.01001, 1.0, 1.7])
rotvecs = st.builds(lambda vector, scale: vector * scale, vectors, scales)


@properties
@given(vectors, vectors)
def test_hat_is_the_vector_product_and_vee_inverts_it(a, b):
    assert_close(rot.so3_hat(a) @ b, np.cross(a, b), atol=1e-14)
    np.testing.assert_array_equal(rot.so3_vee(rot.so3_hat(a)), a)
    np.testing.assert_array_equal(rot.so3_hat(a), -rot.so3_hat(a).T)


@properties
@given(rotvecs)
def test_exp_is_the_matrix_exponential(v):
    assert_close(rot.so3_exp(v), linalg.expm(rot.so3_hat(v)), atol=1e-13)


@properties
@given(rotvecs)
def test_log_inverts_exp(v):
    matrix = rot.so3_exp(v)
    assert_close(rot.so3_exp(rot.so3_log(matrix)), matrix, atol=1e-14)
    if np.linalg.norm(v) < math.pi - 1e-6:
        assert_close(rot.so3_log(matrix), v, rtol=1e-9, atol=1e-14)


@pytest.mark.parametrize("short_of_pi", [1e-3, 1e-6, 1e-9, 1e-12, 0.0])
def test_log_near_pi(short_of_pi):
    axes = np.random.RandomState(0).standard_normal((50, 3))
    axes /= np.linalg.norm(axes, axis=-1, keepdims=True)
    v = axes * (math.pi - short_of_pi)
    back = rot.so3_log(rot.so3_exp(v))
    assert_close(np.linalg.norm(back, axis=-1), math.pi - short_of_pi, atol=1e-14)
    sign = np.sign((back * v).sum(axis=-1, keepdims=True)) if short_of_pi < 1e-10 else 1.0
    assert_close(back * sign, v, atol=1e-14)


@properties
@given(rotvecs, rotvecs)
def test_distance_equals_that_of_quaternions(a, b):
    expected = rot.quat_distance(rot.quat_exp(a), rot.quat_exp(b))
    assert rot.so3_distance(rot.so3_exp(a), rot.so3_exp(b)) == pytest.approx(expected, abs=1e-14)


@pytest.mark.parametrize("angle", [0.0, 1e-12, 1e-8, 1e-4, 1.0, math.pi - 1e-9, math.pi])
def test_distance_resolves_small_angles_and_pi(angle):
    base = rot.so3_exp(np.array([0.3, -0.8, 0.5]))
    turned = base @ rot.so3_exp(np.array([0.6, 0.0, -0.8]) * angle)
    assert rot.so3_distance(base, turned) == pytest.approx(angle, abs=1e-14)


@properties
@given(rotvecs, vectors)
def test_right_jacobian_is_the_derivative_of_exp(v, direction):
    step = 1e-6
    ahead = rot.quat_exp(v + step * direction)
    behind = rot.quat_exp(v - step * direction)
    turned = rot.quat_log(rot.quat_multiply(rot.quat_conjugate(behind), ahead)) / (2 * step)
    assert_close(rot.so3_right_jacobian(v) @ direction, turned, atol=2e-9)


def test_right_jacobian_beside_the_border_of_its_series():
    v = np.array([0.6, 0.0, -0.8]) * np.array([1 - 1e-9, 1 + 1e-9])[:, None] * 0.01
    below, above = rot.so3_right_jacobian(v)
    assert_close(below, above, atol=2e-11)
    np.testing.assert_array_equal(rot.so3_right_jacobian(np.zeros(3)), np.eye(3))


class TestProjection:
    """NumPy; the torch kernel has tests of its own."""

    def test_a_rotation_is_its_own_projection(self):
        matrix = rot.quat_to_matrix(rot.quat_random((50,), np.random.RandomState(0)))
        assert_close(rot.project_to_so3(matrix), matrix, atol=1e-14)
        assert_close(rot.project_to_so3(0.01 * matrix), matrix, atol=1e-14)

    def test_no_rotation_nearby_is_nearer(self):
        draw = np.random.RandomState(1)
        matrix = draw.standard_normal((200, 3, 3))
        nearest = rot.project_to_so3(matrix)
        assert_close(np.linalg.det(nearest), 1, atol=1e-14)
        assert_close(nearest @ nearest.swapaxes(1, 2), np.eye(3)[None] + 0 * nearest, atol=1e-14)
        distance = np.linalg.norm(nearest - matrix, axis=(1, 2))
        for scale in (1e-3, 0.1, 1.0, 3.0):
            other = nearest @ rot.so3_exp(scale * draw.standard_normal((200, 3)))
            assert (np.linalg.norm(other - matrix, axis=(1, 2)) >= distance - 1e-12).all()

    @pytest.mark.parametrize("matrix", [np.zeros((3, 3)), np.diag([1.0, 0, 0]), -np.eye(3)])
    def test_degenerate_matrices_give_a_rotation(self, matrix):
        nearest = rot.project_to_so3(matrix)
        assert_close(nearest @ nearest.T, np.eye(3), atol=1e-14)
        assert np.linalg.det(nearest) == pytest.approx(1)

    def test_nan_spares_the_rest_of_the_batch(self):
        matrix = np.stack([np.eye(3)] * 3).astype(np.float32)
        matrix[1, 0, 0] = np.nan
        nearest = rot.project_to_so3(matrix)
        assert nearest.dtype == np.float32
        assert np.isnan(nearest[1]).all()
        np.testing.assert_array_equal(nearest[[0, 2]], matrix[[0, 2]])

    def test_a_wrong_shape_is_an_error(self):
        with pytest.raises(rot.RotationError, match=r"expected \(\.\.\., 3, 3\)"):
            rot.project_to_so3(np.zeros((3, 9)))


def test_batches_and_types():
    v = np.zeros((2, 0, 5, 3), np.float32)
    for function in (rot.so3_exp, rot.so3_hat, rot.so3_right_jacobian):
        assert function(v).shape == (2, 0, 5, 3, 3)
        assert function(v[0, :, 0]).dtype == np.float32
        assert function(np.zeros(3, np.float32)).dtype == np.float32
    assert rot.so3_distance(np.zeros((2, 1, 3, 3)), np.zeros((4, 3, 3))).shape == (2, 4)
    assert rot.project_to_so3(np.ones((2, 4, 3, 3))).shape == (2, 4, 3, 3)
