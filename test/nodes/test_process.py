"""The node as a process of its own: start, stop, exit codes, memory."""

import signal
import subprocess
import sys

import pytest

from nn_perception.nodes.client import ClassifierClient
from nn_perception.nodes.process import NodeProcess, NodeProcessError, ros_environment


@pytest.fixture
def launch(outer, model_root, tmp_path):
    """Return a function that starts the node; whatever still runs afterwards is killed."""
    _, domain = outer
    started = []

    def make(*, environment=None, remappings=None, **parameters):
        process = NodeProcess(
            "image_classifier",
            domain_id=domain,
            log=tmp_path / f"node_{len(started)}.log",
            parameters={"model_root": str(model_root), **parameters},
            remappings=remappings,
            environment=environment,
        )
        started.append(process)
        return process

    yield make
    for process in started:
        if process.exit_code is None:
            process.send_signal(signal.SIGKILL)
            process.wait()


@pytest.fixture
def client_of(outer):
    clients = []

    def make(process, **arguments):
        client = ClassifierClient(context=outer[0], alive=process.check_running, **arguments)
        clients.append(client)
        client.connect(timeout_s=30.0)
        return client

    yield make
    for client in clients:
        client.close()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_answers_and_ends_cleanly_on_a_signal(launch, client_of, frame, ask, number):
    process = launch()
    client = client_of(process)
    assert len(ask(client, frame()).results) == 10
    process.stop(number)
    text = process.log_text()
    assert "Traceback" not in text
    assert "terminate" not in text


def test_a_node_under_nohup_outlives_the_session(launch, client_of, frame, ask):
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # inherited, as by what nohup starts
    try:
        process = launch()
    finally:
        signal.signal(signal.SIGHUP, before)
    client = client_of(process)
    process.send_signal(signal.SIGHUP)
    assert len(ask(client, frame()).results) == 10
    process.stop(signal.SIGTERM)


def test_many_interrupts_end_it_as_cleanly_as_one(launch, client_of):
    process = launch()
    client_of(process)
    for _ in range(20):
        if process.exit_code is None:
            process.send_signal(signal.SIGINT)
    assert process.wait() == 0
    assert "Traceback" not in process.log_text()


def test_interrupt_while_it_starts(launch, outer):
    """As soon as the node is in the graph: it may be loading its model."""
    process = launch()
    from rclpy.node import Node

    observer = Node("observer", context=outer[0])
    while "image_classifier" not in observer.get_node_names():
        process.check_running()
    process.send_signal(signal.SIGINT)
    assert process.wait() == 0
    observer.destroy_node()


def test_torch_is_not_in_the_process(launch, client_of, frame, ask):
    process = launch()
    ask(client_of(process), frame())
    libraries = process.loaded_libraries()
    assert any("onnxruntime" in name for name in libraries)
    assert not [name for name in libraries if "torch" in name]
    assert 0 < process.resident_bytes() < 500e6
    process.stop()


def test_large_frames_get_through_best_effort(launch, client_of, ask, frame):
    """640x480 rgb8 is above what DDS carries without the package's profile."""
    import numpy as np

    client = client_of(launch(queue_size=100, qos_depth=100))
    picture = np.zeros((480, 640, 3), np.uint8)
    for _ in range(20):
        ask(client, frame(picture, "rgb8"))


def test_hot_swap_between_processes(launch, client_of, frame, ask):
    client = client_of(launch(model="three"))
    assert ask(client, frame()).results[0].class_id == "3"
    assert client.remote.set_parameter("model", "seven") == (True, "")
    assert ask(client, frame()).results[0].class_id == "7"
    successful, reason = client.remote.set_parameter("model", "../seven")
    assert not successful
    assert "outside model_root" in reason


def test_namespace_and_remapping(launch, client_of, frame, ask):
    process = launch(remappings={"__ns": "/r1", "__node": "eyes", "image_raw": "cam"})
    client = client_of(
        process,
        target="/r1/eyes",
        image_topic="/r1/cam",
        result_topic="/r1/classification",
    )
    ask(client, frame())


def test_a_missing_model_leaves_it_running_and_saying_so(launch, outer):
    process = launch(model="absent")
    with ClassifierClient(context=outer[0], alive=process.check_running) as client:
        client.remote.wait_for_state("unconfigured")
        values = client.wait_for_diagnostics(lambda d: d["level"] == "ERROR")
    assert "no model 'absent'" in values["message"]
    process.stop()


def run_node(*arguments):
    return subprocess.run(
        [sys.executable, "-m", "nn_perception.nodes.image_classifier", *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize("flag", ["--help", "-h"])
def test_help_tells_topics_and_parameters(flag):
    done = run_node(flag)
    assert (done.returncode, done.stderr) == (0, "")
    for word in ("classification", "image_raw", "queue_size", "lifecycle", "--params-file"):
        assert word in done.stdout


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--modle", "x"], "--modle"),
        (["--ros-args", "-p", "threads:=0"], "threads"),
        (["--ros-args", "-p", "task:=digitz"], "digits"),
        (["--ros-args", "-p", "warn_after_s:=2"], "warn_after_s"),
        (["--ros-args", "--no-such-flag"], "no-such-flag"),
        (["--ros-args", "--params-file", "/no/such/file"], "/no/such/file"),
    ],
)
def test_a_wrong_command_line_gives_one_line_and_exit_code_2(arguments, said):
    done = run_node(*arguments)
    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_params_file_of_the_package_starts_the_node(launch, client_of, tmp_path, outer):
    from nn_perception.share import share_path

    process = NodeProcess(
        "image_classifier",
        domain_id=outer[1],
        log=tmp_path / "node.log",
        arguments=("--ros-args", "--params-file", str(share_path("config/image_classifier.yaml"))),
        parameters={"autostart": False},
    )
    with process, ClassifierClient(context=outer[0], alive=process.check_running) as client:
        client.remote.wait_for_state("unconfigured")


def test_a_process_that_ended_is_an_error_with_its_output(launch):
    process = launch(threads=0)
    assert process.wait() == 2
    with pytest.raises(NodeProcessError, match="exit code 2"):
        process.check_running()
    with pytest.raises(NodeProcessError, match="threads"):
        process.stop()


@pytest.mark.parametrize("domain", [-1, 102])
def test_domains_that_need_other_ports_are_refused(domain):
    with pytest.raises(NodeProcessError, match="0 to 101"):
        ros_environment(domain)
