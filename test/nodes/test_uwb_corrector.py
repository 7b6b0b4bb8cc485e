"""The node for UWB ranges with a model of random weights, over real DDS."""

import math
import threading

import numpy as np
import pytest
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rclpy.serialization import deserialize_message, serialize_message
from sensor_msgs.msg import Range

from nn_perception.datasets.uwb_text import format_tags, parse_anchors
from nn_perception.errors import ConfigError
from nn_perception.nodes.stream_client import FIRST_STAMP_NS
from nn_perception.nodes.uwb_client import UwbClient, pose, range_to
from nn_perception.nodes.uwb_corrector import UwbCorrector
from nn_perception.share import shipped_model
from nn_perception.tasks.loading import open_pipeline
from nn_perception.tasks.uwb.cdr import RangeCdr, odometry_from_cdr

MS = 1_000_000
ANCHORS = (
    "anchor0: 0 0 2; anchor1: 8 0 1; anchor2: 8 6 2.5; anchor3: 0 6 1;"
    "anchor4: 4 0 3; anchor5: 8 3 0.5; anchor6: 4 6 3; anchor7: 0 3 0.2"
)
TAGS = "left: 0.1 0.2 0; right: 0.1 -0.2 0; top: 0 0 0.4"
PLACES = {name: np.array(anchor.position_m) for name, anchor in parse_anchors(ANCHORS).items()}
OUTPUT = "uwb/range_corrected"
BODY = (2.0, 3.0, 1.2)
BEST_EFFORT = QoSProfile(depth=100, reliability=ReliabilityPolicy.BEST_EFFORT)
NAN = float("nan")


@pytest.fixture(scope="module")
def models(tmp_path_factory, make_uwb_bundle):
    """One and two differ by 0.25 m; three has a site of its own with three tags."""
    root = tmp_path_factory.mktemp("uwb_models")
    make_uwb_bundle(root / "one")
    make_uwb_bundle(root / "two", constant_m=0.25)
    make_uwb_bundle(root / "three", anchors=ANCHORS, tags=TAGS)
    return root


@pytest.fixture
def start_uwb(start, models):
    def make(**parameters):
        values = {"model_root": str(models), "model": "one", "anchors": ANCHORS}
        return start(node_class=UwbCorrector, **{**values, **parameters})

    return make


@pytest.fixture
def connect_uwb(ros):
    clients = []

    def make(node, **arguments):
        arguments = {"probe_to": ("anchor0", PLACES["anchor0"]), **arguments}
        client = UwbClient(node.get_fully_qualified_name(), context=ros, **arguments)
        clients.append(client)
        client.connect()
        return client

    yield make
    for client in clients:
        client.close()


@pytest.fixture
def corrector(start_uwb, connect_uwb):
    node = start_uwb()
    return node, connect_uwb(node)


def at(ms):
    return FIRST_STAMP_NS + round((10_000 + ms) * MS)


def body(ms, **changes):
    return pose(at(ms), **{"position_m": BODY, **changes})


def measured(ms, anchor="anchor0", wrong_m=0.0, **changes):
    """A range of the body's origin with the constant error of the anchor."""
    error = wrong_m + (0.1 * int(anchor[-1]) if anchor in PLACES else 0.0)
    true = np.linalg.norm(np.array(BODY) - PLACES.get(anchor, np.zeros(3)))
    return range_to(at(ms), anchor, changes.pop("range_m", true + error), **changes)


def expected_of(models, arrivals, **settings):
    """What the pipeline answers offline."""
    settings = {"anchors": ANCHORS, **settings}
    pipeline = open_pipeline(models / "one", device="cpu", settings=settings)
    given = [
        (name, odometry_from_cdr(raw) if name == "odom" else RangeCdr(raw).reading())
        for name, raw in arrivals
    ]
    return [answer for answer in pipeline.process_many(given) if answer is not None]


