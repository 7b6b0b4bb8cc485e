"""The study of regularisation: which trainings, what is told of them, the command."""

import argparse
import json

import numpy as np
import pytest

from nn_perception.cli.main import main
from nn_perception.evaluation.html_page import Report
from nn_perception.studies import polynomials, regularisation, regularisation_digits
from nn_perception.studies.regularisation import (
    CURVES,
    HIDDEN,
    METHODS,
    NONE,
    SIZES,
    STEPS,
    STRENGTHS,
    digit_jobs,
)
from nn_perception.studies.regularisation_digits import DigitFigures, gap, mean
from nn_perception.studies.regularisation_report import build, findings
from nn_perception.studies.sweep import Outcome, train_all

QUICK = ("--samples", 100, "--epochs", 1, "--sets", 20, "--data", "builtin", "--workers", 0)


@pytest.fixture(autouse=True)
def builtin_digits(monkeypatch):
    monkeypatch.delenv("NN_PERCEPTION_DATA", raising=False)


def arguments(*words):
    parser = argparse.ArgumentParser()
    regularisation.configure(parser)
    return parser.parse_args([str(word) for word in ("--data", "builtin", *words)])


def outcomes(accuracy=lambda key: (1.0, 0.9), diverged=lambda key: ""):
    """Return what the jobs of two seeds would give."""
    draw = np.random.RandomState(0)
    found = []
    for job in digit_jobs(arguments("--seeds", 0, 1, "--epochs", 1)):
        key = dict(job.key)
        training, validation = accuracy(key)
        record = {"validation_training_loss": 0.1, "validation_loss": 0.5}
        found.append(
            Outcome(job.key, [record], "not finite")
            if diverged(key)
            else Outcome(
                job.key,
                [record, record],
                "",
                {
                    "pictures": key["pictures"],
                    "validation_pictures": 20,
                    "training": training,
                    "validation": validation,
                    "zero_weights": 0.25 if key["method"] == "L1" else 0.0,
                    "weight_rms": 0.03,
                    "probabilities": draw.dirichlet(np.ones(10), 20),
                    "labels": draw.randint(0, 10, 20),
                    "dropout": {"p": 0.5, "evaluation": np.ones(4), "training": np.ones(4)},
                },
            )
        )
    return DigitFigures(tuple(found), 1000)


