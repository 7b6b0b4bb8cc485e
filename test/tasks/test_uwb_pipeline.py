"""Ranges and poses through the pipeline, without ROS."""

import dataclasses
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nn_perception.datasets.uwb_text import parse_anchors, parse_tags
from nn_perception.errors import BundleError, ConfigError, MessageError
from nn_perception.tasks.loading import open_pipeline
from nn_perception.tasks.uwb.features import AnchorFrame, feature_rows, range_features
from nn_perception.tasks.uwb.model import RangeModel
from nn_perception.tasks.uwb.pipeline import UwbPipeline, UwbResult
from nn_perception.tasks.uwb.readings import OdomReading, RangeReading

START_NS = 1_700_000_000_000_000_000
MS = 1_000_000
ANCHORS = (
    "anchor0: 0 0 2; anchor1: 8 0 1 0 0 0.6 0.8; anchor2: 8 6 2.5; anchor3: 0 6 1;"
    "anchor4: 4 0 3; anchor5: 8 3 0.5; anchor6: 4 6 3; anchor7: 0 3 0.2"
)
TAGS = "left: 0.1 0.2 0; right: 0.1 -0.2 0; top: 0 0 0.4"
PLACES = {name: np.array(anchor.position_m) for name, anchor in parse_anchors(ANCHORS).items()}
FAST = settings(derandomize=True, deadline=None, max_examples=10, database=None)


@pytest.fixture(scope="module")
def bundle(make_uwb_bundle):
    return make_uwb_bundle()


@pytest.fixture
def open_uwb(bundle):
    def make(given=None, **settings):
        settings = {"anchors": ANCHORS, **settings}
        return open_pipeline(given or bundle, device="cpu", settings=settings)

    return make


def place(ms):
    """Where the body is: on a line through the room."""
    return np.array([2.0 + 1e-3 * ms, 3.0, 1.2])


def pose(ms, **changes):
    turn = (0.0, 0.0, math.sin(2e-4 * ms), math.cos(2e-4 * ms))
    reading = OdomReading(START_NS + ms * MS, tuple(place(ms).tolist()), turn, (0.0, 0.0, 0.0))
    return "odom", reading._replace(**changes)


def measured(ms, anchor="anchor0", tag=None, wrong_m=0.0, **changes):
    """A range of the body's origin that is too long by some centimetres, as a constant says."""
    at = START_NS + ms * MS
    error = 0.1 * int(anchor[-1]) if anchor in PLACES else 0.0
    true = np.linalg.norm(place(ms) - PLACES.get(anchor, np.zeros(3)))
    reading = RangeReading(at, anchor, float(true + error + wrong_m), 0.0, 0.0)
    return f"{tag}/range" if tag else "range", reading._replace(**changes)


def kind_of(pipeline, arrival):
    with pytest.raises(MessageError) as caught:
        pipeline.process(*arrival)
    return caught.value.kind


def same(answers, expected):
    for found, other in zip(answers, expected, strict=True):
        assert type(found) is type(other)
        if isinstance(found, MessageError):
            assert found.kind == other.kind
        elif found is not None:
            numbers = [[r.range_m, r.sigma_m, r.bias_m, r.raw_m] for r in (found, other)]
            np.testing.assert_allclose(*numbers, rtol=0, atol=1e-6)
            kept = [r._replace(range_m=0, sigma_m=0, bias_m=0, stage_s={}) for r in (found, other)]
            assert kept[0] == kept[1]


def one_by_one(pipeline, arrivals):
    return [pipeline.process_many([arrival])[0] for arrival in arrivals]


def test_a_range_gets_its_bias_and_what_is_left(open_uwb, bundle):
    pipeline = open_uwb(tags="tag0: 0.1 0 -0.2")
    assert pipeline.process(*pose(0)) is None
    name, reading = measured(20, "anchor1")
    result = pipeline.process(name, reading)
    # The same by arrays: the pose of 20 ms before holds.
    turn = np.eye(3)
    tag_m = place(0) + np.array([0.1, 0.0, -0.2])
    anchor = parse_anchors(ANCHORS)["anchor1"]
    rows = np.array(AnchorFrame(anchor).rows).reshape(1, 3, 3)
    features = feature_rows(tag_m[None], turn[None], PLACES["anchor1"][None], rows)
    model = RangeModel(bundle, pipeline.engine)
    pair = model.pair("tag0", "anchor1")
    found = model.predict([[*features[0], *pair.traits]], [pair.constant_m])
    assert result.bias_m == pytest.approx(found.bias_m[0], abs=1e-6)
    assert result.sigma_m == pytest.approx(found.sigma_m[0], abs=1e-6)
    assert result.range_m == reading.range_m - result.bias_m
    assert (result.stamp_ns, result.frame_id) == (reading.stamp_ns, "anchor1")
    assert (result.tag, result.anchor, result.raw_m) == ("tag0", "anchor1", reading.range_m)
    assert (result.outlier, result.corrected, result.flags) == (False, True, ())
    assert set(result.stage_s) == {"geometry", "engine"}


