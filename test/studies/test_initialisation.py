import html
import json

import numpy as np
import pytest

pytest.importorskip("torch")

from nn_perception.cli.main import main
from nn_perception.evaluation.html_page import plain
from nn_perception.studies.initialisation_figures import Initialisations, Start
from nn_perception.studies.initialisation_report import plot_answers, plot_curves, plot_layers
from nn_perception.studies.sweep import Outcome

TINY = (
    "--data", "builtin", "--samples", 300, "--epochs", 2, "--seeds", 0, "--workers", 0,
    "--units", 16, "--layers", 3,
)  # fmt: skip


@pytest.fixture(autouse=True)
def without_data_and_quickly_drawn(monkeypatch):
    monkeypatch.delenv("NN_PERCEPTION_DATA", raising=False)
    monkeypatch.setattr("nn_perception.evaluation.plot_style.DPI", 40)


def run(capsys, *words):
    code = main(["study", "initialisation", *map(str, words)])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_zeros_stay_equal_and_spreads_are_those_of_the_theory(capsys, tmp_path):
    words = (*TINY, "--initialisations", "zeros", "small_normal", "he", "--out", tmp_path)
    code, out, _ = run(capsys, *words, "--json", "-")
    assert code == 0
    figures = json.loads(out)
    networks = {(n["initialisation"], n["activation"]): n for n in figures["networks"]}
    for activation in ("tanh", "relu"):
        zeros = networks["zeros", activation]
        seed = zeros["seeds"]["0"]
        assert seed["weight"] == seed["apart"] == [0.0] * 3  # only the output's bias moves
        assert seed["epochs"][-1]["validation_accuracy"] == seed["majority"]
        assert zeros["starts"]["0"]["spreads"] == [0.0] * 3
        assert zeros["starts"]["0"]["gradients"] == [0.0] * 4
    alive = networks["zeros", "sigmoid"]["seeds"]["0"]
    assert alive["weight"][0] > 1e-5
    assert alive["apart"][0] < 1e-6 * alive["weight"][0]
    other = networks["he", "tanh"]["seeds"]["0"]
    assert min(other["apart"]) > 0.1

    # A layer of n tanh units with weights of 0.01 makes answers of 0.01 sqrt(n) their size.
    first, second, third = networks["small_normal", "tanh"]["starts"]["0"]["spreads"]
    assert second / first == pytest.approx(0.04, rel=0.5)
    assert third / second == pytest.approx(0.04, rel=0.5)
    spreads = networks["he", "relu"]["starts"]["0"]["spreads"]
    assert 0.3 < spreads[2] / spreads[0] < 3

    page = html.unescape((tmp_path / "index.html").read_text(encoding="utf-8"))
    assert page.count("data:image/png") == 5
    assert all(finding in page for finding in figures["findings"])
    assert "Why zeros fail" in page


def test_what_diverges_is_recorded(capsys, tmp_path):
    words = ("learning_rate=1000", *TINY, "--initialisations", "normal", "--layers", 9)
    words += ("--activations", "leaky_relu", "--out", tmp_path, "--json", "-")
    code, out, _ = run(capsys, *words)
    assert code == 0
    figures = json.loads(out)
    assert "Diverged: normal, leaky_relu, 9 hidden layers, 1 of 1 seeds." in figures["findings"]
    assert "not finite" in figures["networks"][0]["diverged"]["0"]


def outcome(name, kind, depth, accuracy, diverged="", weight=0.0, apart=0.0):
    key = {"initialisation": name, "activation": kind, "hidden": (4,) * depth, "seed": 0}
    found = {} if diverged else {"weight": [weight], "apart": [apart], "majority": 0.125}
    return Outcome(tuple(key.items()), [{"validation_accuracy": accuracy}], diverged, found)


def test_findings_say_what_the_figures_say():
    def start(name, scales):
        answers = tuple(np.array([-scale, scale]) for scale in scales)
        return Start(name, "tanh", 2, 0, answers, (0.2, 0.4, 0.5))

    starts = [start("zeros", (0.0, 0.0)), start("he", (0.5, 0.25)), start("normal", (1.0, 2.0))]
    outcomes = [
        outcome("zeros", "tanh", 2, 0.125),
        outcome("he", "tanh", 2, 0.9, weight=1.0, apart=1.0),
        outcome("normal", "tanh", 2, 0.1, diverged="not finite"),
        outcome("zeros", "sigmoid", 1, 0.25, weight=0.5, apart=0.001),
    ]
    result = Initialisations(("zeros", "he", "normal"), ("tanh",), 2, starts, outcomes)
    assert result.findings() == [
        "tanh: before any step the answers of hidden layer 2 spread, as a part of those of layer "
        "1: he 0.5, normal 2.",
        "tanh: accuracy after the last epoch: he 90.0 %, zeros 12.5 %.",
        "Diverged: normal, tanh, 2 hidden layers, 1 of 1 seeds.",
        "Zeros, tanh, 2 hidden layers: no weight of a hidden layer has moved; the accuracy is "
        "12.5 %, and 12.5 % for always answering the most frequent digit.",
        "Zeros, sigmoid, 1 hidden layer: the weights of hidden layers reach 0.5, and those of two "
        "units of a layer differ by 0.001 at most; the accuracy is 25.0 %, and 12.5 % for always "
        "answering the most frequent digit.",
    ]
    zeros, he, normal = result.rows()
    assert zeros == ("tanh", "zeros", 12.5, 12.5, 12.5, 0.0, 0.0, 0.5, "0 of 1")
    assert he[5:8] == (0.5, 0.25, 0.5)
    assert normal[2:5] == (None, None, None)
    assert result.zero_rows() == [
        ("tanh", 2, 12.5, 12.5, 0.0, 0.0),
        ("sigmoid", 1, 25.0, 12.5, 0.5, 0.001),
    ]
    json.dumps(plain(result.to_dict()), allow_nan=False)


def test_answers_without_an_end_are_drawn():
    answers = (np.array([0.0, np.inf]), np.array([np.nan, 1.0]), np.zeros(3), np.arange(3.0))
    start = Start("normal", "relu", 4, 0, answers, (np.inf, 1.0, 1.0, 1.0, 1.0))
    outcomes = [outcome("normal", "relu", 4, 0.1, diverged="not finite")]
    result = Initialisations(("normal",), ("relu",), 4, [start], outcomes)
    assert plot_answers(result, "relu").startswith(b"\x89PNG")
    assert plot_layers(result, result.spreads, "spread").startswith(b"\x89PNG")
    assert plot_curves(result).startswith(b"\x89PNG")
    assert json.loads(json.dumps(plain(result.to_dict()), allow_nan=False))


@pytest.mark.parametrize(
    ("words", "part"),
    [
        (("--initialisations", "xavir"), "got 'xavir'; did you mean 'xavier'"),
        (("--activations", "tanh", "relu", "gelu"), "got 3 names, expected 1 to 2"),
        (("--layers", 1), "--layers: got 1"),
        (("--units", 1), "--units: got 1"),
    ],
)
def test_bad_options_give_exit_code_2_and_one_line(capsys, tmp_path, words, part):
    code, out, err = run(capsys, *TINY, *words, "--out", tmp_path, "--json", "-")
    assert (code, out) == (2, "")
    assert part in err.strip().splitlines()[-1]
