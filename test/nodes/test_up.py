"""``nn-perception up`` with real nodes: started, named, stopped, and what is refused before."""

import os
import select
import signal
import subprocess
import sys

import pytest

from nn_perception.cli.main import main
from nn_perception.errors import ConfigError
from nn_perception.nodes.ready import wait_until_active
from nn_perception.nodes.registry import PERCEPTION_NODES, parse_instances
from nn_perception.nodes.remote import RemoteNode
from nn_perception.nodes.starting import StartSettings, commands
from nn_perception.nodes.supervisor import Supervisor


class Up:
    """A running ``nn-perception up``."""

    def __init__(self, *words):
        self.process = subprocess.Popen(
            [sys.executable, "-m", "nn_perception", "up", *words],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def alive(self):
        assert self.process.poll() is None, self.process.communicate()

    def children(self):
        """Return name -> pid of its nodes."""
        path = f"/proc/{self.process.pid}/task/{self.process.pid}/children"
        with open(path, encoding="ascii") as file:
            pids = [int(word) for word in file.read().split()]
        return {_node_of(pid): pid for pid in pids}

    def end(self, number=None):
        if number is not None:
            self.process.send_signal(number)
        out, err = self.process.communicate()
        return self.process.returncode, out, err


def _node_of(pid):
    with open(f"/proc/{pid}/cmdline", encoding="utf-8") as file:
        words = file.read().split("\0")
    return next((w.partition(":=")[2] for w in words if w.startswith("__node:=")), words[2])


@pytest.fixture
def up(observer):
    started = []

    def start(*words):
        started.append(Up(*words))
        return started[-1]

    yield start
    for each in started:
        each.process.kill()
        each.process.communicate()


def test_starts_several_of_a_kind_and_stops_them_cleanly(up, observer, tmp_path):
    path = tmp_path / "parameters.yaml"
    path.write_text(
        "/**/eyes:\n  ros__parameters: {model: digit_reader, regions: full}\n"
        "/**:\n  ros__parameters: {device: cpu}\n"
    )
    running = up(
        *("eyes=image_classifier", "gyro_corrector", "--namespace", "r1", "--use-sim-time"),
        *("--params-file", str(path), "--remap", "eyes:image_raw:=front/image"),
    )
    for name in ("/r1/eyes", "/r1/gyro_corrector"):
        RemoteNode(observer, name, running.alive).wait_for_state("active", 40.0)
    assert observer.get_subscriptions_info_by_topic("/r1/front/image")
    assert observer.get_subscriptions_info_by_topic("/clock")
    children = running.children()
    assert set(children) == {"eyes", "gyro_corrector"}
    code, out, err = running.end(signal.SIGTERM)
    assert (code, err) == (0, "")
    assert "[eyes]           " in out
    assert "model digit_reader" in out
    assert "[up]             SIGTERM: stopping" in out
    assert "Traceback" not in out
    for pid in children.values():
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


def test_all_in_one_process(up, observer):
    running = up("--single-process", "a=gyro_corrector", "b=gyro_corrector", "--log-level", "warn")
    for name in ("/a", "/b"):
        RemoteNode(observer, name, running.alive).wait_for_state("active", 40.0)
    assert len(running.children()) == 1
    code, out, err = running.end(signal.SIGINT)
    assert (code, err) == (0, "")
    assert out == "[up]         SIGINT: stopping\n"


def test_a_node_that_dies_takes_the_others_along(up, observer):
    running = up("a=gyro_corrector", "b=gyro_corrector")
    wait_until_active(("/a", "/b"))
    children = running.children()
    os.kill(children["a"], signal.SIGKILL)
    code, out, _ = running.end()
    assert code == 1
    assert "a was ended by SIGKILL: stopping b" in out
    with pytest.raises(ProcessLookupError):
        os.kill(children["b"], 0)


def test_nodes_end_when_up_is_killed(up, observer):
    running = up("a=gyro_corrector")
    wait_until_active(["/a"])
    (pid,) = running.children().values()
    watched = os.pidfd_open(pid)
    running.process.kill()
    try:
        assert select.select([watched], [], [], 60.0)[0], "the node goes on"
    finally:
        os.close(watched)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["image_clasifier"], "did you mean 'image_classifier'"),
        (["--params-file", "/no/such/file"], "cannot read the parameter file"),
        (["--namespace", "1r"], "no namespace"),
        (["--namespace", "a//b"], "no namespace"),
        (["--domain-id", "300"], "0 to 101"),
        (["--remap", "a=b"], "FROM:=TO"),
        (["--log-level", "loud"], "loud"),
        (["gyro_corrector", "gyro_corrector"], "two nodes"),
    ],
)
def test_what_cannot_be_used_is_said_before_anything_starts(words, said, capsys, monkeypatch):
    monkeypatch.setattr(Supervisor, "run", lambda _: pytest.fail("it was started"))
    try:
        code = main(["up", *words])
    except SystemExit as end:
        code = end.code
    out, err = capsys.readouterr()
    assert (code, out) == (2, "")
    assert said in err


def test_rclpy_that_is_not_there_is_said_before_anything_starts(capsys, monkeypatch):
    monkeypatch.setattr(Supervisor, "run", lambda _: pytest.fail("it was started"))
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert main(["up"]) == 2
    assert "source a ROS 2 distribution" in capsys.readouterr().err


def test_one_command_each_or_one_for_all(tmp_path):
    nodes = {"a": "gyro_corrector", "b": "image_classifier"}
    each = commands(StartSettings(nodes, namespace="/r1"), tmp_path)
    assert list(each) == ["a", "b"]
    for name, command in each.items():
        assert f"nn_perception.nodes.{nodes[name]}" in command
        assert f"__node:={name}" in command
        assert "__ns:=/r1" in command
    (together,) = commands(StartSettings(nodes, single_process=True), tmp_path).values()
    assert {"a=gyro_corrector", "b=image_classifier"} < set(together)
    assert not [word for word in together if word.startswith(("__node", "__ns"))]


def test_a_parameter_file_is_checked_against_the_nodes_that_are_started(tmp_path):
    path = tmp_path / "parameters.yaml"
    path.write_text("/**/eyes:\n  ros__parameters: {imus: left}\n")
    commands(StartSettings({"eyes": "gyro_corrector"}, params_file=path), tmp_path)
    with pytest.raises(ConfigError, match="unknown parameter 'imus'"):
        commands(StartSettings({"eyes": "image_classifier"}, params_file=path), tmp_path)


def test_without_words_the_same_set_as_the_launch_file(tmp_path):
    settings = StartSettings(parse_instances([]))
    assert list(commands(settings, tmp_path)) == list(PERCEPTION_NODES)
