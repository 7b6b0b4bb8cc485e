"""Every head answers with a rotation for any input; values and gradients against references."""

import io

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from nn_perception.errors import ConfigError
from nn_perception.networks.heads import (
    GramSchmidtHead,
    QuaternionHead,
    SvdHead,
    frobenius_loss,
    geodesic_loss,
    quaternion_loss,
)

HEADS = [QuaternionHead, SvdHead, GramSchmidtHead]
AXES = torch.eye(3, dtype=torch.float64)
X, Y, Z = AXES
ZERO = torch.zeros(3, dtype=torch.float64)


def raw_numbers(head, count=50):
    generator = torch.Generator().manual_seed(0)
    return torch.randn(count, head.size, generator=generator, dtype=torch.float64)


def random_rotations(count, seed):
    return torch.from_numpy(Rotation.random(count, random_state=seed).as_matrix())


def is_rotation(matrix, tolerance=1e-12):
    identity = torch.eye(3, dtype=matrix.dtype).expand_as(matrix)
    torch.testing.assert_close(matrix @ matrix.mT, identity, atol=tolerance, rtol=0)
    assert (torch.det(matrix) > 0).all()


@pytest.mark.parametrize("head", HEADS)
def test_random_numbers_give_rotations_with_right_gradients(head):
    raw = raw_numbers(head)
    is_rotation(head()(raw))
    few = raw[:3].clone().requires_grad_()
    assert torch.autograd.gradcheck(head(), (few,), atol=1e-5)
    assert torch.autograd.gradcheck(head(output="quaternion"), (few,), atol=1e-5)


@pytest.mark.parametrize("head", HEADS)
def test_forms_of_the_answer_are_the_same_rotation(head):
    raw = raw_numbers(head)
    matrix, quaternion = head(output="both")(raw)
    torch.testing.assert_close(head()(raw), matrix)
    torch.testing.assert_close(head(output="quaternion")(raw), quaternion)
    expected = torch.from_numpy(Rotation.from_quat(quaternion.numpy()).as_matrix())
    torch.testing.assert_close(matrix, expected)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("head", HEADS)
def test_zero_gives_the_identity_and_a_finite_gradient(head, dtype):
    raw = torch.zeros(2, head.size, dtype=dtype, requires_grad=True)
    matrix, quaternion = head(output="both")(raw)
    torch.testing.assert_close(matrix, torch.eye(3, dtype=dtype).expand(2, 3, 3))
    torch.testing.assert_close(quaternion[0], torch.tensor([0, 0, 0, 1], dtype=dtype))
    (matrix.sum() + quaternion.sum()).backward()
    assert torch.isfinite(raw.grad).all()


@pytest.mark.parametrize("size", [1e-30, 1e30])
@pytest.mark.parametrize("head", HEADS)
def test_length_of_the_raw_numbers_does_not_matter(head, size):
    raw = raw_numbers(head).float()
    torch.testing.assert_close(head()(raw * size), head()(raw), atol=1e-5, rtol=0)


def test_quaternion_head_normalises():
    raw = raw_numbers(QuaternionHead)
    expected = raw / raw.norm(dim=-1, keepdim=True)
    torch.testing.assert_close(QuaternionHead(output="quaternion")(raw), expected)


def test_svd_head_takes_rows():
    matrices = random_rotations(5, 0)
    torch.testing.assert_close(SvdHead()(2 * matrices.flatten(1)), matrices)


@pytest.mark.parametrize(
    "singular", [(1, 1, 1), (2, 2, 1), (2, 1, 1), (3, 2, -1), (2, 1, 0)], ids=str
)
def test_svd_head_gradient_at_repeated_values_and_negative_determinant(singular):
    diagonal = torch.diag(torch.tensor(singular, dtype=torch.float64))
    raw = (random_rotations(2, 1) @ diagonal @ random_rotations(2, 2)).flatten(1)
    assert torch.autograd.gradcheck(SvdHead(), (raw.requires_grad_(),), atol=1e-5)


def test_gram_schmidt_head_keeps_columns_of_a_rotation():
    matrices = random_rotations(5, 0)
    first, second = 3 * matrices[..., 0], 0.5 * matrices[..., 1] - 2 * matrices[..., 0]
    torch.testing.assert_close(GramSchmidtHead()(torch.cat([first, second], -1)), matrices)


@pytest.mark.parametrize(
    ("first", "second"),
    [(X, 2 * X), (Y, -Y), (Z, Z), (X, ZERO), (Y, ZERO), (ZERO, Y), (ZERO, X), (X + Y, X + Y)],
)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_gram_schmidt_head_of_parallel_columns(first, second, dtype):
    raw = torch.cat([first, second]).to(dtype).requires_grad_()
    matrix = GramSchmidtHead()(raw)
    is_rotation(matrix.detach(), 1e-6)
    if first.any():
        torch.testing.assert_close(matrix[:, 0], (first / first.norm()).to(dtype))
    matrix.square().sum().backward()
    matrix = GramSchmidtHead()(raw)
    matrix[0, 1].backward()
    assert torch.isfinite(raw.grad).all()


