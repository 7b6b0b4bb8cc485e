"""Changing the model of a running node: between two messages, or not at all."""

import hashlib
import json
import pickle
import shutil
import threading

import numpy as np
import pytest
from diagnostic_msgs.msg import DiagnosticStatus
from rclpy.parameter import Parameter
from rclpy.qos import DurabilityPolicy, QoSProfile
from rclpy.serialization import serialize_message

from nn_perception.bundle import CONFIG_FILE, ONNX_FILE, TENSORS_FILE
from nn_perception.nodes.player import IMMEDIATELY, play_frames

LATCHED = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
PERIOD_NS = 10_000_000  # 100 Hz


def frames_at_100_hz(frame, count):
    return [(index * PERIOD_NS, serialize_message(frame())) for index in range(count)]


def watch_active_model(client):
    seen = []
    client.subscribe(DiagnosticStatus, f"{client.remote.target}/active_model", seen.append, LATCHED)
    return seen


def values_of(status):
    return {item.key: item.value for item in status.values}


def test_no_frame_is_lost_and_none_is_mixed_during_swaps_at_100_hz(start, connect, frame):
    """``letters`` has other labels than ``seven``: a mixture would show in the answer."""
    node = start(model="seven", queue_size=1000, qos_depth=1000)
    client = connect(node)
    for name in ("letters", "seven"):  # the first time takes longer, for a trial run
        assert client.remote.set_parameter("model", name) == (True, "")
    swaps = {20 + 30 * n: {"model": ("letters", "seven")[n % 2]} for n in range(10)}
    playback = play_frames(client, frames_at_100_hz(frame, 340), settings=swaps)

    assert [(c.successful, c.reason) for c in playback.changes] == [(True, "")] * 10
    assert (playback.sent, playback.lost, playback.answered_twice) == (340, 0, 0)
    assert playback.stray_answers == 0
    kinds = {
        ("7", 10): frozenset("0123456789"),
        ("b", 3): frozenset("abc"),
    }
    current, turns = ("7", 10), 0
    for answer in playback.frames:
        kind = (answer.labels[0], len(answer.labels))
        assert frozenset(answer.labels) == kinds[kind]
        assert list(answer.scores) == sorted(answer.scores, reverse=True)
        assert sum(answer.scores) == pytest.approx(1.0)
        turns += kind != current
        current = kind
    assert turns == 10  # each swap took effect once; no frame went back to an older model
    client.wait_for_diagnostics(lambda d: d["swaps"] == "12" and d["dropped"] == "0")


def test_frames_after_the_answer_to_a_swap_get_the_new_model(classifier, frame, ask):
    _, client = classifier
    for name, best in (("three", "3"), ("seven", "7")) * 3:
        assert client.remote.set_parameter("model", name) == (True, "")
        assert ask(client, frame()).results[0].class_id == best


def test_old_model_serves_while_the_new_one_is_built(start, connect, frame, ask, monkeypatch):
    node = start(model="three", queue_size=100)
    client = connect(node)
    entered, release = threading.Event(), threading.Event()
    from nn_perception.nodes import hot_swap

    def slow(*arguments, build=hot_swap.build_model):
        entered.set()
        assert release.wait(10.0)
        return build(*arguments)

    monkeypatch.setattr(hot_swap, "build_model", slow)
    client.request(0, {"model": "seven"})
    assert entered.wait(10.0)
    for _ in range(20):
        assert ask(client, frame()).results[0].class_id == "3"
    release.set()
    client.wait_for_diagnostics(lambda d: d["model"] == "seven")
    assert ask(client, frame()).results[0].class_id == "7"


