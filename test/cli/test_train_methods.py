"""Training methods and classic models from the command line: what is said, and what is refused."""

import json

import pytest

pytest.importorskip("torch")

from nn_perception.bundle import load_bundle
from nn_perception.cli.main import main


@pytest.fixture(autouse=True)
def no_mnist_around(monkeypatch, tmp_path):
    monkeypatch.delenv("NN_PERCEPTION_DATA", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def train(capsys, tmp_path, *words):
    out = tmp_path / "model"
    command = ["train", "digits", "--data", "builtin", "--out", str(out), "--device", "cpu"]
    code = main([*command, *words])
    captured = capsys.readouterr()
    return code, captured.out, captured.err, out


def test_the_zeros_of_l1_are_printed_and_stored(capsys, tmp_path):
    code, said, _, out = train(
        capsys, tmp_path, "--recipe", "softmax_regression", "l1=0.01", "weight_decay=0",
        "batch_size=32", "epochs=10", "keep=last",
    )  # fmt: skip
    assert code == 0
    share = load_bundle(out).config.metrics["validation"]["zero_weights"]
    assert 0.2 < share < 0.95
    assert f"zero_weights {share:.4f}" in said
    assert f"zero_weights {share:.4g}" in (out / "README.md").read_text()
    lines = (out / "training" / "metrics.jsonl").read_text().splitlines()
    counted = [json.loads(line)["zero_weights"] for line in lines]
    assert len(counted) == 10
    # In half precision, which the bundle has, the smallest become 0, too.
    assert share - 0.02 < counted[-1] <= share


def test_closed_form_is_a_training_of_one_epoch_and_makes_a_bundle(capsys, tmp_path):
    code, said, _, out = train(capsys, tmp_path, "--recipe", "linear_regression")
    assert code == 0
    assert load_bundle(out).id in said
    assert "zero_weights" not in said
    assert len((out / "training" / "metrics.jsonl").read_text().splitlines()) == 1
    assert load_bundle(out).config.metrics["validation"]["accuracy"] > 0.88


MLP = ("network=mlp", "epochs=1")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((*MLP, "optimizer=nestrov"), ["'optimizer' is 'nestrov'", "did you mean 'nesterov'"]),
        ((*MLP, "schedule=cosin"), ["did you mean 'cosine'"]),
        ((*MLP, "initialisation=xaver"), ["did you mean 'xavier'"]),
        ((*MLP, "momentun=0.5"), ["'momentun'", "did you mean 'momentum'"]),
        ((*MLP, "task_arguments.los=bce"), ["'los'", "did you mean 'loss'"]),
        ((*MLP, "task_arguments.loss=squard_error"), ["did you mean 'squared_error'"]),
        ((*MLP, "network_arguments.activation=rellu"), ["did you mean 'relu'"]),
        ((*MLP, "network_arguments.hiden=[3]"), ["'hiden'", "did you mean 'hidden'"]),
        (("network=lenett", "epochs=1"), ["'lenett'", "did you mean 'lenet'"]),
        (("--recipe", "mlp_3O"), ["'mlp_3O'", "did you mean 'mlp_30'", "perceptron"]),
        ((*MLP, "optimizer=closed_form", "augment=null"), ["'augment'"]),
        ((*MLP, "l1=-1"), ["'l1' is -1", "0"]),
        (
            ("--recipe", "mlp_30", "optimizer=closed_form"),
            ["Linear, Linear", "network_arguments.hidden=[]"],
        ),
        (
            ("--recipe", "softmax_regression", "optimizer=closed_form"),
            ["task_arguments.loss=squared_error"],
        ),
        (("--recipe", "linear_regression", "l1=0.1"), ["no l1", "sgd"]),
        (
            ("--recipe", "linear_regression", "optimizer=sgd", "learning_rate=100"),
            ["not finite at step", "lower learning_rate (now 100)"],
        ),
    ],
)
def test_what_cannot_be_trained_is_one_line_and_exit_code_2(capsys, tmp_path, words, said):
    code, printed, err, out = train(capsys, tmp_path, *words)
    assert (code, printed) == (2, "")
    line = [line for line in err.splitlines() if "error" in line][-1]
    assert line.startswith("nn-perception train: error: ")
    for part in said:
        assert part in line
    assert "Traceback" not in err
    assert not out.exists()
