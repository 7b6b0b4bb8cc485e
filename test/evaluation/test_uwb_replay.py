"""UWB bags through a replay: the same figures as from the data, several tags, recorded answers."""

from __future__ import annotations

import json

import numpy as np
import pytest

from nn_perception.datasets.bag_types import message_class
from nn_perception.datasets.bags import BagReader, BagWriter
from nn_perception.datasets.uwb_bag_writer import write_uwb_bag
from nn_perception.datasets.uwb_bags import read_uwb_bag
from nn_perception.datasets.uwb_odom import OdomNoise
from nn_perception.datasets.uwb_simulated import simulate_uwb
from nn_perception.errors import BagError
from nn_perception.evaluation.replay import replay
from nn_perception.evaluation.topics import choose_topics
from nn_perception.evaluation.uwb import UwbEvaluation
from nn_perception.evaluation.uwb_recording import settings_in_bag
from nn_perception.tasks.pipeline import InputSpec
from nn_perception.tasks.uwb.pipeline import UwbPipeline

pytest.importorskip("rosbags")

SECONDS = 6.0


@pytest.fixture(scope="module")
def bags(tmp_path_factory):
    """Return bags with one and with two tags by their number, with odometry as good as truth."""
    folder = tmp_path_factory.mktemp("bags")
    exact = OdomNoise(position_std_m=0.0, yaw_std_rad=0.0)
    for tags in (1, 2):
        flight = simulate_uwb(1, duration_s=SECONDS, tags=tags)
        write_uwb_bag(flight, folder / f"flight_{tags}", odom_noise=exact)
    return {tags: folder / f"flight_{tags}" for tags in (1, 2)}


@pytest.fixture
def opened(tmp_path, uwb):
    """Return what opens a pipeline for a bag, with the settings that the bag tells."""

    def make(bag, **settings):
        bundle = uwb.bundle(tmp_path, uwb.pairs(1))
        return UwbPipeline(bundle, uwb.Exact(), **{**settings_in_bag(bag), **settings})

    return make


@pytest.mark.parametrize("tags", [1, 2])
def test_a_replay_gives_the_figures_of_the_data_set(bags, opened, tags):
    bag = bags[tags]
    pipeline = opened(bag, outliers="mark")
    replayed, offline = UwbEvaluation(pipeline), UwbEvaluation(pipeline)
    replayed.source = "flight"
    done = replay(bag, pipeline, replayed)
    names = ["range"] if tags == 1 else ["tag0/range", "tag1/range"]
    assert set(done.topics) == {*names, "odom", "pose"}
    offline.evaluate_data(bag)
    sequence = read_uwb_bag(bag)
    assert done.answered == int((sequence.range_m > 0.0).sum())
    found, expected = replayed.to_dict(), offline.to_dict()
    assert found["range_rmse_m"]["per_sequence"].keys() == {"flight"}
    for method, close in (("raw", 1e-9), ("constant", 1e-9), ("learned", 0.1)):
        figure = expected["range_rmse_m"][method]
        assert found["range_rmse_m"][method] == pytest.approx(figure, rel=close)
    for method in ("raw", "constant"):
        figure = expected["position_rmse_m"][method]
        assert found["position_rmse_m"][method] == pytest.approx(figure, rel=0.05)
    assert found["position_rmse_m"]["learned"] < found["position_rmse_m"]["constant"]
    assert "replay" in found["notes"]
    assert "replay" not in expected["notes"]
    json.dumps(found, allow_nan=False)


def test_the_learned_figures_are_those_of_the_answers(bags, opened):
    pipeline = opened(bags[2])
    evaluation = UwbEvaluation(pipeline, keep_results=True)
    answers = []
    add = evaluation.add_result
    evaluation.add_result = lambda *given: (answers.append(given[1]), add(*given))
    done = replay(bags[2], pipeline, evaluation)
    assert done.bad["outlier"] > 0
    (outcome,) = evaluation.outcomes.values()
    error = {
        (answer.stamp_ns, answer.tag, answer.anchor): answer.range_m for answer in answers
    }  # fmt: skip
    sequence = outcome.sequence
    stamps = sequence.start_ns + np.rint(sequence.time_s * 1e9).astype(np.int64)
    keys = zip(
        stamps.tolist(),
        [list(sequence.tags)[tag] for tag in sequence.tag],
        [list(sequence.anchors)[anchor] for anchor in sequence.anchor],
        strict=True,
    )
    corrected = np.array([error[key] for key in keys])
    expected = corrected - sequence.range_true_m
    np.testing.assert_allclose(outcome.error_m("learned"), expected, atol=1e-9)


def test_answers_can_be_recorded(tmp_path, bags, opened):
    for tags, topics in (
        (1, {"/uwb/range_corrected"}),
        (2, {"/tag0/uwb/range_corrected", "/tag1/uwb/range_corrected"}),
    ):
        pipeline = opened(bags[tags])
        evaluation = UwbEvaluation(pipeline, keep_results=True)
        done = replay(bags[tags], pipeline, evaluation)
        evaluation.record_results(tmp_path / f"answers_{tags}")
        with BagReader(tmp_path / f"answers_{tags}") as bag:
            assert set(bag.topics) == topics
            messages = [message for _, _, message in bag.messages(sorted(topics))]
        assert len(messages) == done.answered
        assert messages[0].header.frame_id.startswith("anchor")
        assert messages[0].variance == pytest.approx(0.05**2, rel=1e-3)


def test_without_truth_there_are_no_figures(tmp_path, bags, opened):
    blind = tmp_path / "blind"
    with BagReader(bags[1]) as source, BagWriter(blind) as target:
        names = ["/uwb/range", "/odom"]
        for topic in names:
            target.add_topic(topic, source.topics[topic].type)
        for topic, time_ns, data in source.messages(names, names):
            target.write_raw(topic, time_ns, data)
    pipeline = opened(bags[1])
    evaluation = UwbEvaluation(pipeline)
    done = replay(blind, pipeline, evaluation)
    assert done.answered > 0
    assert evaluation.to_dict()["range_rmse_m"] is None
    summary = dict(evaluation.summary())
    assert summary["range error"].startswith("unknown")
    assert settings_in_bag(blind) == {}


def test_what_a_bag_tells_of_its_site(tmp_path, bags):
    found = settings_in_bag(bags[2])
    assert found["anchors"].startswith("anchor0: ")
    assert found["tags"].startswith("tag0: ")
    with BagWriter(tmp_path / "moved") as bag:
        bag.add_topic("/uwb/anchors", "std_msgs/msg/String")
        for at in (0, 1):
            text = message_class("std_msgs/msg/String")(data=f"a: {at} 0 0")
            bag.write("/uwb/anchors", at + 1, text)
    with pytest.raises(BagError, match=r"/uwb/anchors has 2 different texts.*--set anchors"):
        settings_in_bag(tmp_path / "moved")


def test_one_topic_is_not_two_inputs(bags):
    with BagReader(bags[1]) as bag:
        available = bag.topics
    kind = ("sensor_msgs/msg/Range",)
    inputs = tuple(InputSpec(f"{tag}/range", kind, "every") for tag in ("tag0", "tag1"))
    with pytest.raises(BagError, match="would be both 'tag0/range' and 'tag1/range'"):
        choose_topics(available, inputs, (), {})
