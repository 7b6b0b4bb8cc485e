"""The correction that a bundle holds, and what is refused."""

import dataclasses

import numpy as np
import pytest

from nn_perception.engine import create_engine
from nn_perception.errors import BundleError
from nn_perception.tasks.uwb.model import MAX_SIGMA_M, MIN_SIGMA_M, Pair, RangeModel


@pytest.fixture(scope="module")
def bundle(make_uwb_bundle):
    return make_uwb_bundle()


@pytest.fixture(scope="module")
def engine(bundle):
    return create_engine(bundle, "cpu")


class Says:
    """An engine that answers the same to every row."""

    def __init__(self, bias_m, log_sigma):
        self.answer = bias_m, log_sigma

    def __call__(self, rows):
        return (np.tile(np.array(self.answer, np.float32), (len(rows), 1)),)


def changed(bundle, **calibration):
    """The bundle with other calibration; None leaves a key out."""
    values = {**bundle.config.calibration, **calibration}
    kept = {key: value for key, value in values.items() if value is not None}
    config = dataclasses.replace(bundle.config, calibration=kept)
    return dataclasses.replace(bundle, config=config)


KEYS = ("limit_m", "raw_sigma_m", "constant_sigma_m", "sigma_scale", "pairs")


@pytest.mark.parametrize("key", KEYS)
def test_a_missing_key_is_named(bundle, engine, key):
    with pytest.raises(BundleError, match=rf"{bundle.name}: .*lacks or garbles '{key}'"):
        RangeModel(changed(bundle, **{key: None}), engine)


def test_a_missing_site_is_named(bundle, engine):
    config = dataclasses.replace(bundle.config, preprocessing={})
    with pytest.raises(BundleError, match="lacks or garbles 'site'"):
        RangeModel(dataclasses.replace(bundle, config=config), engine)


@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize("value", ["much", [], {}, -1.0, 0.0, float("nan"), float("inf")])
def test_a_garbled_value_is_refused_in_the_bundles_name(bundle, engine, key, value):
    with pytest.raises(BundleError, match=rf"{bundle.name}: its calibration .*train it again"):
        RangeModel(changed(bundle, **{key: value}), engine)


@pytest.mark.parametrize(
    "pairs",
    [
        [["*", "anchor0", 0.1]],
        [["*", "anchor0", "x", [0.0]]],
        [["*", "anchor0", 0.1, None]],
        [["*", "anchor0", 0.1, [0.0, 1.0]]],
        [["*", "anchor0", 0.1, [0.0]], ["*", "anchor1", 0.1, []]],
        [["*", "anchor0", float("nan"), [0.0]]],
        [["*", "anchor0", 0.1, [float("inf")]]],
    ],
)
def test_garbled_pairs_are_refused(bundle, engine, pairs):
    with pytest.raises(BundleError, match=f"{bundle.name}: its calibration"):
        RangeModel(changed(bundle, pairs=pairs), engine)


def test_the_nearest_pair_is_taken_and_nothing_is_guessed(bundle, engine):
    rows = [
        ["left", "a", 0.1, [0.0]],
        ["*", "a", 0.2, [0.0]],
        ["*", "*", 0.3, [0.0]],
        ["left", "*", 0.4, [0.0]],
    ]
    model = RangeModel(changed(bundle, pairs=rows), engine)
    asked = [("left", "a"), ("right", "a"), ("right", "b"), ("left", "b")]
    assert [model.pair(*names).constant_m for names in asked] == [0.1, 0.2, 0.3, 0.3]
    model = RangeModel(changed(bundle, pairs=rows[:2]), engine)
    assert model.pair("left", "b") is None
    assert model.pair("right", "a").constant_m == 0.2


def test_a_pair_with_zeros_is_a_pair(bundle, engine):
    rows = [["left", "a", 0.0, [0.0]], ["*", "*", 0.3, [1.0]]]
    assert RangeModel(changed(bundle, pairs=rows), engine).pair("left", "a") == Pair(0.0, (0.0,))


def test_one_is_predicted_as_many(bundle, engine):
    model = RangeModel(bundle, engine)
    assert model.traits == 1
    draw = np.random.default_rng(0)
    rows, constants = draw.normal(0.0, 2.0, (200, 15)), draw.normal(0.0, 0.5, 200)
    many = model.predict(rows, constants)
    assert np.ptp(many.bias_m) > 0.1
    for row, constant, bias, sigma in zip(rows, constants, *many, strict=True):
        one = model.predict_one(row[:14], Pair(constant, tuple(row[14:])))
        np.testing.assert_allclose(one, (bias, sigma), atol=1e-6)


@pytest.mark.parametrize(
    ("said", "constant_m", "expected"),
    [
        ((0.2, -3.0), 0.1, (0.3, np.exp(-3.0))),
        ((1.0, 5.0), 3.0, (1.5, MAX_SIGMA_M)),
        ((-1.0, -50.0), -3.0, (-1.5, MIN_SIGMA_M)),
        ((0.0, 1000.0), 0.0, (0.0, MAX_SIGMA_M)),
        ((0.0, -1000.0), 0.0, (0.0, MIN_SIGMA_M)),
    ],
)
@pytest.mark.filterwarnings("error")
def test_answers_are_limited(bundle, said, constant_m, expected):
    model = RangeModel(bundle, Says(*said))
    assert model.limit_m == 1.5
    many = model.predict(np.zeros((3, 15)), np.full(3, constant_m))
    np.testing.assert_allclose(many.bias_m, expected[0], atol=1e-6)
    np.testing.assert_allclose(many.sigma_m, expected[1], atol=1e-6)
    one = model.predict_one((0.0,) * 14, Pair(constant_m, (0.0,)))
    np.testing.assert_allclose(one, expected, atol=1e-6)


def test_the_spread_is_scaled(bundle):
    model = RangeModel(changed(bundle, sigma_scale=2.0), Says(0.1, -3.0))
    assert model.predict_one((0.0,) * 14, Pair(0.0, (0.0,)))[1] == pytest.approx(2.0 * np.exp(-3.0))
    assert model.predict(np.zeros((1, 15)), [0.0]).sigma_m[0] == pytest.approx(2.0 * np.exp(-3.0))
