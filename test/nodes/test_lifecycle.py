"""Transitions in every order, and what they leave behind."""

import random
import threading
import time

import pytest
from builtin_interfaces.msg import Time
from lifecycle_msgs.msg import Transition
from rclpy.lifecycle import TransitionCallbackReturn
from rclpy.parameter import Parameter
from rclpy.serialization import serialize_message
from rosgraph_msgs.msg import Clock as ClockMessage

from nn_perception.errors import ConfigError
from nn_perception.nodes.image_classifier import ImageClassifier

CONFIGURE = Transition.TRANSITION_CONFIGURE
ACTIVATE = Transition.TRANSITION_ACTIVATE
DEACTIVATE = Transition.TRANSITION_DEACTIVATE
CLEANUP = Transition.TRANSITION_CLEANUP
SHUTDOWN = {
    "unconfigured": Transition.TRANSITION_UNCONFIGURED_SHUTDOWN,
    "inactive": Transition.TRANSITION_INACTIVE_SHUTDOWN,
    "active": Transition.TRANSITION_ACTIVE_SHUTDOWN,
}
NEXT = {
    ("unconfigured", CONFIGURE): "inactive",
    ("inactive", ACTIVATE): "active",
    ("inactive", CLEANUP): "unconfigured",
    ("active", DEACTIVATE): "inactive",
}


def own_threads():
    names = ("image_classifier_worker", "_image_classifier_io")
    return sorted(t.name for t in threading.enumerate() if t.name in names)


def topics_of(node):
    return {name for name, _ in node.get_publisher_names_and_types_by_node(node.get_name(), "/")}


def test_the_whole_cycle_again_and_again(start, connect, frame, ask):
    node = start(autostart=False)
    client = connect(node, connected=False)
    for _ in range(5):
        assert client.remote.state() == "unconfigured"
        assert own_threads() == []
        assert "/classification" not in topics_of(node)
        assert client.remote.change_state(CONFIGURE)
        assert own_threads() == []
        assert client.remote.change_state(ACTIVATE)
        assert own_threads() == ["_image_classifier_io", "image_classifier_worker"]
        client.forget()
        client.connect()
        ask(client, frame())
        assert client.remote.change_state(DEACTIVATE)
        assert own_threads() == []
        assert client.remote.change_state(CLEANUP)
    client.remote.change_state(SHUTDOWN["unconfigured"])
    assert client.remote.state() == "finalized"


def test_every_transition_from_every_state(start, connect):
    """Forbidden ones are refused and change nothing, in a random walk over the state machine."""
    node = start(autostart=False)
    remote = connect(node, connected=False).remote
    state, walk = "unconfigured", random.Random(3)
    for _ in range(60):
        transition = walk.choice([CONFIGURE, ACTIVATE, DEACTIVATE, CLEANUP])
        expected = NEXT.get((state, transition))
        assert remote.change_state(transition) == (expected is not None)
        state = expected or state
        assert remote.state() == state
        assert own_threads() == (
            ["_image_classifier_io", "image_classifier_worker"] if state == "active" else []
        )


@pytest.mark.parametrize("state", SHUTDOWN)
def test_shutdown_from_every_state_releases_everything(start, connect, state):
    node = start(autostart=False)
    remote = connect(node, connected=False).remote
    for transition in {"unconfigured": [], "inactive": [CONFIGURE]}.get(
        state, [CONFIGURE, ACTIVATE]
    ):
        assert remote.change_state(transition)
    assert remote.change_state(SHUTDOWN[state])
    assert remote.state() == "finalized"
    assert own_threads() == []
    assert node._inference.model is None
    assert "/classification" not in topics_of(node)


def test_a_model_that_fails_leaves_the_node_unconfigured_until_it_is_mended(
    start, connect, frame, ask, tmp_path, save_model
):
    node = start(model="digits", model_root=str(tmp_path))
    client = connect(node, connected=False)
    assert client.remote.state() == "unconfigured"
    values = client.wait_for_diagnostics(lambda d: d["level"] == "ERROR")
    assert "no model 'digits'" in values["message"]
    assert not client.remote.change_state(CONFIGURE)
    save_model(tmp_path / "digits")
    assert client.remote.change_state(CONFIGURE)
    assert client.remote.change_state(ACTIVATE)
    client.connect()
    ask(client, frame())
    client.wait_for_diagnostics(lambda d: d["level"] == "OK")