@pytest.mark.parametrize("sine", [1e-8, 1e-6, 1e-5, 1e-4, 1e-2])
def test_gram_schmidt_head_of_nearly_parallel_columns_is_orthonormal(sine):
    first = torch.nn.functional.normalize(torch.randn(100, 3), dim=-1)
    is_rotation(GramSchmidtHead()(torch.cat([first, first + sine * torch.rand(3)], -1)), 1e-5)


@pytest.mark.parametrize("head", HEADS)
def test_linear_layer(head):
    torch.manual_seed(0)
    network = head(16)
    features = torch.randn(8, 16)
    torch.testing.assert_close(network(features), head()(network.linear(features)))
    network(features)[:, 0, 0].sum().backward()
    assert all(parameter.grad.abs().sum() > 0 for parameter in network.parameters())


@pytest.mark.parametrize("head", HEADS)
def test_leading_axes(head):
    assert head()(torch.randn(2, 3, head.size)).shape == (2, 3, 3, 3)


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.filterwarnings("ignore")
def test_exported_head_answers_as_torch(head):
    import onnxruntime

    network = head(8, "both").eval()
    program = torch.onnx.export(
        network,
        (torch.randn(2, 8),),
        dynamo=True,
        opset_version=18,
        dynamic_shapes=({0: torch.export.Dim("batch", min=1)},),
        verbose=False,
        optimize=False,
    )
    model = io.BytesIO(program.model_proto.SerializeToString()).getvalue()
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    features = torch.randn(17, 8)
    got = session.run(None, {session.get_inputs()[0].name: features.numpy()})
    with torch.no_grad():
        for ours, theirs in zip(network(features), got, strict=True):
            np.testing.assert_allclose(theirs, ours.numpy(), atol=3e-6)


@pytest.mark.parametrize("arguments", [{"features": 0}, {"output": "matrx"}])
def test_wrong_arguments(arguments):
    with pytest.raises(ConfigError):
        SvdHead(**arguments)


@pytest.mark.parametrize("head", HEADS)
def test_wrong_size_of_raw_numbers(head):
    with pytest.raises(ConfigError, match=rf"expected \(\.\.\., {head.size}\)"):
        head()(torch.zeros(2, 5))


def test_losses_of_a_known_angle():
    angle = torch.tensor(0.3, dtype=torch.float64)
    rotation = torch.from_numpy(Rotation.from_rotvec([[0, 0, 0.3]]).as_matrix())
    identity = torch.eye(3, dtype=torch.float64)[None]
    torch.testing.assert_close(geodesic_loss(rotation, identity), angle)
    torch.testing.assert_close(frobenius_loss(rotation, identity), 8 * torch.sin(angle / 2) ** 2)
    q = torch.tensor([[0, 0, torch.sin(angle / 2), torch.cos(angle / 2)]], dtype=torch.float64)
    p = torch.tensor([[0.0, 0, 0, 1]], dtype=torch.float64)
    torch.testing.assert_close(quaternion_loss(q, p), 2 * torch.sin(angle / 4))
    torch.testing.assert_close(quaternion_loss(q, -p), 2 * torch.sin(angle / 4))


@pytest.mark.parametrize("loss", [geodesic_loss, frobenius_loss])
def test_gradients_of_matrix_losses(loss):
    truth = random_rotations(3, 2)
    predicted = random_rotations(3, 1).requires_grad_()
    assert torch.autograd.gradcheck(lambda matrix: loss(matrix, truth), (predicted,))
    for same in (truth, truth @ torch.diag(torch.tensor([1.0, -1, -1], dtype=torch.float64))):
        predicted = same.clone().requires_grad_()
        loss(predicted, truth).backward()
        assert torch.isfinite(predicted.grad).all()


def test_gradients_of_the_quaternion_loss():
    truth = torch.from_numpy(Rotation.random(3, random_state=2).as_quat())
    predicted = torch.from_numpy(Rotation.random(3, random_state=1).as_quat()).requires_grad_()
    assert torch.autograd.gradcheck(lambda q: quaternion_loss(q, truth), (predicted,))
    for sign in (1, -1):
        predicted = (sign * truth).clone().requires_grad_()
        loss = quaternion_loss(predicted, truth)
        loss.backward()
        assert loss.item() == 0
        assert not predicted.grad.any()


@pytest.mark.parametrize("loss", [frobenius_loss, quaternion_loss])
def test_losses_refuse_shapes_that_would_broadcast(loss):
    last = (4,) if loss is quaternion_loss else (3, 3)
    with pytest.raises(ConfigError, match="expected two equal ones"):
        loss(torch.zeros(2, *last), torch.zeros(2, 2, *last))
