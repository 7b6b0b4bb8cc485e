"""Real processes, real trainings, real DDS: a trainer, the nodes that get its models, and kills."""

import contextlib
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("torch")

from nn_perception.bench.kill_watching import children_of, ends, kill, write_pictures
from nn_perception.bundle import load_bundle
from nn_perception.errors import NnPerceptionError
from nn_perception.jobs.history import History
from nn_perception.nodes.process import NodeProcess, ros_environment
from nn_perception.nodes.rollback import roll_back
from nn_perception.nodes.target import RemoteTarget
from nn_perception.nodes.trainer_client import TrainerClient

QUICK = "network=mlp augment={} compile=off batch_size=50 "


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    """Pictures of which each class is a bright square at a place of its own."""
    return write_pictures(tmp_path_factory.mktemp("data") / "digits.npz", count=300)


class Robot:
    """A directory of models, a trainer, and nodes that run ``old`` at first."""

    def __init__(self, outer, tmp_path, digits, stack):
        self.context, self.domain = outer
        self.out, self.logs, self.digits = tmp_path / "models", tmp_path, digits
        self._stack, self._started = stack, 0

    def start(self, executable, name, **parameters):
        self._started += 1
        process = NodeProcess(
            executable,
            domain_id=self.domain,
            log=self.logs / f"{self._started}_{name}.log",
            parameters=parameters,
            remappings={"__node": name},
            environment={"OMP_NUM_THREADS": "1"},
        )
        self._stack.callback(kill, process)
        return process

    def start_node(self, name, **parameters):
        values = {"model_root": str(self.out), "model": "old", **parameters}
        process = self.start("image_classifier", name, **values)
        spinner = TrainerClient(f"/{name}", context=self.context, alive=process.check_running)
        self._stack.callback(spinner.close)
        spinner.remote.wait_for_state("active")
        return RemoteTarget(spinner.node, f"/{name}", process.check_running)

    def start_trainer(self, epochs, **parameters):
        values = {
            "data": str(self.digits),
            "out": str(self.out),
            "overrides": f"{QUICK}epochs={epochs}",
            "device": "cpu",
            "nice": 0,
            "diagnostics_period_s": 0.2,
            **parameters,
        }
        process = self.start("trainer", "trainer", **values)
        client = TrainerClient(context=self.context, alive=process.check_running)
        self._stack.callback(client.close)
        client.remote.wait_for_state("active")
        return process, client

    def bundles(self):
        """Every bundle that a node could load, in whatever folder; each must be whole."""
        found = {path.parent for path in self.out.rglob("config.json")}
        half = {path for path in found if path.name.startswith(".")}
        assert not half
        return {path.name: load_bundle(path).id for path in found if ".trainer" not in path.parts}

    def history(self):
        return History(self.out / "history.jsonl")


@pytest.fixture
def robot(outer, tmp_path, digits, save_model):
    with contextlib.ExitStack() as stack:
        robot = Robot(outer, tmp_path, digits, stack)
        save_model(robot.out / "old", answer=1)
        yield robot


def children(process):
    """Handles of the processes that a process has started."""
    return children_of(process.pid)


def wait_for_end(handle):
    assert ends(handle), "a process lives on that should have ended"


def trained(status):
    return status["state"] == "training" and int(status["epoch"]) >= 2


