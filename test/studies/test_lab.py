import argparse
import json

import numpy as np
import pytest
import torch

from nn_perception.cli.main import main, parse
from nn_perception.datasets.builtin import load_builtin_digits
from nn_perception.errors import ConfigError, DatasetError
from nn_perception.studies import lab
from nn_perception.training.config import TrainingConfig
from nn_perception.training.loop import Trainer

DIGITS = TrainingConfig(
    network="mlp", network_arguments={"hidden": [12]}, epochs=2, optimizer="sgd", batch_size=20
)


@pytest.fixture(autouse=True)
def no_data_of_the_machine(monkeypatch):
    monkeypatch.delenv("NN_PERCEPTION_DATA", raising=False)


@pytest.fixture
def options(tmp_path):
    def options(*words):
        parser = argparse.ArgumentParser()
        lab.configure(parser, "some", lab.Defaults(epochs=3, samples=200))
        out = tmp_path / "report"
        return parser.parse_args([*map(str, words), "--data", "builtin", "--out", str(out)])

    return options


@pytest.mark.parametrize(
    ("words", "part"),
    [
        (("--seeds", 1, 1), "seeds: got [1, 1], expected different numbers from 0"),
        (("--seeds", -1), "seeds: got [-1]"),
        (("--seeds", 2**31), "from 0 to 2^31-1"),
        (("--workers", -1), "workers: got -1, expected 0 or more"),
        (("--epochs", 0), "epochs: got 0, expected 1 or more"),
        (("--samples", 99), "samples: got 99, expected 100 or more"),
    ],
)
def test_options_that_cannot_be_meant_are_refused(options, words, part):
    with pytest.raises(ConfigError) as caught:
        lab.check(options(*words))
    assert part in str(caught.value)


def test_a_directory_that_cannot_be_made_is_told_at_once(options, tmp_path):
    (tmp_path / "report").touch()
    with pytest.raises(ConfigError, match="choose another --out"):
        lab.check(options())


def test_usual_options_are_accepted_and_the_directory_is_made(options, tmp_path):
    lab.check(options("--seeds", 0, 2**31 - 1, "--workers", 0, "--samples", 100))
    assert (tmp_path / "report").is_dir()


def job(options, *words, config=DIGITS, **key):
    return lab.digits_job(config, options(*words), **{"seed": 3, **key})


def test_a_job_has_the_options_the_key_and_what_the_command_line_says(options):
    words = ("network_arguments.activation=tanh", "batch_size=40", "task_arguments.loss=mse")
    made = job(options, *words, "--samples", 150, learning_rate=0.1)
    assert made.key == (("seed", 3), ("learning_rate", 0.1))
    config = made.make().config
    assert (config.seed, config.device, config.batch_size, config.epochs) == (3, "cpu", 40, 2)
    assert config.task_arguments == {"samples": 150, "loss": "mse"}
    assert config.network_arguments == {"hidden": [12], "activation": "tanh"}


def test_another_network_does_not_get_the_first_ones_arguments(options):
    config = job(options, "network=lecture_cnn").make().config
    assert (config.network, config.network_arguments) == ("lecture_cnn", {})


@pytest.mark.parametrize(
    ("word", "part"),
    [
        ("batchsize=3", "did you mean 'batch_size'"),
        ("learning_rate=0.1", "'learning_rate' is what this study compares"),
        ("network_arguments.activation=tanh", "is what this study compares"),
        ("seed=1", "use --seeds"),
        ("epochs=1", "use --epochs"),
        ("task_arguments.samples=7", "use --samples"),
        ("device=cuda", "studies run on the CPU"),
        ("batch_size", "not of the form key=value"),
        ("optimizer=sdg", "did you mean 'sgd'"),
    ],
)
def test_keys_that_cannot_be_meant_are_refused(options, word, part):
    with pytest.raises(ConfigError) as caught:
        job(options, word, learning_rate=0.1, activation="relu")
    assert part in str(caught.value)


def test_data_that_is_not_there_is_told_before_any_process_starts(options, tmp_path):
    arguments = options()
    arguments.data = tmp_path / "nowhere"
    with pytest.raises(DatasetError, match="no MNIST there"):
        lab.digits_job(DIGITS, arguments, seed=0)


def test_training_figures_are_those_of_what_was_trained_on(options):
    made = job(options, training_figures=True, config=DIGITS)
    learning = made.make()
    fit = Trainer(learning).fit()
    images, labels = learning._train
    with torch.no_grad():
        logits = fit.network(images).double().numpy()
    truth = labels.numpy()
    shifted = logits - logits.max(1, keepdims=True)
    losses = np.log(np.exp(shifted).sum(1)) - shifted[np.arange(len(truth)), truth]
    last = next(r for r in fit.history if r["epoch"] == fit.best_epoch)
    assert last[f"{lab.TRAINING}loss"] == pytest.approx(losses.mean(), rel=1e-5)
    right = float((logits.argmax(1) == truth).mean())
    assert last[f"{lab.TRAINING}accuracy"] == pytest.approx(right)
    assert last["validation_loss"] != pytest.approx(losses.mean(), rel=1e-3)


def test_the_page_and_the_figures_name_options_and_data(options):
    arguments = options("--seeds", 4, 5)
    result = lab.finish(
        arguments, "some", "Some study", "of something",
        lambda report: report.tiles({"answer": 42}),
        (("a", "b"), [("x", 1.5)]), {"answer": float("nan")},
    )  # fmt: skip
    data = load_builtin_digits("train")
    written = json.loads((arguments.out / "metrics.json").read_text())
    assert (written["study"], written["answer"]) == ("some", None)
    assert written["options"]["seeds"] == [4, 5]
    assert written["data"] == {"source": data.source, "sha256": data.sha256}
    assert result.figures.pop("environment")["python"]
    assert result.figures == written
    page = result.page.read_text()
    assert "42" in page
    assert data.source in page
    assert str(arguments.out) not in page


def test_keys_and_options_mix_on_the_command_line():
    parsed = parse(["study", "learning-rate", "batch_size=8", "--epochs", "2", "network=lenet"])
    assert (parsed.overrides, parsed.epochs) == (["batch_size=8", "network=lenet"], 2)


def test_a_study_without_keys_refuses_them(capsys):
    with pytest.raises(SystemExit) as stopped:
        main(["study", "rotation-heads", "batch_size=8"])
    assert stopped.value.code == 2
    assert "unrecognized arguments: batch_size=8" in capsys.readouterr().err
