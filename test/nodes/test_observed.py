"""What one can see of each kind of node while it runs: every key of /diagnostics, and its times."""

import hashlib
import itertools
import re
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rclpy.serialization import deserialize_message
from sensor_msgs.msg import Imu
from std_msgs.msg import Float64

from nn_perception.nodes import (
    attitude_estimator,
    gyro_corrector,
    image_classifier,
    processing_time,
    uwb_corrector,
)
from nn_perception.nodes.attitude_estimator import AttitudeEstimator
from nn_perception.nodes.camera_client import CameraClient, frame
from nn_perception.nodes.gyro_corrector import GyroCorrector
from nn_perception.nodes.image_classifier import ImageClassifier
from nn_perception.nodes.imu_client import ImuClient, sample
from nn_perception.nodes.processing_time import ProcessingTime
from nn_perception.nodes.stream_client import FIRST_STAMP_NS
from nn_perception.nodes.uwb_client import UwbClient, pose, range_to
from nn_perception.nodes.uwb_corrector import UwbCorrector
from nn_perception.share import shipped_models

DOCUMENT = Path(__file__).parents[2] / "docs/diagnostics.md"
MS = 1_000_000
CAMERAS = {"cameras": "left, right", "regions": "digits", "model": "digit_reader"}
ANCHORS = "anchor0: 0 0 2; anchor1: 8 0 1; anchor2: 8 6 2.5"
EXECUTABLES = {
    module.EXECUTABLE.name: module.EXECUTABLE
    for module in (image_classifier, attitude_estimator, gyro_corrector, uwb_corrector)
}


TICKS = itertools.count(1)  # stamps rise: a pipeline may refuse one that does not


def at(tick, ms=0):
    return FIRST_STAMP_NS + (tick * 5 + ms) * MS


def images(client, count):
    pixels = np.full((60, 80), 230, np.uint8)
    client.forget()
    for number in range(count):
        stamp_ns = at(next(TICKS))
        for camera, name in enumerate(("left", "right")):
            client.publish(frame(stamp_ns, pixels, "mono8"), camera)
            client.wait_for_answers(number + 1, f"{name}/detections")


def samples(client, count):
    noise = np.random.default_rng(0).normal(0.0, 1e-3, (count, 6))
    client.forget()
    for row in noise:
        client.publish(sample(at(next(TICKS)), row[:3], row[3:] + np.array([0.0, 0.0, 9.81])))
    client.wait_for_answers(count)


def ranges(client, count):
    """Each range behind its pose; order between topics is not kept."""
    client.forget()
    for number in range(count):
        tick = next(TICKS)
        before = int(client.next_diagnostics()["received.odom"]) if number == 0 else None
        client.publish(pose(at(tick), (2.0, 3.0, 1.2)))
        if before is not None:
            client.wait_for_diagnostics(lambda d, n=before: int(d["received.odom"]) > n)
        client.publish(range_to(at(tick, 1), "anchor0", 3.7), 1)
        client.wait_for_answers(number + 1)


def uwb_client(name, context):
    return UwbClient(name, context=context, probe_to=("anchor0", np.array([0.0, 0.0, 2.0])))


def camera_client(name, context):
    return CameraClient(name, context=context, cameras=("left", "right"), regions="digits")


KINDS = {
    "image_classifier": SimpleNamespace(
        node=ImageClassifier,
        parameters=CAMERAS,
        client=camera_client,
        send=images,
        inputs={"left/image_raw", "right/image_raw"},
        task="digits",
        model="digit_reader",
    ),
    "attitude_estimator": SimpleNamespace(
        node=AttitudeEstimator,
        parameters={"imus": "left, right"},
        client=lambda name, context: ImuClient(
            name, context=context, imus=("left", "right"), outputs={"imu/data": Imu}
        ),
        send=samples,
        inputs={"left/imu/data_raw", "right/imu/data_raw"},
        task="attitude",
        model="attitude",
    ),
    "gyro_corrector": SimpleNamespace(
        node=GyroCorrector,
        parameters={},
        client=lambda name, context: ImuClient(
            name, context=context, outputs={"imu/data_corrected": Imu}
        ),
        send=samples,
        inputs={"imu/data_raw"},
        task="gyro",
        model="gyro",
    ),
    "uwb_corrector": SimpleNamespace(
        node=UwbCorrector,
        parameters={"anchors": ANCHORS, "model": "uwb_drone"},
        client=uwb_client,
        send=ranges,
        inputs={"odom", "range"},
        task="uwb",
        model="uwb_drone",
    ),
}


@pytest.fixture(params=KINDS)
def observed(request, ros, start):
    kind = KINDS[request.param]
    queues = {"queue_size": 1000, "qos_depth": 1000}
    shipped = {"model_root": "", "device": "cpu", **queues}
    node = start(node_class=kind.node, **shipped, **kind.parameters)
    client = kind.client(node.get_fully_qualified_name(), ros)
    client.connect()
    yield SimpleNamespace(kind=kind, node=node, client=client, name=request.param)
    client.close()


def documented():
    """Key -> when it is there, of the table."""
    rows = re.findall(r"^\| `([^`]+)` \| ([^|]+?) \| [^|]+ \|$", DOCUMENT.read_text(), re.MULTILINE)
    return {key: when for key, when in rows if key not in documented_stages()}


def documented_stages():
    """Stage -> of which nodes, of the table."""
    text = DOCUMENT.read_text().partition("| stage | of | what |")[2]
    rows = re.findall(r"^\| (`.+?`) \| ([^|]+?) \|", text, re.MULTILINE)
    found = {}
    for stages, nodes in rows:
        for stage in re.findall(r"`(\w+)`", stages):
            found[stage] = f"{found.get(stage, '')}{nodes}"
    return found


