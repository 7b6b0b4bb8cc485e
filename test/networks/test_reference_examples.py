"""The worked example with its numbers, the gates, and XOR: by two layers, never by one."""

import itertools
import math

import numpy as np
import pytest

from nn_perception.errors import ConfigError
from nn_perception.networks.reference import Layer, ReferenceMlp
from nn_perception.networks.reference_activations import sigmoid
from nn_perception.networks.reference_examples import (
    EXAMPLE_INPUT,
    EXAMPLE_RATE,
    EXAMPLE_TARGET,
    TRUTH_INPUTS,
    TRUTH_TABLES,
    logic_gate,
    worked_example,
    xor_network,
)


def test_worked_example_forward():
    network = worked_example()
    np.testing.assert_allclose(
        network.forward(EXAMPLE_INPUT), [[0.75136507, 0.772928465]], atol=5e-10
    )
    assert network.loss(EXAMPLE_INPUT, EXAMPLE_TARGET) == pytest.approx(0.298371109, abs=5e-10)


def test_worked_example_gradients():
    hidden, last = worked_example().gradients(EXAMPLE_INPUT, EXAMPLE_TARGET)
    assert last.weights[0, 0] == pytest.approx(0.082167041, abs=5e-10)
    assert hidden.weights[0, 0] == pytest.approx(0.000438568, abs=5e-10)


def test_worked_example_after_one_step():
    network = worked_example()
    network.step(EXAMPLE_INPUT, EXAMPLE_TARGET, EXAMPLE_RATE, train_bias=False)
    hidden, last = network.layers
    np.testing.assert_allclose(
        hidden.weights, [[0.149780716, 0.19956143], [0.24975114, 0.29950229]], atol=5e-9
    )
    np.testing.assert_allclose(
        last.weights, [[0.35891648, 0.408666186], [0.511301270, 0.561370121]], atol=5e-9
    )
    np.testing.assert_array_equal([hidden.bias, last.bias], [[0.35, 0.35], [0.6, 0.6]])
    assert network.loss(EXAMPLE_INPUT, EXAMPLE_TARGET) == pytest.approx(0.291027774, abs=5e-10)


def test_the_printed_error_after_one_step_is_that_of_output_weights_changed_first():
    """0.291027924: the deltas of the hidden layer went back through weights of after the step."""
    network = worked_example()
    network.step(EXAMPLE_INPUT, EXAMPLE_TARGET, EXAMPLE_RATE, train_bias=False)
    changed_first = worked_example()
    _, last = changed_first.layers
    outputs = changed_first.forward(EXAMPLE_INPUT)
    delta = (outputs - EXAMPLE_TARGET) * outputs * (1 - outputs)
    last.weights = network.layers[1].weights
    hidden = changed_first.layers[0]
    h = sigmoid(np.array(EXAMPLE_INPUT) @ hidden.weights.T + hidden.bias)
    delta = h * (1 - h) * (delta @ last.weights)
    hidden.weights = hidden.weights - EXAMPLE_RATE * delta.T @ np.array(EXAMPLE_INPUT)
    error = changed_first.loss(EXAMPLE_INPUT, EXAMPLE_TARGET)
    assert error == pytest.approx(0.291027924, abs=5e-10)


def test_worked_example_after_ten_thousand_steps():
    network = worked_example()
    errors = {}
    for step in range(1, 10_001):
        network.step(EXAMPLE_INPUT, EXAMPLE_TARGET, EXAMPLE_RATE, train_bias=False)
        if step >= 9_999:
            errors[step] = network.loss(EXAMPLE_INPUT, EXAMPLE_TARGET)
    assert errors[9_999] == pytest.approx(0.0000351085, abs=5e-11)
    assert errors[10_000] == pytest.approx(0.0000351019, abs=5e-11)
    outputs = network.forward(EXAMPLE_INPUT)
    np.testing.assert_allclose(outputs, [[0.015912196, 0.984065734]], atol=2e-6)


