"""The lectures' accuracies: which recipes are measured, by which goals, and what the row says."""

import json

import pytest

pytest.importorskip("torch")

from nn_perception.bench import BENCHMARKS, LONG, BenchSettings, accuracy, lecture, load
from nn_perception.bench.accuracy import Goal
from nn_perception.errors import DatasetError


def test_a_goal_may_have_an_upper_end():
    around = Goal(0.949, 0.959)
    assert [around.met(value) for value in (0.9489, 0.949, 0.959, 0.9591)] == [0, 1, 1, 0]
    assert str(around) == "94.9% to 95.9%"
    assert Goal(0.97).met(0.97)
    assert not Goal(0.97).met(0.9699)
    assert str(Goal(0.97)) == "≥ 97.0%"


def test_it_looks_at_test_data_and_so_runs_only_when_named():
    assert "lecture" in LONG
    assert load("lecture") is lecture.run
    assert len(BENCHMARKS["lecture"]) == 2


def test_rows_of_recipes_that_are_not_there_are_left_out_and_said(monkeypatch, tmp_path):
    rows = (
        lecture.Row("mlp_30", Goal(0.949, 0.959), "95.4 %"),
        lecture.Row("mlp_31", Goal(0.97), "none"),
    )
    monkeypatch.setattr(lecture, "ROWS", rows)
    monkeypatch.setattr(lecture, "mnist_directory", lambda settings: tmp_path)
    asked, said = [], []
    monkeypatch.setattr(lecture, "measure_recipe", lambda *words: asked.append(words))
    lecture.run(BenchSettings(work=tmp_path), said.append)
    assert [(words[0], words[1], words[-1]) for words in asked] == [
        ("mlp_30", Goal(0.949, 0.959), "reference: 95.4 %")
    ]
    assert len(said) == 1
    assert "no recipe 'mlp_31'; did you mean 'mlp_30'" in said[0]


def test_every_own_recipe_is_measured():
    assert [row.recipe for row in lecture.ROWS[:2]] == ["mlp_30", "mlp_30_modern"]


def test_without_mnist_it_says_so(monkeypatch, tmp_path):
    monkeypatch.delenv("NN_PERCEPTION_DATA", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with pytest.raises(DatasetError, match="--data DIR"):
        lecture.run(BenchSettings(work=tmp_path), print)


def test_a_row_is_the_mean_of_the_seeds_with_the_validation_beside(monkeypatch, tmp_path):
    """Stand-ins for training and evaluation, by seed."""

    def trained(task, name, seed, data, settings, say, recipe):
        folder = tmp_path / f"{name}-{seed}" / "training"
        folder.mkdir(parents=True)
        records = [
            {"validation_accuracy": value + 0.01 * seed, "seconds": 2.0}
            for value in (0.90, 0.94, 0.92)
        ]
        (folder / "metrics.jsonl").write_text("\n".join(map(json.dumps, records)))
        return folder.parent

    class Evaluation:
        def __init__(self, out):
            self.accuracy, self.ece = 0.95 + 0.01 * int(out.name[-1]), 0.02

        def evaluate_data(self, data):
            assert data == tmp_path / "mnist"
            return self

    monkeypatch.setattr(accuracy, "trained_seed", trained)
    monkeypatch.setattr(accuracy, "open_pipeline", lambda out, device: out)
    monkeypatch.setattr(accuracy, "ClassificationEvaluation", Evaluation)
    settings = BenchSettings(work=tmp_path, seeds=2)
    goal = Goal(0.949, 0.954)
    row = accuracy.measure_recipe("net", goal, tmp_path / "mnist", settings, print, "beside it")
    assert (row.value, row.unit, row.goal, row.passed) == (95.5, "%", "94.9% to 95.4%", False)
    assert row.detail == (
        "mean of 2 seeds (95.00%, 96.00%); ECE 2.00%; validation: best epoch 94.50%, last 92.50%; "
        "training 6 s a seed; beside it"
    )
