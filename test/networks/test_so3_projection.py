"""The projection onto SO(3) against an SVD, finite differences and the optimality of its answer."""

import io

import numpy as np
import pytest
import torch

from nn_perception import rotations
from nn_perception.errors import ConfigError
from nn_perception.networks import so3_projection
from nn_perception.networks.so3_projection import project_to_so3

UNIQUE = {
    "rotation": (1, 1, 1),
    "repeated": (2, 1, 1),
    "repeated, greatest": (2, 2, 1),
    "rank 2": (2, 1, 0),
    "negative determinant": (3, 2, -1),
    "repeated, negative determinant": (2, 2, -1),
    "large": (3e60, 2e60, 1e60),
    "small": (3e-60, 2e-60, 1e-60),
    "near rank 1": (1, 1e-4, 0),
    "near rank 1, negative determinant": (1, 1e-3, -9e-4),
    "near a reflection": (1, 1, -1 + 1e-2),
    "near a tie": (1, 0.5, -0.5 + 1e-5),
}
NOT_UNIQUE = {
    "zero": (0, 0, 0),
    "rank 1": (1, 0, 0),
    "reflection": (1, 1, -1),
    "tie": (1, 0.5, -0.5),
    "almost rank 1": (1, 1e-9, 0),
    "almost a reflection": (1, 1, -1 + 1e-9),
}


def by_svd(matrix):
    u, _, vt = torch.linalg.svd(matrix)
    sign = torch.det(u @ vt)[..., None, None]
    return torch.cat([u[..., :2], u[..., 2:] * sign], -1) @ vt


def random_rotations(count, seed):
    generator = torch.Generator().manual_seed(seed)
    return by_svd(torch.randn(count, 3, 3, generator=generator, dtype=torch.float64))


def with_singular_values(values, count=200):
    diagonal = torch.diag(torch.tensor(values, dtype=torch.float64))
    return random_rotations(count, 1) @ diagonal @ random_rotations(count, 2).mT


def is_rotation(matrix, tolerance):
    identity = torch.eye(3, dtype=matrix.dtype).expand_as(matrix)
    torch.testing.assert_close(matrix @ matrix.mT, identity, atol=tolerance, rtol=0)
    assert (torch.det(matrix) > 0).all()


def test_agrees_with_svd():
    torch.manual_seed(0)
    matrices = torch.randn(20_000, 3, 3, dtype=torch.float64)
    torch.testing.assert_close(project_to_so3(matrices), by_svd(matrices), atol=1e-9, rtol=0)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-6), (torch.bfloat16, 4e-3)])
def test_other_types_are_as_precise_as_they_can_be(dtype, tolerance):
    torch.manual_seed(0)
    matrices = torch.randn(1000, 3, 3).to(dtype)
    result = project_to_so3(matrices)
    assert result.dtype == dtype
    expected = by_svd(matrices.double())
    torch.testing.assert_close(result.double(), expected, atol=tolerance, rtol=0)


@pytest.mark.parametrize("values", UNIQUE.values(), ids=UNIQUE)
def test_agrees_with_svd_wherever_the_answer_is_unique(values):
    matrices = with_singular_values(values)
    result = project_to_so3(matrices)
    is_rotation(result, 1e-12)
    torch.testing.assert_close(result, by_svd(matrices), atol=1e-7, rtol=0)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("values", NOT_UNIQUE.values(), ids=NOT_UNIQUE)
def test_is_one_of_the_nearest_where_there_are_several(values, dtype):
    matrices = with_singular_values(values).to(dtype).requires_grad_()
    result = project_to_so3(matrices)
    is_rotation(result.detach().double(), 1e-12 if dtype == torch.float64 else 1e-6)
    reached = (result * matrices).sum((-2, -1))
    torch.testing.assert_close(reached, torch.full_like(reached, sum(values)), atol=2e-6, rtol=0)
    result.backward(torch.randn_like(result))
    assert torch.isfinite(matrices.grad).all()


