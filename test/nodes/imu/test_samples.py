"""What goes into the IMU nodes and what comes out, over real DDS."""

import numpy as np
import pytest
from geometry_msgs.msg import Vector3Stamped
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rclpy.serialization import deserialize_message, serialize_message
from sensor_msgs.msg import Imu

from nn_perception.inertial.cdr import ImuCdr
from nn_perception.nodes.frames import raw_stamp_ns
from nn_perception.nodes.imu_client import FIRST_STAMP_NS

GYRO_OUTPUTS = {"imu/data_corrected": Imu, "imu/gyro_bias": Vector3Stamped}
BEST_EFFORT = QoSProfile(depth=100, reliability=ReliabilityPolicy.BEST_EFFORT)


def angle_mrad(raw):
    """The stub's number of samples since the reset, from its orientation."""
    q = deserialize_message(raw, Imu).orientation
    return round(2e3 * np.arctan2(q.z, q.w))


def stamps(raws):
    return [raw_stamp_ns(raw) for raw in raws]


def random_message(number, frame_id="imu_link"):
    """A message with every field filled."""
    random = np.random.default_rng(number)
    message = Imu()
    message.header.frame_id = frame_id
    message.header.stamp.sec, message.header.stamp.nanosec = 2000, number
    for name in ("orientation", "angular_velocity", "linear_acceleration"):
        for axis in getattr(message, name).get_fields_and_field_types():
            setattr(getattr(message, name), axis, float(random.standard_normal()))
        setattr(message, f"{name}_covariance", random.random(9))
    return message


def ask(client, message, topic="imu/data"):
    """Send a message and return the last answer on a topic, decoded."""
    known = len(client.answers(topic))
    client.publish(serialize_message(message))
    raw = client.wait_for_answers(known + 1, topic)[-1].raw
    return deserialize_message(raw, GYRO_OUTPUTS.get(topic, Imu))


def test_orientation_is_filled_and_everything_else_is_kept(estimator):
    _, client = estimator
    for number in range(12):  # frames of every alignment
        message = random_message(number, "f" * number)
        answer = ask(client, message)
        q = answer.orientation
        assert q.x**2 + q.y**2 + q.z**2 + q.w**2 == pytest.approx(1.0, abs=1e-9)
        np.testing.assert_array_equal(answer.orientation_covariance, np.eye(3).ravel())
        message.orientation = answer.orientation
        message.orientation_covariance = answer.orientation_covariance
        assert answer == message


def test_rate_is_corrected_and_everything_else_is_kept(start_imu, connect_imu):
    client = connect_imu(start_imu("gyro_corrector"), outputs=GYRO_OUTPUTS)
    for number in range(12):
        message = random_message(number, "f" * number)
        client.publish(serialize_message(message))
        answer, bias = (
            deserialize_message(client.wait_for_answers(number + 1, topic)[-1].raw, kind)
            for topic, kind in GYRO_OUTPUTS.items()
        )
        assert bias.header == message.header
        assert (bias.vector.x, bias.vector.y, bias.vector.z) == (0.001, 0.002, 0.003)
        assert answer.angular_velocity.z == message.angular_velocity.z - 0.0015
        message.angular_velocity = answer.angular_velocity
        assert answer == message


def test_a_covariance_of_the_pipeline_replaces_that_of_the_rate(start_imu, connect_imu, command):
    client = connect_imu(start_imu("gyro_corrector"), outputs=GYRO_OUTPUTS)
    client.publish(command("saturated"))
    (answer,) = client.wait_for_answers(1, "imu/data_corrected")
    message = deserialize_message(answer.raw, Imu)
    np.testing.assert_array_equal(message.angular_velocity_covariance, np.eye(3).ravel() * 1e-6)


@pytest.mark.parametrize("executor", ["events", "single_threaded"])
def test_a_burst_is_answered_in_order_and_completely(start_imu, connect_imu, samples, executor):
    node = start_imu(intake_executor=executor)
    client = connect_imu(node)
    burst = samples(300)
    for raw in burst:
        client.publish(raw)
    answers = client.wait_for_answers(300)
    assert [answer.stamp_ns for answer in answers] == stamps(burst)
    first = angle_mrad(answers[0].raw)
    assert [angle_mrad(a.raw) for a in answers] == list(range(first, first + 300))
    values = client.wait_for_diagnostics(lambda d: d["received"] == d["published"])
    assert (values["dropped"], values["bad"], values["internal_errors"]) == ("0", "0", "0")
    assert max(node._inference.model.pipeline.groups) <= node.at_once


