"""Launch files, run by the real `launch`: where launch_ros can be imported, that is on a robot."""

import importlib.util
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from nn_perception.nodes.launch_arguments import of_node, of_perception, of_replay
from nn_perception.nodes.parameters import TABLES
from nn_perception.nodes.process import ros_environment
from nn_perception.nodes.registry import PERCEPTION_NODES
from nn_perception.nodes.starting import TOGETHER
from nn_perception.share import share_path

pytest.importorskip("launch_ros", reason="launch_ros comes with a ROS distribution only")

FILES = sorted(share_path("launch").glob("*.launch.py"))
ARGUMENTS = {"perception": of_perception, "replay": of_replay}
RUN = """
import sys
from launch import LaunchDescription, LaunchService
from launch.actions import IncludeLaunchDescription
from launch.launch_description_sources import PythonLaunchDescriptionSource
path, *words = sys.argv[1:]
file = IncludeLaunchDescription(
    PythonLaunchDescriptionSource(path), launch_arguments=[w.split(":=", 1) for w in words]
)
service = LaunchService(argv=words, noninteractive=True)
service.include_launch_description(LaunchDescription([file]))
sys.exit(service.run())
"""


def build(path):
    spec = importlib.util.spec_from_file_location("launch_file", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.generate_launch_description()


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_declares_every_argument_with_its_description(path):
    name = path.name.partition(".")[0]
    name = {"train": "trainer"}.get(name, name)
    expected = ARGUMENTS[name]() if name in ARGUMENTS else of_node(name)
    declared = {argument.name: argument for argument in build(path).get_launch_arguments()}
    assert list(declared) == [argument.name for argument in expected]
    for argument in expected:
        found = declared[argument.name]
        # launch adds the choices
        assert found.description.startswith(argument.description)
        assert found.choices == (list(argument.choices) if argument.choices else None)
        default = found.default_value
        assert (default is None) == (argument.default is None)
        assert "".join(part.text for part in default or ()) == (argument.default or "")


@pytest.fixture(scope="module")
def environment(outer_domain, tmp_path_factory):
    """Variables with which launch finds the package's executables, installed or not."""
    prefix = tmp_path_factory.mktemp("prefix")
    index = prefix / "share/ament_index/resource_index/packages"
    folder = prefix / "lib/nn_perception"
    for path in (index, folder):
        path.mkdir(parents=True)
    (index / "nn_perception").touch()
    for name in (*TABLES, TOGETHER):
        script = folder / name
        script.write_text(f'#!/bin/sh\nexec {sys.executable} -m nn_perception.nodes.{name} "$@"\n')
        script.chmod(0o755)
    prefixes = [str(prefix), *filter(None, [os.environ.get("AMENT_PREFIX_PATH")])]
    return {
        **os.environ,
        **ros_environment(outer_domain),
        "AMENT_PREFIX_PATH": os.pathsep.join(prefixes),
        "ROS_LOG_DIR": str(tmp_path_factory.mktemp("log")),
    }


class Launch:
    """A launch file that runs, and what it prints."""

    def __init__(self, environment, name, *words):
        path = share_path("launch") / f"{name}.launch.py"
        self.process = subprocess.Popen(
            [sys.executable, "-c", RUN, str(path), *words],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        self.seen = ""

    def wait_for(self, *texts):
        for text in texts:
            while text not in self.seen:
                line = self.process.stdout.readline()
                assert line, f"ended without '{text}': {self.seen}"
                self.seen += line

    def alive(self):
        assert self.process.poll() is None, self.seen

    def end(self):
        self.seen += self.process.stdout.read()
        return self.process.wait()

    def interrupt(self):
        self.process.send_signal(signal.SIGINT)
        assert self.end() == 0, self.seen
        assert "Traceback" not in self.seen
        assert "escalating" not in self.seen


@pytest.fixture
def launch(environment):
    started = []

    def start(name, *words):
        started.append(Launch(environment, name, *words))
        return started[-1]

    yield start
    for each in started:
        if each.process.poll() is None:
            os.killpg(each.process.pid, signal.SIGKILL)
            each.process.wait()


def remote(observer, launched, name):
    from nn_perception.nodes.remote import RemoteNode

    return RemoteNode(observer, name, launched.alive)


def parameter(observer, name, *parameters):
    from rcl_interfaces.srv import GetParameters

    client = observer.create_client(GetParameters, f"{name}/get_parameters")
    assert client.wait_for_service(20.0)
    done = client.call(GetParameters.Request(names=list(parameters)), timeout_sec=20.0)
    return done.values


def names_of(topics):
    return {topic for topic, _ in topics}


def test_one_node_becomes_active_with_what_its_arguments_say(launch, observer):
    launched = launch(
        "gyro_corrector", "namespace:=r1", "imu_topic:=/imu", "queue_size:=7", "warn_after_s:=1"
    )
    remote(observer, launched, "/r1/gyro_corrector").wait_for_state("active")
    values = parameter(observer, "/r1/gyro_corrector", "queue_size", "warn_after_s", "qos_depth")
    assert values[0].integer_value == 7
    assert values[1].double_value == 1.0
    assert values[2].integer_value == 400  # as in config/gyro_corrector.yaml
    assert observer.get_subscriptions_info_by_topic("/imu")
    assert observer.get_publishers_info_by_topic("/r1/imu/data_corrected")
    launched.interrupt()


@pytest.mark.parametrize("single_process", ["false", "true"])
def test_all_nodes_or_some_in_one_process_or_one_each(launch, observer, single_process):
    names = ("image_classifier", "attitude_estimator", "gyro_corrector")
    launched = launch(
        "perception",
        f"single_process:={single_process}",
        "namespace:=/a/r1",
        "uwb_corrector:=False",
        "model_image_classifier:=objects",
        "autostart:=false",
        "device:=cpu",
    )
    for name in names:
        remote(observer, launched, f"/a/r1/{name}").wait_for_state("unconfigured")
        device, model = parameter(observer, f"/a/r1/{name}", "device", "model")
        assert device.string_value == "cpu"
        assert model.string_value == ("objects" if name == "image_classifier" else "")
    assert launched.seen.count("process started") == 0
    launched.interrupt()
    assert launched.seen.count("process started") == (1 if single_process == "true" else 3)
    assert launched.seen.count("finished cleanly") == (1 if single_process == "true" else 3)
    assert "uwb_corrector" not in launched.seen


def test_overrides_win_over_a_users_file_for_all_and_for_one(launch, observer, tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text(
        "/**:\n  ros__parameters: {threads: 2}\n"
        "/**/gyro_corrector:\n  ros__parameters: {threads: 3, qos_depth: 9}\n"
    )
    launched = launch("gyro_corrector", f"params_file:={path}", "threads:=4", "autostart:=false")
    remote(observer, launched, "/gyro_corrector").wait_for_state("unconfigured")
    threads, depth = parameter(observer, "/gyro_corrector", "threads", "qos_depth")
    assert (threads.integer_value, depth.integer_value) == (4, 9)
    launched.interrupt()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["image_classifier", "params_file:=/no/such/file"], "cannot read the parameter file"),
        (["image_classifier", "threads:=0"], "threads"),
        (["image_classifier", "threads:=two"], "expected type int"),
        (["image_classifier", "autostart:=maybe"], "autostart"),
        (["perception", *(f"{name}:=false" for name in PERCEPTION_NODES)], "switched off"),
        (["replay", "bag:=/no/such/bag"], "no such file"),
        (["replay"], "bag"),
        (["gyro_corrector", "record:=/tmp"], "there already"),
    ],
)
def test_what_cannot_be_used_is_said_before_anything_starts(launch, words, said):
    launched = launch(*words)
    assert launched.end() == 1
    assert said in launched.seen
    assert "process started" not in launched.seen


