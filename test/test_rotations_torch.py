"""The same functions on torch tensors: the values of NumPy, and gradients everywhere."""

import math
import subprocess
import sys

import numpy as np
import pytest

import nn_perception.rotations as rot

torch = pytest.importorskip("torch")

DRAW = np.random.RandomState(0)
QUATS = rot.quat_random((3, 5), DRAW)
OTHERS = rot.quat_random((5,), DRAW)
VECTORS = DRAW.standard_normal((3, 5, 3))
RATES = DRAW.standard_normal((2, 40, 3))
MATRICES = rot.quat_to_matrix(QUATS)

CASES = {
    "multiply": (rot.quat_multiply, QUATS, OTHERS),
    "conjugate": (rot.quat_conjugate, QUATS),
    "normalise": (rot.quat_normalise, 3.0 * QUATS),
    "canonical": (rot.quat_canonical, QUATS),
    "rotate": (rot.quat_rotate, QUATS, VECTORS),
    "exp": (rot.quat_exp, VECTORS),
    "log": (rot.quat_log, QUATS),
    "distance": (rot.quat_distance, QUATS, OTHERS),
    "slerp": (rot.quat_slerp, QUATS, OTHERS, np.linspace(0.1, 0.9, 5)),
    "from_wxyz": (rot.quat_from_wxyz, QUATS),
    "to_wxyz": (rot.quat_to_wxyz, QUATS),
    "to_matrix": (rot.quat_to_matrix, QUATS),
    "from_matrix": (rot.quat_from_matrix, MATRICES),
    "from_euler": (rot.quat_from_euler, VECTORS),
    "to_euler": (rot.quat_to_euler, QUATS),
    "so3_exp": (rot.so3_exp, VECTORS),
    "so3_log": (rot.so3_log, MATRICES),
    "hat": (rot.so3_hat, VECTORS),
    "vee": (rot.so3_vee, MATRICES),
    "so3_distance": (rot.so3_distance, MATRICES, MATRICES[0]),
    "right_jacobian": (rot.so3_right_jacobian, VECTORS),
    "integrate": (rot.integrate_gyro, RATES, np.full(40, 0.1), OTHERS[:2]),
    "step": (rot.integrate_step, QUATS, VECTORS, np.full(5, 0.1)),
    "increments": (lambda gyro: rot.gyro_increments(gyro, 0.1, 7), RATES),
    "orientation_increments": (lambda q: rot.orientation_increments(q, 2), QUATS),
    "total": (lambda a, b: rot.attitude_errors(a, b).total_rad, QUATS, OTHERS),
    "heading": (lambda a, b: rot.attitude_errors(a, b).heading_rad, QUATS, OTHERS),
    "inclination": (lambda a, b: rot.attitude_errors(a, b).inclination_rad, QUATS, OTHERS),
    "rms": (rot.rms_ignoring_nan, VECTORS),
}
NOT_SMOOTH = {"so3_distance"}  # at distance 0: MATRICES[0] meets itself


def tensors(arrays, dtype=torch.float64, grad=False):
    return [torch.tensor(array, dtype=dtype, requires_grad=grad) for array in arrays]


@pytest.mark.parametrize("name", CASES)
def test_values_are_those_of_numpy(name):
    function, *arrays = CASES[name]
    result = function(*tensors(arrays))
    assert result.dtype == torch.float64
    np.testing.assert_allclose(result.numpy(), function(*arrays), rtol=1e-13, atol=2e-15)


@pytest.mark.parametrize("name", CASES)
def test_float32_stays_float32_and_close(name):
    function, *arrays = CASES[name]
    result = function(*tensors(arrays, torch.float32))
    assert result.dtype == torch.float32
    np.testing.assert_allclose(result.numpy(), function(*arrays), atol=1e-5)


@pytest.mark.parametrize("name", sorted(set(CASES) - NOT_SMOOTH))
def test_gradients_equal_finite_differences(name):
    function, *arrays = CASES[name]
    if name == "integrate":
        arrays = [arrays[0][:, :20], arrays[1][:20], arrays[2]]
    assert torch.autograd.gradcheck(function, tensors(arrays, grad=True), fast_mode=True)