def pattern(key):
    return re.sub(r"[A-Z]+", "(.+)", key.replace(".", r"\."))


def fitting(key, keys):
    return [name for name in keys if re.fullmatch(pattern(name), key)]


def test_keys_and_stages_are_those_of_the_document(observed):
    observed.kind.send(observed.client, 20)
    values = observed.client.wait_for_diagnostics(lambda d: "latency.total.p50_ms" in d)
    keys = {key for key in values if key not in ("level", "message")}
    table = documented()
    # Of several patterns that fit, "dropped" and "dropped.INPUT", one is the key's own.
    assert {key for key in keys if not fitting(key, table)} == set()
    expected = {key for key, when in table.items() if when in ("always", "with a model")}
    expected |= {key for key, when in table.items() if when == f"`{observed.name}`"}
    assert expected - keys == set()
    foreign = {key for key, when in table.items() if when.startswith("`")}
    foreign = {key for key in foreign if f"`{observed.name}`" not in table[key]}
    assert {key for key in keys if fitting(key, foreign)} == set()
    check_stages(observed.name, values)


def check_stages(name, values):
    stages = {key.split(".")[1] for key in values if key.startswith("latency.")}
    table = documented_stages()
    assert stages == {stage for stage, of in table.items() if of == "all" or f"`{name}`" in of}
    for stage in stages:
        p50, p95 = (float(values[f"latency.{stage}.{part}_ms"]) for part in ("p50", "p95"))
        assert 0.0 <= p50 <= p95


def test_model_device_rate_and_age_of_each_input(observed):
    values = {}
    while float(values.get("rate_in_hz", 0.0)) == 0.0:  # it is of one period of 0.1 s
        observed.kind.send(observed.client, 20)
        values = observed.client.next_diagnostics()
    assert (values["task"], values["model"]) == (observed.kind.task, observed.kind.model)
    assert (values["device"], values["backend"], values["precision"]) == (
        "cpu", "onnxruntime", "float32",
    )  # fmt: skip
    config = (shipped_models() / observed.kind.model / "config.json").read_bytes()
    assert values["model_id"] == hashlib.sha256(config).hexdigest()[: len(values["model_id"])]
    several = observed.kind.inputs if len(observed.kind.inputs) > 1 else set()
    for what, combine in (("rate_in_hz", sum), ("received", sum), ("input_age_s", min)):
        parts = {key.partition(".")[2]: float(v) for key, v in values.items() if f"{what}." in key}
        assert parts.keys() == several
        if parts:
            assert float(values[what]) == pytest.approx(combine(parts.values()), abs=0.02)


def test_times_come_for_each_answer_and_leave_out_the_waiting(observed, monkeypatch):
    client, inference = observed.client, observed.node._inference
    stages, times = [], []
    statistics = inference.statistics
    count = statistics.published
    monkeypatch.setattr(statistics, "published", lambda s: (stages.append(s), count(s)))
    subscribe_to_times(client, times)
    send_until_times_come(observed.kind, client, times)
    client.wait_for_silence(0.1)
    known = len(times)
    del stages[:]
    observed.kind.send(client, 20)
    client.wait_for(lambda: len(times) - known >= len(stages) >= 20)
    expected = [(each["total"] - each["wait"]) * 1e3 for each in stages]
    assert times[known:] == pytest.approx(expected, abs=1e-6)


def test_its_row_is_in_the_topics_of_each_executable(start):
    for name, executable in EXECUTABLES.items():
        (row,) = [row for row in executable.topics if row[1] == processing_time.TOPIC]
        assert (row[0], row[2].partition(",")[0]) == ("publishes", "std_msgs/Float64")
        node = start(node_class=KINDS[name].node, model_root="", **KINDS[name].parameters)
        topics = dict(node.get_topic_names_and_types())
        assert topics[f"/{name}/debug/processing_time_ms"] == ["std_msgs/msg/Float64"]


def subscribe_to_times(client, times):
    topic = f"{client.remote.target}/debug/processing_time_ms"
    qos = QoSProfile(depth=1000, reliability=ReliabilityPolicy.RELIABLE)
    client.subscribe(Float64, topic, lambda message: times.append(message.data), qos)


def send_until_times_come(kind, client, times):
    """Nobody knows when the two have found each other; from the first time on all must come."""
    for _ in range(100):
        kind.send(client, 1)
        if client._wait(lambda: bool(times), 0.05):
            return
    pytest.fail("no processing time for 100 answers")


class Recorder:
    """Stands for a publisher: counts questions, keeps what is published."""

    def __init__(self):
        self.subscribers = self.asked = 0
        self.sent = []

    def get_subscription_count(self):
        self.asked += 1
        return self.subscribers

    def publish(self, raw):
        self.sent.append(deserialize_message(raw, Float64).data)


def test_nothing_is_published_without_a_subscriber_and_it_is_asked_rarely():
    publisher = Recorder()
    times = ProcessingTime(publisher)
    for number in range(1000):  # 10,000 answers a second for 0.1 s
        times.answered(5.0 + number * 1e-4, 5.0 + number * 1e-4 + 2e-5)
    assert publisher.sent == []
    assert 9 <= publisher.asked <= 11
    publisher.subscribers = 1
    times.answered(6.0, 6.00125)
    publisher.subscribers = 0
    times.answered(6.1, 6.101)
    assert publisher.sent == [pytest.approx(1.25)]


def test_times_stop_when_the_subscriber_goes_and_come_again_after_a_clean_up(observed):
    node, client, times = observed.node, observed.client, []
    assert node.trigger_deactivate() == node.trigger_cleanup()
    assert node.trigger_configure() == node.trigger_activate()
    client.connect()
    subscribe_to_times(client, times)
    send_until_times_come(observed.kind, client, times)