def recording(tags=(None,)):
    """Poses at 20 Hz and ranges between; some poses come late, and much of it is bad."""
    arrivals = [measured(0)]
    for k in range(40):
        arrivals.append(pose(50 * k))
        for n in range(8):
            ms = 50 * k + 6 * n
            arrivals += [measured(ms, f"anchor{n}", tag, 0.3 * (n == 2)) for tag in tags]
        tag = tags[k % len(tags)]
        if k % 10 == 3:
            arrivals += [measured(50 * k + 1, "anchor9", tag), measured(50 * k, "anchor1", tag)]
            arrivals += [pose(50 * k), ("odom", 3), ("range", None), measured(1, tag="other")]
            arrivals += [measured(50 * k + 2, tag=tag, range_m=-math.inf), pose(50 * k - 10)]
            arrivals += [measured(50 * k + 3, tag=tag, wrong_m=20.0), measured(3000 + k, tag=tag)]
            arrivals += [measured(50 * k + 80, tag=tag), pose(50 * k + 1, position_m=(9e9, 0, 0))]
        if k == 20:
            arrivals += [pose(-5000)]
    return arrivals


@FAST
@given(sizes=st.lists(st.integers(1, 90), min_size=1, max_size=12))
@pytest.mark.parametrize("mode", ["drop", "mark", "pass"])
def test_in_any_groups_as_one_by_one(bundle, mode, sizes):
    settings = {"anchors": ANCHORS, "outlier_gate_sigma": 3.0, "pass_through": mode == "pass"}
    settings["outliers"] = "mark" if mode == "mark" else "drop"
    alone, grouped = (open_pipeline(bundle, device="cpu", settings=settings) for _ in range(2))
    arrivals, answers, at = recording(), [], 0
    while at < len(arrivals):
        size = sizes[at % len(sizes)]
        answers += grouped.process_many(arrivals[at : at + size])
        at += size
    expected = one_by_one(alone, arrivals)
    same(answers, expected)
    kinds = {answer.kind for answer in expected if isinstance(answer, MessageError)}
    assert kinds >= {"unknown_tag", "type", "duplicate_stamp", "not_finite", "outlier"} - (
        {"outlier"} if mode == "mark" else set()
    )
    flags = {f for answer in expected if isinstance(answer, UwbResult) for f in answer.flags}
    assert "reset" in flags


def test_a_burst_is_one_call_and_as_one_by_one(open_uwb, monkeypatch):
    """8 anchors, 3 tags."""
    names = list(parse_tags(TAGS))
    arrivals = [pose(0), *(measured(n, f"anchor{n}", tag) for n in range(8) for tag in names)]
    pipeline, calls = open_uwb(tags=TAGS, outlier_gate_sigma=0.0), []
    engine = pipeline._model._engine
    monkeypatch.setattr(
        pipeline._model, "_engine", lambda *given: calls.append(len(given[0])) or engine(*given)
    )
    answers = pipeline.process_many(arrivals)
    assert calls == [24]
    assert [answer.tag for answer in answers[1:4]] == names
    assert len({answer.range_m - answer.raw_m for answer in answers[1:]}) == 24
    same(answers, one_by_one(open_uwb(tags=TAGS, outlier_gate_sigma=0.0), arrivals))


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        *((value, "not_finite") for value in (math.nan, math.inf, -math.inf)),
        *((value, "out_of_range") for value in (0.0, -1.0, 201.0)),
    ],
)
@pytest.mark.parametrize("pass_through", [False, True])
def test_ranges_that_are_none(open_uwb, value, kind, pass_through):
    pipeline = open_uwb(pass_through=pass_through)
    assert kind_of(pipeline, measured(0, range_m=value)) == kind  # without a pose, too
    pipeline.process(*pose(0))
    assert kind_of(pipeline, measured(1, range_m=value)) == kind
    assert kind_of(pipeline, measured(1, "nobody", range_m=value)) == kind
    assert pipeline.process(*measured(1)).corrected