def at(*rows):
    return np.array(rows, dtype=np.float64)


NEAR_PI = at([math.pi - 1e-3, 0, 0], [0, 0.6 * (math.pi - 1e-3), 0.8 * (math.pi - 1e-3)])
SMALL = at([0, 0, 0], [1e-9, 0, 0], [0.0, 0.005, -0.006], [0.009, 0.0, 0.006])
IDENTITY = at([0, 0, 0, 1])
SPECIAL = {
    "exp near 0": (rot.quat_exp, SMALL),
    "exp near pi": (rot.quat_exp, NEAR_PI),
    "log near the identity": (rot.quat_log, rot.quat_exp(SMALL)),
    "log of -identity": (rot.quat_log, -IDENTITY),
    "log near pi": (rot.quat_log, rot.quat_exp(NEAR_PI)),
    "so3 exp near 0": (rot.so3_exp, SMALL),
    "so3 log near the identity": (rot.so3_log, rot.so3_exp(SMALL)),
    "so3 log near pi": (rot.so3_log, rot.so3_exp(NEAR_PI)),
    "right Jacobian near 0": (rot.so3_right_jacobian, SMALL),
    "slerp of equals": (lambda a, b: rot.quat_slerp(a, b, 0.3), IDENTITY, IDENTITY),
    "Euler at 0": (rot.quat_to_euler, IDENTITY),
    "integrate standing still": (lambda v: rot.integrate_gyro(v, 0.01), np.zeros((20, 3))),
    "increments standing still": (lambda v: rot.gyro_increments(v, 0.01, 5), np.zeros((20, 3))),
}


@pytest.mark.parametrize("name", SPECIAL)
def test_gradients_at_special_angles(name):
    function, *arrays = SPECIAL[name]
    assert torch.autograd.gradcheck(function, tensors(arrays, grad=True), atol=1e-7)


@pytest.mark.parametrize("name", ["exp near 0", "log near the identity", "right Jacobian near 0"])
def test_second_derivatives_near_0(name):
    function, *arrays = SPECIAL[name]
    arrays = [array[:1] for array in arrays]
    assert torch.autograd.gradgradcheck(function, tensors(arrays, grad=True), atol=1e-6)


HALF_TURNS = at([1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0.6, 0.8, 0])
LOCKED = rot.quat_from_euler(at([0.3, math.pi / 2, 0.2], [0.3, -math.pi / 2, 0.2]))
SINGULAR = {
    "normalise zero": (rot.quat_normalise, np.zeros((2, 4))),
    "log zero": (rot.quat_log, np.zeros((2, 4))),
    "log at pi": (rot.quat_log, HALF_TURNS),
    "so3 log at pi": (rot.so3_log, rot.quat_to_matrix(HALF_TURNS)),
    "exp of tiny": (rot.quat_exp, SMALL * 1e-30),
    "distance 0": (rot.quat_distance, QUATS, QUATS),
    "distance pi": (rot.quat_distance, IDENTITY, HALF_TURNS),
    "so3 distance 0": (rot.so3_distance, MATRICES, MATRICES),
    "so3 distance pi": (rot.so3_distance, np.eye(3), rot.quat_to_matrix(HALF_TURNS)),
    "slerp over pi": (lambda a, b: rot.quat_slerp(a, b, 0.3), IDENTITY, HALF_TURNS),
    "gimbal lock": (rot.quat_to_euler, np.concatenate([LOCKED, at([0, 0.5, 0, 0.5]) * 2**0.5])),
    "total 0": (lambda a, b: rot.attitude_errors(a, b).total_rad, IDENTITY, IDENTITY),
    "heading of a half tilt": (
        lambda a, b: rot.attitude_errors(a, b).heading_rad,
        HALF_TURNS,
        IDENTITY,
    ),
    "inclination 0": (lambda a, b: rot.attitude_errors(a, b).inclination_rad, IDENTITY, IDENTITY),
    "rms of 0": (rot.rms_ignoring_nan, np.zeros((2, 4))),
}


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("name", SINGULAR)
def test_gradients_are_finite_where_no_derivative_exists(name, dtype):
    function, *arrays = SINGULAR[name]
    inputs = tensors(arrays, dtype, grad=True)
    result = function(*inputs)
    result.sum().backward()
    assert torch.isfinite(result).all()
    for value in inputs:
        assert torch.isfinite(value.grad).all()


