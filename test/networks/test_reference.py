"""The NumPy perceptron: finite differences, torch, formulas in plain loops, and its errors."""

import itertools

import numpy as np
import pytest

from nn_perception.errors import ConfigError
from nn_perception.networks import reference
from nn_perception.networks.reference import LOSSES, MATCHED, PROBABILITIES, Layer, ReferenceMlp
from nn_perception.networks.reference_activations import ACTIVATIONS, ELEMENTWISE, softmax

SMOOTH = [name for name in ACTIVATIONS if name != "step"]
PAIRS = [
    (last, loss)
    for last, loss in itertools.product(SMOOTH, LOSSES)
    if loss == "mse" or last in PROBABILITIES
]


def draw(seed=0):
    return np.random.default_rng(seed)


def make(hidden, last, loss, sizes=(3, 5, 4, 3), **penalties):
    random = draw()
    kinds = [hidden] * (len(sizes) - 2) + [last]
    layers = [
        Layer(0.7 * random.standard_normal((after, before)), random.standard_normal(after), kind)
        for before, after, kind in zip(sizes, sizes[1:], kinds, strict=False)
    ]
    return ReferenceMlp(layers, loss, **penalties)


def batch(outputs=3):
    random = draw(1)
    return random.standard_normal((6, 3)), softmax(random.standard_normal((6, outputs)))


def finite_differences(network, inputs, targets, step=1e-6):
    """Return central differences of the loss by each weight and bias, layer by layer."""
    found = []
    for layer in network.layers:
        for array in (layer.weights, layer.bias):
            slope = np.zeros_like(array)
            for at in np.ndindex(array.shape):
                before = array[at]
                array[at] = before + step
                above = network.loss(inputs, targets)
                array[at] = before - step
                slope[at] = (above - network.loss(inputs, targets)) / (2 * step)
                array[at] = before
            found.append(slope)
    return found


def flat(gradients):
    return [part for gradient in gradients for part in (gradient.weights, gradient.bias)]


@pytest.mark.parametrize("penalties", [{}, {"l1": 0.03, "l2": 0.2}])
@pytest.mark.parametrize(("last", "loss"), PAIRS)
def test_gradients_are_finite_differences_of_the_loss(last, loss, penalties):
    network = make("tanh", last, loss, **penalties)
    inputs, targets = batch()
    for slope, found in zip(
        finite_differences(network, inputs, targets),
        flat(network.gradients(inputs, targets)),
        strict=True,
    ):
        np.testing.assert_allclose(found, slope, atol=1e-6 * max(1e-3, np.abs(slope).max()) + 2e-9)


@pytest.mark.parametrize("hidden", SMOOTH)
@pytest.mark.parametrize(("last", "loss"), PAIRS)
def test_outputs_loss_and_gradients_are_those_of_torch(hidden, last, loss):
    torch = pytest.importorskip("torch")
    functions = {
        "identity": lambda z: z,
        "leaky_relu": torch.nn.functional.leaky_relu,
        "gelu": torch.nn.functional.gelu,
        "silu": torch.nn.functional.silu,
        "softplus": torch.nn.functional.softplus,
        "softmax": lambda z: torch.softmax(z, 1),
    }
    losses = {
        "mse": lambda p, y: 0.5 * ((p - y) ** 2).sum(1),
        "bce": lambda p, y: -(y * p.log() + (1 - y) * (1 - p).log()).sum(1),
        "cross_entropy": lambda p, y: -(y * p.log()).sum(1),
    }
    network = make(hidden, last, loss, l1=0.01, l2=0.02)
    inputs, targets = batch()
    leaves, values = [], torch.from_numpy(inputs)
    penalty = 0.0
    for layer in network.layers:
        w, b = (torch.tensor(part, requires_grad=True) for part in (layer.weights, layer.bias))
        leaves += [w, b]
        values = functions.get(layer.activation, getattr(torch, layer.activation, None))(
            values @ w.T + b
        )
        penalty = penalty + 0.01 * w.abs().sum() + 0.01 * w.square().sum()
    total = losses[loss](values, torch.from_numpy(targets)).mean() + penalty
    slopes = torch.autograd.grad(total, leaves)
    np.testing.assert_allclose(network.forward(inputs), values.detach().numpy(), atol=1e-12)
    assert network.loss(inputs, targets) == pytest.approx(total.item(), abs=1e-12)
    for found, slope in zip(flat(network.gradients(inputs, targets)), slopes, strict=True):
        np.testing.assert_allclose(found, slope.numpy(), atol=1e-10)


@pytest.mark.parametrize(("last", "loss"), sorted(MATCHED))
def test_a_matched_pair_is_the_jacobian_written_shorter(last, loss, monkeypatch):
    network = make("sigmoid", last, loss)
    inputs, targets = batch()
    short, value = flat(network.gradients(inputs, targets)), network.loss(inputs, targets)
    monkeypatch.setattr(reference, "MATCHED", set())
    assert network.loss(inputs, targets) == pytest.approx(value, abs=1e-12)
    for one, other in zip(short, flat(network.gradients(inputs, targets)), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-12)


@pytest.mark.parametrize(("last", "loss"), sorted(MATCHED))
def test_the_last_delta_of_a_matched_pair_is_prediction_less_target(last, loss):
    """With inputs 0 only the bias is left, whose gradient is the mean delta."""
    network = ReferenceMlp([Layer(np.ones((3, 2)), np.array([0.5, -1.0, 2.0]), last)], loss)
    target = np.array([[0.2, 0.5, 0.3]])
    (gradient,) = network.gradients(np.zeros((1, 2)), target)
    np.testing.assert_allclose(gradient.bias, (network.forward(np.zeros((1, 2))) - target)[0])
    np.testing.assert_array_equal(gradient.weights, 0.0)