def test_samples_that_wait_together_are_processed_together(estimator, samples):
    node, client = estimator
    pipeline = node._inference.model.pipeline
    with node._inference.statistics._lock:  # the worker stops at its first answer
        for raw in samples(200):
            client.publish(raw)
    client.wait_for_answers(200)
    assert max(pipeline.groups) > 1


def test_an_overflow_is_counted_and_reported(start_imu, connect_imu, samples):
    node = start_imu(queue_size=2)
    client = connect_imu(node)
    for _ in range(20):
        for raw in samples(100):
            client.publish(raw)
        if node._inference.statistics.snapshot().dropped:
            break
    values = client.wait_for_diagnostics(lambda d: int(d["dropped"]) > 0)
    client.wait_for_silence(0.3)
    assert client.count > 0
    assert values["bad"] == "0"


@pytest.mark.parametrize("reliability", ["best_effort", "reliable"])
@pytest.mark.parametrize("override", ["best_effort", "reliable"])
def test_every_reliability_and_override(start_imu, connect_imu, samples, reliability, override):
    key = "qos_overrides./imu/data_raw.subscription.reliability"
    node = start_imu(**{key: override})
    (info,) = node.get_subscriptions_info_by_topic("/imu/data_raw")
    assert info.qos_profile.reliability == ReliabilityPolicy[override.upper()]
    if (reliability, override) == ("best_effort", "reliable"):
        return  # DDS does not connect these
    qos = QoSProfile(depth=100, reliability=ReliabilityPolicy[reliability.upper()])
    client = connect_imu(node, qos=qos)
    (raw,) = samples(1)
    client.publish(raw)
    client.wait_for_answers(1)


def bad_samples(good):
    """Kind -> a serialised sample that cannot be used."""
    message = deserialize_message(good, Imu)
    found = {}
    for kind, name, value in (
        ("not_finite", "angular_velocity", np.nan),
        ("not_finite", "linear_acceleration", np.inf),
    ):
        changed = deserialize_message(good, Imu)
        getattr(changed, name).y = float(value)
        found.setdefault(kind, []).append(serialize_message(changed))
    for name in ("angular_velocity_covariance", "linear_acceleration_covariance"):
        changed = deserialize_message(good, Imu)
        getattr(changed, name)[0] = -1.0
        found.setdefault("no_data", []).append(serialize_message(changed))
    message.linear_acceleration.z = 0.0  # the stub's own kind
    found["free_fall"] = [serialize_message(message)]
    found["undecodable"] = [good[:100], good[:-8], good[:4], b"\0\x07" + good[2:]]
    return found


@pytest.mark.parametrize("executable", ["attitude_estimator", "gyro_corrector"])
def test_bad_samples_are_counted_and_the_next_ones_answered(
    start_imu, connect_imu, samples, executable
):
    topic = {"attitude_estimator": "imu/data", "gyro_corrector": "imu/data_corrected"}[executable]
    client = connect_imu(start_imu(executable), outputs={topic: Imu})
    good = []
    for kind, raws in bad_samples(*samples(1)).items():
        for raw in raws:
            client.publish(bytes(raw))
            good += samples(1)
            client.publish(good[-1])
            assert client.wait_for_answers(len(good), topic)[-1].stamp_ns == stamps(good)[-1], kind
    assert [answer.stamp_ns for answer in client.answers(topic)] == stamps(good)
    expected = {"not_finite": "2", "no_data": "2", "free_fall": "1", "undecodable": "4"}
    values = client.wait_for_diagnostics(lambda d: int(d["bad"]) == 9)
    assert {k[4:]: v for k, v in values.items() if k.startswith("bad.")} == expected
    assert values["internal_errors"] == "0"


@pytest.mark.parametrize("name", ["break", "long", "nan_covariance"])
def test_a_result_that_must_not_leave_is_an_internal_error(estimator, samples, command, name):
    node, client = estimator
    resets = node._inference.model.pipeline.resets
    client.publish(command(name))
    client.wait_for_diagnostics(lambda d: int(d["internal_errors"]) >= 1)
    (good,) = samples(1)
    client.publish(good)
    (answer,) = client.wait_for_answers(1)
    assert answer.stamp_ns == raw_stamp_ns(good)
    # What spoilt this one may stand in the state.
    assert node._inference.model.pipeline.resets == resets + 1
    assert angle_mrad(answer.raw) == 1