def test_limits_of_the_message_and_of_the_setting(open_uwb):
    pipeline = open_uwb(min_range_m=1.0, max_range_m=4.0)
    pipeline.process(*pose(0))
    true = measured(0)[1].range_m
    assert 3.0 < true < 4.0
    limits = {(0.0, 0.0): True, (0.0, 9.0): True, (0.0, 3.0): False, (3.9, 9.0): False}
    limits |= {(5.0, 5.0): True, (math.nan, math.nan): True, (0.0, math.inf): True}
    for ms, ((low, high), fits) in enumerate(limits.items()):
        arrival = measured(ms, min_range_m=low, max_range_m=high)
        if fits:
            assert pipeline.process(*arrival)
        else:
            assert kind_of(pipeline, arrival) == "out_of_range"
    assert kind_of(open_uwb(max_range_m=3.0), measured(0)) == "out_of_range"


def test_poses_that_are_missing_old_or_of_the_future(open_uwb):
    pipeline = open_uwb(max_pose_age_s=0.1)
    assert kind_of(pipeline, measured(0)) == "no_pose"
    pipeline.process(*pose(1000))
    assert kind_of(pipeline, measured(999)) == "future_pose"
    assert kind_of(pipeline, measured(1101)) == "stale_pose"
    assert pipeline.process(*measured(1100)).corrected
    bad = pose(1300, position_m=(math.nan, 0.0, 0.0))[1]
    with pytest.raises(MessageError) as caught:
        pipeline.process("odom", _message(bad))
    assert caught.value.kind == "not_finite"
    assert kind_of(pipeline, measured(1301)) == "stale_pose"
    far = pose(1400, position_m=(1e200, 0.0, 0.0))
    pipeline.process(*far)
    assert kind_of(pipeline, measured(1401)) == "out_of_range"


def _message(reading):
    from types import SimpleNamespace as Fields

    seconds, nanoseconds = divmod(reading.stamp_ns, 1_000_000_000)
    x, y, z = reading.position_m
    quat = dict(zip("xyzw", reading.orientation_xyzw, strict=True))
    pose = Fields(position=Fields(x=x, y=y, z=z), orientation=Fields(**quat))
    stamp = Fields(sec=seconds, nanosec=nanoseconds)
    header = Fields(stamp=stamp, frame_id="map")
    return Fields(header=header, pose=Fields(pose=pose, covariance=[0.0] * 36))


def test_unknown_anchors_are_named_and_the_names_are_bounded(open_uwb):
    pipeline = open_uwb()
    pipeline.process(*pose(0))
    for ms in range(20):
        with pytest.raises(MessageError, match=f"stranger{min(ms, 4)}") as caught:
            pipeline.process(*measured(ms, f"stranger{ms}" + "x" * 4000))
        assert caught.value.kind == "unknown_anchor"
        assert len(str(caught.value)) < 700
    assert [name[:9] for name in pipeline.unknown_anchors] == [f"stranger{k}" for k in range(5)]
    assert pipeline.process(*measured(30)).corrected


def test_a_place_without_a_pair_is_unknown_and_said(open_uwb):
    pipeline = open_uwb(anchors=f"{ANCHORS}; anchor8: 1 1 1")
    assert "tag0 - anchor8" in pipeline.problem
    pipeline.process(*pose(0))
    assert kind_of(pipeline, measured(0, "anchor8")) == "unknown_anchor"
    assert pipeline.unknown_anchors == ("anchor8",)


def test_inputs_of_tags(open_uwb):
    single, several = open_uwb(tags="mine: 0 0 0"), open_uwb(tags=TAGS)
    for pipeline in (single, several):
        pipeline.process(*pose(0))
    assert single.process(*measured(0)).tag == single.process(*measured(1, tag="mine")).tag
    assert several.process(*measured(0, tag="top")).tag == "top"
    assert kind_of(several, measured(1)) == "unknown_tag"
    assert kind_of(several, measured(1, tag="mine")) == "unknown_tag"


def test_the_same_stamp_twice(open_uwb):
    pipeline = open_uwb(tags=TAGS, outlier_gate_sigma=0.0)
    pipeline.process(*pose(0))
    for tag in ("left", "right"):
        for anchor in ("anchor0", "anchor1"):
            assert pipeline.process(*measured(0, anchor, tag))
            assert pipeline.process(*measured(2, anchor, tag))
            assert pipeline.process(*measured(1, anchor, tag))  # late, and no repetition
            assert kind_of(pipeline, measured(0, anchor, tag)) == "duplicate_stamp"