@pytest.fixture
def ros2(environment, tmp_path):
    """A stand-in for `ros2`, which no wheel has: writes its arguments down and waits, or ends."""

    def install(code):
        script = tmp_path / "bin" / "ros2"
        script.parent.mkdir(exist_ok=True)
        script.write_text(f"#!{sys.executable}\nimport sys, pathlib, signal\n"
            f"pathlib.Path({str(tmp_path)!r}, sys.argv[2]).write_text('\\n'.join(sys.argv[1:]))\n"
            f"{code}\n")  # fmt: skip
        script.chmod(0o755)
        environment["PATH"] = os.pathsep.join([str(script.parent), os.environ["PATH"]])
        return lambda verb: Path(tmp_path, verb).read_text().splitlines()

    yield install
    environment["PATH"] = os.environ["PATH"]


WAIT = "signal.signal(signal.SIGINT, lambda *_: sys.exit(0))\nprint('waits', flush=True)\n"
WAIT += "signal.pause()"


def test_records_what_the_nodes_take_and_give(launch, observer, ros2, tmp_path):
    arguments = ros2(WAIT)
    launched = launch(
        "gyro_corrector", f"record:={tmp_path}/out", "imu_topic:=/imu", "use_sim_time:=true"
    )
    launched.wait_for("waits")
    words = arguments("record")
    assert words[:2] == ["bag", "record"]
    assert f"{tmp_path}/out" in words
    assert "--use-sim-time" in words
    assert "imu/data_corrected" in words[words.index("--regex") + 1]
    remote(observer, launched, "/gyro_corrector").wait_for_state("active")
    launched.interrupt()


@pytest.mark.parametrize("shutdown", ["true", "false"])
def test_replay_plays_when_the_nodes_are_active(launch, observer, ros2, tmp_path, shutdown):
    arguments = ros2("print('plays', flush=True)")
    off = [f"{name}:=false" for name in PERCEPTION_NODES if name != "gyro_corrector"]
    launched = launch(
        "replay", f"bag:={tmp_path}", "rate:=2.0", f"shutdown_at_end:={shutdown}", *off
    )
    launched.wait_for("plays")
    assert launched.seen.index("model gyro") < launched.seen.index("plays")
    words = arguments("play")
    assert words[:3] == ["bag", "play", str(tmp_path)]
    assert words[words.index("--rate") + 1] == "2.0"
    if shutdown == "true":
        assert launched.end() == 0
        assert "the bag has ended" in launched.seen
        return
    launched.wait_for("the nodes go on")
    remote(observer, launched, "/gyro_corrector").wait_for_state("active")
    (value,) = parameter(observer, "/gyro_corrector", "use_sim_time")
    assert value.bool_value
    launched.interrupt()


def test_a_bag_that_cannot_be_played_ends_the_replay(launch, ros2, tmp_path):
    ros2("sys.exit(3)")
    off = [f"{name}:=false" for name in PERCEPTION_NODES if name != "gyro_corrector"]
    launched = launch("replay", f"bag:={tmp_path}", *off)
    launched.end()
    assert "'ros2 bag play' ended with exit code 3" in launched.seen
