"""The same seed gives the same figures, with every study of training methods."""

import argparse
import dataclasses

import pytest

from nn_perception.evaluation.plot_style import Canvas
from nn_perception.studies import STUDIES, lab, load, sweep

METHODS = [name for name in STUDIES if isinstance(getattr(load(name), "DEFAULTS", 0), lab.Defaults)]
TINY = {
    "--samples": 120, "--epochs": 1, "--seeds": 3, "--workers": 0, "--data": "builtin",
    # Of single studies:
    "--steps": 3, "--units": 4, "--sets": 2, "--count": 40, "--blank-rows": 2, "--layers": 2,
}  # fmt: skip
FEW = {
    "learning-rate": ("--rates", "0.01", "0.1"),
    "batch-size": ("--sizes", "10", "full"),
    "optimisers": ("--optimizers", "sgd", "adam"),
    "mlp-vs-cnn": ("--networks", "mlp", "lecture_cnn"),
    "activations": ("--activations", "relu", "tanh", "--depths", "1", "2"),
    "initialisation": ("--initialisations", "zeros", "he"),
    "features": ("--networks", "mlp"),
    "decision-boundary": ("--points", "xor", "--networks", "2-2-1"),
}
"""Less of what takes long; a study that is not here runs with `TINY` alone."""

PNG_SIZE = bytes(24)
"""What a page reads of a picture."""


@pytest.fixture(autouse=True)
def no_data_of_the_machine_and_no_drawing(monkeypatch):
    monkeypatch.delenv("NN_PERCEPTION_DATA", raising=False)
    monkeypatch.setattr(Canvas, "png", lambda *_: PNG_SIZE)
    train = sweep._train
    monkeypatch.setattr(sweep, "_train", lambda job, tick: train(shortened(job), tick))


def shortened(job):
    def make():
        learning = job.make()
        learning.config = dataclasses.replace(learning.config, epochs=min(job.epochs, 2))
        return learning

    return dataclasses.replace(job, make=make)


def figures(name, out):
    module = load(name)
    parser = argparse.ArgumentParser()
    module.configure(parser)
    known = parser._option_string_actions
    words = [str(word) for pair in TINY.items() if pair[0] in known for word in pair]
    arguments = parser.parse_args([*words, *FEW.get(name, ()), "--out", str(out)])
    return module.run(arguments, lambda _: None)


def without_times(value):
    if isinstance(value, dict):
        return {
            k: without_times(v) for k, v in value.items() if "seconds" not in k and k != "times"
        }
    return [without_times(v) for v in value] if isinstance(value, list) else value


def leaves(value):
    if isinstance(value, dict):
        return sum(map(leaves, value.values()))
    return sum(map(leaves, value)) if isinstance(value, list) else 1


def test_studies_of_methods_are_found():
    assert {"learning-rate", "batch-size", "epochs", "optimisers"} <= set(METHODS)


@pytest.mark.parametrize("name", METHODS)
def test_a_study_repeats_exactly(name, tmp_path):
    first, second = (figures(name, tmp_path / way) for way in ("a", "b"))
    assert first.figures["study"] == name
    assert without_times(first.figures) == without_times(second.figures)
    assert leaves(without_times(first.figures)) > 25  # the environment is ten of them
    assert len(first.rows[0]) == len(first.header)
    assert first.page.is_file()