def test_what_can_wait_is_done_behind_the_answer_and_may_fail(estimator, samples):
    node, client = estimator
    pipeline, settled = node._inference.model.pipeline, []
    probes = sum(pipeline.counts.values())

    def settle():
        settled.append(sum(pipeline.counts.values()))
        if len(settled) == 1:
            raise ZeroDivisionError("as a bug would")

    pipeline.settle = settle
    first, second = samples(2)
    client.publish(first)
    assert len(client.wait_for_answers(1)) == 1
    client.wait_for_diagnostics(lambda d: d["last_error"].startswith("ZeroDivisionError"))
    client.publish(second)
    answers = client.wait_for_answers(2)
    assert settled[0] == probes + 1
    # What the failure left behind must not spoil what follows.
    assert angle_mrad(answers[-1].raw) == 1


def test_a_bias_that_is_not_finite_never_leaves(start_imu, connect_imu, samples, command):
    client = connect_imu(start_imu("gyro_corrector"), outputs=GYRO_OUTPUTS)
    client.publish(command("nan_covariance"))
    for raw in samples(2):
        client.publish(raw)
    for topic in GYRO_OUTPUTS:
        assert len(client.wait_for_answers(2, topic)) == 2
    client.wait_for_diagnostics(lambda d: d["internal_errors"] == "1")


def test_a_sample_without_an_answer_is_no_error(estimator, samples, command):
    _, client = estimator
    client.publish(command("nothing"))
    (raw,) = samples(1)
    client.publish(raw)
    (answer,) = client.wait_for_answers(1)
    assert answer.stamp_ns == raw_stamp_ns(raw)
    values = client.wait_for_diagnostics(lambda d: int(d["received"]) > int(d["published"]))
    assert values["internal_errors"] == "0"


def test_flags_are_counted_shown_and_forgotten(estimator, command, monkeypatch):
    _, client = estimator
    monkeypatch.setattr("nn_perception.nodes.statistics.FLAG_RECENT_S", 1.0)
    for name in ("saturated", "saturated", "gap"):
        client.publish(command(name))
    client.wait_for_answers(3)
    values = client.wait_for_diagnostics(
        lambda d: d["level"] == "WARN" and d.get("flag.gap") == "1"
    )
    assert values["flag.saturated"] == "2"
    assert "saturated (2), gap (1)" in values["message"]
    client.wait_for_diagnostics(lambda d: "flagged" not in d["message"])


def test_stages_are_timed(estimator, samples):
    _, client = estimator
    for raw in samples(10):
        client.publish(raw)
    client.wait_for_answers(10)
    values = client.wait_for_diagnostics(lambda d: int(d["published"]) >= 10)
    for stage in ("wait", "engine", "publish", "total"):
        assert 0.0 < float(values[f"latency.{stage}.p99_ms"]) < 10_000.0


def test_settings_reach_the_pipeline(start_imu, connect_imu, samples):
    node = start_imu(sensor_delay_s=0.04)
    client = connect_imu(node)
    for raw in samples(1):
        client.publish(raw)
    (answer,) = client.wait_for_answers(1)
    assert deserialize_message(answer.raw, Imu).orientation_covariance[0] == pytest.approx(1.04)
    client.remote.set_parameter("model", "two")
    assert node._inference.model.pipeline.sensor_delay_s == 0.04


def test_input_is_read_as_it_was_sent(estimator, samples):
    """The bytes of the answer differ from those of the sample in the orientation only."""
    _, client = estimator
    (raw,) = samples(1, gyro_rad_s=(0.1, 0.2, 0.3))
    client.publish(raw)
    (answer,) = client.wait_for_answers(1)
    sent = ImuCdr(raw)
    assert sent.stamp_ns > FIRST_STAMP_NS
    message = deserialize_message(answer.raw, Imu)
    q = message.orientation
    orientation = (q.x, q.y, q.z, q.w)
    assert sent.with_orientation(orientation, message.orientation_covariance) == answer.raw
