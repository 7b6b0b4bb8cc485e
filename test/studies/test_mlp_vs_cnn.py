import json

import pytest
import torch

from nn_perception.cli.main import main
from nn_perception.studies.mlp_vs_cnn import SHIFTS_PX, by_shift, passes
from nn_perception.studies.mlp_vs_cnn_report import Comparison
from nn_perception.studies.sweep import Outcome
from nn_perception.training.loop import Fit

TINY = ("--data", "builtin", "--samples", 150, "--epochs", 1, "--seeds", 0, "--workers", 0)


@pytest.fixture(autouse=True)
def without_data_and_quickly_drawn(monkeypatch):
    monkeypatch.delenv("NN_PERCEPTION_DATA", raising=False)
    monkeypatch.setattr("nn_perception.evaluation.plot_style.DPI", 40)


def run(capsys, *words):
    code = main(["study", "mlp-vs-cnn", *map(str, words)])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_a_tiny_study_has_all_figures_and_repeats(capsys, tmp_path):
    words = (*TINY, "--json", "-", "--out", tmp_path, "--networks", "mlp")
    code, out, _ = run(capsys, *words, "lecture_cnn")
    assert code == 0
    figures = json.loads(out)
    assert figures["parameters"] == {"mlp": 101_770, "lecture_cnn": 54_470}
    total = max(training["pictures"] for training in figures["trainings"])
    kinds = {(t["network"], t["pictures"], t["scrambled"]) for t in figures["trainings"]}
    assert kinds == {
        (name, *kind)
        for name in ("mlp", "lecture_cnn")
        for kind in ((100, False), (total, False), (total, True))
    }
    for training in figures["trainings"]:
        seed = training["seeds"]["0"]
        assert len(seed["epochs"]) == passes(1, training["pictures"], total)
        if "by_shift" in seed:  # not moved: what the loop said of the last epoch
            assert len(seed["by_shift"]) == len(SHIFTS_PX)
            assert seed["by_shift"][0] == pytest.approx(seed["epochs"][-1]["validation_accuracy"])
    page = (tmp_path / "index.html").read_text(encoding="utf-8")
    assert page.count("data:image/png") == 3
    assert all(finding in page for finding in figures["findings"])

    _, out, _ = run(capsys, *words)
    mine = [training for training in figures["trainings"] if training["network"] == "mlp"]
    assert json.loads(out)["trainings"] == mine


def test_pictures_are_moved_in_four_directions():
    images = torch.zeros(1, 1, 9, 9)
    images[0, 0, 4, 4] = 1.0

    class Right(torch.nn.Module):
        def forward(self, pictures):
            return pictures[:, :, 4, 6]

    class Centred:
        def validate(self, predict):
            return {"accuracy": float(predict(images))}

    found = by_shift(Fit(Right(), [], 1), Centred())
    assert found == {"by_shift": [0.0, 0.0, 0.25, 0.0, 0.0]}  # two to the right, of four ways


def outcome(network, seed, pictures, accuracy, scrambled=False, diverged="", shifts=None):
    key = {"network": network, "seed": seed, "pictures": pictures, "scrambled": scrambled}
    history = [{"validation_accuracy": accuracy, "validation_loss": 1 - accuracy, "seconds": 2.0}]
    found = {} if shifts is None else {"by_shift": shifts}
    return Outcome(tuple(key.items()), history, diverged, found)


def comparison(cnn, diverged=""):
    outcomes = []
    for name, accuracies in (("mlp", (0.9, 0.92)), ("cnn", cnn)):
        lost = diverged if name == "cnn" else ""
        for seed, accuracy in enumerate(accuracies):
            shifts = None if lost else [accuracy, 0.8, 0.5, 0.3, 0.2]
            outcomes += [
                outcome(name, seed, 2000, accuracy, diverged=lost, shifts=shifts),
                outcome(name, seed, 1000, accuracy - 0.1),
                outcome(name, seed, 1000, 0.75, scrambled=True),
            ]
    return Comparison(("mlp", "cnn"), 2000, tuple(outcomes), {"mlp": 100, "cnn": 50})


def test_findings_say_what_the_figures_say():
    ahead, behind = comparison((0.95, 0.91)), comparison((0.85, 0.89))
    assert ahead.findings()[0] == (
        "cnn is 2.0 points above mlp with all 2,000 pictures and 0.5 times its parameters, and "
        "above it with 1 of 2 seeds."
    )
    assert "cnn is 4.0 points below mlp" in behind.findings()[0]
    assert "with 0 of 2 seeds" in behind.findings()[0]
    text = " ".join(ahead.findings())
    assert "Moved by 2 pixels, mlp falls from 91.0 % to 50.0 %, by 4 pixels to 20.0 %." in text
    assert "order mlp changes by -6.0 points (1,000 training pictures)" in text
    mlp, cnn = ahead.rows()
    assert mlp[:8] == ("mlp", 100, 91.0, 90.0, 92.0, 0.09, 50.0, 75.0)
    assert cnn[1:5] == (50, 93.0, 91.0, 95.0)
    assert mlp[-1] == 2.0


def test_what_diverged_is_said_and_has_no_figures():
    lost = comparison((0.95, 0.91), "the training loss is not finite")
    assert lost.findings()[0] == "Diverged: cnn with 2,000 pictures, 2 of 2 seeds."
    assert not any("above mlp" in finding for finding in lost.findings())
    assert lost.rows()[1][2:7] == (None, None, None, None, None)
    json.dumps(lost.to_dict(), default=str)


def test_fewer_pictures_are_seen_more_often_in_fewer_steps():
    assert passes(6, 9000, 9000) == 6
    assert passes(6, 1000, 9000) == 18
    assert [passes(6, n, 9000) * n for n in (100, 1000, 9000)] == [5700, 18_000, 54_000]


@pytest.mark.parametrize(
    ("words", "part"),
    [
        (("--networks", "lecture_cn"), "got 'lecture_cn'; did you mean 'lecture_cnn'"),
        (("--networks", "mlp", "mlp"), "each once"),
        (("--epochs", 0), "epochs: got 0"),
        (("--samples", 5), "samples: got 5"),
        (("--seeds", 1, 1), "seeds: got [1, 1]"),
    ],
)
def test_bad_options_give_exit_code_2_and_one_line(capsys, tmp_path, words, part):
    code, out, err = run(capsys, *TINY, *words, "--out", tmp_path, "--json", "-")
    assert (code, out) == (2, "")
    assert part in err.strip().splitlines()[-1]
