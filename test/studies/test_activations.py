import html
import json
import math

import numpy as np
import pytest

pytest.importorskip("torch")

from nn_perception.cli.main import main
from nn_perception.evaluation.html_page import plain
from nn_perception.studies.activations import DYING_RATES
from nn_perception.studies.activations_figures import Activations, Start, curve, steepest
from nn_perception.studies.sweep import Outcome

TINY = (
    "--data", "builtin", "--samples", 300, "--epochs", 1, "--seeds", 0, "--workers", 0,
    "--units", 8,
)  # fmt: skip


@pytest.fixture(autouse=True)
def without_data_and_quickly_drawn(monkeypatch):
    monkeypatch.delenv("NN_PERCEPTION_DATA", raising=False)
    monkeypatch.setattr("nn_perception.evaluation.plot_style.DPI", 40)


def run(capsys, *words):
    code = main(["study", "activations", *map(str, words)])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_a_tiny_study_shows_the_sigmoids_gradients_vanish(capsys, tmp_path):
    words = (*TINY, "--activations", "sigmoid", "relu", "--out", tmp_path, "--json", "-")
    code, out, _ = run(capsys, *words)
    assert code == 0
    figures = json.loads(out)
    kinds = figures["activations"]
    ratios = {name: kind["first_to_last_gradient"] for name, kind in kinds.items()}
    assert ratios["sigmoid"] < 0.05 < 0.2 < ratios["relu"]
    assert kinds["sigmoid"]["steepest"] == pytest.approx(0.25)
    sizes = kinds["relu"]["starting_gradients"]["6"]
    assert len(sizes) == 7
    assert ratios["relu"] == pytest.approx(sizes[0] / sizes[5])
    assert {(d["activation"], d["learning_rate"]) for d in figures["dying"]} == {
        ("relu", rate) for rate in DYING_RATES
    }
    page = html.unescape((tmp_path / "index.html").read_text(encoding="utf-8"))
    assert page.count("data:image/png") == 4
    assert all(finding in page for finding in figures["findings"])


def test_curves_are_the_functions_and_their_derivatives():
    inputs, values, slopes = curve("tanh")
    assert np.allclose(values, np.tanh(inputs))
    assert np.allclose(slopes, 1 - np.tanh(inputs) ** 2)
    assert (steepest("tanh"), steepest("leaky_relu")) == (1.0, 1.0)


def outcome(name, hidden, accuracy, stuck, rate=0.1, diverged=""):
    key = {"activation": name, "hidden": (4,) * hidden, "learning_rate": rate, "seed": 0}
    found = {} if diverged else {"stuck": [stuck, 0.0]}
    return Outcome(tuple(key.items()), [{"validation_accuracy": accuracy}], diverged, found)


def test_findings_say_what_the_figures_say():
    starts = [
        Start(name, depth, 0, (first, *[0.5] * depth))
        for name, first in (("relu", 0.4), ("tanh", 0.01))
        for depth in (1, 3)
    ]
    outcomes = [
        outcome("relu", 1, 0.9, 0.0),
        outcome("relu", 3, 0.8, 0.5),
        outcome("tanh", 1, 0.7, 0.0),
        outcome("tanh", 3, 0.1, 0.0, diverged="not finite"),
    ]
    dying = [
        outcome("relu", 1, 0.9, 0.5, rate=0.1),
        outcome("relu", 1, 0.1, 1.0, rate=1.0),
        outcome("leaky_relu", 1, 0.1, 0.0, rate=1.0, diverged="not finite"),
    ]
    result = Activations(("relu", "tanh"), 1, 3, starts, outcomes, dying)
    assert result.findings() == [
        "With 3 hidden layers the gradient of the first one's weights is, before any step, as a "
        "part of the last one's: tanh 0.02, relu 0.8.",
        "relu: 90.0 % with 1 hidden layer, 80.0 % with 3, which is -10.0 points.",
        "Diverged: tanh with 3 hidden layers, 1 of 1 seeds.",
        "Diverged: leaky_relu at the learning rate 1, 1 of 1 seeds.",
        "Stuck units of relu by learning rate: 25.0 % at 0.1, 50.0 % at 1.",
    ]
    assert result.rows() == [
        ("relu", 1.0, 90.0, 80.0, 0.8, 25.0),
        ("tanh", 1.0, 70.0, None, 0.02, None),
    ]
    assert math.isnan(result.accuracy("tanh", 3))
    json.dumps(plain(result.to_dict()), allow_nan=False)


@pytest.mark.parametrize(
    ("words", "part"),
    [
        (("--activations", "rellu"), "got 'rellu'; did you mean 'relu'"),
        (("--depths", 3, 2), "--depths: got 3 2"),
        (("--units", 0), "--units: got 0"),
    ],
)
def test_bad_options_give_exit_code_2_and_one_line(capsys, tmp_path, words, part):
    code, out, err = run(capsys, *TINY, *words, "--out", tmp_path, "--json", "-")
    assert (code, out) == (2, "")
    assert part in err.strip().splitlines()[-1]
    code, _, err = run(capsys, "network_arguments.activation=tanh", *TINY, "--out", tmp_path)
    assert code == 2
    assert "is what this study compares" in err
