"""Searches as a whole, in this process but where processes die."""

import dataclasses
import importlib
import math
import os
import pickle
import signal
import subprocess
import sys

import pytest

pytest.importorskip("torch")
pytest.importorskip("optuna")

from nn_perception.datasets.builtin import load_builtin_digits
from nn_perception.datasets.test_guard import check_test_part
from nn_perception.errors import ConfigError, DatasetError, DivergedError, TrainingError
from nn_perception.training.folds import stratified_fold
from nn_perception.training.loop import Trainer
from nn_perception.tuning.optuna_parts import open_study
from nn_perception.tuning.results import ranked, read_records
from nn_perception.tuning.search import run_search
from nn_perception.tuning.trial import make_learning

POINTS = {(rate, name) for rate in (0.001, 0.02) for name in ("sgd", "adam")}


def run(plan):
    return read_records(plan, run_search(plan, 0, show_progress=False))


def points(records):
    return sorted((r.values["learning_rate"], r.values["optimizer"]) for r in records)


def test_a_grid_is_trained_on_every_fold(make_plan):
    plan = make_plan()
    records = run(plan)
    assert points(records) == sorted(POINTS)
    assert {r.outcome for r in records} == {"complete"}
    for record in records:
        assert len(record.folds) == 2
        assert record.value == pytest.approx(sum(record.folds) / 2)
        # Two folds: their standard deviation is their distance over the root of 2.
        assert record.spread == pytest.approx(abs(record.folds[0] - record.folds[1]) / 2**0.5)
    # One of them again, by the training loop alone.
    best = ranked(plan, records)[0]
    assert best.value == max(r.value for r in records)
    config = dataclasses.replace(
        plan.base, folds=2, fold=1,
        learning_rate=best.values["learning_rate"], optimizer=best.values["optimizer"],
    )  # fmt: skip
    fit = Trainer(make_learning("digits", config, plan.data)).fit()
    assert best.folds[1] == fit.history[fit.best_epoch - 1]["validation_accuracy"]
    assert best.epochs[1] == fit.best_epoch


def test_folds_are_those_of_the_training_data(make_plan):
    config = dataclasses.replace(make_plan().base, folds=3, fold=2, task_arguments={})
    learning = make_learning("digits", config, make_plan().data)
    data = load_builtin_digits("train")
    train, held = stratified_fold(data.labels, 3, 2, config.seed)
    assert learning.train_size == len(train)
    assert len(held) + len(train) == len(data)


def test_the_same_search_gives_the_same_however_it_is_cut(make_plan, stub, tmp_path):
    stub(lambda config, judge: config.learning_rate)
    values = {
        "learning_rate": {"low": 1e-4, "high": 1.0, "log": True},
        "optimizer": ["sgd", "adam"],
    }
    for sampler in ("random", "tpe"):
        one = make_plan(values, sampler=sampler, trials=14, storage=str(tmp_path / f"{sampler}1"))
        whole = run(one)
        two = dataclasses.replace(one, storage=str(tmp_path / f"{sampler}2"), trials=5)
        assert len(run(two)) == 5
        again = run(dataclasses.replace(two, trials=14))
        assert [r.values for r in again] == [r.values for r in whole]
        assert len({r.values["learning_rate"] for r in whole}) == 14
        other = dataclasses.replace(one, storage=str(tmp_path / f"{sampler}3"), seed=1, trials=5)
        assert [r.values for r in run(other)] != [r.values for r in whole[:5]]


def test_tpe_finds_more_than_chance(make_plan, stub, tmp_path):
    stub(lambda config, judge: -((math.log10(config.learning_rate) + 1.7) ** 2))
    values = {"learning_rate": {"low": 1e-6, "high": 1.0, "log": True}, "l1": {"low": 0, "high": 1}}

    def mean(sampler):
        plan = make_plan(values, sampler=sampler, trials=40, storage=str(tmp_path / sampler))
        return sum(r.value for r in run(plan)[20:]) / 20

    assert mean("tpe") > 0.5 * mean("random")  # both are below zero


