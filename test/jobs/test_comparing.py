"""The child's second stage: bundles on the same held-out data; each task says what counts."""

import io

import pytest

pytest.importorskip("torch")

from nn_perception.bundle import load_bundle
from nn_perception.errors import NnPerceptionError, TaskError
from nn_perception.evaluation.score import Score, score_of, take_score
from nn_perception.jobs.comparing import compare, read_comparison
from nn_perception.jobs.progress import ProgressWriter
from nn_perception.jobs.spec import NEW, Comparison
from nn_perception.share import shipped_model
from nn_perception.tasks import BUILT_IN, get_task
from nn_perception.tasks.loading import open_pipeline


def comparison_of(tmp_path, bundles, data="builtin", task="digits"):
    scores = tmp_path / "scores.json"
    wanted = Comparison(task, data, {name: str(path) for name, path in bundles.items()})
    compare(wanted, scores, ProgressWriter(io.StringIO(), tmp_path / "progress.json"))
    return read_comparison(scores)


def test_the_figures_are_those_of_an_evaluation(tmp_path, make_bundle):
    one, other = make_bundle(answer=3).path, shipped_model("digits")
    score, found = comparison_of(tmp_path, {NEW: one, "/a": other, "/b": other})
    assert score.key == "accuracy"
    for name, path in ((NEW, one), ("/a", other), ("/b", other)):
        evaluation = get_task("digits").load_evaluation()(open_pipeline(path))
        expected = evaluation.evaluate_data("builtin")
        assert (found[name].value, found[name].count) == (expected.accuracy, expected.n)
        assert found[name].id == load_bundle(path).id
    assert found["/a"].value > 0.95 > 0.2 > found[NEW].value


def test_one_that_runs_and_cannot_be_evaluated_is_told(tmp_path, make_bundle):
    bundles = {NEW: make_bundle().path, "/a": tmp_path / "absent", "/b": shipped_model("gyro")}
    _, found = comparison_of(tmp_path, bundles)
    assert "no bundle" in found["/a"].error
    assert "'gyro'" in found["/b"].error
    assert found[NEW].error == ""
    with pytest.raises(NnPerceptionError, match="no bundle"):
        comparison_of(tmp_path, {NEW: tmp_path / "absent"})


@pytest.mark.parametrize("task", BUILT_IN, ids=lambda task: task.name)
def test_every_task_declares_a_score_that_its_figures_have(task):
    """Without a truth the value is unknown, but its place is there."""
    pipeline = open_pipeline(shipped_model(task.default_model), for_data=True)
    evaluation = task.load_evaluation()(pipeline)
    scored = take_score(evaluation)
    assert scored.value != scored.value
    assert scored.count == 0


def check_mean(task, pipeline):
    evaluation = get_task(task).load_evaluation()(pipeline)
    evaluation.evaluate_data("simulated")
    figures, scored = evaluation.to_dict(), take_score(evaluation)
    group, key = score_of(evaluation).key.split(".")
    assert scored.value == figures[group][key]
    assert scored.value > 0.0
    assert scored.count > 0


def test_score_of_gyroscopes_is_the_mean_of_recordings(monkeypatch):
    from nn_perception.datasets import imu_data
    from nn_perception.datasets.imu_simulated import simulated_recordings

    short = simulated_recordings([100, 101], 10.0)
    monkeypatch.setattr(imu_data, "simulated_recordings", lambda seeds: short)
    check_mean("gyro", open_pipeline(shipped_model("gyro")))


@pytest.mark.long
def test_score_of_ranges_is_that_of_the_learned_correction(monkeypatch, make_uwb_bundle):
    from nn_perception.datasets import uwb_data
    from nn_perception.datasets.uwb_simulated import simulated_uwb

    flights = simulated_uwb([100])
    pairs = [["*", anchor, 0.0, [0.0]] for anchor in flights[0].anchors]
    monkeypatch.setattr(uwb_data, "simulated_uwb", lambda seeds: flights)
    bundle = make_uwb_bundle(site="simulated", pairs=pairs)
    check_mean("uwb", open_pipeline(bundle, for_data=True))


def test_a_task_without_a_score_says_so():
    class Evaluation:
        def to_dict(self):
            return {"a": {"b": 1.0}, "n": 2, "none": None}

    with pytest.raises(TaskError, match="declares no score"):
        take_score(Evaluation())
    evaluation = Evaluation()
    evaluation.score = Score("a.b", True, "1", "n")
    assert (take_score(evaluation).value, take_score(evaluation).count) == (1.0, 2)
    evaluation.score = Score("a.c", True, "1", "n")
    with pytest.raises(TaskError, match="no 'c'"):
        take_score(evaluation)
