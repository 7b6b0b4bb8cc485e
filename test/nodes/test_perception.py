"""Several nodes in one process: names, threads of their own, what they share, how they end."""

import signal
import subprocess
import sys
import threading
import types

import pytest
from lifecycle_msgs.msg import Transition
from rclpy.parameter import Parameter
from sensor_msgs.msg import Imu

from nn_perception.nodes import control as control_module
from nn_perception.nodes import hot_swap, perception, registry
from nn_perception.nodes.client import ClassifierClient
from nn_perception.nodes.control import ControlThread, Stop
from nn_perception.nodes.image_classifier import ImageClassifier
from nn_perception.nodes.imu_client import FIRST_STAMP_NS, ImuClient, sample
from nn_perception.nodes.process import NodeProcess
from nn_perception.nodes.run import NodeStartError

WAIT_S = 10.0


@pytest.fixture
def together(ros, model_root):
    """Return a function that runs classifiers as `perception` does, each with its control."""
    stop, controls, nodes = Stop(), [], []

    def make(**parameters):
        for name, values in parameters.items():
            given = {"model_root": str(model_root), "diagnostics_period_s": 0.1, **values}
            overrides = [Parameter(key, value=value) for key, value in given.items()]
            nodes.append(ImageClassifier(name=name, context=ros, parameter_overrides=overrides))
        controls.extend(ControlThread(node, stop) for node in nodes)
        return nodes

    yield make
    stop.request()
    for control in controls:
        control.wake()
    assert [control.name for control in controls if not control.join(WAIT_S)] == []
    for node in nodes:
        node.destroy_node()


def hold_up(monkeypatch, entered, release):
    """Let each build of the model ``seven`` wait."""

    def build(*arguments, real=hot_swap.build_model):
        values = arguments[1]
        if values["model"] == "seven":
            entered.set()
            assert release.wait(WAIT_S)
        return real(*arguments)

    monkeypatch.setattr(hot_swap, "build_model", build)


def threads():
    return {thread.name for thread in threading.enumerate()}


def test_everything_of_a_node_has_the_name_it_was_given(together, connect, ros):
    from rclpy.node import Node

    (node,) = together(eyes={"qos_depth": 7})
    client = connect(node, connected=False)
    client.remote.wait_for_state("active")
    values = client.wait_for_diagnostics(lambda d: d["state"] == "active")
    assert values["task"] == "digits"
    assert {"eyes_control", "eyes_worker", "_eyes_io"} <= threads()
    observer = Node("observer", context=ros)
    topics = {name for name, _ in observer.get_publisher_names_and_types_by_node("eyes", "/")}
    observer.destroy_node()
    assert {"/eyes/active_model", "/eyes/transition_event", "/classification"} <= topics
    assert node.get_parameter("qos_overrides./image_raw.subscription.depth").value == 7
    assert not [name for name in topics if "image_classifier" in name]


def test_a_model_build_holds_up_no_other_node(together, connect, monkeypatch):
    """Its parameters, diagnostics and transitions go on while a build of the first one waits."""
    slow_node, quick_node = together(slow={}, quick={"model": "three"})
    slow, quick = connect(slow_node, connected=False), connect(quick_node, connected=False)
    slow.remote.wait_for_state("active")
    quick.remote.wait_for_state("active")
    entered, release = threading.Event(), threading.Event()

    hold_up(monkeypatch, entered, release)
    answered = threading.Event()
    slow.remote.request_parameter("model", "seven", lambda *_: answered.set())
    try:
        assert entered.wait(WAIT_S)
        assert quick.remote.set_parameter("warn_after_s", 3.0) == (True, "")
        assert quick.remote.set_parameter("model", "digits") == (True, "")
        quick.next_diagnostics()
        assert quick.wait_for_diagnostics(lambda d: d["model"] == "digits")["swaps"] == "1"
        assert quick.remote.change_state(Transition.TRANSITION_DEACTIVATE)
        assert quick.remote.change_state(Transition.TRANSITION_CLEANUP)
        assert quick.remote.change_state(Transition.TRANSITION_CONFIGURE)
        assert quick.remote.change_state(Transition.TRANSITION_ACTIVATE)
        assert not answered.is_set()
    finally:
        release.set()
    assert answered.wait(WAIT_S)
    slow.wait_for_diagnostics(lambda d: d["model"] == "seven")