def test_random_and_mean():
    first = rot.quat_random((100,), torch.Generator().manual_seed(1))
    assert torch.equal(first, rot.quat_random((100,), torch.Generator().manual_seed(1)))
    assert first.dtype == torch.float64
    single = rot.quat_random((), torch.Generator().manual_seed(1), torch.float32)
    assert (single.dtype, single.shape) == (torch.float32, (4,))
    np.testing.assert_allclose(rot.quat_mean(first), rot.quat_mean(first.numpy()), atol=1e-13)


def test_the_identity_is_the_default_start_on_the_device_of_the_rates():
    rates = torch.zeros((2, 3, 3), dtype=torch.float32, device="meta")
    result = rot.integrate_gyro(rates, 0.005)
    assert (result.device.type, result.dtype, result.shape) == ("meta", torch.float32, (2, 4, 4))


def test_ten_minutes_agree_with_numpy():
    rates = np.random.RandomState(5).standard_normal((120_000, 3))
    result = rot.integrate_gyro(torch.from_numpy(rates), 0.005)
    expected = rot.integrate_gyro(rates, 0.005)
    assert rot.quat_distance(result.numpy(), expected).max() < 1e-11


def test_the_projection_of_tensors_equals_that_of_arrays():
    pytest.importorskip("nn_perception.networks.so3_projection")
    matrix = np.random.RandomState(6).standard_normal((4, 50, 3, 3))
    result = rot.project_to_so3(torch.from_numpy(matrix))
    assert (result.dtype, result.shape) == (torch.float64, matrix.shape)
    np.testing.assert_allclose(result.numpy(), rot.project_to_so3(matrix), rtol=0, atol=1e-6)


def test_numpy_and_torch_do_not_mix():
    with pytest.raises(rot.RotationError, match="all NumPy or all torch"):
        rot.quat_multiply(QUATS, torch.tensor(OTHERS))
    with pytest.raises(rot.RotationError, match="int64, expected a floating type"):
        rot.quat_log(torch.tensor([0, 0, 0, 1]))


def test_rotations_do_not_import_torch():
    code = "import sys, nn_perception.rotations; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


class Everyday(torch.nn.Module):
    """What a network with a rotation inside calls."""

    def forward(self, quat, vector):
        quat = rot.quat_multiply(rot.quat_normalise(quat), rot.quat_exp(vector))
        return (
            rot.quat_log(quat),
            rot.so3_log(rot.quat_to_matrix(quat)),
            rot.quat_rotate(quat, vector),
            rot.so3_right_jacobian(vector),
        )


@pytest.mark.long
def test_networks_with_rotations_inside_export_to_onnx(tmp_path):
    onnxruntime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    module, generator = Everyday().eval(), torch.Generator().manual_seed(0)
    probe = torch.randn(5, 4, generator=generator), torch.randn(5, 3, generator=generator)
    batch = {0: torch.export.Dim("batch", min=1, max=64)}
    program = torch.onnx.export(module, probe, dynamo=True, dynamic_shapes=(batch, batch))
    program.save(tmp_path / "rotations.onnx")
    session = onnxruntime.InferenceSession(
        tmp_path / "rotations.onnx", providers=["CPUExecutionProvider"]
    )
    names = [value.name for value in session.get_inputs()]
    for count in (1, 5):
        inputs = [value[:count] for value in probe]
        feeds = {name: value.numpy() for name, value in zip(names, inputs, strict=True)}
        for ours, theirs in zip(module(*inputs), session.run(None, feeds), strict=True):
            np.testing.assert_allclose(theirs, ours.numpy(), rtol=0, atol=2e-6)