def command(robot, *words):
    return subprocess.run(
        [sys.executable, "-m", "nn_perception", "rollback", *words],
        env={**os.environ, **ros_environment(robot.domain)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_killed_resumed_deployed_and_rolled_back(robot):
    """The whole way: the child is killed, ~/train goes on, both nodes get what is better."""
    old = robot.bundles()["old"]
    nodes = [robot.start_node("left"), robot.start_node("right")]
    process, client = robot.start_trainer(60, target_nodes="/left, /right", margin=0.5, nice=3)
    assert client.train()[0]
    client.wait_for_status(trained)
    ((child, handle),) = children(process)
    assert os.getpriority(os.PRIO_PROCESS, child) == 3
    assert Path(f"/proc/{child}/oom_score_adj").read_text().strip() == "1000"
    os.kill(child, signal.SIGKILL)
    status = client.wait_for_end()
    wait_for_end(handle)
    assert status["state"] == "failed"
    assert "SIGKILL (out of memory?)" in status["message"]
    assert client.next_diagnostics()["level"] == "ERROR"
    assert set(robot.bundles()) == {"old"}
    assert not [path for path in process.loaded_libraries() if "torch" in path]

    epochs = int(status["epoch"])
    client.forget()
    assert client.remote.set_parameter("overrides", f"{QUICK}epochs=60 device=auto")[0]
    assert client.train()[0]
    first = client.wait_for_status(lambda s: s["state"] == "training" and s["epoch"] != "0")
    assert int(first["epoch"]) > epochs
    status = client.wait_for_end()
    assert (status["state"], status["decision"], status["score"]) == (
        "done",
        "deployed",
        "accuracy",
    )
    assert status["score./left"] == status["score./right"] == "0.1"
    assert float(status["score.new"]) > 0.6
    new = status["bundle_id"]
    assert robot.bundles() == {"old": old, status["bundle"]: new}
    for node in nodes:
        running = node.read()
        assert (running.id, running.model) == (new, status["bundle"])
    kinds = [event["event"] for event in robot.history().events()]
    assert kinds == ["trained", "deploying", "deployed"]

    listed = command(robot, "/left", "--list")
    assert (listed.returncode, listed.stderr) == (0, "")
    assert status["bundle"] in listed.stdout
    done = roll_back("left")
    assert (done.node, done.before.id, done.now.id) == ("/left", new, old)
    assert (nodes[0].read().id, nodes[1].read().id) == (old, new)
    with pytest.raises(NnPerceptionError, match="no deployment on /left"):
        roll_back("/left")
    assert roll_back("/left", to=status["bundle"]).now.id == new
    assert roll_back("/left").now.id == old
    absent = command(robot, "/lift")
    assert absent.returncode == 2
    assert "did you mean '/left'" in absent.stderr


def test_one_target_refuses_and_the_other_is_set_back(robot):
    old = robot.bundles()["old"]
    nodes = [robot.start_node("left"), robot.start_node("right", allow_model_changes=False)]
    _, client = robot.start_trainer(2, target_nodes="/left,/right", deploy="always", test_data="")
    assert client.train()[0]
    status = client.wait_for_end()
    assert (status["state"], status["decision"]) == ("failed", "refused")
    assert "/right did not take" in status["reason"]
    assert "set back: /left" in status["reason"]
    assert [node.read().id for node in nodes] == [old, old]
    assert robot.history().way_back("/left") == []
    assert robot.history().events()[-1]["event"] == "withdrawn"
    with pytest.raises(NnPerceptionError, match=r"refused: .*allow_model_changes"):
        roll_back("/right", to="old")


def test_the_trainer_is_killed_and_what_is_worse_is_kept(robot):
    """Its child ends with it; the next one goes on; cancelled while evaluating it goes on, too."""
    old = robot.bundles()["old"]
    node = robot.start_node("left")
    process, client = robot.start_trainer(30, target_nodes="/left", margin=0.95)
    assert client.train()[0]
    status = client.wait_for_status(trained)
    ((_, handle),) = children(process)
    kill(process)
    wait_for_end(handle)

    process, client = robot.start_trainer(30, target_nodes="/left", margin=0.95)
    interrupted = client.wait_for_state("interrupted")
    assert int(interrupted["epoch"]) >= int(status["epoch"])
    assert client.train()[0]
    client.wait_for_state("evaluating", timeout_s=120.0)
    assert client.cancel()[0]
    assert client.wait_for_end()["state"] == "cancelled"
    assert children(process) == []
    epochs = [int(s["epoch"]) for s in client.statuses if s["state"] == "training"]
    assert min(epoch for epoch in epochs if epoch) > 2
    client.forget()
    assert client.train()[0]
    status = client.wait_for_end()
    assert (status["state"], status["decision"]) == ("done", "kept")
    assert "less than the margin of 0.95" in status["reason"]
    assert not [s for s in client.statuses if s["state"] == "training"]
    assert node.read().id == old
    assert robot.bundles() == {"old": old, status["bundle"]: status["bundle_id"]}
    process.stop()
    lines = (robot.out / "history.jsonl").read_text().splitlines()
    assert [json.loads(line)["event"] for line in lines] == ["trained", "kept"]


def test_cancelled_while_preparing_and_training(robot):
    process, client = robot.start_trainer(100_000)
    assert client.train()[0]
    client.wait_for_state("preparing")
    assert client.cancel()[0]
    assert client.wait_for_end()["state"] == "cancelled"
    client.forget()
    assert client.train()[0]
    client.wait_for_status(trained)
    ((_, handle),) = children(process)
    successful, message = client.cancel()
    assert successful
    assert "cancelled while training, epoch" in message
    wait_for_end(handle)
    assert client.wait_for_end()["state"] == "cancelled"
    process.stop()
    assert set(robot.bundles()) == {"old"}
