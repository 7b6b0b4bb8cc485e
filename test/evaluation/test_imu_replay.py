"""Inertial recordings through a replay: the same figures as offline, in groups, in order."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from nn_perception.datasets.bags import BagReader, BagWriter
from nn_perception.datasets.imu_bags import IMU, IMU_TOPIC, imu_message, write_imu_bag
from nn_perception.errors import NnPerceptionError
from nn_perception.evaluation.attitude import AttitudeEvaluation
from nn_perception.evaluation.gyro import GyroEvaluation
from nn_perception.evaluation.replay import CHUNK, replay
from nn_perception.messages import stamp_ns

pytest.importorskip("rosbags")


@pytest.fixture(scope="module")
def bag(perfect, tmp_path_factory):
    truth = perfect.orientation_xyzw.copy()
    truth[1500:1600] = np.nan
    path = tmp_path_factory.mktemp("bags") / "flight"
    write_imu_bag(replace(perfect, orientation_xyzw=truth), path, frame_id="imu0")
    return path


@pytest.fixture(autouse=True)
def _few_baselines(monkeypatch):
    """VQF and the like have tests of their own."""
    for evaluation in (AttitudeEvaluation, GyroEvaluation):
        monkeypatch.setattr(evaluation, "baselines", lambda self: ({}, {}))


@pytest.mark.parametrize("evaluation_class", [AttitudeEvaluation, GyroEvaluation])
def test_a_replay_gives_the_figures_of_the_data_set(bag, perfect, strapdown, evaluation_class):
    pipeline = strapdown(perfect.orientation_xyzw[0])
    replayed = evaluation_class(pipeline)
    progress = []
    done = replay(bag, pipeline, replayed, on_progress=progress.append)
    assert (done.messages, done.answered, dict(done.bad)) == (len(perfect), len(perfect), {})
    assert sum(progress) == len(perfect)
    assert done.topics == {"imu": IMU_TOPIC, "pose": "/truth/pose", "moving": "/truth/moving"}
    assert len(done.latency.samples()["engine"]) == len(perfect)
    offline = evaluation_class(pipeline)
    offline.evaluate_data(bag)
    for name in replayed.names:
        figure = offline.to_dict()[name]["mean"]
        assert replayed.to_dict()[name]["mean"] == pytest.approx(figure, rel=1e-6)
    assert replayed.outcomes.keys() == {"replay"}
    assert not replayed.outcomes["replay"].sequence.has_truth[1510:1590].any()


def test_messages_come_in_groups_and_in_order(bag, perfect, strapdown):
    many, one = strapdown(), strapdown()
    evaluation = AttitudeEvaluation(many)
    replay(bag, many, evaluation)
    assert many.groups[:-1] == [CHUNK] * (len(perfect) // CHUNK)
    assert sum(many.groups) == len(perfect)
    one.process_many = None
    single = AttitudeEvaluation(one)
    replay(bag, one, single)
    left, right = (each.outcomes["replay"].orientation_xyzw for each in (evaluation, single))
    np.testing.assert_array_equal(left, right)


def test_bad_samples_are_counted_wherever_they_are_found(tmp_path, strapdown):
    stamps = [0, 5, 10, 10, 15, 20]
    with BagWriter(tmp_path / "bag") as bag:
        bag.add_topic(IMU_TOPIC, IMU)
        for number, stamp in enumerate(stamps):
            rate = np.full(3, np.nan if number == 4 else 0.0)
            bag.write(IMU_TOPIC, number, imu_message(rate, np.array([0, 0, 9.8]), stamp * 10**6))
        bag.write_raw(IMU_TOPIC, 9, b"\0\1\0\0short")
    pipeline = strapdown()
    evaluation = AttitudeEvaluation(pipeline)
    done = replay(tmp_path / "bag", pipeline, evaluation)
    assert (done.messages, done.answered) == (7, 4)
    assert dict(done.bad) == {"not_finite": 1, "undecodable": 1, "stamp": 1}
    assert evaluation.to_dict()["inclination_rms_deg"] is None
    assert "unknown" in dict(evaluation.summary())["inclination"]


def test_a_pipeline_that_loses_answers_is_refused(bag, strapdown):
    pipeline = strapdown()
    pipeline.process_many = lambda entries: entries[1:]
    with pytest.raises(NnPerceptionError, match="gave 255 answers to 256"):
        replay(bag, pipeline, AttitudeEvaluation(pipeline))


def test_answers_are_recorded_as_the_node_publishes_them(tmp_path, bag, perfect, strapdown):
    pipeline = strapdown(perfect.orientation_xyzw[0])
    evaluation = AttitudeEvaluation(pipeline, keep_results=True)
    replay(bag, pipeline, evaluation)
    evaluation.record_results(tmp_path / "answers")
    with BagReader(bag) as given, BagReader(tmp_path / "answers") as answers:
        raw = list(given.messages([IMU_TOPIC]))
        found = list(answers.messages())
    assert [(topic, time) for topic, time, _ in found] == [
        ("/imu/data", time) for _, time, _ in raw
    ]
    orientation = evaluation.outcomes["replay"].orientation_xyzw
    for row in (0, 1000, len(raw) - 1):
        before, after = raw[row][2], found[row][2]
        assert after.header == before.header
        assert after.angular_velocity == before.angular_velocity
        assert after.linear_acceleration == before.linear_acceleration
        q = after.orientation
        np.testing.assert_allclose([q.x, q.y, q.z, q.w], orientation[row], atol=1e-9)
        np.testing.assert_array_equal(after.orientation_covariance, np.eye(3).ravel() * 1e-4)


def test_corrected_rates_and_biases_are_recorded(tmp_path, bag, perfect, strapdown):
    bias = np.array([0.01, 0.02, 0.03])
    pipeline = strapdown(bias_rad_s=bias)
    evaluation = GyroEvaluation(pipeline, keep_results=True)
    replay(bag, pipeline, evaluation)
    evaluation.record_results(tmp_path / "answers")
    with BagReader(tmp_path / "answers") as answers:
        found = list(answers.messages(["/imu/data_corrected"]))
        biases = list(answers.messages(["/imu/gyro_bias"]))
    assert len(found) == len(biases) == len(perfect)
    w = found[700][2].angular_velocity
    np.testing.assert_allclose([w.x, w.y, w.z], perfect.gyro_rad_s[700] - bias, atol=1e-15)
    assert stamp_ns(biases[700][2]) == stamp_ns(found[700][2])
    assert biases[700][2].header.frame_id == "imu0"


def test_a_delay_that_the_bag_states_is_shown(tmp_path, perfect, strapdown):
    write_imu_bag(replace(perfect, sensor_delay_s=0.0041), tmp_path / "late")
    pipeline = strapdown(perfect.orientation_xyzw[0])
    evaluation = AttitudeEvaluation(pipeline)
    replay(tmp_path / "late", pipeline, evaluation)
    assert evaluation.outcomes["replay"].sequence.sensor_delay_s == 0.0041
    row = dict(evaluation.summary())["delay that the bag states"]
    assert row == "4.1 ms; the pipeline is told by --set sensor_delay_s=0.0041"