def test_another_search_is_refused_with_what_differs(make_plan, stub, tmp_path):
    stub(lambda config, judge: 0.5)
    plan = make_plan()
    run(plan)
    others = {
        "folds: 2 there, 3 here": dataclasses.replace(plan, folds=3),
        "seed: 0 there, 1 here": dataclasses.replace(plan, seed=1),
        "configuration: epochs: 2 there, 3 here": make_plan(fixed={"epochs": 3}),
        "data: others": make_plan(fixed={"task_arguments": {"samples": 130}}),
        "space: learning_rate: choices": make_plan({"learning_rate": [1, 2], "optimizer": ["sgd"]}),
        "metric: accuracy there, loss here": dataclasses.replace(plan, metric="loss"),
    }
    for message, other in others.items():
        with pytest.raises(ConfigError, match=message):
            run(other)
    assert len(run(dataclasses.replace(plan, data=None))) == 4  # the same data, found elsewhere


def test_a_database_holds_a_search_as_a_journal_does(make_plan, stub, tmp_path):
    stub(lambda config, judge: config.learning_rate)
    plan = make_plan()
    database = dataclasses.replace(plan, storage=f"sqlite:///{tmp_path / 'search.db'}")
    assert [r.values for r in run(database)] == [r.values for r in run(plan)]
    assert len(run(database)) == 4


def test_a_metric_that_is_not_there_is_named_before_the_first_trial(make_plan, stub):
    stub(lambda config, judge: pytest.fail("a trial was begun"))
    with pytest.raises(ConfigError, match="did you mean 'loss'"):
        run(make_plan(metric="los", maximise=False))


def test_diverging_trials_are_recorded_and_never_win(make_plan):
    squared = {
        "epochs": 20,
        "network_arguments": {"hidden": []},
        "task_arguments": {"samples": 120, "loss": "squared_error"},
    }
    plan = make_plan({"learning_rate": [1e-4, 1000.0], "optimizer": ["sgd"]}, squared, trials=2)
    by_rate = {r.values["learning_rate"]: r for r in run(plan)}
    assert by_rate[1000.0].outcome == "diverged"
    assert "not finite" in by_rate[1000.0].why
    assert ranked(plan, list(by_rate.values())) == [by_rate[1e-4]]


def test_hopeless_trials_are_pruned(make_plan, stub):
    """By epochs, of the first fold, where a third of them has passed."""
    from nn_perception.tuning.trial import PrunedError

    asked = []

    def train(config, judge):
        for epoch in range(1, 7):
            asked.append((config.l1, epoch))
            if judge(epoch, 1.0 - config.l1 + 0.01 * epoch):
                raise PrunedError
        return 1.0 - config.l1

    stub(train)
    rates = [round(0.01 * i, 2) for i in range(20)]
    plan = make_plan(
        {"l1": rates}, {"epochs": 6}, pruner="median", trials=20, sampler="grid"
    )  # fmt: skip
    records = run(plan)
    pruned = [r for r in records if r.outcome == "pruned"]
    assert 3 <= len(pruned) <= 15
    assert ranked(plan, records)[0].values["l1"] == 0.0
    assert {max(e for rate, e in asked if rate == r.values["l1"]) for r in pruned} == {3}


def test_trials_that_fail_do_not_end_a_search_but_where_all_do(make_plan, stub):
    def train(config, judge):
        if config.optimizer == "sgd":
            raise DatasetError("no such file")
        return config.learning_rate

    stub(train)
    records = run(make_plan())
    assert sorted(r.outcome for r in records) == ["complete"] * 2 + ["failed"] * 2
    assert {r.why for r in records if r.outcome == "failed"} == {"no such file"}


def test_a_search_whose_first_trials_all_fail_ends(make_plan, stub):
    def train(config, judge):
        raise DatasetError("no such file")

    stub(train)
    with pytest.raises(TrainingError, match="no such file"):
        run(make_plan())