def damage(path, kind):
    """Make one kind of bad bundle out of a good one."""
    config = json.loads((path / CONFIG_FILE).read_text())
    if kind == "no_onnx":
        (path / ONNX_FILE).unlink()
    elif kind == "truncated":
        (path / ONNX_FILE).write_bytes((path / ONNX_FILE).read_bytes()[:-10])
    elif kind == "hash":
        data = bytearray((path / ONNX_FILE).read_bytes())
        data[-1] ^= 1
        (path / ONNX_FILE).write_bytes(data)
    elif kind == "future":
        config["format"] = 99
    elif kind == "config_cut":
        (path / CONFIG_FILE).write_text((path / CONFIG_FILE).read_text()[:100])
        return
    elif kind == "pickle":
        forge(path, config, TENSORS_FILE, pickle.dumps({"weight": [1, 2, 3]}))
    elif kind == "no_onnx_model":
        forge(path, config, ONNX_FILE, b"\x08\x09 rubbish behind a plausible start" * 9)
    elif kind == "nan":
        data = (path / ONNX_FILE).read_bytes()
        wild = data.replace(np.full(7, 0.25, "<f4").tobytes(), np.full(7, np.nan, "<f4").tobytes())
        assert wild != data
        forge(path, config, ONNX_FILE, wild)
    elif kind == "task":
        config["task"] = "gyro"
    elif kind == "labels":
        config["labels"] = ["a", "b"]
    elif kind == "temperature":
        config["calibration"] = {}
    elif kind == "input_shape":
        config["preprocessing"]["height"] = config["inputs"][0]["shape"][2] = 32
    (path / CONFIG_FILE).write_text(json.dumps(config))


def forge(path, config, name, data):
    """Replace a file and correct its hash, as somebody would who means harm."""
    (path / name).write_bytes(data)
    config["files"][name] = {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}


REFUSALS = {
    "no_onnx": "model.onnx",
    "truncated": "incomplete",
    "hash": "sha256",
    "future": "format 99",
    "config_cut": "JSON",
    "pickle": "pickle",
    "no_onnx_model": "ONNX",
    "task": "'gyro'",
    "labels": "labels",
    "temperature": "temperature",
    "input_shape": "config.json says uint8 of (any, 1, 32, 28)",
    "nan": "not finite",
}


def test_every_bad_bundle_is_refused_and_the_old_one_serves(
    start, connect, frame, ask, tmp_path, save_model
):
    save_model(tmp_path / "good", answer=3)
    save_model(tmp_path / "seven", answer=7, bias=0.25)
    for kind in REFUSALS:
        damage(shutil.copytree(tmp_path / "seven", tmp_path / kind), kind)
    outside = tmp_path.parent / "outside"
    shutil.copytree(tmp_path / "seven", outside, dirs_exist_ok=True)
    (tmp_path / "link").symlink_to(outside)

    client = connect(start(model="good", model_root=str(tmp_path)))
    active = watch_active_model(client)
    refusals = {
        **REFUSALS,
        "../outside": "outside model_root",
        str(outside): "outside model_root",
        "link": "outside model_root",
        "absent": "no model 'absent'",
        ".": "outside model_root",
    }
    for number, (name, expected) in enumerate(refusals.items(), 1):
        successful, reason = client.remote.set_parameter("model", name)
        assert not successful, name
        assert expected in reason, name
        assert ask(client, frame()).results[0].class_id == "3"
        client.wait_for_diagnostics(lambda d, n=number: d["refused_swaps"] == str(n))
    assert client.diagnostics["model"] == "good"
    assert client.diagnostics["swaps"] == "0"
    assert [values_of(status)["model"] for status in active] == ["good"]
    assert client.remote.set_parameter("model", "seven") == (True, "")
    assert ask(client, frame()).results[0].class_id == "7"


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("model_root", "/", "read-only"),
        ("threads", 0, "threads"),
        ("threads", "two", "threads"),
        ("device", "tpu", "auto|cpu|cuda"),
        ("warn_after_s", -1.0, "warn_after_s"),
        ("modle", "seven", "did you mean 'model'"),
        ("qos_overrides./image_raw.subscription.depth", 3, "read-only"),
        ("use_sim_time", 3, "use_sim_time"),
        ("backend", "tensorrt", "'onnxruntime'"),
        ("queue_size", 5, "read-only"),
        ("model", 5, "string"),
    ],
)
def test_bad_parameters_are_refused_with_the_reason(classifier, name, value, reason):
    node, client = classifier
    before = {key: parameter.value for key, parameter in node._parameters.items()}
    successful, said = client.remote.set_parameter(name, value)
    assert not successful
    assert reason in said
    assert {key: parameter.value for key, parameter in node._parameters.items()} == before