def test_a_looped_bag_begins_anew(open_uwb):
    pipeline = open_uwb()
    arrivals = [arrival for k in range(40) for arrival in (pose(50 * k), measured(50 * k))]
    first, second = (one_by_one(pipeline, arrivals) for _ in range(2))
    assert [answer.flags for answer in (*first[1::2], *second[1::2]) if answer.flags] == [
        ("reset",)
    ]
    second[1] = second[1]._replace(flags=())
    same(second, first)


def test_outliers_are_dropped_or_marked(open_uwb):
    for wrong_m in (-1.5, 2.0):
        pipeline = open_uwb()
        pipeline.process(*pose(0))
        assert kind_of(pipeline, measured(0, wrong_m=wrong_m)) == "outlier"
        pipeline = open_uwb(outliers="mark")
        pipeline.process(*pose(0))
        result = pipeline.process(*measured(0, wrong_m=wrong_m))
        assert (result.outlier, result.corrected, result.flags) == (True, True, ("outlier",))
        assert result.range_m == result.raw_m - result.bias_m
        assert result.sigma_m == pytest.approx(abs(wrong_m - result.bias_m), abs=1e-9)
        pipeline = open_uwb(outlier_gate_sigma=0.0)
        pipeline.process(*pose(0))
        assert not pipeline.process(*measured(0, wrong_m=wrong_m)).outlier


def test_the_gate_knows_how_sure_the_pose_is(open_uwb):
    """Along the line to the anchor; what a message does not tell is pose_sigma_m."""
    pipeline = open_uwb(anchors="anchor0: 5 3 1.2", pose_sigma_m=0.0)
    variances = {(0.0, 0.0, 0.0): False, (0.01, 0.0, 0.0): False, (0.04, 0.0, 0.0): True}
    variances |= {(0.0, 9.0, 9.0): False, (math.nan, 0.0, -1.0): False, (math.inf, 0, 0): False}
    for ms, (variance, passes) in enumerate(variances.items()):
        at = START_NS + ms * MS
        pipeline.process(*pose(ms, position_m=(2.0, 3.0, 1.2), variance_m2=variance))
        reading = RangeReading(at, "anchor0", 3.0, 0.0, 0.0)
        (only,) = pipeline.process_many([("range", reading)])
        bias, sigma = only.bias_m, only.sigma_m
        gate = 5.0 * math.sqrt(sigma**2 + 0.02)
        later = RangeReading(at + 1, "anchor0", 3.0 + bias + gate, 0.0, 0.0)
        (answer,) = pipeline.process_many([("range", later)])
        assert isinstance(answer, UwbResult) == passes


def test_a_correction_to_nothing_is_refused(open_uwb):
    pipeline = open_uwb(outlier_gate_sigma=0.0)
    x, y, z = PLACES["anchor7"]
    pipeline.process(*pose(0, position_m=(float(x), float(y), float(z))))
    assert kind_of(pipeline, measured(0, "anchor7", range_m=0.05)) == "out_of_range"


def test_passing_through(open_uwb):
    pipeline = open_uwb(pass_through=True, max_pose_age_s=0.1)
    arrivals = {"no_pose": measured(0), "future_pose": measured(900), "stale_pose": measured(1200)}
    arrivals["unknown_anchor"] = measured(1001, "nobody", range_m=3.0)
    for kind, arrival in arrivals.items():
        if kind == "future_pose":
            pipeline.process(*pose(1000))
        result = pipeline.process(*arrival)
        assert (result.corrected, result.outlier, result.flags) == (False, False, (kind,))
        assert (result.range_m, result.bias_m) == (arrival[1].range_m, 0.0)
        assert result.sigma_m == 0.2  # the bundle's raw_sigma_m
    assert pipeline.unknown_anchors == ("nobody",)
    assert pipeline.process(*measured(1000)).corrected
    assert kind_of(pipeline, measured(1000)) == "duplicate_stamp"
    assert kind_of(pipeline, measured(1001, wrong_m=9.0)) == "outlier"


