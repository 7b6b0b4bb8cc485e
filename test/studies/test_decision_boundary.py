"""Decision boundaries: what is trained, what the pictures are made of, and the command."""

import json
from argparse import Namespace

import numpy as np
import pytest
import torch

from nn_perception.cli.main import main
from nn_perception.errors import ConfigError
from nn_perception.studies import decision_boundary, planes
from nn_perception.studies.boundary_report import Boundaries, findings
from nn_perception.studies.decision_boundary import (
    HIDDEN,
    LOGISTIC,
    PERCEPTRON,
    STARTS,
    TABLE_EPOCHS,
    TABLE_NETWORKS,
    _table_jobs,
    hidden_units,
)
from nn_perception.studies.planes import CORNERS, EXTENT, SIDE, TABLES, PlaneLearning
from nn_perception.studies.sweep import Outcome, train_all
from nn_perception.training.array_learning import ArrayLearning, Examples

ARGUMENTS = Namespace(
    activation="tanh", epochs=3, learning_rate=0.03, seeds=[0, 1], count=20, noise=0.1
)


def quick(*words):
    small = ("--epochs", 4, "--count", 20, "--seeds", 0, 1, "--workers", 0, "--json", "-")
    return ["study", "decision-boundary", *map(str, (*small, *words))]


@pytest.fixture
def short_tables(monkeypatch):
    monkeypatch.setattr(decision_boundary, "STARTS", 1)
    for name in TABLE_EPOCHS:
        monkeypatch.setitem(TABLE_EPOCHS, name, 2)


