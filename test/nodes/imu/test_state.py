"""The state of the IMU nodes: swaps, resets, activation, several units."""

import threading
import time

import pytest
from builtin_interfaces.msg import Time
from rclpy.parameter import Parameter
from rclpy.serialization import deserialize_message
from rosgraph_msgs.msg import Clock as ClockMessage
from sensor_msgs.msg import Imu

from nn_perception.errors import ConfigError, TaskError
from nn_perception.nodes.frames import raw_stamp_ns
from nn_perception.topic_names import parse_names


def angle_mrad(raw):
    import numpy as np

    q = deserialize_message(raw, Imu).orientation
    return round(2e3 * np.arctan2(q.z, q.w))


def stamps(raws):
    return [raw_stamp_ns(raw) for raw in raws]


def send(client, raws, unit=0, topic="imu/data"):
    """Send samples and return what the stub counted in the answers to them."""
    known = len(client.answers(topic))
    for raw in raws:
        client.publish(raw, unit)
    answers = client.wait_for_answers(known + len(raws), topic)[known:]
    assert [answer.stamp_ns for answer in answers] == stamps(raws)
    return [angle_mrad(answer.raw) for answer in answers]


def test_swaps_under_load_lose_nothing_and_keep_the_state(start_imu, connect_imu, samples):
    node = start_imu(model="one", queue_size=5000, qos_depth=2000)
    client = connect_imu(node)
    burst = samples(1200)
    done = threading.Event()

    def publish():
        for number, raw in enumerate(burst):
            client.publish(raw)
            # As many in flight as fit into every queue on the way, whatever the machine does.
            client.wait_for(lambda low=number - 100: client.count > low)
        done.set()

    thread = threading.Thread(target=publish)
    thread.start()
    swaps = 0
    while not done.is_set():
        assert client.remote.set_parameter("model", ("two", "one")[swaps % 2]) == (True, "")
        swaps += 1
    thread.join()
    answers = client.wait_for_answers(len(burst))
    assert [answer.stamp_ns for answer in answers] == stamps(burst)
    first = angle_mrad(answers[0].raw)
    assert [angle_mrad(a.raw) for a in answers] == list(range(first, first + len(burst)))
    values = client.wait_for_diagnostics(lambda d: d["swaps"] == str(swaps))
    assert swaps > 0
    assert (values["dropped"], values["internal_errors"]) == ("0", "0")
    assert "flag.state_lost" not in values


@pytest.mark.parametrize("name", ["stranger", "broken"])
def test_a_swap_that_loses_the_state_says_so(estimator, samples, name):
    _, client = estimator
    before = send(client, samples(3))
    assert before[-1] > 3  # probes came first
    assert client.remote.set_parameter("model", name) == (True, "")
    assert send(client, samples(3)) == [1, 2, 3]
    values = client.wait_for_diagnostics(lambda d: d.get("flag.state_lost") == "1")
    assert values["level"] == "WARN"
    assert values["internal_errors"] == "0"
    assert client.remote.set_parameter("model", "one") == (True, "")
    assert send(client, samples(2)) == [4, 5]


def test_a_refused_swap_keeps_model_and_state(estimator, samples):
    _, client = estimator
    before = send(client, samples(1))
    successful, reason = client.remote.set_parameter("model", "absent")
    assert (successful, "absent" in reason) == (False, True)
    assert send(client, samples(1)) == [before[0] + 1]


def test_state_starts_anew_with_each_activation(estimator, samples):
    node, client = estimator
    assert send(client, samples(2))[-1] > 2
    node.trigger_deactivate()
    client.publish(*samples(1))
    node.trigger_activate()
    client.forget()
    client.connect()
    node._inference.reset()
    assert send(client, samples(2)) == [1, 2]


def test_nothing_is_published_while_inactive(estimator, samples):
    node, client = estimator
    node.trigger_deactivate()
    for raw in samples(5):
        client.publish(raw)
    values = client.wait_for_diagnostics(lambda d: d["state"] == "inactive")
    client.wait_for_silence(0.2)
    assert client.answers() == []
    assert (values["level"], values["input_age_s"]) == ("OK", "none")