def test_a_swap_keeps_poses_and_stamps(open_uwb, make_uwb_bundle):
    old, new = open_uwb(), open_uwb(make_uwb_bundle(constant_m=0.25), max_pose_age_s=0.05)
    old.process(*pose(0))
    before = old.process(*measured(10, wrong_m=0.1))
    assert kind_of(old, measured(10, "nobody")) == "unknown_anchor"
    assert new.adopt(old) is True
    assert kind_of(new, measured(10)) == "duplicate_stamp"
    after = new.process(*measured(11, wrong_m=0.1))
    assert after.bias_m - before.bias_m == pytest.approx(0.25, abs=1e-3)
    assert kind_of(new, measured(51)) == "stale_pose"
    assert new.unknown_anchors == ("nobody",)
    assert new.adopt(object()) is False
    assert kind_of(new, measured(12)) == "no_pose"


def test_reset_forgets_poses_and_stamps(open_uwb):
    pipeline = open_uwb()
    arrivals = recording()[:30]
    first = one_by_one(pipeline, arrivals)
    pipeline.reset()
    same(one_by_one(pipeline, arrivals), first)


@pytest.mark.parametrize(
    ("anchors", "said"),
    [
        ("anchor0: 0 0 0; anchor1: 1 2 3", "2 anchors"),
        ("anchor0: 0 0 0; anchor1: 0 0 0.001; anchor2: 5 5 1", "1.0 mm apart"),
        ("anchor0: 0 0 0; anchor1: 1 1 1; anchor2: 5 5 5", "on one line"),
        (ANCHORS, ""),
    ],
)
def test_bad_geometry_is_said_and_ranges_are_corrected(open_uwb, anchors, said):
    pipeline = open_uwb(anchors=anchors, outlier_gate_sigma=0.0)
    assert said in pipeline.problem
    assert bool(said) == bool(pipeline.problem)
    pipeline.process(*pose(0))
    assert pipeline.process(*measured(0)).corrected


def test_without_anchors_those_of_the_bundle_are_taken(open_uwb, make_uwb_bundle):
    with pytest.raises(ConfigError, match="set anchors to 'NAME: x y z"):
        open_uwb(anchors=" ")
    own = make_uwb_bundle(anchors=ANCHORS, tags=TAGS)
    pipeline = open_uwb(own, anchors="")
    assert (list(pipeline.site.anchors), list(pipeline.site.tags)) == (
        list(PLACES), list(parse_tags(TAGS)),
    )  # fmt: skip
    assert list(open_uwb(own, anchors="", tags="x: 0 0 0").site.tags) == ["x"]
    assert list(open_uwb(own).site.tags) == ["tag0"]  # another site: its own tag


def test_pairs_that_the_bundle_does_not_know_at_all_are_a_mistake(open_uwb):
    with pytest.raises(ConfigError, match=r"a1, a2; it knows .* - anchor0.* and 3 more"):
        open_uwb(anchors="a1: 0 0 0; a2: 1 0 0")


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"anchors": "a 1 2 3"}, "no colon"),
        ({"tags": "a: 1 2"}, "2 numbers"),
        ({"max_pose_age_s": 0.0}, "max_pose_age_s"),
        ({"outlier_gate_sigma": -1.0}, "outlier_gate_sigma"),
        ({"pose_sigma_m": math.nan}, "pose_sigma_m"),
        ({"outliers": "keep"}, "'drop' or 'mark'"),
        ({"min_range_m": 3.0, "max_range_m": 2.0}, "max_range_m"),
    ],
)
def test_impossible_settings_are_refused(open_uwb, settings, said):
    with pytest.raises(ConfigError, match=said):
        open_uwb(**settings)


@pytest.mark.parametrize("changes", [{"pairs": None}, {"limit_m": 0.0}, {"pairs": [["a", "b"]]}])
def test_a_damaged_calibration_is_refused(bundle, changes):
    values = {**bundle.config.calibration, **changes}
    kept = {name: value for name, value in values.items() if value is not None}
    config = dataclasses.replace(bundle.config, calibration=kept)
    with pytest.raises(BundleError, match="train it again"):
        UwbPipeline(dataclasses.replace(bundle, config=config), None, anchors=ANCHORS)


def test_no_arrivals_and_features_of_a_range(open_uwb):
    assert open_uwb().process_many([]) == []
    frame = AnchorFrame(parse_anchors("a: 3 0 0")["a"])
    features = range_features((0.0, 0.0, 0.0), (1, 0, 0, 0, 1, 0, 0, 0, 1), frame)
    assert features[:3] == (1.0, 0.0, 0.0)
    assert features[12] == 3.0