def test_a_slow_start_of_one_holds_up_no_other_node(together, connect, monkeypatch):
    entered, release = threading.Event(), threading.Event()

    hold_up(monkeypatch, entered, release)
    slow_node, quick_node = together(slow={"model": "seven"}, quick={"model": "three"})
    try:
        assert entered.wait(WAIT_S)
        connect(quick_node, connected=False).remote.wait_for_state("active")
    finally:
        release.set()
    connect(slow_node, connected=False).remote.wait_for_state("active")


def test_modules_that_come_with_a_later_model_are_no_work_for_the_collector(
    together, connect, monkeypatch
):
    """As torch does when the first model is configured by hand."""
    frozen = []
    monkeypatch.setattr(control_module.gc, "freeze", lambda: frozen.append("late" in sys.modules))
    (node,) = together(one={"autostart": False})
    client = connect(node, connected=False)
    assert client.remote.set_parameter("warn_after_s", 3.0) == (True, "")
    assert frozen
    assert not any(frozen)

    def build(*arguments, real=hot_swap.build_model):
        monkeypatch.setitem(sys.modules, "late", types.ModuleType("late"))
        return real(*arguments)

    monkeypatch.setattr(hot_swap, "build_model", build)
    assert client.remote.change_state(Transition.TRANSITION_CONFIGURE)
    for period_s in (4.0, 5.0):
        assert client.remote.set_parameter("warn_after_s", period_s) == (True, "")
    assert frozen.count(True) == 1


def test_nodes_with_one_bundle_share_its_network_until_one_swaps(together, connect):
    left, right = together(left={"model": "three"}, right={"model": "three"})
    clients = [connect(node, connected=False) for node in (left, right)]
    for client in clients:
        client.remote.wait_for_state("active")
    engines = [node._inference.model.engine for node in (left, right)]
    assert engines[0] is not engines[1]
    assert engines[0]._session is engines[1]._session
    bundles = [node._inference.model.bundle for node in (left, right)]
    assert bundles[0].onnx is bundles[1].onnx
    assert clients[0].remote.set_parameter("model", "seven") == (True, "")
    swapped, kept = (node._inference.model.engine for node in (left, right))
    assert kept is engines[1]
    assert swapped._session is not kept._session


def test_a_node_that_needs_what_is_not_there_is_named(monkeypatch):
    nodes = {**registry.PERCEPTION_NODES, "uwb_corrector": "no_such_package:Node"}
    monkeypatch.setattr(registry, "PERCEPTION_NODES", nodes)
    with pytest.raises(NodeStartError, match=r"uwb_corrector.*no_such_package.*leave this one out"):
        perception.choose(["attitude_estimator", "uwb_corrector"])
    assert list(perception.choose(["a=attitude_estimator"])) == ["a"]
    assert "no_such_package" in perception.help_text()


# The executable as a process of its own.


def run_perception(*arguments):
    return subprocess.run(
        [sys.executable, "-m", "nn_perception.nodes.perception", *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_help_names_the_executables_and_how_to_set_what():
    done = run_perception("--help")
    assert (done.returncode, done.stderr) == (0, "")
    for word in (*registry.PERCEPTION_NODES, "NAME=", "--params-file", "unconfigured"):
        assert word in done.stdout


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["eyes=image_clasifier"], "did you mean 'image_classifier'"),
        (["a=gyro_corrector", "a=attitude_estimator"], "two nodes are named 'a'"),
        (["a=gyro_corrector", "b=gyro_corrector", "--ros-args", "-p", "b:threads:=0"], "b: param"),
        (["a=gyro_corrector", "b=gyro_corrector", "--ros-args", "-r", "__node:=x"], "'/x'"),
    ],
)
def test_wrong_words_and_parameters_end_the_start_of_all(arguments, said):
    done = run_perception(*arguments)
    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr


@pytest.fixture
def launch(outer, tmp_path):
    """Return a function that starts `perception`; what still runs afterwards is killed."""
    started = []

    def make(*words, remappings=None, **parameters):
        process = NodeProcess(
            "perception",
            domain_id=outer[1],
            log=tmp_path / f"perception_{len(started)}.log",
            arguments=words,
            parameters=parameters,
            remappings=remappings,
        )
        started.append(process)
        return process

    yield make
    for process in started:
        if process.exit_code is None:
            process.send_signal(signal.SIGKILL)
            process.wait()


def test_nodes_run_under_their_names_although_one_has_no_model(
    launch, outer, model_root, tmp_path, frame, ask
):
    """Parameters from a file by name, topics by name; a swap of one leaves the other alone."""
    params = tmp_path / "params.yaml"
    params.write_text(
        "/**:\n  ros__parameters:\n    diagnostics_period_s: 0.2\n"
        f"/**/front:\n  ros__parameters:\n    model_root: {model_root}\n    model: three\n"
        f"/**/rear:\n  ros__parameters:\n    model_root: {model_root}\n    model: seven\n"
    )
    process = launch(
        "front=image_classifier",
        "rear=image_classifier",
        "imu=attitude_estimator",
        "gyro=gyro_corrector",
        "--ros-args",
        "--params-file",
        str(params),
        remappings={
            f"{name}:{topic}": f"{name}/{topic}"
            for name in ("front", "rear")
            for topic in ("image_raw", "classification")
        },
        **{"gyro:model": "absent", "gyro:model_root": str(model_root)},
    )
    context = outer[0]
    with (
        ClassifierClient(
            "/front", image_topic="front/image_raw", result_topic="front/classification",
            context=context, alive=process.check_running,
        ) as front,
        ClassifierClient(
            "/rear", image_topic="rear/image_raw", result_topic="rear/classification",
            context=context, alive=process.check_running,
        ) as rear,
        ImuClient("/imu", context=context, alive=process.check_running) as imu,
        ImuClient(
            "/gyro", outputs={"imu/data_corrected": Imu}, context=context,
            alive=process.check_running,
        ) as gyro,
    ):  # fmt: skip
        for client in (front, rear, imu):
            client.connect(timeout_s=30.0)
        assert ask(front, frame()).results[0].class_id == "3"
        assert ask(rear, frame()).results[0].class_id == "7"
        imu.publish(sample(FIRST_STAMP_NS))
        imu.wait_for_answers(1)
        gyro.remote.wait_for_state("unconfigured")
        values = gyro.wait_for_diagnostics(lambda d: d["level"] == "ERROR")
        assert "no model 'absent'" in values["message"]
        assert front.remote.set_parameter("model", "seven") == (True, "")
        assert ask(front, frame()).results[0].class_id == "7"
        assert ask(rear, frame()).results[0].class_id == "7"
        # The two classifiers have one network now, the IMU's node another one.
        front.wait_for_diagnostics(lambda d: d["networks_in_process"] == "2")
        assert rear.wait_for_diagnostics(lambda d: d["networks_in_process"] == "2")["swaps"] == "0"
    process.stop()
    text = process.log_text()
    assert "[gyro]: not configured" in text
    assert "Traceback" not in text


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signals_while_it_starts_and_again_end_it_cleanly(launch, number):
    """All four executables, as without words; the first signal comes before all are loaded."""
    process = launch()
    while "configured" not in process.log_text() and "]: model" not in process.log_text():
        process.check_running()
    for _ in range(10):
        if process.exit_code is None:
            process.send_signal(number)
    assert process.wait() == 0
    assert "Traceback" not in process.log_text()