def test_hidden_deltas_by_the_sum_over_units():
    """delta_j = sigma'(a_j) sum_k delta_k w_kj, dE/dw_ji = sum_n delta_nj x_ni, in plain loops."""
    network = make("sigmoid", "identity", "mse", sizes=(3, 4, 2))
    inputs, targets = batch(outputs=2)
    hidden, last = network.layers
    expected = np.zeros((4, 3))
    for n, x in enumerate(inputs):
        a = [sum(hidden.weights[j, i] * x[i] for i in range(3)) + hidden.bias[j] for j in range(4)]
        h = [1 / (1 + np.exp(-value)) for value in a]
        y = [sum(last.weights[k, j] * h[j] for j in range(4)) + last.bias[k] for k in range(2)]
        delta = [(y[k] - targets[n, k]) / len(inputs) for k in range(2)]
        for j, i in np.ndindex(4, 3):
            back = sum(delta[k] * last.weights[k, j] for k in range(2))
            expected[j, i] += h[j] * (1 - h[j]) * back * x[i]
    found = network.gradients(inputs, targets)[0].weights
    np.testing.assert_allclose(found, expected, atol=1e-14)


def test_loss_of_saturated_outputs_is_exact():
    far = [Layer(np.array([[1000.0], [-1000.0]]), np.zeros(2), "softmax")]
    assert ReferenceMlp(far, "cross_entropy").loss([[1.0]], [[0.0, 1.0]]) == 2000.0
    far = [Layer(np.array([[1000.0]]), np.zeros(1), "sigmoid")]
    assert ReferenceMlp(far, "bce").loss([[1.0]], [[0.0]]) == 1000.0
    assert ReferenceMlp(far, "bce").loss([[1.0]], [[1.0]]) == 0.0


def test_penalties_shrink_weights_and_spare_biases():
    layer = Layer(np.array([[2.0, -3.0]]), np.array([5.0]), "identity")
    network = ReferenceMlp([layer], "mse", l1=0.1, l2=0.01)
    fitted = network.forward([[0.0, 0.0]])
    assert network.loss([[0.0, 0.0]], fitted) == pytest.approx(0.1 * 5 + 0.005 * 13)
    network.step([[0.0, 0.0]], fitted, learning_rate=1.0)
    np.testing.assert_allclose(network.layers[0].weights, [[2.0 - 0.12, -3.0 + 0.13]])
    np.testing.assert_array_equal(network.layers[0].bias, 5.0)


def test_a_step_goes_down_the_gradients_that_it_returns():
    network = make("tanh", "softmax", "cross_entropy")
    inputs, targets = batch()
    before = [(layer.weights.copy(), layer.bias.copy()) for layer in network.layers]
    gradients = network.step(inputs, targets, 0.25)
    for layer, (weights, bias), gradient in zip(network.layers, before, gradients, strict=True):
        np.testing.assert_allclose(layer.weights, weights - 0.25 * gradient.weights)
        np.testing.assert_allclose(layer.bias, bias - 0.25 * gradient.bias)


@pytest.mark.parametrize("name", ELEMENTWISE)
def test_slopes_of_activations(name):
    z = np.linspace(-4.0, 4.0, 41) + 0.013
    slope = (ELEMENTWISE[name].value(z + 1e-6) - ELEMENTWISE[name].value(z - 1e-6)) / 2e-6
    np.testing.assert_allclose(ELEMENTWISE[name].slope(z), slope, atol=1e-8)


@pytest.mark.parametrize("name", SMOOTH)
def test_activations_are_finite_far_out(name):
    z = np.array([[-1e4, 0.0, 1e4]])
    assert np.isfinite(reference.activate(name, z)).all()
    assert np.isfinite(reference.activate_back(name, np.ones_like(z), z)).all()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: Layer(np.ones((2, 2)), np.ones(3)), "expected .outputs, inputs."),
        (lambda: Layer(np.ones((2, 2)), np.ones(2), "sigmoit"), "did you mean 'sigmoid'"),
        (lambda: ReferenceMlp([]), "got none"),
        (lambda: make("tanh", "tanh", "mee"), "did you mean 'mse'"),
        (lambda: make("tanh", "tanh", "bce"), "takes probabilities"),
        (lambda: ReferenceMlp([Layer(np.ones((2, 3)), np.ones(2))] * 2), "expected as many"),
        (lambda: make("tanh", "tanh", "mse").forward(np.ones(3)), r"expected \(N, values\)"),
        (lambda: make("tanh", "tanh", "mse").loss(np.ones((2, 3)), np.ones((2, 2))), "same shape"),
        (
            lambda: make("tanh", "softmax", "cross_entropy").loss(np.ones((2, 3)), np.ones((2, 3))),
            "rows of sum 1",
        ),
        (
            lambda: make("step", "sigmoid", "mse").gradients(np.ones((2, 3)), np.ones((2, 3))),
            "no gradient",
        ),
    ],
)
def test_what_does_not_fit_is_refused(call, message):
    with pytest.raises(ConfigError, match=message):
        call()


def test_reference_needs_no_torch():
    import subprocess
    import sys

    names = (
        "",
        "_examples",
        "_layers",
        "_losses",
        "_optimisers",
        "_recurrent",
        "_rotations",
        "_imu_losses",
    )
    imports = ", ".join(f"nn_perception.networks.reference{name}" for name in names)
    code = f"import sys, {imports}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