@pytest.mark.parametrize(
    "matrix",
    [
        torch.zeros(3, 3),
        -torch.eye(3),
        torch.diag(torch.tensor([-1.0, 1.0, 1.0])),
        torch.ones(3, 3),
    ],
)
def test_exact_degenerate_matrices(matrix):
    matrix = matrix.clone().requires_grad_()
    result = project_to_so3(matrix)
    is_rotation(result.detach(), 1e-6)
    result.sum().backward()
    assert torch.isfinite(matrix.grad).all()


def test_zero_gives_the_identity():
    torch.testing.assert_close(project_to_so3(torch.zeros(2, 3, 3)), torch.eye(3).expand(2, 3, 3))


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_keeps_half_turns(axis):
    half_turn = -torch.eye(3, dtype=torch.float64)
    half_turn[axis, axis] = 1
    torch.testing.assert_close(project_to_so3(half_turn), half_turn, atol=1e-14, rtol=0)


@pytest.mark.parametrize(
    "values", [v for v in UNIQUE.values() if 0.1 < v[0] < 10 and v[1] + v[2] > 5e-3]
)
def test_gradient_against_finite_differences(values):
    matrices = with_singular_values(values, 3).requires_grad_()
    assert torch.autograd.gradcheck(project_to_so3, (matrices,), eps=1e-7, atol=1e-3, rtol=1e-4)


@pytest.mark.parametrize("values", [(3, 2, 1), (1, 0.1, -0.09), (1, 0.5, -0.499)])
def test_gradient_against_that_of_the_svd(values):
    matrices = with_singular_values(values).requires_grad_()
    upstream = torch.randn(
        200, 3, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(3)
    )
    (ours,) = torch.autograd.grad(project_to_so3(matrices), matrices, upstream)
    (theirs,) = torch.autograd.grad(by_svd(matrices), matrices, upstream)
    torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-5)


def test_gradient_is_of_the_same_type_and_scales_inversely():
    torch.manual_seed(0)
    matrices = torch.randn(5, 3, 3)
    gradients = []
    for factor in (1.0, 1e-3):
        scaled = (matrices * factor).requires_grad_()
        project_to_so3(scaled)[:, 0, 1].sum().backward()
        assert scaled.grad.dtype == torch.float32
        gradients.append(scaled.grad * factor)
    torch.testing.assert_close(*gradients, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("shape", [(3, 3), (0, 3, 3), (2, 5, 3, 3)])
def test_shapes(shape):
    matrices = torch.randn(shape, requires_grad=True)
    result = project_to_so3(matrices)
    assert result.shape == shape
    result.sum().backward()
    assert matrices.grad.shape == shape


def test_strided_input():
    matrices = torch.randn(3, 3, 7, dtype=torch.float64).permute(2, 1, 0)
    torch.testing.assert_close(project_to_so3(matrices), by_svd(matrices), atol=1e-8, rtol=0)


def test_not_finite_gives_nan_and_spares_the_others():
    matrices = torch.randn(4, 3, 3)
    matrices[1, 0, 0], matrices[2, 1, 1] = float("nan"), float("inf")
    result = project_to_so3(matrices)
    assert torch.isnan(result[1:3]).any(-1).any(-1).all()
    torch.testing.assert_close(result[[0, 3]], by_svd(matrices[[0, 3]]), atol=1e-4, rtol=0)


@pytest.mark.parametrize(
    "matrix", [torch.zeros(3), torch.zeros(4, 3, 2), torch.zeros(3, 3, dtype=torch.int64)]
)
def test_wrong_input(matrix):
    with pytest.raises(ConfigError, match=r"expected floating point numbers of shape"):
        project_to_so3(matrix)


def test_agrees_with_the_numpy_function():
    matrices = torch.randn(1000, 3, 3, generator=torch.Generator().manual_seed(4)).double()
    expected = rotations.project_to_so3(matrices.numpy())
    np.testing.assert_allclose(project_to_so3(matrices).numpy(), expected, atol=1e-9)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-6), (torch.float64, 1e-11)])
