"""The short forms of quaternion algebra against `rotations`, NumPy against torch."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import nn_perception.rotations as rot
from nn_perception.inertial import small

EXACT = {"rtol": 0.0, "atol": 1e-13}
MANY = settings(derandomize=True, deadline=None, max_examples=60, database=None)


def draw(seed):
    return np.random.RandomState(seed)


def rows(columns, size=1.0):
    """A strategy: arrays (1 to 5, columns)."""
    number = st.floats(-size, size, allow_nan=False)
    row = st.lists(number, min_size=columns, max_size=columns)
    return st.lists(row, min_size=1, max_size=5).map(lambda r: np.array(r, np.float64))


@st.composite
def quaternions(count_seed):
    count, seed = count_seed(st.integers(1, 5)), count_seed(st.integers(0, 2**32 - 1))
    return rot.quat_random((count,), draw(seed))


@st.composite
def pairs(choose):
    count, seed = choose(st.integers(1, 5)), choose(st.integers(0, 2**32 - 1))
    random = draw(seed)
    return rot.quat_random((count,), random), rot.quat_random((count,), random)


@MANY
@given(pairs())
def test_products(pair):
    a, b = pair
    np.testing.assert_allclose(small.multiply(a, b), rot.quat_multiply(a, b), **EXACT)
    by_rows = (a[:, None, :] @ small.right_products(b))[:, 0]
    np.testing.assert_allclose(by_rows, rot.quat_multiply(a, b), **EXACT)


def test_a_product_does_not_need_unit_length():
    a, b = draw(0).standard_normal((2, 7, 4)) * 3.0
    np.testing.assert_allclose(small.multiply(a, b), rot.quat_multiply(a, b), **EXACT)


@MANY
@given(quaternions())
def test_matrices(quat):
    found = small.matrix(quat)
    np.testing.assert_allclose(found, rot.quat_to_matrix(quat), **EXACT)
    np.testing.assert_allclose(small.matrix(-quat), found, **EXACT)
    vectors = draw(1).standard_normal((len(quat), 3))
    np.testing.assert_allclose(small.apply(found, vectors), rot.quat_rotate(quat, vectors), **EXACT)


@MANY
@given(rows(3, 0.5 / math.sqrt(3.0)))
def test_exp_of_up_to_half_a_radian_is_exact(rotvec):
    np.testing.assert_allclose(small.exp(rotvec), rot.quat_exp(rotvec), rtol=0, atol=1e-9)


@pytest.mark.parametrize("angle", [0.0, 1e-300, 1e-9, 1e-3, 0.5, 1.0])
def test_exp_by_angle(angle):
    """A series grows wrong with the angle: within 1e-9 to half a radian, 1e-8 to one."""
    rotvec = angle * np.array([[0.6, 0.0, -0.8]])
    found = small.exp(rotvec)
    bound = 1e-9 if angle <= 0.5 else 1e-8
    np.testing.assert_allclose(found, rot.quat_exp(rotvec), rtol=0, atol=bound)
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1.0, atol=bound)


@MANY
@given(rows(3, 100.0))
def test_cross_matrices(a):
    b = draw(2).standard_normal(a.shape)
    np.testing.assert_allclose(small.cross_matrix(a), rot.so3_hat(a), rtol=0, atol=0)
    np.testing.assert_allclose(small.apply(small.cross_matrix(a), b), np.cross(a, b), atol=1e-11)


@MANY
@given(rows(9, 1e6))
def test_diagonals(values):
    found = small.diagonal(values)
    np.testing.assert_array_equal(found, np.stack([np.diag(row) for row in values]))


def test_apply_takes_matrices_that_are_not_square():
    matrices, vectors = draw(3).standard_normal((4, 9, 6)), draw(4).standard_normal((4, 6))
    expected = np.einsum("nij,nj->ni", matrices, vectors)
    np.testing.assert_allclose(small.apply(matrices, vectors), expected, **EXACT)


def test_no_rows_give_no_rows():
    four, three = np.zeros((0, 4)), np.zeros((0, 3))
    assert small.multiply(four, four).shape == (0, 4)
    assert small.right_products(four).shape == (0, 4, 4)
    assert small.matrix(four).shape == (0, 3, 3)
    assert small.exp(three).shape == (0, 4)
    assert small.cross_matrix(three).shape == (0, 3, 3)
    assert small.diagonal(three).shape == (0, 3, 3)


CASES = {
    "multiply": (small.multiply, 4, 4),
    "matrix": (small.matrix, 4),
    "exp": (small.exp, 3),
    "cross_matrix": (small.cross_matrix, 3),
    "diagonal": (small.diagonal, 6),
}


def arguments(name, count=11):
    random = draw(5)
    sizes = CASES[name][1:]
    return [
        rot.quat_random((count,), random) if size == 4 else 0.3 * random.standard_normal((count, 3))
        for size in sizes
    ]


@pytest.mark.parametrize("name", CASES)
def test_torch_gives_the_same(name):
    torch = pytest.importorskip("torch")
    arrays = arguments(name)
    found = CASES[name][0](*map(torch.from_numpy, arrays))
    assert found.dtype == torch.float64
    np.testing.assert_allclose(found.numpy(), CASES[name][0](*arrays), rtol=0, atol=1e-14)


@pytest.mark.parametrize("name", CASES)
def test_torch_gradients(name):
    torch = pytest.importorskip("torch")
    tensors = [torch.from_numpy(a).requires_grad_() for a in arguments(name, 3)]
    assert torch.autograd.gradcheck(CASES[name][0], tensors)


def test_apply_and_constants_in_torch():
    torch = pytest.importorskip("torch")
    matrices, vectors = draw(3).standard_normal((4, 9, 6)), draw(4).standard_normal((4, 6))
    found = small.apply(torch.from_numpy(matrices), torch.from_numpy(vectors))
    np.testing.assert_allclose(found.numpy(), small.apply(matrices, vectors), atol=1e-14)
    for dtype in (torch.float32, torch.float64):
        constant = small.pick("lengths", torch.zeros(1, dtype=dtype))
        assert constant.dtype == dtype
        np.testing.assert_array_equal(constant.numpy(), small.pick("lengths", vectors))


def test_a_constant_first_used_for_inference_can_be_trained_with_later():
    torch = pytest.importorskip("torch")
    small._TENSORS.clear()
    with torch.inference_mode():
        small.pick("each_of_two", torch.zeros(1))
    weights = torch.ones(1, 2, requires_grad=True)
    (weights @ small.pick("each_of_two", weights)).sum().backward()
    assert weights.grad.tolist() == [[3.0, 3.0]]