def send(client, poses=(), ranges=()):
    """Publish poses, then, when the node took them, ranges; order between topics is not kept."""
    for raw in poses:
        client.publish(raw)
    received(client, len(poses))
    for raw in ranges:
        client.publish(raw, 1)
    received(client, len(ranges))


def received(client, count):
    client.sent = getattr(client, "sent", 0) + count
    first = client.__dict__.setdefault("before", int(client.diagnostics.get("received", 0)))
    client.wait_for_diagnostics(lambda d: int(d["received"]) >= first + client.sent)


@pytest.fixture
def quiet():
    """Return a function that waits until the node's count of messages stands still."""

    def wait(client):
        seen = ""
        while seen != (now := client.wait_for_diagnostics(lambda d: True)["received"]) or not seen:
            seen = now
            client._diagnostics = {}
        return client

    return wait


def bads(values):
    return {key[4:]: int(value) for key, value in values.items() if key.startswith("bad.")}


def test_range_and_variance_are_new_and_everything_else_is_kept(corrector, models, quiet):
    _, client = corrector
    quiet(client)
    message = deserialize_message(measured(5, "anchor3", max_range_m=60.0), Range)
    message.radiation_type, message.field_of_view, message.min_range = 1, 0.5, 0.25
    raw = bytes(serialize_message(message))
    send(client, [body(0)], [raw])
    (answer,) = client.wait_for_answers(1)
    (result,) = expected_of(models, [("odom", body(0)), ("range", raw)])
    found = deserialize_message(answer.raw, Range)
    assert found.range == pytest.approx(result.range_m, abs=1e-6)
    assert found.variance == pytest.approx(result.sigma_m**2, rel=1e-5)
    assert 0.2 < message.range - found.range < 0.4
    message.range, message.variance = found.range, found.variance
    assert found == message
    assert answer.raw == RangeCdr(raw).with_range(found.range, found.variance)
    values = client.wait_for_diagnostics(lambda d: int(d["published"]) > 0)
    assert (values["problem"], values["unknown_anchors"]) == ("", "")


def test_a_burst_of_8_anchors_and_3_tags_is_answered_in_order(
    start_uwb, connect_uwb, models, quiet
):
    names = ["left", "right", "top"]
    node = start_uwb(tags=TAGS, outlier_gate_sigma=0.0, queue_size=2000)
    client = quiet(connect_uwb(node, tags=names))
    send(client, [body(0), body(50)])
    arrivals = [("odom", body(0)), ("odom", body(50))]
    rounds = 20
    for turn in range(rounds):
        for n in range(8):
            for number, tag in enumerate(names, 1):
                raw = measured(turn * 2 + n * 0.1, f"anchor{n}")
                client.publish(raw, number)
                arrivals.append((f"{tag}/range", raw))
    expected = expected_of(models, arrivals, tags=TAGS, outlier_gate_sigma=0.0)
    for tag in names:
        mine = [result for result in expected if result.tag == tag]
        answers = client.wait_for_answers(8 * rounds, f"{tag}/{OUTPUT}")
        assert [answer.stamp_ns for answer in answers] == [result.stamp_ns for result in mine]
        found = [RangeCdr(answer.raw) for answer in answers]
        assert [one.frame_id for one in found] == [result.anchor for result in mine]
        np.testing.assert_allclose(
            [one.range_m for one in found], [result.range_m for result in mine], atol=2e-6
        )
    values = client.wait_for_diagnostics(lambda d: int(d["published"]) >= 24 * rounds)
    assert (values["dropped"], values["internal_errors"]) == ("0", "0")
    assert set(node._inference.statistics.snapshot().input_ages_s) == {
        "odom", "left/range", "right/range", "top/range",
    }  # fmt: skip


