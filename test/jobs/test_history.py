"""The way back: what nodes ran before, whatever happened in between."""

import json
import subprocess
import sys

import pytest

from nn_perception.jobs import history as events
from nn_perception.jobs.history import History, Ran, previous_of
from nn_perception.jobs.listing import rows_of_node


@pytest.fixture
def history(tmp_path):
    return History(tmp_path / "history.jsonl")


def deploy(history, bundle, *, end=events.DEPLOYED, **before):
    ran = {f"/{node}": Ran(model, f"id_{model}") for node, model in before.items()}
    history.add(events.DEPLOYING, bundle=bundle, id=f"id_{bundle}", previous=previous_of(ran))
    if end:
        history.add(end, bundle=bundle, id=f"id_{bundle}")


def back(history, node="/a"):
    return [ran.model for ran in history.way_back(node)]


def test_each_deployment_is_one_step_back(history):
    deploy(history, "one", a="shipped", b="other")
    deploy(history, "two", a="one")
    assert back(history) == ["shipped", "one"]
    assert back(history, "/b") == ["other"]
    assert back(history, "/c") == []
    history.add(events.ROLLBACK, node="/a", to={"model": "one", "id": "id_one"})
    assert back(history) == ["shipped"]
    history.add(events.ROLLBACK, node="/a", to={"model": "shipped", "id": "id_shipped"})
    assert back(history) == []
    assert back(history, "/b") == ["other"]


def test_a_withdrawn_deployment_is_no_step(history):
    deploy(history, "one", a="shipped")
    deploy(history, "two", end=events.WITHDRAWN, a="one")
    assert back(history) == ["shipped"]


def test_a_deployment_that_was_cut_short_keeps_its_way_back(history):
    deploy(history, "one", end=None, a="shipped")
    assert back(history) == ["shipped"]
    assert history.unfinished()["bundle"] == "one"
    history.add(events.WITHDRAWN, bundle="one", id="id_one")
    assert back(history) == []
    assert history.unfinished() is None


def test_a_rollback_before_the_withdrawal_is_not_counted_twice(history):
    deploy(history, "zero", a="shipped")
    deploy(history, "one", end=None, a="zero")
    history.add(events.ROLLBACK, node="/a", to={"model": "zero", "id": "id_zero"})
    history.add(events.WITHDRAWN, bundle="one", id="id_one")
    assert back(history) == ["shipped"]


def test_a_chosen_model_can_be_taken_back(history):
    deploy(history, "one", a="shipped")
    previous = previous_of({"/a": Ran("one", "id_one")})
    history.add(events.CHOSEN, node="/a", bundle="mine", id="id_mine", previous=previous)
    assert back(history) == ["shipped", "one"]


def test_damaged_lines_are_passed_over(history):
    deploy(history, "one", a="shipped")
    with history.path.open("a") as file:
        file.write('{"event": "depl\n[1]\n{"no": "event"}\n')
    assert back(history) == ["shipped"]
    deploy(history, "two", a="one")
    assert back(history) == ["shipped", "one"]


def test_what_is_kept_is_what_runs_and_what_would_come_back(history):
    for name, before in (("one", "shipped"), ("two", "one"), ("three", "two")):
        history.add(events.TRAINED, bundle=name, id=f"id_{name}")
        deploy(history, name, a=before)
    assert list(history.bundles()) == ["one", "two", "three"]
    assert history.ids_to_keep() == {"id_three", "id_two"}
    history.add(events.ROLLBACK, node="/a", to={"model": "two", "id": "id_two"})
    assert history.ids_to_keep() == {"id_two", "id_one"}
    deploy(history, "four", end=events.WITHDRAWN, a="two")
    assert {"id_two", "id_one"} <= history.ids_to_keep()


def test_the_table_tells_what_became_of_each(history):
    deploy(history, "one", a="shipped")
    deploy(history, "two", end=events.WITHDRAWN, a="one", b="x")
    deploy(history, "three", b="x")
    history.add(events.ROLLBACK, node="/a", to={"model": "shipped", "id": "s"})
    rows = [(row[1], row[2]) for row in rows_of_node(history, "/a")]
    assert rows == [("deployed", "one"), ("withdrawn", "two"), ("rolled back", "shipped")]


ADD = """
import sys
from pathlib import Path
from nn_perception.jobs.history import TRAINED, History
print("ready", flush=True)
input()
for number in range(20):
    History(Path(sys.argv[1])).add(TRAINED, bundle=f"{sys.argv[2]}{number}", id="x")
"""


def test_several_processes_add_without_losing_a_line(history):
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    command = [sys.executable, "-c", ADD, str(history.path)]
    writers = [subprocess.Popen([*command, name], **pipes) for name in "ab"]
    for writer in writers:
        assert writer.stdout.readline() == b"ready\n"
    for writer in writers:
        writer.stdin.write(b"\n")
        writer.stdin.flush()
    for writer in writers:
        writer.communicate()
        assert writer.returncode == 0
    assert len(history.bundles()) == 40
    assert all(json.loads(line) for line in history.path.read_text().splitlines())