def test_a_model_among_refused_parameters_is_not_swapped(classifier, frame, ask):
    """Atomic: all or nothing, whatever the order."""
    node, client = classifier
    for bad in (Parameter("threads", value=0), Parameter("use_sim_time", value="yes")):
        good = Parameter("model", value="seven")
        for both in ([good, bad], [bad, good]):
            assert not node.set_parameters_atomically(both).successful
    assert client.wait_for_diagnostics(lambda d: True)["model"] == "digits"
    assert node.get_parameter("model").value == ""


def test_device_that_is_not_there_is_refused(classifier, frame, ask):
    _, client = classifier
    successful, reason = client.remote.set_parameter("device", "cuda:99")
    assert not successful
    assert "cuda:99" in reason
    ask(client, frame())


def test_threads_and_backend_rebuild_the_engine(classifier, frame, ask):
    node, client = classifier
    before = node._inference.model
    assert client.remote.set_parameter("threads", 2) == (True, "")
    assert node._inference.model is not before
    assert node._inference.model.bundle.id == before.bundle.id
    ask(client, frame())


def test_setting_the_same_name_again_loads_what_lies_there_now(
    start, connect, frame, ask, tmp_path, save_model
):
    save_model(tmp_path / "m", answer=3)
    client = connect(start(model="m", model_root=str(tmp_path)))
    save_model(tmp_path / "m", answer=7)
    assert ask(client, frame()).results[0].class_id == "3"
    assert client.remote.set_parameter("model", "m") == (True, "")
    assert ask(client, frame()).results[0].class_id == "7"


def test_active_model_is_latched_and_tells_what_runs(classifier, connect):
    node, client = classifier
    client.remote.set_parameter("model", "three")
    client.remote.set_parameter("model", "absent")
    late = connect(node)
    seen = watch_active_model(late)
    late.wait_for(lambda: bool(seen))
    values = values_of(seen[0])
    assert (values["model"], values["task"], values["network"]) == ("three", "digits", "mlp")
    assert (values["device"], values["backend"]) == ("cpu", "onnxruntime")
    assert values["model_id"] == node._inference.model.bundle.id
    assert seen[0].level == DiagnosticStatus.OK
    assert seen[0].hardware_id == "cpu"


def test_unconfigured_node_verifies_a_model_and_uses_it_later(start, connect, frame, ask):
    node = start(autostart=False)
    client = connect(node, connected=False)
    active = watch_active_model(client)
    successful, reason = client.remote.set_parameter("model", "absent")
    assert not successful
    assert "absent" in reason
    assert client.remote.set_parameter("model", "seven") == (True, "")
    client.wait_for(lambda: bool(active))
    assert values_of(active[-1])["model"] == "none"
    node.trigger_configure()
    node.trigger_activate()
    client.connect()
    assert ask(client, frame()).results[0].class_id == "7"


def test_lock_step_gives_each_frame_one_answer(classifier, frame):
    _, client = classifier
    playback = play_frames(client, frames_at_100_hz(frame, 50), rate=IMMEDIATELY)
    assert (playback.answered, playback.answered_twice) == (50, 0)
    received = [f.received_s for f in playback.frames]
    published = [f.published_s for f in playback.frames]
    assert all(a <= b for a, b in zip(received, published[1:], strict=False))
