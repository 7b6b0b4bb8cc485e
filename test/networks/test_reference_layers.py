"""Layers in NumPy by what is known of them without torch; with torch: test/bench/test_gradients."""

import numpy as np
import pytest

from nn_perception.networks.reference_layers import (
    average_pool,
    batch_norm,
    chain,
    convolution,
    dropout,
    linear,
    max_pool,
    running_statistics,
)
from nn_perception.networks.reference_recurrent import elman_step, gru_step, stacked, unroll


def draw(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape)


def test_convolution_by_its_sum():
    x, weight, bias = draw(2, 3, 6, 5), draw(4, 3, 3, 2, seed=1), draw(4, seed=2)
    options = {"stride": (2, 1), "padding": (1, 0), "dilation": (1, 2)}
    y, _ = convolution(x, weight, bias, **options)
    for n, o, p, q in np.ndindex(y.shape):
        total = bias[o]
        for c, i, j in np.ndindex(weight.shape[1:]):
            row, column = 2 * p + i - 1, q + 2 * j
            if 0 <= row < 6:
                total += weight[o, c, i, j] * x[n, c, row, column]
        assert y[n, o, p, q] == pytest.approx(total, abs=1e-12)


def test_identity_kernel_gives_the_picture_back():
    x, kernel = draw(1, 1, 5, 5), np.zeros((1, 1, 3, 3))
    kernel[0, 0, 1, 1] = 1.0
    y, back = convolution(x, kernel, stride=(1, 1), padding=(1, 1), dilation=(1, 1))
    np.testing.assert_array_equal(y, x)
    np.testing.assert_array_equal(back(x)["x"], x)


def test_groups_see_nothing_of_each_other():
    x, weight = draw(1, 4, 6), draw(4, 2, 3, seed=1)
    options = {"stride": (1,), "padding": (0,), "dilation": (1,), "groups": 2}
    before, _ = convolution(x, weight, **options)
    x[:, 2:] += 1.0
    after, back = convolution(x, weight, **options)
    np.testing.assert_array_equal(after[:, :2], before[:, :2])
    change = np.zeros(after.shape)
    change[:, :2] = 1.0
    np.testing.assert_array_equal(back(change)["x"][:, 2:], 0.0)


def test_max_pool_sends_the_derivative_to_the_largest():
    x = np.array([[[[1.0, 2.0], [4.0, 3.0]]]])
    y, back = max_pool(x, kernel=(2, 2), stride=(2, 2), padding=(0, 0))
    assert y.item() == 4.0
    np.testing.assert_array_equal(back(np.full(y.shape, 5.0))["x"], [[[[0, 0], [5, 0]]]])


def test_average_pool_shares_the_derivative():
    x = draw(2, 3, 4, 4)
    y, back = average_pool(x, kernel=(2, 2), stride=(2, 2))
    assert y[1, 2, 1, 0] == pytest.approx(x[1, 2, 2:, :2].mean())
    np.testing.assert_allclose(back(np.ones(y.shape))["x"], 0.25)


def test_batch_norm_makes_mean_and_deviation_those_of_beta_and_gamma():
    gamma, beta = np.array([0.5, 2.0, 3.0]), np.array([1.0, -1.0, 0.0])
    y, back = batch_norm(5.0 + 3.0 * draw(50, 3), gamma, beta, epsilon=0.0)
    np.testing.assert_allclose(y.mean(0), beta, atol=1e-12)
    np.testing.assert_allclose(y.std(0), gamma)
    # Neither a shift nor a stretch of the inputs changes anything: no derivative along them.
    slope = back(draw(50, 3, seed=1))["x"]
    np.testing.assert_allclose(slope.sum(0), 0.0, atol=1e-12)
    np.testing.assert_allclose((slope * y).sum(0), 0.0, atol=1e-11)


def test_running_statistics_are_those_of_torch():
    torch = pytest.importorskip("torch")
    layer = torch.nn.BatchNorm2d(3, momentum=0.2).double()
    mean, variance = np.zeros(3), np.ones(3)
    for seed in range(3):
        x = 2.0 + 3.0 * draw(4, 3, 5, 2, seed=seed)
        layer(torch.from_numpy(x))
        mean, variance = running_statistics(x, mean, variance, 0.2)
    np.testing.assert_allclose(layer.running_mean.numpy(), mean, atol=1e-12)
    np.testing.assert_allclose(layer.running_var.numpy(), variance, atol=1e-12)


@pytest.mark.parametrize("rate", [0.1, 0.5, 0.8])
def test_dropout_keeps_the_expectation_by_its_scale(rate):
    random = np.random.default_rng(0)
    x = np.ones(200_000)
    kept = random.random(x.shape) >= rate
    y, back = dropout(x, kept, rate)
    assert y.mean() == pytest.approx(1.0, abs=0.02)
    assert set(np.unique(y)) == {0.0, 1.0 / (1.0 - rate)}
    np.testing.assert_array_equal(back(x)["x"], y)