@pytest.fixture(scope="module")
def tables():
    """(network, table) -> trainings from two starts, as long as they take."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(decision_boundary, "STARTS", 2)
        for name, epochs in ((PERCEPTRON, 12), (LOGISTIC, 40), (HIDDEN, 40)):
            patch.setitem(TABLE_EPOCHS, name, epochs)
        outcomes = train_all(_table_jobs(ARGUMENTS), 0, "truth tables")
    found = {}
    for outcome in outcomes:
        found.setdefault((outcome["network"], outcome["on"]), []).append(outcome)
    return found


@pytest.mark.parametrize("table", ["AND", "OR"])
def test_the_perceptron_learns_what_a_line_divides(tables, table):
    assert len(tables[PERCEPTRON, table]) == 2
    for outcome in tables[PERCEPTRON, table]:
        weights, bias = outcome.found["weights"], outcome.found["biases"]
        assert tuple((CORNERS @ weights.T + bias)[:, 0] > 0) == TABLES[table]
        assert outcome.history[-1]["train_loss"] == 0.0  # nothing is wrong: it has stopped


def test_xor_is_learnt_by_two_hidden_units_and_never_by_a_single_layer(tables):
    for network in (PERCEPTRON, LOGISTIC):
        for outcome in tables[network, "XOR"]:
            assert max(record["validation_accuracy"] for record in outcome.history) <= 0.75
    final = [o.history[-1]["validation_accuracy"] for o in tables[HIDDEN, "XOR"]]
    assert 1.0 in final
    learnt = tables[HIDDEN, "XOR"][final.index(1.0)]
    assert learnt.found["weights"].shape == (2, 2)


def test_a_plane_has_its_rows_from_bottom_to_top_and_its_columns_from_left_to_right():
    examples = Examples(CORNERS, np.array([0, 0, 0, 1]))
    learning = PlaneLearning(ArrayLearning.recipe(), examples, examples)
    right = learning.plane(lambda inputs: inputs[:, 0, 0])
    up = learning.plane(lambda inputs: inputs[:, 1, 0])
    expected = 1 / (1 + np.exp(-np.linspace(-EXTENT, EXTENT, SIDE)))
    np.testing.assert_allclose(right, np.tile(expected, (SIDE, 1)), atol=1e-6)
    np.testing.assert_allclose(up, right.T, atol=1e-6)


def test_the_plane_is_looked_at_after_the_epochs_that_are_watched():
    examples = Examples(CORNERS, np.array([0, 0, 0, 1]))
    learning = PlaneLearning(ArrayLearning.recipe(), examples, examples, (2, 3))
    for epoch in range(1, 5):
        learning.validate(lambda inputs, e=epoch: torch.full((len(inputs), 1), float(e)))
    seen = {epoch: plane[0, 0] for epoch, plane in learning.seen.items()}
    assert seen == pytest.approx({2: 1 / (1 + np.exp(-2.0)), 3: 1 / (1 + np.exp(-3.0))})


def test_the_held_out_points_are_others_than_those_of_the_training():
    job = planes.plane_job(
        decision_boundary._config(ARGUMENTS, (2,), 5), "xor", 30, 0.1, (), seed=5
    )
    learning = job.make()
    train, held_out = learning._train[0][:, :, 0, 0], learning._validation[0][:, :, 0, 0]
    assert (len(train), len(held_out)) == (30, planes.HELD_OUT)
    assert torch.cdist(train, held_out).min() > 0


def test_the_page_has_all_pictures_and_the_figures_repeat(capsys, tmp_path, short_tables):
    figures = []
    for name in ("a", "b"):
        words = (
            "--points",
            "xor",
            "linear",
            "--networks",
            "2-1",
            "2-3-1",
            "--out",
            tmp_path / name,
        )
        assert main(quick(*words)) == 0
        captured = capsys.readouterr()
        figures.append(json.loads(captured.out))
        assert "2-3-1" in captured.err
    assert figures[0] == figures[1]
    accuracy = figures[0]["accuracy"]
    assert list(accuracy) == ["xor", "linear"]
    assert list(accuracy["xor"]) == ["2-1", "2-3-1"]
    assert list(accuracy["xor"]["2-1"]["seeds"]) == ["0", "1"]
    assert figures[0]["best_line"]["xor"] < 0.8 < figures[0]["best_line"]["linear"]
    assert {"AND, 2-1, perceptron", "XOR, 2-2-1"} <= set(figures[0]["truth_tables"])
    names = {path.name for path in (tmp_path / "a").iterdir()}
    assert {"boundaries.png", "over_the_epochs.png", "truth_tables.png", "index.html"} <= names
    assert "XOR" in (tmp_path / "a" / "index.html").read_text()


def outcome(on, network, seed, accuracies=(), diverged=""):
    history = [{"validation_accuracy": a} for a in accuracies]
    plane = np.zeros((4, 4))
    found = {
        "train_accuracy": 1.0, "train_loss": float(seed), "plane": plane, "planes": {},
        "weights": np.ones((1, 2)), "biases": np.zeros(1),
    }  # fmt: skip
    key = (("on", on), ("network", network), ("seed", seed))
    return Outcome(key, history, diverged, {} if diverged else found)


def some_boundaries(points):
    learnt = (0.5, 1.0, 0.75, 1.0, 1.0)
    tables = [
        outcome(table, network, start, learnt if start < 2 else (0.75,) * 5)
        for network, names in TABLE_NETWORKS.items()
        for table in names
        for start in range(STARTS)
    ]
    return Boundaries(("xor",), ("2-1", "2-4-1"), (), ARGUMENTS, (*points, *tables))


def test_figures_are_means_of_the_seeds_and_the_first_good_network_is_named():
    result = some_boundaries(
        [
            outcome("xor", "2-1", 0, (0.7, 0.5)),
            outcome("xor", "2-1", 1, (0.6, 0.6)),
            outcome("xor", "2-4-1", 0, (0.5, 0.94)),
            outcome("xor", "2-4-1", 1, (0.5, 0.98)),
        ]
    )
    assert result.rows() == [("xor", "55.0 % (50-60)", "96.0 % (94-98)")]
    assert result.smallest("xor") == "2-4-1"
    assert result.best("xor", "2-1") == 0.7
    assert result.learnt("XOR", HIDDEN) == [4, 4]
    assert result.shown_outcome("xor", "2-4-1")["seed"] == 0
    told = " ".join(findings(result))
    assert "On xor it is never above 70.0 %" in told
    assert f"learns XOR from 2 of {STARTS} starts, after 4 to 4 epochs" in told


def test_what_diverged_is_told_and_drawn(tmp_path):
    from nn_perception.evaluation.html_page import Report
    from nn_perception.studies.boundary_report import build

    result = some_boundaries(
        [
            outcome("xor", "2-1", 0, (0.7, 0.5, 0.5)),
            outcome("xor", "2-1", 1, diverged="not finite"),
            outcome("xor", "2-4-1", 0, diverged="not finite"),
            outcome("xor", "2-4-1", 1, (0.4,), diverged="not finite"),
        ]
    )
    assert result.rows() == [("xor", "50.0 % (50-50), 1 diverged", "diverged")]
    assert result.smallest("xor") is None
    assert result.to_dict()["accuracy"]["xor"]["2-4-1"]["diverged"] == {
        "0": "not finite", "1": "not finite",
    }  # fmt: skip
    report = Report("test")
    build(report, result)
    assert report.write(tmp_path).is_file()


def test_networks_are_written_as_units_of_their_layers():
    assert hidden_units("2-1") == ()
    assert hidden_units("2-16-4-1") == (16, 4)
    for wrong in ("2", "1-2", "2-0-1", "2-x-1", "3-2-1", "2-2", "2--1", "2-513-1", ""):
        with pytest.raises(ConfigError, match="units of each layer"):
            hidden_units(wrong)


@pytest.mark.parametrize(
    ("words", "part"),
    [
        (("--points", "spiral"), "did you mean 'spirals'"),
        (("--points", "xor", "xor"), "expected each once"),
        (("--networks", "2-2"), "units of each layer"),
        (("--networks", "2-1", "2-1"), "expected each once"),
        (("--activation", "relo"), "did you mean 'relu'"),
        (("--learning-rate", "nan"), "'learning_rate' is nan"),
        (("--learning-rate", -1), "'learning_rate' is -1"),
        (("--count", 1), "expected 2 or more"),
        (("--noise", -1), "noise of 0 or more"),
        (("--epochs", 0), "epochs: got 0"),
        (("--seeds", -1), "seeds: got [-1]"),
    ],
)
def test_bad_options_are_refused_before_any_training(capsys, tmp_path, monkeypatch, words, part):
    monkeypatch.setattr("nn_perception.studies.sweep.train_all", None)
    assert main([*quick(*words), "--out", str(tmp_path)]) == 2
    assert part in capsys.readouterr().err.strip().splitlines()[-1]
