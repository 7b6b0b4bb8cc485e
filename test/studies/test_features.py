import html
import json

import cv2
import numpy as np
import pytest
import torch

from nn_perception.cli.main import main
from nn_perception.evaluation.html_page import plain
from nn_perception.networks import build_network
from nn_perception.studies.features_figures import Features, change_when_moved, neighbours
from nn_perception.studies.features_report import plot_units
from nn_perception.studies.kernels import KERNELS, drawn_picture
from nn_perception.studies.probing import first_sums
from nn_perception.studies.some_digits import moved
from nn_perception.studies.sweep import Outcome

TINY = ("--data", "builtin", "--samples", 300, "--epochs", 1, "--workers", 0)


@pytest.fixture(autouse=True)
def without_data_and_quickly_drawn(monkeypatch):
    monkeypatch.delenv("NN_PERCEPTION_DATA", raising=False)
    monkeypatch.setattr("nn_perception.evaluation.plot_style.DPI", 40)


def run(capsys, *words):
    code = main(["study", "features", *map(str, words)])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_a_tiny_study_keeps_the_layers_it_shows(capsys, tmp_path):
    picture = tmp_path / "mine.png"
    cv2.imwrite(str(picture), drawn_picture())
    words = (*TINY, "--networks", "softmax regression", "lecture_cnn", "--picture", picture)
    code, out, _ = run(capsys, *words, "--out", tmp_path, "--json", "-")
    assert code == 0
    figures = json.loads(out)
    assert figures["picture"] == "mine.png"
    with np.load(tmp_path / "first_layers.npz") as arrays:
        assert sorted(arrays) == [
            "lecture_cnn/0", "lecture_cnn/0/start",
            "softmax regression/0", "softmax regression/0/start",
        ]  # fmt: skip
        weights = arrays["lecture_cnn/0"]
        assert weights.shape == (16, 3, 3)
        assert np.array_equal(weights, figures["filters"]["lecture_cnn"])
        assert not np.array_equal(weights, arrays["lecture_cnn/0/start"])
        assert arrays["softmax regression/0"].shape == (10, 28, 28)
    rows = {row["network"]: row for row in figures["table"]}
    assert rows["lecture_cnn"]["moved by 2 px"] < 1e-6
    assert rows["softmax regression"]["moved by 2 px"] > 0.1
    page = html.unescape((tmp_path / "index.html").read_text(encoding="utf-8"))
    assert page.count("data:image/png") == 4
    assert all(finding in page for finding in figures["findings"])
    assert "Filters of lecture_cnn and kernels" in page


def test_filters_answer_where_the_digit_has_moved_and_units_do_not():
    torch.manual_seed(0)
    digit = torch.zeros(1, 1, 28, 28, dtype=torch.uint8)
    digit[:, :, 8:20, 9:18] = torch.randint(0, 256, (1, 1, 12, 9), dtype=torch.uint8)
    changes = {}
    for name in ("lecture_cnn", "lenet", "mlp"):
        network = build_network(name)
        sums = first_sums(network, digit)
        changes[name] = {
            right: change_when_moved(
                {"sums": sums, "moved": first_sums(network, moved(digit, 0, right))}
            )
            for right in (2, 3)
        }
    assert changes["lecture_cnn"][2] < 1e-6
    assert changes["lenet"][2] < 1e-6
    assert changes["mlp"][2] > 0.1
    assert changes["lecture_cnn"][3] > 0.1  # compared where two pixels would have brought it


def test_neighbours_correlate_as_numpy_says():
    draw = np.random.RandomState(0)
    assert abs(neighbours(draw.standard_normal((50, 10, 10)))) < 0.05
    ramp = np.add.outer(np.arange(6.0), np.arange(6.0))[None]
    assert neighbours(ramp) == pytest.approx(1.0)
    board = np.indices((6, 6)).sum(0)[None] % 2 * 1.0
    assert neighbours(board) == pytest.approx(-1.0)
    assert np.isnan(neighbours(np.zeros((2, 3, 3))))


def result_of(weights, start, diverged=""):
    sums = np.ones((len(weights), 26, 26))
    found = {"weights": weights, "start": start, "sums": sums, "moved": sums}
    history = [{"validation_accuracy": 0.9}]
    key = (("network", "lecture_cnn"), ("seed", 0))
    outcome = Outcome(key, history, diverged, {} if diverged else found)
    digit = np.zeros((28, 28), np.uint8)
    return Features(("lecture_cnn",), [outcome], digit, drawn_picture(), "drawn")


def test_findings_say_which_filters_are_near_which_kernel():
    weights = np.stack([KERNELS["Sobel x"], -KERNELS["Sobel x"], np.eye(3)])
    result = result_of(weights, np.stack([np.eye(3)] * 3))
    assert (
        "lecture_cnn: 2 of 3 filters are near a kernel one would write by hand (cosine at least "
        "0.8, 2 Sobel x), 0 at the start."
    ) in result.findings()
    assert result.filter_rows("lecture_cnn")[1] == (2, "Sobel x", -1.0, 0.0)
    json.dumps(plain(result.to_dict()), allow_nan=False)


def test_what_diverged_is_said_and_has_no_pictures(tmp_path):
    lost = result_of(np.zeros((1, 3, 3)), np.zeros((1, 3, 3)), "not finite")
    assert lost.findings() == ["Diverged: lecture_cnn, 1 of 1 seeds."]
    assert lost.rows() == [("lecture_cnn", None, 0, "0x0", None, None, None)]
    assert not lost.is_convolution("lecture_cnn")
    lost.save(tmp_path)


def test_units_are_drawn_whatever_their_number():
    for units in (3, 11, 20):
        values = np.random.RandomState(0).standard_normal((units, 5, 5))
        assert plot_units({"weights": values, "start": values}).startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("words", "part"),
    [
        (("--networks", "lenett"), "got 'lenett'; did you mean 'lenet'"),
        (("--digit", 10), "--digit: got 10, expected 0 to 9"),
        (("--picture", "nowhere.png"), "nowhere.png: expected a picture file"),
    ],
)
def test_bad_options_give_exit_code_2_and_one_line(capsys, tmp_path, words, part):
    code, out, err = run(capsys, *TINY, *words, "--out", tmp_path, "--json", "-")
    assert (code, out) == (2, "")
    assert part in err.strip().splitlines()[-1]