BAD_RANGES = {
    "not_finite": [measured(1, range_m=value) for value in (NAN, math.inf, -math.inf)],
    "out_of_range": [
        *(measured(1, range_m=value) for value in (0.0, -2.0, 300.0)),
        measured(1, max_range_m=1.0),
    ],
    "unknown_anchor": [measured(1, "stranger"), measured(2, "ghost"), measured(3, "")],
    "duplicate_stamp": [measured(0, "anchor1")],
    "outlier": [measured(1, "anchor2", wrong_m=3.0), measured(1, "anchor3", wrong_m=-3.0)],
    "stale_pose": [measured(201)],
    "future_pose": [measured(-500)],
    "undecodable": [measured(1)[:20], measured(1)[:-8], b"\0\7" + measured(1)[2:]],
}
BAD_POSES = {
    "not_finite": [body(10, position_m=(NAN, 0.0, 0.0)), body(10, orientation_xyzw=(NAN, 0, 0, 1))],
    "not_unit": [body(10, orientation_xyzw=(0.0, 0.0, 0.0, 0.0))],
    "duplicate_stamp": [body(0)],
    "backward_stamp": [body(-10)],
    "undecodable": [body(10)[:600], body(10)[:30]],
}


def test_bad_ranges_are_counted_and_nothing_is_published(corrector, quiet):
    node, client = corrector
    quiet(client)
    node._inference.reset()  # no pose of the probes
    before = bads(client.diagnostics)
    send(client, [body(0)], [measured(0, "anchor1")])
    client.wait_for_answers(1)
    for raws in BAD_RANGES.values():
        send(client, ranges=raws)
    send(client, ranges=[measured(30, "anchor4")])
    answers = client.wait_for_answers(2)
    assert [answer.stamp_ns for answer in answers] == [at(0), at(30)]
    total = sum(map(len, BAD_RANGES.values()))
    values = client.wait_for_diagnostics(
        lambda d: sum(bads(d).values()) == total + sum(before.values())
    )
    found = {kind: count - before.get(kind, 0) for kind, count in bads(values).items()}
    assert {k: v for k, v in found.items() if v} == {k: len(v) for k, v in BAD_RANGES.items()}
    assert values["unknown_anchors"] == "stranger, ghost, "
    assert values["internal_errors"] == "0"
    client.wait_for_silence(0.2)
    assert client.count == 2


def test_bad_poses_are_counted_and_the_others_hold(corrector, quiet):
    _, client = corrector
    quiet(client)
    before = bads(client.diagnostics)
    send(client, [body(0)])
    for raws in BAD_POSES.values():
        send(client, raws)
    send(client, ranges=[measured(30), measured(201, "anchor5")])
    (answer,) = client.wait_for_answers(1)
    assert answer.stamp_ns == at(30)
    values = client.wait_for_diagnostics(lambda d: int(d.get("bad.stale_pose", 0)) == 1)
    found = {kind: count - before.get(kind, 0) for kind, count in bads(values).items()}
    expected = {kind: len(raws) for kind, raws in BAD_POSES.items()}
    assert {k: v for k, v in found.items() if v} == {**expected, "stale_pose": 1}


def test_without_a_pose_nothing_is_published(corrector, quiet):
    node, client = corrector
    quiet(client)
    node._inference.reset()
    before = client.diagnostics.get("bad.no_pose", "0")
    send(client, ranges=[measured(0), measured(1)])
    values = client.wait_for_diagnostics(lambda d: int(d.get("bad.no_pose", 0)) >= int(before) + 2)
    assert "check the topic 'odom'" in values["last_error"]
    client.wait_for_silence(0.2)
    assert client.count == 0


