import dataclasses

import numpy as np
import pytest

from nn_perception.config import to_mapping
from nn_perception.errors import BundleError, ConfigError
from nn_perception.tasks.rejection import (
    PERCENTS_KEPT,
    fit_rejection,
    known_scores,
    log_sum_exp,
    read_rejection,
)


@pytest.fixture
def scores():
    return np.random.default_rng(0).normal(3.0, 2.0, 20_000)


def test_a_threshold_keeps_the_share_that_it_is_for(scores):
    rejection = fit_rejection(scores, "energy")
    for percent in (*PERCENTS_KEPT, 97.0, 85.0):
        kept = (scores >= rejection.threshold(percent)).mean()
        assert 100 * kept == pytest.approx(percent, abs=1.5 if percent < 90 else 0.5)


def test_everything_is_kept_at_100_percent(scores):
    assert fit_rejection(scores, "energy").threshold(100.0) == -np.inf


@pytest.mark.parametrize("percent", [0.0, 20.0, 49.9, 99.95, 101.0, np.nan])
def test_a_share_that_is_not_known_is_an_error(scores, percent):
    with pytest.raises(ConfigError, match=r"keep_percent is .*expected 50 to 99\.9"):
        fit_rejection(scores, "energy").threshold(percent)


def test_background_score_is_the_log_odds_of_one_of_the_classes():
    logits = np.random.default_rng(1).normal(0.0, 4.0, (50, 6))
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    known = probabilities[:, :5].sum(axis=1)
    np.testing.assert_allclose(known_scores(logits, 5, 1.7), np.log(known / (1 - known)), rtol=1e-9)


def test_energy_is_as_in_the_paper():
    logits = np.random.default_rng(2).normal(0.0, 4.0, (50, 5))
    expected = 2.0 * np.log(np.exp(logits / 2.0).sum(axis=1))
    np.testing.assert_allclose(known_scores(logits, 5, 2.0), expected, rtol=1e-12)


def test_log_sum_exp_of_numbers_that_would_overflow():
    assert log_sum_exp(np.array([[1e4, 1e4], [-1e4, -1e4]])) == pytest.approx(
        [1e4 + np.log(2), -1e4 + np.log(2)]
    )


def with_rejection(bundle, entry):
    calibration = {**bundle.config.calibration, "rejection": entry}
    return dataclasses.replace(
        bundle, config=dataclasses.replace(bundle.config, calibration=calibration)
    )


def test_what_is_written_is_read(tiny_bundle, scores):
    rejection = fit_rejection(scores, "energy")
    bundle = with_rejection(tiny_bundle, to_mapping(rejection))
    assert read_rejection(bundle) == rejection


def test_an_older_bundle_has_none(tiny_bundle):
    assert read_rejection(tiny_bundle) is None


@pytest.mark.parametrize(
    "entry",
    [
        7,
        {"score": "energy"},
        {"score": "magic", "quantiles": [[95.0, 1.0]]},
        {"score": "background", "quantiles": [[95.0, 1.0]]},  # the network has no background
        {"score": "energy", "quantiles": []},
        {"score": "energy", "quantiles": [[95.0]]},
        {"score": "energy", "quantiles": [[95.0, 1.0, 2.0]]},
        {"score": "energy", "quantiles": [[95.0, float("nan")]]},
        {"score": "energy", "quantiles": [[99.0, 1.0], [95.0, 0.0]]},
        {"score": "energy", "quantiles": [[95.0, 0.0], [99.0, 1.0]]},
        {"score": "energy", "quantiles": [[95.0, "x"]]},
        {"score": "energy", "quantiles": [[95.0, 0.0]], "more": 1},
    ],
)
def test_a_damaged_entry_is_refused(tiny_bundle, entry):
    with pytest.raises(BundleError, match=r"calibration\.rejection"):
        read_rejection(with_rejection(tiny_bundle, entry))
