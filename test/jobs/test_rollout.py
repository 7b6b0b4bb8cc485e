"""A model on all of several nodes, or on none."""

from pathlib import Path

import pytest

from nn_perception.errors import NnPerceptionError
from nn_perception.jobs.cancelling import Cancellation
from nn_perception.jobs.files import JobError
from nn_perception.jobs.rollout import RolloutError, Running, check_target, relative_name, roll_out


class Node:
    """A target in memory. ``answers`` says what becomes of each setting: None is yes."""

    def __init__(self, name, root, answers=(), model="old", lost=False):
        self.name, self.root, self.model, self.lost = name, root, model, lost
        self.answers, self.asked = list(answers), []
        self.on_set = lambda: None

    def read(self):
        return Running("digits", self.root, self.model, f"id_{self.model}", self.root / self.model)

    def set_model(self, model, expected_id=""):
        self.asked.append((model, expected_id))
        self.on_set()
        refusal = self.answers.pop(0) if self.answers else None
        if refusal is None or self.lost:
            self.model = model
        if refusal is not None:
            raise NnPerceptionError(refusal)


def deploy(tmp_path, *nodes, cancellation=None):
    before = {node.name: node.read() for node in nodes}
    roll_out(nodes, tmp_path / "new", "id_new", before, cancellation or Cancellation())


def test_all_take_it(tmp_path):
    nodes = [Node("/a", tmp_path), Node("/b", tmp_path.parent, model="other")]
    deploy(tmp_path, *nodes)
    assert nodes[0].asked == [("new", "id_new")]
    assert nodes[1].asked == [(f"{tmp_path.name}/new", "id_new")]


def test_one_that_refuses_sets_the_others_back(tmp_path):
    nodes = [
        Node("/a", tmp_path, model="x"),
        Node("/b", tmp_path, ["read-only"]),
        Node("/c", tmp_path),
    ]
    with pytest.raises(RolloutError, match=r"/b did not take new: read-only; set back: /a"):
        deploy(tmp_path, *nodes)
    assert [node.model for node in nodes] == ["x", "old", "old"]
    assert nodes[0].asked[-1] == ("x", "id_x")
    assert nodes[2].asked == []


def test_one_whose_answer_was_lost_is_set_back_too(tmp_path):
    nodes = [Node("/a", tmp_path), Node("/b", tmp_path, ["no answer"], lost=True)]
    with pytest.raises(RolloutError, match="set back: /b, /a"):
        deploy(tmp_path, *nodes)
    assert [node.model for node in nodes] == ["old", "old"]


def test_one_that_cannot_be_set_back_is_named(tmp_path):
    nodes = [Node("/a", tmp_path, [None, "it died"]), Node("/b", tmp_path, ["no"])]
    with pytest.raises(RolloutError, match=r"NOT set back, look after it: /a \(it died\)"):
        deploy(tmp_path, *nodes)


def test_a_cancellation_in_between_sets_back(tmp_path):
    cancellation = Cancellation()
    nodes = [Node("/a", tmp_path), Node("/b", tmp_path)]
    nodes[0].on_set = cancellation.ask

    def checked(self=nodes[0], read=nodes[0].read):
        cancellation.check()  # as a live target does while it waits
        return read()

    before = {node.name: node.read() for node in nodes}
    nodes[0].read = checked
    with pytest.raises(RolloutError, match=r"cancelled; set back: /a"):
        roll_out(nodes, tmp_path / "new", "id_new", before, cancellation)
    assert [node.model for node in nodes] == ["old", "old"]
    assert nodes[1].asked == []


def test_a_bundle_outside_of_the_models_of_a_node(tmp_path):
    running = Running("digits", tmp_path / "models", "old")
    with pytest.raises(JobError, match="model_root"):
        relative_name(tmp_path / "elsewhere" / "new", running, "/a")
    with pytest.raises(JobError, match="runs the task 'digits'"):
        check_target("/a", running, "gyro", tmp_path / "models")
    check_target("/a", running, "digits", tmp_path / "models" / "deeper")
    assert relative_name(tmp_path / "models/deeper/new", running, "/a") == "deeper/new"


def test_links_are_followed(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    running = Running("digits", tmp_path / "link", "old")
    assert relative_name(tmp_path / "real" / "new", running, "/a") == "new"
    assert relative_name(Path(tmp_path / "link" / "new"), running, "/a") == "new"