@pytest.mark.parametrize("name", TRUTH_TABLES)
def test_gates_of_thresholds_give_their_truth_tables(name):
    np.testing.assert_array_equal(logic_gate(name).forward(TRUTH_INPUTS), TRUTH_TABLES[name])


@pytest.mark.parametrize(("name", "bias"), [("and", -30.0), ("or", -10.0)])
def test_gates_of_sigmoids(name, bias):
    network = ReferenceMlp([Layer(np.array([[20.0, 20.0]]), np.array([bias]))])
    np.testing.assert_allclose(network.forward(TRUTH_INPUTS), TRUTH_TABLES[name], atol=1e-4)


def test_xor_of_relus():
    """Goodfellow, Bengio and Courville 2016, section 6.1."""
    hidden = Layer(np.ones((2, 2)), np.array([0.0, -1.0]), "relu")
    network = ReferenceMlp([hidden, Layer(np.array([[1.0, -2.0]]), np.zeros(1), "identity")])
    np.testing.assert_array_equal(network.forward(TRUTH_INPUTS), TRUTH_TABLES["xor"])


def test_unknown_gate_names_the_nearest():
    with pytest.raises(ConfigError, match="did you mean 'xor'"):
        logic_gate("xorr")


def test_xor_is_learnt_by_two_layers():
    network = xor_network()
    for _ in range(1000):
        network.step(TRUTH_INPUTS, TRUTH_TABLES["xor"], learning_rate=1.0)
    np.testing.assert_allclose(network.forward(TRUTH_INPUTS), TRUTH_TABLES["xor"], atol=0.01)


@pytest.mark.parametrize("seed", range(3))
def test_gradient_descent_on_one_layer_ends_at_undecided_for_xor(seed):
    random = np.random.default_rng(seed)
    layer = Layer(random.standard_normal((1, 2)), random.standard_normal(1))
    network = ReferenceMlp([layer], "bce")
    for _ in range(2000):
        network.step(TRUTH_INPUTS, TRUTH_TABLES["xor"], learning_rate=1.0)
    np.testing.assert_allclose(network.forward(TRUTH_INPUTS), 0.5, atol=1e-6)
    assert network.loss(TRUTH_INPUTS, TRUTH_TABLES["xor"]) == pytest.approx(math.log(2))
    np.testing.assert_allclose(network.gradients(TRUTH_INPUTS, TRUTH_TABLES["xor"])[0].bias, 0.0)


def test_and_is_learnt_by_one_layer_with_the_same_steps():
    network = ReferenceMlp([Layer(np.zeros((1, 2)), np.zeros(1))], "bce")
    for _ in range(2000):
        network.step(TRUTH_INPUTS, TRUTH_TABLES["and"], learning_rate=1.0)
    np.testing.assert_array_equal(network.forward(TRUTH_INPUTS) > 0.5, TRUTH_TABLES["and"])


def test_one_layer_has_fourteen_of_sixteen_truth_tables_and_not_xor():
    """All there is: of a sum s its values at the corners obey s00 + s11 = s01 + s10.

    XOR wants s00 <= 0, s11 <= 0, s01 > 0, s10 > 0, which that forbids, and so does its opposite;
    all other tables are found among small whole weights. The best that is left is three of four.
    """
    found = set()
    for w1, w2, twice_bias in itertools.product(range(-2, 3), range(-2, 3), range(-7, 8)):
        unit = ReferenceMlp(
            [Layer(np.array([[w1, w2]], float), np.array([0.5 * twice_bias]), "step")]
        )
        found.add(tuple(unit.forward(TRUTH_INPUTS)[:, 0].astype(int)))
    xor = (0, 1, 1, 0)
    assert len(found) == 14
    assert set(itertools.product((0, 1), repeat=4)) - found == {xor, (1, 0, 0, 1)}
    assert max(sum(a == b for a, b in zip(table, xor, strict=True)) for table in found) == 3
