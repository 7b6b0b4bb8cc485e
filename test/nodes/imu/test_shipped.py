"""The nodes with the models that ship with the package: live and offline give the same numbers."""

import numpy as np
import pytest
from rclpy.serialization import deserialize_message
from sensor_msgs.msg import Imu

from nn_perception.inertial.cdr import ImuCdr
from nn_perception.nodes.attitude_estimator import AttitudeEstimator
from nn_perception.nodes.gyro_corrector import GyroCorrector
from nn_perception.nodes.imu_client import sample
from nn_perception.share import shipped_model
from nn_perception.tasks.loading import open_pipeline

START_NS = 2000 * 10**9
NODES = {
    "attitude": (AttitudeEstimator, "imu/data"),
    "gyro": (GyroCorrector, "imu/data_corrected"),
}


def recording(count=600, rate_hz=200.0, start_ns=START_NS):
    """Serialised samples of a sensor that is turned to and fro, with noise."""
    noise = np.random.default_rng(3)
    for number in range(count):
        turn = 2.0 * np.pi * number / 200.0
        gyro = np.array([0.4 * np.sin(turn), 0.2 * np.cos(turn), 0.1])
        accel = np.array([0.8 * np.sin(turn), 0.5 * np.cos(turn), 9.75])
        yield sample(
            start_ns + round(number * 1e9 / rate_hz),
            gyro + 1e-3 * noise.standard_normal(3),
            accel + 1e-2 * noise.standard_normal(3),
        )


def check_same(answer, result, task):
    """Compare what the node computed with what the pipeline did.

    A network gives other last digits for a group than for one sample, and a filter tells one
    covariance for a group.
    """
    message = deserialize_message(answer.raw, Imu)
    assert answer.stamp_ns == result.stamp_ns
    if task == "gyro":
        rate = message.angular_velocity
        np.testing.assert_allclose([rate.x, rate.y, rate.z], result.gyro_rad_s, atol=1e-5)
        return
    q = message.orientation
    np.testing.assert_allclose([q.x, q.y, q.z, q.w], result.orientation_xyzw, atol=1e-5)
    covariance = np.reshape(message.orientation_covariance, (3, 3))
    np.testing.assert_allclose(covariance, result.covariance_rad2, rtol=0.1, atol=1e-5)


@pytest.fixture(params=NODES)
def task(request):
    if not (shipped_model(request.param) / "config.json").is_file():
        pytest.skip(f"no model '{request.param}' ships with the package")
    return request.param


def start_shipped(start, task, **parameters):
    parameters = {"queue_size": 2000, "qos_depth": 2000, **parameters}
    return start(node_class=NODES[task][0], model_root="", device="cpu", **parameters)


def test_live_answers_are_those_of_the_pipeline_offline(start, connect_imu, task):
    topic = NODES[task][1]
    node = start_shipped(start, task)
    client = connect_imu(node, outputs={topic: Imu})
    node._inference.reset()
    samples = list(recording())
    for raw in samples:
        client.publish(raw)
    pipeline = open_pipeline(shipped_model(task), device="cpu")
    expected = [pipeline.process("imu", ImuCdr(raw).reading()) for raw in samples]
    expected = [result for result in expected if result is not None]
    answers = client.wait_for_answers(len(expected), topic, timeout_s=30.0)
    for result, answer in zip(expected, answers, strict=True):
        check_same(answer, result, task)
    values = client.wait_for_diagnostics(lambda d: int(d["published"]) >= len(expected))
    assert (values["dropped"], values["internal_errors"]) == ("0", "0")


def test_a_swap_keeps_the_state(start, connect_imu, task):
    """The same model again: were the state lost, the answers behind the swap would differ."""
    topic = NODES[task][1]
    node = start_shipped(start, task)
    client = connect_imu(node, outputs={topic: Imu})
    node._inference.reset()
    samples = list(recording(400))
    for half in (samples[:200], samples[200:]):
        known = len(client.answers(topic))
        for raw in half:
            client.publish(raw)
        client.wait_for(lambda known=known: len(client.answers(topic)) >= known + 150, 30.0)
        assert client.remote.set_parameter("threads", 2) == (True, "")
    pipeline = open_pipeline(shipped_model(task), device="cpu")
    last = [pipeline.process("imu", ImuCdr(raw).reading()) for raw in samples][-1]
    client.wait_for(lambda: client.answers(topic)[-1].stamp_ns == last.stamp_ns, 30.0)
    check_same(client.answers(topic)[-1], last, task)
    assert "flag.state_lost" not in client.wait_for_diagnostics(lambda d: d["swaps"] == "2")


def test_two_units_do_not_mix(start, connect_imu, task):
    topic = NODES[task][1]
    node = start_shipped(start, task, imus="a,b")
    client = connect_imu(node, outputs={topic: Imu}, imus=("a", "b"))
    node._inference.reset()
    first = list(recording(300))
    second = [ImuCdr(raw).with_angular_velocity([0.0, 0.0, 0.5]) for raw in recording(300)]
    for pair in zip(first, second, strict=True):
        for unit, raw in enumerate(pair):
            client.publish(raw, unit)
    for name, raws in (("a", first), ("b", second)):
        pipeline = open_pipeline(shipped_model(task), device="cpu")
        results = [pipeline.process("imu", ImuCdr(raw).reading()) for raw in raws]
        expected = [result for result in results if result is not None]
        answers = client.wait_for_answers(len(expected), f"{name}/{topic}", timeout_s=30.0)
        check_same(answers[-1], expected[-1], task)
