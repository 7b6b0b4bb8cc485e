"""The evaluation of `uwb`: figures, the correction in the loop, what counts and what does not."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import numpy as np
import pytest

from nn_perception.datasets.uwb_simulated import RangeErrors, simulate_uwb
from nn_perception.errors import BundleError, DatasetError
from nn_perception.evaluation.uwb import UwbEvaluation
from nn_perception.evaluation.uwb_figures import (
    START_SIGMA_M,
    altimeter_m,
    locate,
    range_figures,
    start_of,
)
from nn_perception.evaluation.uwb_methods import (
    METHODS,
    ConstantModel,
    Learned,
    true_features,
)
from nn_perception.localisation.track import HEIGHT_SIGMA_M
from nn_perception.tasks.uwb.model import RangeModel

TRIPLES = ("range_rmse_m", "position_rmse_m", "position_p95_m", "normalised_innovation")


@pytest.fixture(scope="module")
def flight():
    """Return 8 s of one tag among six anchors."""
    return simulate_uwb(1, duration_s=8.0)


@pytest.fixture
def exact(tmp_path, uwb):
    """Return an evaluation of a model that knows the simulator."""
    return UwbEvaluation(uwb.stand_in(uwb.bundle(tmp_path, uwb.pairs(1)), uwb.Exact()))


def evaluated(evaluation, *sequences):
    evaluation.evaluate_sequences(sequences)
    return json.loads(json.dumps(evaluation.to_dict(), allow_nan=False))


def test_figures_of_ranges_by_hand(exact, flight, uwb):
    figures = evaluated(exact, flight)
    inner = ~flight.outlier
    pairs = uwb.pairs(1)
    constants = np.array(
        [
            pairs[f"tag{tag}", f"anchor{anchor}"]
            for tag, anchor in zip(flight.tag, flight.anchor, strict=True)
        ]
    )
    away = flight.anchor_position_m - flight.tag_position_m
    away /= np.linalg.norm(away, axis=1, keepdims=True)
    rows = true_features(flight)
    (told,) = uwb.Exact()(rows)
    raw = flight.range_m - np.linalg.norm(flight.tag_position_m - flight.anchor_position_m, axis=1)
    for method, bias, sigma in (
        ("raw", 0.0 * constants, 0.25),
        ("constant", constants, 0.1),
        ("learned", constants + told[:, 0], uwb.sigma_m),
    ):
        error = raw - bias
        rmse = math.sqrt(np.mean(error[inner] ** 2))
        assert figures["range_rmse_m"][method] == pytest.approx(rmse, rel=1e-5)
        each = figures["range_rmse_m"]["per_sequence"][flight.name]
        assert each[method] == figures["range_rmse_m"][method]
        robust, coverage = figures["robust"], figures["coverage"]
        median = robust["median_abs_error_m_with_outliers"][method]
        assert median == pytest.approx(np.median(abs(error)), rel=1e-4)
        most = robust["p95_abs_error_m_with_outliers"][method]
        assert most == pytest.approx(np.percentile(abs(error), 95), rel=1e-4)
        for times in (1, 2):
            share = np.mean(abs(error[inner]) <= times * sigma)
            found = coverage[f"within_{times}_sigma"][method]
            assert found == pytest.approx(share, abs=1e-3)
        ratio = np.mean((error[inner] / sigma) ** 2)
        assert coverage["normalised_squared_error"][method] == pytest.approx(ratio, rel=1e-4)
    assert figures["outliers"] == {flight.name: int(flight.outlier.sum())}
    assert "left out of range_rmse_m" in figures["robust"]["note"]


def test_outliers_are_in_the_robust_figures_alone():
    error = np.array([0.1, -0.2, 0.3, 50.0, math.nan])
    outlier = np.array([0, 0, 0, 1, 1], bool)
    figures = range_figures(error, np.full(5, 0.2), outlier)
    assert figures["range_rmse_m"] == pytest.approx(math.sqrt(0.14 / 3))
    assert figures["median_abs_error_m"] == pytest.approx(0.25)
    assert figures["p95_abs_error_m"] == pytest.approx(np.percentile([0.1, 0.2, 0.3, 50.0], 95))
    assert figures["within_1_sigma"] == pytest.approx(2 / 3)
    assert figures["within_2_sigma"] == 1.0
    empty = range_figures(error[4:], np.ones(1), outlier[4:])
    assert all(math.isnan(value) for value in empty.values())


@pytest.mark.long
def test_an_exact_model_makes_positions_as_good_as_without_a_bias(exact, uwb):
    long = {"duration_s": 30.0, "tags": 2, "anchors": 8}
    figures = evaluated(exact, simulate_uwb(1, **long))["position_rmse_m"]
    honest = RangeErrors(constant_m=0.0, constant_std_m=0.0, pattern=0.0)
    clean = simulate_uwb(1, **long, errors=honest)
    ranges = clean.range_m.tolist()
    unbiased = locate(clean, lambda row, position_m: (ranges[row], uwb.sigma_m)).figures
    assert figures["learned"] == pytest.approx(unbiased["rmse_m"], rel=0.2)
    assert figures["learned"] < 0.8 * figures["constant"] < 0.8 * figures["raw"]


def test_features_in_the_loop_come_from_the_estimate(tmp_path, flight, uwb):
    """With the truth moved by 3 m, what the network is asked about stays where the ranges are."""
    moved = replace(flight, position_m=flight.position_m + np.array([0.0, 3.0, 0.0]))
    asked = {}
    for name, sequence in (("true", flight), ("moved", moved)):
        engine = uwb.Exact()
        model = RangeModel(uwb.bundle(tmp_path, uwb.pairs(1)), engine)
        correct = Learned(sequence, model).correct()
        given = flight.position_m[700] + 0.01
        answer = correct(700, given)
        asked[name] = (engine.seen[0][0], answer)
    np.testing.assert_array_equal(asked["true"][0], asked["moved"][0])
    assert asked["true"][1] == asked["moved"][1]
    exact_row = true_features(flight)[700]
    assert 0.0 < abs(asked["true"][0] - exact_row).max() < 0.03


def test_the_truth_has_no_say_in_the_loop(tmp_path, flight, uwb):
    """Truth that jumps to and fro by 0.1 m, but for the start and the height: nothing changes."""
    jump = 0.1 * np.random.RandomState(0).standard_normal((len(flight), 3)) * [1, 1, 0]
    jump[0] = 0.0
    asked, batches = [], []
    for position in (flight.position_m, flight.position_m + jump):
        engine = uwb.Exact()
        evaluation = UwbEvaluation(uwb.stand_in(uwb.bundle(tmp_path, uwb.pairs(1)), engine))
        evaluation.evaluate_sequences([replace(flight, position_m=position)])
        asked.append(np.concatenate([rows for rows in engine.seen if len(rows) == 1]))
        batches.append(next(rows for rows in engine.seen if len(rows) > 1))
    assert len(asked[0]) > len(flight)
    np.testing.assert_array_equal(*asked)
    assert (batches[0] != batches[1]).any()  # figures of ranges are by the truth


def test_other_radios_are_left_out(tmp_path, flight, uwb):
    others = replace(flight, name="other", source="drone")
    recorded = replace(flight, name="recorded", source="bag")
    evaluation = UwbEvaluation(uwb.stand_in(uwb.bundle(tmp_path, uwb.pairs(1)), uwb.Exact()))
    figures = evaluated(evaluation, others, recorded)
    assert set(figures["range_rmse_m"]["per_sequence"]) == {"recorded"}
    assert figures["left_out"]["other"].startswith("other radios: it is of 'drone'")
    assert dict(evaluation.summary())["other: left out"] == figures["left_out"]["other"]
    with pytest.raises(DatasetError, match=r"no recording is left.*other radios"):
        evaluation.evaluate_sequences([others])
    with pytest.raises(DatasetError, match="there is none"):
        evaluation.evaluate_sequences([])


def test_unknown_pairs_are_left_out_and_counted(tmp_path, flight, uwb):
    pairs = {key: value for key, value in uwb.pairs(1).items() if key != ("tag0", "anchor2")}
    evaluation = UwbEvaluation(uwb.stand_in(uwb.bundle(tmp_path, pairs), uwb.Exact()))
    figures = evaluated(evaluation, flight)
    gone = int(((flight.tag == 0) & (flight.anchor == 2)).sum())
    (counts,) = figures["rows_left_out"].values()
    assert counts == {"a tag and anchor that the model does not know": gone}
    assert figures["ranges"] == len(flight) - gone
    nobody = UwbEvaluation(uwb.stand_in(uwb.bundle(tmp_path, {("x", "y"): 0.1}), uwb.Exact()))
    with pytest.raises(DatasetError, match="that the model does not know: no other row"):
        nobody.evaluate_sequences([flight])


def test_what_was_trained_on_does_not_count(tmp_path, flight, uwb):
    data = {"train_names": ["whole", "part"], "until": {"part": 0.6}}
    bundle = uwb.bundle(tmp_path, uwb.pairs(1), data=data)
    evaluation = UwbEvaluation(uwb.stand_in(bundle, uwb.Exact()))
    rows = [replace(flight, name=name) for name in ("whole", "part", "new")]
    figures = evaluated(evaluation, *rows)
    assert figures["trained_on"] == {"whole": True, "part": "partly", "new": False}
    assert figures["in_means"] == ["part", "new"]
    part = evaluation.outcomes["part"].sequence
    assert part.time_s[0] > flight.time_s[0] + 0.6 * flight.duration_s
    assert part.time_s[-1] == flight.time_s[-1]
    error = figures["range_rmse_m"]
    expected = [error["per_sequence"][name]["raw"] for name in ("part", "new")]
    assert error["raw"] == pytest.approx(np.mean(expected))
    assert dict(evaluation.summary())["whole: trained on"] == "not in the means"
    alone = evaluated(evaluation, rows[0])
    assert alone["in_means"] == ["whole"]
    assert dict(evaluation.summary())["whole: trained on"] == "in full, no test"


def test_rows_without_a_pose_do_not_count(exact, flight):
    position, quat = flight.position_m.copy(), flight.orientation_xyzw.copy()
    position[100:200], quat[100:200] = math.nan, math.nan
    figures = evaluated(exact, replace(flight, position_m=position, orientation_xyzw=quat))
    assert figures["rows_left_out"][flight.name] == {"no true pose": 100}
    gone = np.full_like(position, math.nan)
    nowhere = replace(flight, position_m=gone, orientation_xyzw=np.full_like(quat, math.nan))
    with pytest.raises(DatasetError, match="no true pose"):
        exact.evaluate_sequences([nowhere])


def test_keys_and_progress(exact, flight):
    done = []
    exact.evaluate_sequences([flight], done.append)
    assert sum(done) == len(flight)
    figures = exact.to_dict()
    for key in TRIPLES:
        assert set(figures[key]) == {*METHODS, "per_sequence"}
        assert set(figures[key]["per_sequence"][flight.name]) == set(METHODS)
    assert set(figures["multilateration"]["position_rmse_m"]) == {*METHODS, "per_sequence"}
    assert figures["position_error"] == {flight.name: "3-D"}
    assert figures["geometry_problem"] == {}
    assert figures["site"] == "simulated"
    empty = UwbEvaluation(exact.pipeline)
    assert empty.to_dict()["range_rmse_m"] is None
    assert dict(empty.summary())["range error"].startswith("unknown")


def test_planar_recordings_have_a_horizontal_error(exact, flight):
    anchors = {
        name: replace(anchor, position_m=(*anchor.position_m[:2], 1.0))
        for name, anchor in flight.anchors.items()
    }
    position = flight.position_m * [1, 1, 0] + [0, 0, 1.0]
    quat = np.tile([0.0, 0.0, 0.0, 1.0], (len(flight), 1))
    flat = replace(
        flight, anchors=anchors, position_m=position, orientation_xyzw=quat, outlier=None
    )  # fmt: skip
    flat = replace(flat, range_m=flat.range_true_m, outlier=None)
    assert flat.planar
    figures = evaluated(exact, flat)
    assert figures["position_error"] == {flight.name: "horizontal"}
    assert figures["position_rmse_m"]["raw"] < 0.1
    assert exact.outcomes[flight.name].located["raw"].track.planar


def test_anchors_on_a_line_are_told(exact, flight):
    anchors = {
        name: replace(anchor, position_m=(float(at), 0.0, 1.0))
        for at, (name, anchor) in enumerate(flight.anchors.items())
    }
    line = replace(flight, anchors=anchors, outlier=None)
    line = replace(line, range_m=line.range_true_m, outlier=None)
    figures = evaluated(exact, line)
    assert "on one line" in figures["geometry_problem"][flight.name]
    assert f"{flight.name}: anchors" in dict(exact.summary())
    assert figures["position_rmse_m"]["raw"] < 0.2


def test_the_altimeter_and_the_start(flight):
    heights = altimeter_m(flight)
    known = np.isfinite(heights)
    assert known.sum() == pytest.approx(20.0 * flight.duration_s, abs=2)
    noise = heights[known] - flight.position_m[known, 2]
    assert noise.std() == pytest.approx(HEIGHT_SIGMA_M, rel=0.15)
    np.testing.assert_array_equal(heights, altimeter_m(flight))
    fewer = altimeter_m(flight.select(np.arange(len(flight)) != 1))
    np.testing.assert_array_equal(np.delete(heights, 1), fewer)
    off = start_of(flight) - flight.position_m[0]
    assert 0.0 < np.linalg.norm(off) < 4.0 * START_SIGMA_M


def test_constants(tmp_path, uwb):
    means = [["a", "x", 0.1], ["*", "x", 0.2], ["*", "*", 0.3]]
    model = ConstantModel(uwb.bundle(tmp_path, {("*", "*"): 0.0}, means=means))
    assert [model.mean_m(*pair) for pair in (("a", "x"), ("b", "x"), ("b", "y"))] == [0.1, 0.2, 0.3]
    some = ConstantModel(uwb.bundle(tmp_path, {("*", "*"): 0.0}, means=[["a", "x", 0.1]]))
    assert some.mean_m("a", "y") is None


def test_damaged_constants_are_told(tmp_path, flight, uwb):
    for wrong, words in (
        ({"means": None}, "lacks or garbles 'means'"),
        ({"means": [["tag0", "anchor0"]]}, "expected means as rows"),
        ({"means": [["a", "x", math.nan]]}, "not finite"),
    ):
        bundle = uwb.bundle(tmp_path, {("*", "*"): 0.0}, **wrong)
        with pytest.raises(BundleError, match=words):
            ConstantModel(bundle)
    bundle = uwb.bundle(tmp_path, {("*", "*"): 0.0}, means=[["tag0", "anchor0", 0.1]])
    with pytest.raises(BundleError, match="no mean error of tag0 and anchor1"):
        UwbEvaluation(uwb.stand_in(bundle, uwb.Exact())).evaluate_sequences([flight])


def test_data_come_from_a_path(tmp_path, exact):
    with pytest.raises(DatasetError, match="does not exist"):
        exact.evaluate_data(tmp_path / "nothing")
    (tmp_path / "broken.csv").write_text("t,tag,anchor,range\n0,1,2\n", encoding="utf-8")
    with pytest.raises(DatasetError, match=r"broken\.csv"):
        exact.evaluate_data(tmp_path / "broken.csv")


def test_the_page(tmp_path, exact, flight):
    pytest.importorskip("matplotlib")
    with pytest.raises(DatasetError, match="no report: nothing has a true pose"):
        exact.write_report(tmp_path, title="", facts={})
    other = replace(flight, name="a<b>")
    exact.evaluate_sequences([flight, other, replace(flight, name="z", source="rig")])
    page = exact.write_report(tmp_path, title="Test", facts={"bundle": "x"})
    text = page.read_text(encoding="utf-8")
    assert "a&lt;b&gt;" in text
    for words in (
        "Range error: RMSE without outliers, m",
        "Range error: median of the absolute, with outliers, m",
        "Position error: RMSE, m",
        "Normalised innovation",
        "within 1 sigma",
        "left out: other radios",
        "In the loop",
    ):
        assert words.lower() in text.lower()
    assert f"{exact.to_dict()['position_rmse_m']['learned']:.3g}" in text
    assert {path.name for path in tmp_path.glob("*.png")} == {
        "position_error_over_time.png", "tracks_over_the_truth.png",
        "range_error_by_direction.png", "range_errors.png",
    }  # fmt: skip
    figures = json.loads((tmp_path / "metrics.json").read_text(encoding="utf-8"))
    assert figures["position_rmse_m"] == exact.to_dict()["position_rmse_m"]