def test_an_unexpected_error_while_configuring_is_a_failure_and_no_crash(
    start, connect, monkeypatch
):
    from nn_perception.nodes import hot_swap

    def broken(*_):
        raise ZeroDivisionError("as a bug would")

    monkeypatch.setattr(hot_swap, "build_model", broken)
    client = connect(start(), connected=False)
    values = client.wait_for_diagnostics(lambda d: d["level"] == "ERROR")
    assert "as a bug would" in values["message"]
    monkeypatch.undo()
    assert client.remote.change_state(CONFIGURE)
    assert client.remote.state() == "inactive"


def test_an_error_while_activating_releases_what_was_started(start, connect, monkeypatch):
    from nn_perception.nodes import inference

    def broken(*_):
        raise ZeroDivisionError("as a bug would")

    client = connect(start(autostart=False), connected=False)
    assert client.remote.change_state(CONFIGURE)
    monkeypatch.setattr(inference, "InputNode", broken)
    assert not client.remote.change_state(ACTIVATE)
    assert client.remote.state() == "inactive"
    assert own_threads() == []
    monkeypatch.undo()
    assert client.remote.change_state(ACTIVATE)
    client.connect()


def test_pipeline_is_reset_on_each_deactivation_and_activation(
    start, connect, frame, ask, monkeypatch
):
    node = start()
    client = connect(node)
    resets = []
    monkeypatch.setattr(node._inference.model.pipeline, "reset", lambda: resets.append(1))
    ask(client, frame())
    assert resets == []
    node.trigger_deactivate()
    assert resets == [1]  # what waits, such as frames for their boxes, is not kept
    node.trigger_activate()
    client.forget()
    client.connect()
    ask(client, frame())
    assert resets == [1, 1]


def test_pipeline_is_reset_when_the_clock_jumps_back(start, connect, frame, ask, monkeypatch):
    node = start(use_sim_time=True)
    client = connect(node)
    resets = []
    monkeypatch.setattr(node._inference.model.pipeline, "reset", lambda: resets.append(1))
    clock = client.node.create_publisher(ClockMessage, "/clock", 10)

    def set_clock(seconds):
        now = node.get_clock().now
        while now().nanoseconds != seconds * 1_000_000_000:  # discovery takes its time
            clock.publish(ClockMessage(clock=Time(sec=seconds)))
            time.sleep(0.01)

    set_clock(100)
    ask(client, frame())
    resets.clear()  # the change from system time to /clock may have been a jump, too
    set_clock(101)
    ask(client, frame())
    assert resets == []
    set_clock(50)
    ask(client, frame())
    ask(client, frame())
    assert resets == [1]


def test_deactivating_with_a_full_queue_ends_at_once(start, connect, frame):
    node = start(queue_size=1000, qos_depth=1000)
    client = connect(node)
    raw = [serialize_message(frame()) for _ in range(300)]
    for message in raw:
        client.publish(message)
    assert node.trigger_deactivate() == TransitionCallbackReturn.SUCCESS
    assert own_threads() == []