def test_the_shipped_model_answers_live_as_offline(start_uwb, connect_uwb, quiet):
    """At its own site: anchors and levers are those of the bundle."""
    path = shipped_model("uwb_trolley")
    if not (path / "config.json").is_file():
        pytest.skip("no model 'uwb_trolley' ships with the package")
    site = open_pipeline(path, device="cpu", settings={"outlier_gate_sigma": 0.0}).site
    text, names = format_tags(site.tags), list(site.tags)
    settings = {"anchors": "", "tags": text, "outlier_gate_sigma": 0.0}
    node = start_uwb(model_root="", model="", device="cpu", **settings)
    anchor = next(iter(site.anchors))
    where = (anchor, site.anchors[anchor].position_m)
    client = quiet(connect_uwb(node, tags=names, probe_to=where))
    send(client, [body(0)])
    arrivals = [("odom", odometry_from_cdr(body(0)))]
    for k, name in enumerate(site.anchors):
        for number, tag in enumerate(names, 1):
            raw = range_to(at(1 + k), name, 4.0)
            client.publish(raw, number)
            arrivals.append((f"{tag}/range", RangeCdr(raw).reading()))
    pipeline = open_pipeline(path, device="cpu", settings=settings)
    expected = [answer for answer in pipeline.process_many(arrivals) if answer is not None]
    for tag in names:
        mine = [result.range_m for result in expected if result.tag == tag]
        answers = client.wait_for_answers(len(mine), f"{tag}/{OUTPUT}")
        found = [RangeCdr(answer.raw).range_m for answer in answers]
        np.testing.assert_allclose(found, mine, atol=1e-5)


def test_silence_on_one_topic_is_said(start_uwb, connect_uwb):
    client = connect_uwb(start_uwb(warn_after_s=0.3))
    stop = threading.Event()

    def publish():
        for k in range(1000):
            client.publish(body(20 * k))
            if stop.wait(0.02):
                return

    thread = threading.Thread(target=publish)
    thread.start()
    try:
        values = client.wait_for_diagnostics(lambda d: "no input" in d["message"])
        values = client.wait_for_diagnostics(lambda d: "on range" in d["message"])
        assert values["level"] == "WARN"
        assert "odom" not in values["message"]
    finally:
        stop.set()
        thread.join()


def test_pass_through_publishes_what_is_sound(start_uwb, connect_uwb, quiet):
    node = start_uwb(pass_through=True)
    client = quiet(connect_uwb(node))
    node._inference.reset()  # no pose of the probes
    send(client, [body(0)])
    good = [measured(201), measured(-500), measured(1, "stranger", range_m=4.25)]
    bad = [*BAD_RANGES["not_finite"], *BAD_RANGES["out_of_range"], *BAD_RANGES["outlier"]]
    send(client, ranges=[*bad, *good])
    answers = client.wait_for_answers(3)
    found = [deserialize_message(answer.raw, Range) for answer in answers]
    for one, raw in zip(found, good, strict=True):
        sent = deserialize_message(raw, Range)
        assert one.range == sent.range  # to the last bit
        assert one.variance == pytest.approx(0.2**2)
    values = client.wait_for_diagnostics(lambda d: int(d.get("flag.stale_pose", 0)) == 1)
    assert values["flag.future_pose"] == values["flag.unknown_anchor"] == "1"
    assert "flagged" in client.wait_for_diagnostics(lambda d: d["level"] == "WARN")["message"]
    client.wait_for_silence(0.2)
    assert client.count == 3


def test_marked_outliers_have_their_misfit_as_variance(start_uwb, connect_uwb, quiet):
    node = start_uwb(outliers="mark")
    client = quiet(connect_uwb(node))
    send(client, [body(0)], [measured(1, wrong_m=3.0)])
    (answer,) = client.wait_for_answers(1)
    variance = deserialize_message(answer.raw, Range).variance
    assert 2.8**2 < variance < 3.2**2
    client.wait_for_diagnostics(lambda d: d.get("flag.outlier") == "1")


def test_a_looped_bag_goes_on(corrector, quiet):
    _, client = corrector
    quiet(client)
    for turn in range(2):
        send(client, [body(0), body(5000)], [measured(5001)])
        assert len(client.wait_for_answers(turn + 1)) == turn + 1
    values = client.wait_for_diagnostics(lambda d: d.get("flag.reset") == "1")
    assert values["internal_errors"] == "0"


