"""Polynomials: closed forms against others, and bias + variance + noise = error."""

import itertools

import numpy as np
import pytest
from sklearn.linear_model import Ridge

from nn_perception.studies.polynomials import (
    DEGREES,
    draw_sets,
    errors,
    features,
    fit,
    study,
    truth,
)

NOISE = 0.3
X = np.linspace(0.0, 1.0, 20)
Y = truth(X) + NOISE * np.random.RandomState(5).standard_normal(20)


@pytest.mark.parametrize("penalty", [1e-6, 1e-2, 3.0])
@pytest.mark.parametrize("degree", [1, 4, 15])
def test_a_penalty_gives_the_ridge_of_scikit_learn(degree, penalty):
    powers = features(X, degree)
    reference = Ridge(alpha=penalty, solver="svd").fit(powers[:, 1:], Y)  # bias is not penalised
    expected = reference.predict(powers[:, 1:])
    np.testing.assert_allclose(powers @ fit(X, Y, degree, penalty), expected, atol=1e-6)


def test_ridge_is_where_the_gradient_vanishes():
    penalty, powers = 0.2, features(X, 6)
    weights = fit(X, Y, 6, penalty)
    gradient = powers.T @ (powers @ weights - Y) + penalty * np.append(0.0, weights[1:])
    assert np.abs(gradient).max() < 1e-10


def test_without_penalty_it_is_numpy_s_polynomial():
    expected = np.polynomial.Polynomial.fit(X, Y, 7)(X)
    np.testing.assert_allclose(features(X, 7) @ fit(X, Y, 7), expected, atol=1e-10)


def test_a_polynomial_through_all_points_has_no_error():
    x = np.linspace(0.0, 1.0, 16)
    y = np.random.RandomState(0).standard_normal(16)
    np.testing.assert_allclose(features(x, 15) @ fit(x, y, 15), y, atol=1e-8)


def test_several_sets_are_fitted_as_each_alone():
    both = fit(X, np.stack((Y, -2 * Y), axis=1), 5, 0.1)
    alone = fit(X, Y, 5, 0.1)
    np.testing.assert_allclose(both, np.stack((alone, -2 * alone), axis=1), atol=1e-10)


def test_a_polynomial_without_noise_has_neither_bias_nor_variance(monkeypatch):
    monkeypatch.setattr("nn_perception.studies.polynomials.truth", lambda x: 1 - 3 * x + 2 * x**3)
    found = errors(draw_sets(20, 30, 0.0, 1), 3)
    assert max(found.bias2, found.variance, found.test, found.training) < 1e-20
    assert errors(draw_sets(20, 30, 0.0, 1), 2).bias2 > 1e-3


@pytest.mark.parametrize(("degree", "penalty"), [(1, 0.0), (5, 0.0), (9, 0.0), (15, 1e-2)])
def test_bias_variance_and_noise_make_up_the_error(degree, penalty):
    found = errors(draw_sets(20, 4000, NOISE, 2), degree, penalty)
    assert found.expected == pytest.approx(found.test, rel=0.01)
    assert found.bias2 == pytest.approx(found.exact_bias2, abs=1e-3)
    assert found.variance == pytest.approx(found.exact_variance, rel=0.05)
    assert found.noise == pytest.approx(NOISE**2)


def test_variance_of_least_squares_at_its_own_points_is_that_of_its_parameters():
    """Mean variance at the N points is noise^2 (degree + 1) / N, so the training error is known."""
    for degree in (1, 6, 12):
        found = errors(draw_sets(20, 4000, NOISE, 3), degree)
        free = 1 - (degree + 1) / 20
        left = truth(X) - features(X, degree) @ fit(X, truth(X), degree)
        assert found.training == pytest.approx(NOISE**2 * free + np.mean(left**2), rel=0.02)


def test_the_study_finds_under_and_overfitting():
    found = study(20, 300, NOISE, 0)
    training = [e.training for e in found.by_degree]
    assert all(a >= b for a, b in itertools.pairwise(training))
    assert 2 < found.best_degree.degree < DEGREES[-1]
    assert found.by_degree[-1].test > 2 * found.best_degree.test
    assert found.best_penalty.test < found.by_degree[-1].test
    bias = [e.exact_bias2 for e in found.by_penalty]
    variance = [e.exact_variance for e in found.by_penalty]
    assert all(a <= b + 1e-9 for a, b in itertools.pairwise(bias))
    assert all(a >= b for a, b in itertools.pairwise(variance))
    assert found.largest_gap < 0.05


def test_a_seed_gives_the_same_sets_and_another_seed_others():
    first, second, other = (draw_sets(10, 3, NOISE, seed) for seed in (1, 1, 2))
    assert np.array_equal(first.y, second.y)
    assert np.array_equal(first.test_y, second.test_y)
    assert not np.isclose(first.y, other.y).any()
