"""What a search leaves: the best configuration, all trials, the page."""

import csv
import dataclasses
import json
import math

import pytest

pytest.importorskip("torch")
pytest.importorskip("optuna")

from nn_perception.config import read_yaml, to_mapping
from nn_perception.evaluation.html_page import plain
from nn_perception.networks import resolve_arguments
from nn_perception.tasks import get_task
from nn_perception.training.config import TrainingConfig
from nn_perception.training.run import resolve_config
from nn_perception.tuning.page import importances, write_page
from nn_perception.tuning.results import (
    Record,
    best_config,
    best_yaml,
    ranked,
    read_records,
    write_best,
    write_trials,
)
from nn_perception.tuning.search import run_search


def record(number, value, outcome="complete", **values):
    folds = (value - 0.01, value + 0.01) if outcome == "complete" else ()
    return Record(number, outcome, values, value, folds, (1, 2), 1.0, {1: 0.5})


def test_the_best_has_the_best_mean_and_the_earlier_one_wins(make_plan):
    plan = make_plan()
    records = [
        record(0, 0.5), record(1, 0.9), record(2, 0.9), record(3, math.nan, "diverged"),
    ]  # fmt: skip
    assert [r.number for r in ranked(plan, records)] == [1, 2, 0]
    less = dataclasses.replace(plan, maximise=False)
    assert [r.number for r in ranked(less, records)] == [0, 1, 2]
    assert records[0].spread == pytest.approx(0.02 / 2**0.5)
    assert best_yaml(plan, records[3:], "") == ""


def test_the_best_configuration_is_whole_for_the_train_command(make_plan, tmp_path):
    """Also where the recipe that ``train`` begins with says what this search did not."""
    values = {"network_arguments": {"hidden": [[8], [4, 4]]}, "augment.rotate_deg": [0, 3]}
    plan = make_plan(values, {"network_arguments": {"dropout": 0.1}, "augment": {"shear_deg": 2}})
    best = record(0, 0.9, **{"network_arguments.hidden": [4, 4], "augment.rotate_deg": 3.0})
    path = write_best(tmp_path, best_yaml(plan, [best], "nn-perception tune ..."))
    config = resolve_config("digits", read_yaml(path), {})
    assert config == best_config(plan, best)
    assert "task_arguments.samples=0" in path.read_text()
    assert config.network_arguments == {"hidden": [4, 4], "dropout": 0.1}
    assert config.augment.rotate_deg == 3.0
    assert (config.augment.shear_deg, config.folds, config.learning_rate) == (
        2.0, 0, plan.base.learning_rate,
    )  # fmt: skip


def test_what_only_the_recipe_says_does_not_come_back_into_the_best(make_plan, tmp_path):
    """``train`` begins with the network's recipe, which has layers that this search had not."""
    base = TrainingConfig(network="range_bias", network_arguments={"inputs": 20})
    plan = dataclasses.replace(make_plan({"l1": [0.0, 0.1]}), task="uwb", base=base)
    best = record(0, 0.9, l1=0.1)
    usual = resolve_arguments("range_bias")["hidden"]
    assert tuple(get_task("uwb").load_learning().recipe().network_arguments["hidden"]) != usual
    path = write_best(tmp_path, best_yaml(plan, [best], ""))
    found = resolve_config("uwb", read_yaml(path), {})
    assert found.network_arguments == {"inputs": 20, "hidden": list(usual)}
    assert "samples" not in path.read_text()
    assert found.l1 == 0.1


def test_all_trials_are_in_the_table(make_plan, tmp_path):
    plan = make_plan()
    records = [
        record(0, 0.5, learning_rate=0.001, optimizer="sgd"),
        dataclasses.replace(
            record(3, math.nan, "diverged", learning_rate=9.0, optimizer="adam"), why="a, b"
        ),
    ]
    with write_trials(tmp_path, plan, records).open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["number"] for row in rows] == ["0", "3"]
    assert float(rows[0]["accuracy"]) == 0.5
    assert float(rows[0]["fold_1"]) == 0.51
    assert (rows[1]["outcome"], rows[1]["accuracy"], rows[1]["why"]) == ("diverged", "", "a, b")


def test_the_page_shows_a_search_of_every_kind(make_plan, stub, tmp_path):
    from nn_perception.errors import DivergedError

    def train(config, judge):
        if config.optimizer == "adam" and config.learning_rate > 0.5:
            raise DivergedError("not finite")
        for epoch in range(1, 3):
            judge(epoch, 0.4 + 0.1 * epoch)
        return 0.9 - abs(config.learning_rate - 0.02)

    stub(train)
    rates = {"low": 1e-4, "high": 1.0, "log": True}
    kinds = {
        "grid": {"learning_rate": [0.001, 0.01, 0.1, 1.0], "optimizer": ["sgd", "adam"]},
        "random": {
            "learning_rate": rates, "optimizer": ["sgd", "adam"],
            "network_arguments.activation": ["relu", "tanh"],
        },
    }  # fmt: skip
    for sampler, values in kinds.items():
        plan = make_plan(values, sampler=sampler, trials=8, storage=str(tmp_path / sampler))
        study = run_search(plan, 0, show_progress=False)
        records = read_records(plan, study)
        page = write_page(tmp_path / f"{sampler}-page", plan, study, records, "a command")
        names = {path.name for path in page.parent.iterdir()}
        kind = "the_grid.png" if sampler == "grid" else "each_key_alone.png"
        assert names >= {
            "index.html", "metrics.json", "course_of_the_search.png", "trials_as_lines.png",
            "importance_of_the_keys.png", "curves_of_the_first_fold.png", kind,
        }  # fmt: skip
        found = importances(plan, study, records)
        assert next(iter(found)) == "learning_rate"
        assert sum(found.values()) == pytest.approx(1.0)
        told = json.loads((page.parent / "metrics.json").read_text())
        assert told["best"] == json.loads(json.dumps(plain(to_mapping(ranked(plan, records)[0]))))
        assert len(told["trials"]) == 8


def test_a_page_is_written_where_no_trial_is_complete(make_plan, tmp_path):
    plan = make_plan()
    from nn_perception.tuning.optuna_parts import open_study

    failed = [record(i, math.nan, "failed", learning_rate=1.0, optimizer="sgd") for i in range(2)]
    page = write_page(tmp_path, plan, open_study(plan), failed, "")
    assert "Trials without a result" in page.read_text()