def test_swaps_in_a_stream_lose_nothing_and_keep_the_poses(start_uwb, connect_uwb, quiet):
    node = start_uwb(queue_size=5000, qos_depth=2000, max_pose_age_s=5.0)
    client = quiet(connect_uwb(node))
    send(client, [body(0)])  # the only one: every range after a swap needs it
    done, count = threading.Event(), 1000

    def publish():
        for k in range(count):
            client.publish(measured(1 + k, "anchor1"), 1)
            # As many in flight as fit into every queue on the way, whatever the machine does.
            client.wait_for(lambda low=k - 100: client.count > low)
        done.set()

    thread = threading.Thread(target=publish)
    thread.start()
    swaps = 0
    while not done.is_set():
        assert client.remote.set_parameter("model", ("two", "one")[swaps % 2]) == (True, "")
        swaps += 1
    thread.join()
    answers = client.wait_for_answers(count)
    assert [answer.stamp_ns for answer in answers] == [at(1 + k) for k in range(count)]
    taken = [RangeCdr(answer.raw).range_m for answer in answers]
    assert max(taken) - min(taken) == pytest.approx(0.25, abs=1e-3)  # both models answered
    values = client.wait_for_diagnostics(lambda d: d["swaps"] == str(swaps))
    assert (values["dropped"], values["internal_errors"]) == ("0", "0")
    assert "bad.no_pose" not in values
    assert "flag.state_lost" not in values


@pytest.mark.parametrize(
    ("anchors", "said"),
    [
        ("anchor0: 0 0 2; anchor1: 0 0 2.001; anchor2: 5 5 1", "1.0 mm apart"),
        ("anchor0: 0 0 2; anchor1: 1 0 2; anchor2: 5 0 2", "on one line"),
    ],
)
def test_bad_anchors_are_said_once_and_ranges_are_corrected(start_uwb, connect_uwb, anchors, said):
    node = start_uwb(anchors=anchors)
    assert said in node._said
    client = connect_uwb(node)
    client.publish(body(0))
    client.wait_for_diagnostics(lambda d: said in d["problem"])
    client.publish(measured(1), 1)
    client.wait_for_answers(1)


def test_a_model_with_several_tags_wants_them_named(start_uwb, connect_uwb):
    node = start_uwb(anchors="", model="three")
    assert "set it to 'left: 0.1 0.2 0; right:" in node._problem
    assert node._inference.model is None
    node = start_uwb(cli=("-r", "__node:=other"))
    client = connect_uwb(node)
    done, reason = client.remote.set_parameter("model", "three")
    assert done  # anchors are given: its own site, and so its own tag
    assert reason == ""


def test_without_anchors_anywhere_it_says_what_to_set(start_uwb):
    node = start_uwb(anchors="")
    assert "set anchors to 'NAME: x y z" in node._problem


@pytest.mark.parametrize(
    ("parameters", "said"),
    [
        ({"anchors": "a 1 2"}, "no colon"),
        ({"tags": "left/x: 0 0 0"}, "letters, digits"),
        ({"outliers": "keep"}, "'drop', 'mark'"),
        ({"max_pose_age_s": 0.0}, "max_pose_age_s"),
    ],
)
def test_bad_parameters_end_the_start(start_uwb, parameters, said):
    with pytest.raises(ConfigError, match=said):
        start_uwb(**parameters)


def test_inputs_are_best_effort_and_of_both_topics(start_uwb, connect_uwb):
    node = start_uwb()
    for topic in ("/odom", "/uwb/range"):
        (info,) = node.get_subscriptions_info_by_topic(topic)
        assert info.qos_profile.reliability == ReliabilityPolicy.BEST_EFFORT
    connect_uwb(node, qos=BEST_EFFORT)