def test_torch_scales_dropout_alike():
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    x = torch.full((1000,), 3.0, dtype=torch.float64)
    found = torch.nn.Dropout(0.25)(x).numpy()
    np.testing.assert_allclose(found, dropout(x.numpy(), found > 0, 0.25)[0])
    assert 0.7 < (found > 0).mean() < 0.8


def test_chain_is_the_product_of_its_links():
    first, second = draw(4, 3, seed=1), draw(2, 4, seed=2)
    layers = {"one": lambda x: linear(x, first), "two": lambda x: linear(x, second)}
    y, back = chain(draw(5, 3), layers)
    np.testing.assert_allclose(y, draw(5, 3) @ (second @ first).T)
    change = draw(5, 2, seed=3)
    found = back(change)
    assert set(found) == {"x", "one.weight", "two.weight"}
    np.testing.assert_allclose(found["x"], change @ second @ first)


def cell(name):
    if name == "elman":
        return elman_step, {"w_x": draw(3, 2), "w_h": 0.5 * draw(3, 3, seed=1), "b_h": draw(3)}
    weights = {"w_x": draw(9, 2), "w_h": 0.5 * draw(9, 3, seed=1)}
    return gru_step, {**weights, "b_x": draw(9, seed=2), "b_h": draw(9, seed=3)}


@pytest.mark.parametrize("name", ["elman", "gru"])
def test_back_propagation_through_time_by_finite_differences(name):
    step, weights = cell(name)
    arrays = {"x": draw(2, 6, 2, seed=4), "h": draw(2, 3, seed=5), **weights}
    change = draw(2, 6, 3, seed=6)

    def run(x, h, **weights):
        return unroll(x, h, lambda x, h: step(x, h, **weights))

    found = run(**arrays)[1](change)
    for key, array in arrays.items():
        for at in np.ndindex(array.shape):
            values = []
            for sign in (1, -1):
                moved = array.copy()
                moved[at] += sign * 1e-6
                values.append((run(**{**arrays, key: moved})[0] * change).sum())
            assert found[key][at] == pytest.approx((values[0] - values[1]) / 2e-6, abs=1e-7)


@pytest.mark.parametrize("name", ["elman", "gru"])
def test_a_sequence_in_two_pieces_is_the_whole_one(name):
    step, weights = cell(name)
    x, h = draw(2, 7, 2), np.zeros((2, 3))
    whole, back = unroll(x, h, lambda x, h: step(x, h, **weights))
    first, first_back = unroll(x[:, :4], h, lambda x, h: step(x, h, **weights))
    second, second_back = unroll(x[:, 4:], first[:, -1], lambda x, h: step(x, h, **weights))
    np.testing.assert_allclose(np.concatenate([first, second], 1), whole)
    change = draw(2, 7, 3, seed=1)
    late = second_back(change[:, 4:])
    early = change[:, :4].copy()
    early[:, -1] += late["h"]
    found = first_back(early)
    expected = back(change)
    np.testing.assert_allclose(found["h"], expected["h"], atol=1e-12)
    for key in weights:
        np.testing.assert_allclose(found[key] + late[key], expected[key], atol=1e-12)


def test_the_state_of_an_open_update_gate_and_its_gradient_pass_unchanged():
    """z near 1: h_t = h_{t-1}, and dE/dh of a hundred steps ago is that of now."""
    step, weights = cell("gru")
    weights["b_x"] = np.concatenate([np.zeros(3), np.full(3, 60.0), np.zeros(3)])
    h = draw(1, 3, seed=8)
    states, back = unroll(draw(1, 100, 2), h, lambda x, h: step(x, h, **weights))
    np.testing.assert_allclose(states[:, -1], h, atol=1e-12)
    change = np.zeros(states.shape)
    change[:, -1] = 1.0
    np.testing.assert_allclose(back(change)["h"], 1.0, atol=1e-12)


def test_the_gradient_of_an_elman_network_vanishes_with_small_weights():
    step, weights = cell("elman")
    weights["w_h"] = 0.5 * np.eye(3)
    states, back = unroll(draw(1, 50, 2), np.zeros((1, 3)), lambda x, h: step(x, h, **weights))
    change = np.zeros(states.shape)
    change[:, -1] = 1.0
    assert np.abs(back(change)["h"]).max() <= 0.5**50


def test_stacked_layers_read_the_states_before_them():
    step, weights = cell("elman")
    upper = {**weights, "w_x": draw(3, 3, seed=9)}
    x, starts = draw(2, 4, 2), [np.zeros((2, 3))] * 2
    steps = [lambda x, h: step(x, h, **weights), lambda x, h: step(x, h, **upper)]
    y, back = stacked(x, starts, steps)
    lower, _ = unroll(x, starts[0], steps[0])
    np.testing.assert_array_equal(y, unroll(lower, starts[1], steps[1])[0])
    assert {"x", "0.w_x", "1.w_x", "0.h", "1.h"} <= set(back(np.ones(y.shape)))
