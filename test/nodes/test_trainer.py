"""The trainer node in this process: what it refuses, and what it says, without any training."""

import os
import threading

import pytest

from nn_perception.errors import TaskError
from nn_perception.jobs.files import Workplace, write_json
from nn_perception.jobs.history import DEPLOYING, History, Ran, previous_of
from nn_perception.jobs.locking import Lock
from nn_perception.jobs.spec import JobSpec
from nn_perception.nodes import target as target_module
from nn_perception.nodes.trainer import TrainerNode
from nn_perception.nodes.trainer_client import TrainerClient
from nn_perception.nodes.trainer_worker import target_names


@pytest.fixture
def trainer(start, ros, tmp_path):
    """Return a function that starts a trainer and gives a client of it."""
    clients = []

    def make(**parameters):
        values = {"out": str(tmp_path / "models"), "data": "builtin", **parameters}
        node = start(node_class=TrainerNode, **values)
        client = TrainerClient(node.get_fully_qualified_name(), context=ros)
        clients.append(client)
        client.wait_for_status(lambda status: True)
        return client

    yield make
    for client in clients:
        client.close()


@pytest.fixture
def start(start, model_root):
    """A trainer has no model_root; everything else is as it is for other nodes."""

    def make(*, node_class=None, **parameters):
        if node_class is not TrainerNode:
            return start(**parameters)
        return start(node_class=lambda **kwargs: TrainerNode(**without(kwargs)), **parameters)

    def without(kwargs):
        kept = [p for p in kwargs["parameter_overrides"] if p.name != "model_root"]
        return {**kwargs, "parameter_overrides": kept}

    return make


def leave_job(out, **lines):
    """Leave what a killed trainer leaves."""
    place = Workplace(out)
    place.prepare()
    JobSpec("digits", "builtin", out).save()
    write_json(place.progress, {"stage": "training", "epoch": 3, "epochs": 10, "loss": 0.5})
    for name, values in lines.items():
        write_json(getattr(place, name), values)
    return place


def test_it_begins_idle(trainer):
    client = trainer()
    assert client.status["state"] == "idle"
    assert client.next_diagnostics()["state"] == "idle"
    assert client.cancel() == (False, "nothing runs that could be cancelled")


@pytest.mark.parametrize(
    ("parameters", "said"),
    [
        ({"data": ""}, "'data' is empty"),
        ({"config": "/no/such.yaml"}, "/no/such.yaml"),
        ({"signing_key": "/no/such.pem"}, "/no/such.pem"),
        ({"overrides": "epochs"}, "key=value"),
        ({"overrides": "a='b"}, "close the quotes"),
        ({"target_nodes": "/a, a"}, "/a twice"),
        ({"init": "active"}, "target_nodes"),
        ({"allow_model_changes": False}, "allow_model_changes is false"),
        ({"autostart": False}, "not active"),
    ],
)
def test_what_cannot_begin_is_refused_at_once(trainer, parameters, said):
    autostart = parameters.pop("autostart", True)
    client = trainer(autostart=autostart, **parameters)
    successful, message = client.train()
    assert not successful
    assert said in message
    assert client.status["state"] == "idle"


def test_an_unknown_task_ends_the_start(start, tmp_path):
    with pytest.raises(TaskError, match="did you mean 'digits'"):
        start(node_class=TrainerNode, task="digit", out=str(tmp_path))


def failed(client):
    assert client.train()[0]
    status = client.wait_for_end()
    assert status["state"] == "failed"
    assert status["level"] == "ERROR"
    return status["message"]


def test_a_target_that_is_not_there_is_told_before_the_training(trainer, monkeypatch):
    monkeypatch.setattr(target_module, "ASK_TIMEOUT_S", 0.3)
    assert "/nobody/get_parameters" in failed(trainer(target_nodes="/nobody"))


def test_a_target_that_does_not_look_there_for_models(trainer, start, tmp_path):
    start()
    message = failed(trainer(target_nodes="image_classifier"))
    assert str(tmp_path / "models") in message
    assert "model_root" in message


def test_a_target_of_another_task(trainer, start, tmp_path):
    (tmp_path / "models").mkdir()
    start(model_root=str(tmp_path / "models"), autostart=False)
    message = failed(trainer(task="gyro", data="simulated", target_nodes="/image_classifier"))
    assert "runs the task 'digits', the trainer trains 'gyro'" in message


def test_a_target_that_is_no_perception_node(trainer):
    trainer(cli=("-r", "__node:=other"), out=os.devnull)
    client = trainer(target_nodes="/other")
    assert "/other has not all of the parameters task, model_root" in failed(client)