@pytest.mark.parametrize("values", [(3, 2, 1), (3, 2, -1), (1, 1e-3, -5e-4), (1, 1, -1 + 5e-3)])
def test_operators_of_torch_agree_with_numpy(values, dtype, tolerance, monkeypatch):
    matrices = with_singular_values(values).to(dtype).requires_grad_()
    upstream = torch.randn(200, 3, 3, generator=torch.Generator().manual_seed(5)).to(dtype)
    answers = []
    for memory in (so3_projection._memory, lambda tensor: None):
        monkeypatch.setattr(so3_projection, "_memory", memory)
        result = project_to_so3(matrices)
        (gradient,) = torch.autograd.grad(result, matrices, upstream)
        answers.append((result.detach(), gradient / gradient.abs().max()))
    (ours, slope), (others, slope_of_others) = answers
    torch.testing.assert_close(ours, others, atol=tolerance, rtol=0)
    torch.testing.assert_close(slope, slope_of_others, atol=10 * tolerance, rtol=0)


@pytest.mark.parametrize(
    "values",
    [(1, 0.5, -0.5 + 2e-6), (1, 2e-6, 0), (1, 1, -1 + 2e-3), (1, 1e-3, 0), (1, 0.1, -0.09)],
)
def test_float32_agrees_with_svd_near_a_tie(values):
    matrices = with_singular_values(values).float()  # rounded first: both get the same numbers
    expected = by_svd(matrices.double())
    torch.testing.assert_close(project_to_so3(matrices).double(), expected, atol=1e-6, rtol=0)


def test_a_batch_of_several_blocks_answers_row_by_row(monkeypatch):
    matrices = with_singular_values((3, 2, 1), 10).float()
    matrices[4] = torch.diag(torch.tensor([1.0, 1.0, -1.0]))
    upstream = torch.randn(10, 3, 3, generator=torch.Generator().manual_seed(6))
    answers = []
    for block in (4096, 3):
        monkeypatch.setattr(so3_projection, "_BLOCK", block)
        leaf = matrices.clone().requires_grad_()
        result = project_to_so3(leaf)
        answers.append((result.detach(), torch.autograd.grad(result, leaf, upstream)[0]))
    torch.testing.assert_close(*answers, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("memory", [so3_projection._memory, lambda tensor: None])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_input_is_left_as_it_was(dtype, memory, monkeypatch):
    monkeypatch.setattr(so3_projection, "_memory", memory)
    matrices = torch.randn(9, 5, dtype=dtype).t().reshape(5, 3, 3)  # contiguous once transposed
    before = matrices.clone()
    project_to_so3(matrices)
    assert torch.equal(matrices, before)


def test_works_within_vmap_and_a_trace():
    matrices = torch.randn(4, 3, 3, generator=torch.Generator().manual_seed(7))
    expected = project_to_so3(matrices)
    torch.testing.assert_close(torch.func.vmap(project_to_so3)(matrices), expected)
    with pytest.warns(torch.jit.TracerWarning):
        traced = torch.jit.trace(project_to_so3, torch.zeros(2, 3, 3))
    torch.testing.assert_close(traced(matrices), expected)


class Network(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = torch.nn.Linear(9, 9)

    def forward(self, features):
        return project_to_so3(self.linear(features).unflatten(-1, (3, 3)))


@pytest.mark.filterwarnings("ignore")
def test_exported_to_onnx_answers_as_torch():
    import onnxruntime

    torch.manual_seed(0)
    network = Network()
    program = torch.onnx.export(
        network,
        (torch.randn(2, 9),),
        dynamo=True,
        opset_version=18,
        dynamic_shapes=({0: torch.export.Dim("batch", min=1)},),
        verbose=False,
        optimize=False,
    )
    names = {node.op_type for node in program.model_proto.graph.node}
    assert not names & {"SVD", "If", "Loop"}
    model = io.BytesIO(program.model_proto.SerializeToString()).getvalue()
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    for count in (1, 2, 33):
        features = torch.randn(count, 9)
        (got,) = session.run(None, {session.get_inputs()[0].name: features.numpy()})
        with torch.no_grad():
            np.testing.assert_allclose(got, network(features).numpy(), atol=2e-6)