def test_swaps_transitions_and_frames_from_three_threads_at_once(start, connect, frame):
    """Whatever meets, nothing hangs or dies, and the node works afterwards."""
    node = start(queue_size=10)
    client = connect(node)
    raw = [serialize_message(frame()) for _ in range(200)]
    until = time.monotonic() + 4.0
    errors = []

    def repeat(action):
        try:
            while time.monotonic() < until:
                action()
        except Exception as error:
            errors.append(error)

    def swap():
        for name in ("three", "seven"):
            node.set_parameters([Parameter("model", value=name)])

    def transitions():
        for transition in (DEACTIVATE, CLEANUP, CONFIGURE, ACTIVATE):
            client.remote.change_state(transition)

    def send():
        client.publish(random.choice(raw))
        time.sleep(0.001)  # 1 kHz at most

    threads = [threading.Thread(target=repeat, args=(a,)) for a in (swap, transitions, send)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30.0)
        assert not thread.is_alive()
    assert errors == []
    for transition in (CONFIGURE, ACTIVATE):
        client.remote.change_state(transition)
    client.forget()
    client.connect()
    values = client.wait_for_diagnostics(lambda d: d["state"] == "active")
    assert values["internal_errors"] == "0"
    assert own_threads() == ["_image_classifier_io", "image_classifier_worker"]


def test_destroying_an_active_node_ends_its_threads_and_leaves_the_graph(ros, model_root, start):
    observer = start(autostart=False)
    root = Parameter("model_root", value=str(model_root))
    node = ImageClassifier(
        context=ros,
        parameter_overrides=[root],
        cli_args=["--ros-args", "-r", "__node:=short_lived"],
    )
    node.autostart()
    assert "short_lived" in observer.get_node_names()
    node.destroy_node()
    assert not {"short_lived", "_short_lived_io"} & set(observer.get_node_names())
    assert not [t for t in threading.enumerate() if "short_lived" in t.name]
    node.destroy_node()  # twice is no error


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("threads", 0, "threads"),
        ("threads", 1.5, "threads"),
        ("device", "tpu", "auto|cpu|cuda"),
        ("warn_after_s", 1, "warn_after_s"),
        ("task", "digit", "did you mean 'digits'"),
        ("image_transport", "theora", "'raw', 'compressed'"),
        ("qos_overrides./image_raw.subscription.reliability", "sometimes", "best_effort"),
        ("qos_overrides./image_raw.subscription.depth", 0, "1 or more"),
    ],
)
def test_a_bad_start_parameter_is_an_error_that_names_it(ros, name, value, reason):
    from nn_perception.errors import NnPerceptionError

    with pytest.raises(NnPerceptionError) as error:
        ImageClassifier(context=ros, parameter_overrides=[Parameter(name, value=value)])
    assert reason in str(error.value)
    assert not isinstance(error.value, ConfigError) or name in str(error.value)


@pytest.mark.parametrize("transition", ["deactivate", "cleanup", "shutdown"])
def test_an_error_in_a_transition_is_logged_and_leaves_an_unconfigured_node(
    start, connect, monkeypatch, capfd, transition
):
    """The state machine: an ERROR leads through error processing, which succeeds."""
    node = start()
    client = connect(node, connected=False)
    owner, name = (node, "_release") if transition != "deactivate" else (node._inference, "stop")
    left_over = [ZeroDivisionError("as a bug would")]

    real = getattr(owner, name)

    def broken():
        if left_over:
            raise left_over.pop()
        return real()

    monkeypatch.setattr(owner, name, broken)
    number = {"deactivate": DEACTIVATE, "cleanup": CLEANUP, "shutdown": SHUTDOWN["active"]}
    if transition == "cleanup":
        assert client.remote.change_state(DEACTIVATE)
    assert not client.remote.change_state(number[transition])
    monkeypatch.undo()
    assert client.remote.state() == "unconfigured"
    assert "as a bug would" in capfd.readouterr().err
    values = client.wait_for_diagnostics(lambda d: d["level"] == "ERROR")
    assert "see the log" in values["message"]
    assert client.remote.change_state(CONFIGURE)
    assert client.remote.change_state(ACTIVATE)
    client.connect()
    client.wait_for_diagnostics(lambda d: d["level"] != "ERROR")


def test_an_error_in_error_processing_finalizes_the_node(start, connect, monkeypatch):
    node = start()
    client = connect(node, connected=False)

    def broken():
        raise ZeroDivisionError("as a bug would")

    monkeypatch.setattr(node, "_release", broken)
    assert not client.remote.change_state(SHUTDOWN["active"])
    assert client.remote.state() == "finalized"
    monkeypatch.undo()