def test_a_figure_that_is_not_finite_has_diverged(make_plan):
    from nn_perception.tuning.trial import figure

    with pytest.raises(DivergedError, match="'loss' is nan"):
        figure({"validation_loss": math.nan}, "loss")
    with pytest.raises(ConfigError, match="did you mean 'loss'"):
        figure({"validation_loss": 1.0}, "los")


def test_a_trial_cannot_read_a_test_part(make_plan, stub):
    stub(lambda config, judge: check_test_part("MNIST's test part"))
    with pytest.raises(TrainingError, match="a search of configurations must not see it"):
        run(make_plan())


def test_a_search_needs_no_test_files(make_plan, tmp_path):
    """MNIST whose test files are missing, or of which one is nonsense."""
    import gzip

    import numpy as np

    root = tmp_path / "mnist"
    root.mkdir()
    data = load_builtin_digits("train")
    for kind, array in (
        ("images-idx3", data.images[:120, :, :, 0]), ("labels-idx1", data.labels[:120]),
    ):  # fmt: skip
        array = array.astype(np.uint8)
        header = bytes([0, 0, 8, array.ndim]) + b"".join(n.to_bytes(4, "big") for n in array.shape)
        (root / f"train-{kind}-ubyte.gz").write_bytes(gzip.compress(header + array.tobytes()))
    missing = make_plan(data=root, trials=1)
    (found,) = run(missing)
    (root / "t10k-images-idx3-ubyte.gz").write_bytes(b"nonsense")
    nonsense = dataclasses.replace(missing, storage=str(tmp_path / "other.log"))
    (same,) = run(nonsense)
    assert same.folds == found.folds


KILLED = """
import os, pickle, signal, sys
from nn_perception.tuning import worker
plan, done = pickle.load(open(sys.argv[1], "rb")), []
whole = worker.run_trial
def run_trial(plan, study, trial):
    if done:
        os.kill(os.getpid(), signal.SIGKILL)
    whole(plan, study, trial)
    done.append(trial)
worker.run_trial = run_trial
worker.run_trials(plan)
"""


def test_a_search_goes_on_after_a_kill(make_plan, tmp_path):
    plan = make_plan()
    expected = {str(r.values): r.folds for r in run(plan)}
    killed = dataclasses.replace(plan, storage=str(tmp_path / "killed.log"))
    (tmp_path / "plan").write_bytes(pickle.dumps(killed))
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", KILLED, str(tmp_path / "plan")], env=environment, timeout=120
    )
    assert done.returncode == -signal.SIGKILL
    states = [trial.state.name for trial in open_study(killed).trials]
    assert states == ["COMPLETE", "RUNNING"]
    with (tmp_path / "killed.log").open("ab") as journal:
        journal.write(b'{"op_code": 9, "wor')  # what a full disk leaves of a line
    records = run(killed)
    assert {str(r.values): r.folds for r in records} == expected
    assert len(records) == 4
    trials = open_study(killed).trials
    assert trials[1].state.name == "FAIL"
    assert [t.user_attrs.get("repeats") for t in trials].count(1) == 1
    assert len(run(killed)) == 4  # nothing is left to do


DYING = """
import os, signal
from pathlib import Path
from nn_perception.tuning import worker
whole = worker.run_trial
def run_trial(plan, study, trial):
    if trial.number == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    whole(plan, study, trial)
def main(plan):
    worker.run_trial = run_trial
    worker.run_trials(plan)
"""


def test_a_process_that_dies_is_replaced_and_its_trial_repeated(make_plan, tmp_path, monkeypatch):
    from nn_perception.tuning import worker

    (tmp_path / "dying.py").write_text(DYING)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(worker, "main", importlib.import_module("dying").main)
    plan = make_plan()
    records = read_records(plan, run_search(plan, 1, show_progress=False))
    assert points(records) == sorted(POINTS)
    trials = open_study(plan).trials
    owners = {trial.user_attrs["owner"]["pid"] for trial in trials}
    assert len(owners) == 2
    assert os.getpid() not in owners
    assert [t.state.name for t in trials].count("FAIL") == 1
    assert trials[1].state.name == "FAIL"