def test_state_is_reset_when_the_clock_jumps_back(start_imu, connect_imu, samples):
    node = start_imu(use_sim_time=True)
    client = connect_imu(node)
    clock = client.node.create_publisher(ClockMessage, "/clock", 10)

    def set_clock(seconds):
        now = node.get_clock().now
        while now().nanoseconds != seconds * 1_000_000_000:  # discovery takes its time
            clock.publish(ClockMessage(clock=Time(sec=seconds)))
            time.sleep(0.01)

    set_clock(100)
    last = send(client, samples(3))[-1]
    set_clock(101)
    assert send(client, samples(2)) == [last + 1, last + 2]
    set_clock(50)
    assert send(client, samples(2)) == [1, 2]
    set_clock(51)
    assert send(client, samples(1)) == [3]


def test_several_units_have_states_and_topics_of_their_own(start_imu, connect_imu, samples):
    node = start_imu(imus="left, arm/right", warn_after_s=0.3)
    client = connect_imu(node, imus=("left", "arm/right"))
    node._inference.reset()
    left, right = samples(5), samples(3)
    assert send(client, left, 0, "left/imu/data") == [1, 2, 3, 4, 5]
    assert send(client, right, 1, "arm/right/imu/data") == [1, 2, 3]
    values = client.wait_for_diagnostics(lambda d: int(d["published"]) >= 8)
    assert {"input_age_s.left/imu/data_raw", "input_age_s.arm/right/imu/data_raw"} <= set(values)

    def one_is_silent(values):
        client.publish(samples(1)[0], 1)
        return "on left/imu/data_raw" in values["message"] and values["level"] == "WARN"

    client.wait_for_diagnostics(one_is_silent)


def test_units_are_remapped_one_by_one(start_imu, connect_imu, samples):
    node = start_imu(
        imus="left,right",
        namespace="robot",
        cli=["-r", "left/imu/data_raw:=/lidar/imu", "-r", "right/imu/data:=turned"],
    )
    topics = {topic.name: topic.topic for topic in node._topics}
    assert topics == {
        "left/imu/data_raw": "/lidar/imu",
        "right/imu/data_raw": "/robot/right/imu/data_raw",
    }
    published = dict(node.get_publisher_names_and_types_by_node(node.get_name(), "/robot"))
    assert {"/robot/left/imu/data", "/robot/turned"} <= set(published)


def test_gyro_corrector_publishes_for_each_unit(start_imu):
    node = start_imu("gyro_corrector", imus="a,b")
    published = dict(node.get_publisher_names_and_types_by_node(node.get_name(), "/"))
    for unit in "ab":
        assert published[f"/{unit}/imu/data_corrected"] == ["sensor_msgs/msg/Imu"]
        assert published[f"/{unit}/imu/gyro_bias"] == ["geometry_msgs/msg/Vector3Stamped"]


@pytest.mark.parametrize(
    ("text", "names"),
    [("", []), ("  ", []), ("a", ["a"]), ("a, b/c ,/d", ["a", "b/c", "/d"])],
)
def test_names_of_units(text, names):
    assert list(parse_names("imus", text)) == names


@pytest.mark.parametrize("text", ["a,,b", "a b", "1a", "a/", "~a", "a,a", "a__b", "a//b", ","])
def test_names_that_cannot_be_topics_are_refused(start_imu, text):
    with pytest.raises(ConfigError, match="parameter 'imus' got"):
        start_imu(imus=text)


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("sensor_delay_s", 0.06, "sensor_delay_s.*0.06"),
        ("sensor_delay_s", -0.01, "sensor_delay_s.*-0.01"),
        ("queue_size", 1, "queue_size"),
        ("task", "digits", "attitude_estimator gets sensor_msgs/msg/Imu"),
        ("task", "atitude", "unknown task"),
    ],
)
def test_bad_start_parameters_name_themselves(start_imu, name, value, reason):
    with pytest.raises((ConfigError, TaskError), match=reason):
        start_imu(**{name: value})


def test_settings_are_fixed_at_start(estimator):
    _, client = estimator
    for name, value in (("sensor_delay_s", 0.01), ("imus", "a")):
        successful, reason = client.remote.set_parameter(name, value)
        assert (successful, "read-only" in reason) == (False, True)


def test_a_pipeline_without_a_setting_is_refused_in_words(start_imu, stub_models, connect_imu):
    """Such as a task of somebody else's package."""
    node = start_imu(task="stub_gyro", model_root=str(stub_models["stub_gyro"]), autostart=False)
    assert node.trigger_configure() != 0
    assert "has no setting 'sensor_delay_s'" in node._problem


def test_models_of_another_task_are_refused(start_imu, stub_models):
    node = start_imu(model_root=str(stub_models["stub_gyro"]), autostart=False)
    (answer,) = node.set_parameters([Parameter("model", value="one")])
    assert not answer.successful
    assert "stub_gyro" in answer.reason