def test_every_training_is_there_once_with_what_its_key_says():
    jobs = digit_jobs(arguments("--seeds", 3, 5, "--samples", 300))
    assert len({job.key for job in jobs}) == len(jobs)
    for job in jobs:
        key, learning = dict(job.key), job.make
        pictures, config, _ = learning.args
        assert pictures == key["pictures"]
        assert config.seed == key["seed"]
        assert config.network_arguments["hidden"] == (key["hidden"],)
        assert config.weight_decay == (key["strength"] if key["method"] == "L2" else 0.0)
        assert config.l1 == (key["strength"] if key["method"] == "L1" else 0.0)
        dropout = config.network_arguments.get("dropout", 0.0)
        assert dropout == (key["strength"] if key["method"] == "dropout" else 0.0)
        assert config.task_arguments["samples"] == 0
        steps = config.epochs * (key["pictures"] // config.batch_size)
        assert steps == pytest.approx(40 * STEPS, rel=0.05)
    assert {dict(job.key)["seed"] for job in jobs} == {3, 5}


def test_each_method_and_curve_finds_its_trainings():
    figures = outcomes(lambda key: (1.0, 0.5 + key["pictures"] / 10_000))
    assert [len(figures.curve(name)) for name in CURVES] == [len(SIZES)] * len(CURVES)
    for name in METHODS:
        assert mean(figures.method(name), "validation") == pytest.approx(0.6)
    for name, (_, values) in STRENGTHS.items():
        keys = [figures.method(name, value).outcomes[0]["strength"] for value in values]
        assert keys == list(values)
    pictures = [mean(group, "pictures") for group in figures.curve(next(iter(CURVES)))]
    assert pictures == [round(1000 * size) for size in SIZES]


def test_rows_and_sentences_are_made_of_the_figures():
    figures = outcomes(lambda key: (0.98, 0.91 if key["method"] == "L2" else 0.85))
    rows = {row[0]: row[1:] for row in figures.rows()}
    assert rows["L2 0.01"] == ("98.0 %", "91.0 %", "7.0 points", "0.0 %", "0.0300")
    assert rows["L1 0.001"][3] == "25.0 %"
    assert gap(figures, NONE) == pytest.approx(0.13)
    told = " ".join(findings(polynomials.study(20, 10, 0.3, 0), figures))
    assert "a gap of 13.0 points" in told
    assert "L2 0.01 91.0 % (gap 7.0)" in told
    assert "without the division by 1 - p it would be 0.500" in told


def test_what_diverged_is_told():
    """One seed with L2, all with dropout: the others still give figures."""
    figures = outcomes(
        diverged=lambda key: key["method"] == "dropout" or (key["method"], key["seed"]) == ("L2", 0)
    )
    rows = {row[0]: row[1:] for row in figures.rows()}
    assert rows["dropout 0.5"] == ("diverged", None, None, None, None)
    assert rows["L2 0.01"][0] == "100.0 %"
    saved = figures.to_dict()
    assert saved["methods"]["L2"]["diverged"] == {"0": "not finite"}
    assert saved["dropout_scaling"] == {}
    told = " ".join(findings(polynomials.study(20, 10, 0.3, 0), figures))
    assert "diverged: with L2 0.01, dropout 0.5" in told


def test_a_page_is_written_where_all_diverged(tmp_path):
    figures = outcomes(diverged=lambda key: True)
    report = Report("test")
    build(report, polynomials.study(20, 10, 0.3, 0), figures)
    assert "all trainings diverged" in report.write(tmp_path).read_text()


def test_the_page_has_all_pictures(capsys, tmp_path, monkeypatch):
    for name in STRENGTHS:
        key, _ = STRENGTHS[name]
        monkeypatch.setitem(STRENGTHS, name, (key, (METHODS[name][key],)))
    for module in (regularisation, regularisation_digits):
        monkeypatch.setattr(module, "SIZES", (0.5, 1.0))
    words = ("--seeds", 0, 1, "--out", tmp_path, "--json", "-")
    assert main(["study", "regularisation", *map(str, (*QUICK, *words))]) == 0
    found = json.loads(capsys.readouterr().out)
    seed = found["methods"]["L1"]["seeds"]["0"]
    assert seed["zero_weights"] > found["methods"]["L2"]["seeds"]["0"]["zero_weights"] == 0.0
    curve = found["learning_curves"][f"{HIDDEN} hidden units"]
    sizes = [group["seeds"]["1"]["pictures"] for group in curve]
    assert sizes == pytest.approx([50, 100], abs=5)
    assert all(g["brier"] == pytest.approx(g["bias2"] + g["variance"]) for g in curve)
    assert found["dropout_scaling"]["ratio"] == pytest.approx(1.0, abs=0.05)
    assert found["data"]["source"].startswith("scikit-learn digits")
    names = {path.name for path in tmp_path.iterdir()}
    assert len([name for name in names if name.endswith(".png")]) == 9
    assert "probabilities" not in (tmp_path / "metrics.json").read_text()


@pytest.mark.parametrize("method", ["dropout", "augmentation"])
def test_a_training_repeats(method):
    jobs = digit_jobs(arguments("--seeds", 4, "--samples", 100, "--epochs", 1))
    chosen = [j for j in jobs if dict(j.key)["method"] == method and dict(j.key)["pictures"] == 100]
    first, second = (train_all(chosen[:1], 0, "repeat")[0].found for _ in range(2))
    assert np.array_equal(first["probabilities"], second["probabilities"])
    assert first["weight_rms"] == second["weight_rms"]


@pytest.mark.parametrize(
    ("words", "part"),
    [
        (("--sets", 1), "sets: got 1"),
        (("--noise", 0), "noise: got 0.0"),
        (("--noise", "nan"), "noise: got nan"),
        (("--samples", 50), "samples: got 50"),
        (("--epochs", 0), "epochs: got 0"),
        (("l1=0.1",), "'l1' is what this study compares"),
        (("network_arguments.hidden=[3]",), "'network_arguments' is what this study compares"),
        (("lerning_rate=1",), "did you mean 'learning_rate'"),
    ],
)
def test_bad_options_are_refused_before_any_training(capsys, tmp_path, monkeypatch, words, part):
    monkeypatch.setattr("nn_perception.studies.sweep.train_all", None)
    assert (
        main(["study", "regularisation", *map(str, (*QUICK, *words)), "--out", str(tmp_path)]) == 2
    )
    assert part in capsys.readouterr().err.strip().splitlines()[-1]