def test_cancelling_while_a_target_is_waited_for(trainer):
    client = trainer(target_nodes="/nobody")
    assert client.train()[0]
    successful, message = client.train()
    assert not successful
    assert "runs already (preparing)" in message
    successful, message = client.cancel()
    assert successful
    assert "cancelled" in message
    assert client.wait_for_end()["state"] == "cancelled"


def test_a_second_trainer_for_the_same_directory_is_not_configured(trainer, tmp_path, monkeypatch):
    monkeypatch.setattr("nn_perception.jobs.locking.ORPHAN_S", 0.0)
    lock = Lock(Workplace(tmp_path / "models"))
    client = trainer()
    assert client.status["state"] == "failed"
    assert f"process {os.getpid()}" in client.status["message"]
    assert client.remote.state() == "unconfigured"
    assert not client.train()[0]
    lock.release()
    from lifecycle_msgs.msg import Transition

    assert client.remote.change_state(Transition.TRANSITION_CONFIGURE)
    assert client.remote.change_state(Transition.TRANSITION_ACTIVATE)
    assert client.wait_for_status(lambda s: s["state"] == "idle" and "begins" in s["message"])


def test_what_a_killed_trainer_left_is_told(trainer, tmp_path):
    leave_job(tmp_path / "models")
    client = trainer()
    assert client.status["state"] == "interrupted"
    assert client.status["level"] == "WARN"
    assert "epoch 3 of 10" in client.status["message"]
    assert (client.status["epoch"], client.status["epochs"]) == ("3", "10")


def test_one_that_was_trained_and_not_decided_upon(trainer, tmp_path):
    leave_job(tmp_path / "models", published={"bundle": "digits-1-a", "id": "a"})
    assert "digits-1-a is trained" in trainer().status["message"]


def test_a_cancelled_one_is_no_interrupted_one(trainer, tmp_path):
    leave_job(tmp_path / "models", ended={"state": "cancelled", "message": "cancelled in epoch 3"})
    status = trainer().status
    assert status["state"] == "idle"
    assert "cancelled in epoch 3" in status["message"]


@pytest.mark.parametrize("reached", [1, 2])
def test_a_deployment_that_was_cut_short_is_put_right(
    trainer, start, tmp_path, save_model, reached
):
    """The trainer was killed when one target, or both, ran the new model."""
    out = tmp_path / "models"
    old = save_model(out / "old", answer=1)
    new = save_model(out / "new", answer=2)
    nodes = {
        name: start(
            cli=("-r", f"__node:={name}"),
            model_root=str(out),
            model="new" if number < reached else "old",
        )
        for number, name in enumerate(("left", "right"))
    }
    history = History(out / "history.jsonl")
    before = {f"/{name}": Ran("old", old.id) for name in nodes}
    history.add(DEPLOYING, bundle="new", id=new.id, previous=previous_of(before))
    client = trainer()
    status = client.wait_for_state("interrupted")
    models = [node.value("model") for node in nodes.values()]
    if reached == 1:
        assert "while it deployed new; set back: /left;" in status["message"]
        assert models == ["old", "old"]
        assert history.way_back("/left") == []
    else:
        assert "runs on all" in status["message"]
        assert models == ["new", "new"]
        assert [ran.model for ran in history.way_back("/left")] == ["old"]
    assert history.unfinished() is None


def test_transitions_end_what_runs(trainer):
    from lifecycle_msgs.msg import Transition

    client = trainer(target_nodes="/nobody")
    assert client.train()[0]
    assert client.remote.change_state(Transition.TRANSITION_DEACTIVATE)
    client.wait_for_state("cancelled")
    assert client.train()[0] is False
    assert client.remote.change_state(Transition.TRANSITION_CLEANUP)
    assert client.remote.change_state(Transition.TRANSITION_CONFIGURE)
    assert client.remote.change_state(Transition.TRANSITION_ACTIVATE)
    assert client.train()[0]
    assert client.cancel()[0]
    assert not [t for t in threading.enumerate() if t.name == "trainer" and t.is_alive()]


def test_parameters_count_for_the_next_training(trainer):
    client = trainer(data="")
    assert not client.train()[0]
    assert client.remote.set_parameter("data", "/no/such/place")[0]
    assert client.remote.set_parameter("target_nodes", "/nobody")[0]
    assert client.train()[0]
    assert client.cancel()[0]
    successful, reason = client.remote.set_parameter("out", "/elsewhere")
    assert not successful
    assert "read-only" in reason
    assert not client.remote.set_parameter("deploy", "sometimes")[0]


@pytest.mark.parametrize(
    ("text", "names"),
    [("", []), ("/a", ["/a"]), (" a , /b/c,", ["/a", "/b/c"])],
)
def test_names_of_targets(text, names):
    assert target_names(text) == names
