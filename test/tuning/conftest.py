"""Searches that take seconds: the built-in digits, few of them, and tiny networks."""

import dataclasses
from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def no_mnist_around(monkeypatch, tmp_path):
    """Only the built-in digits, whatever this machine has."""
    monkeypatch.delenv("NN_PERCEPTION_DATA", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


FIXED = {
    "network": "mlp",
    "epochs": 2,
    "batch_size": 32,
    "compile": "off",
    "ema_decay": 0.0,
    "device": "cpu",
    "network_arguments": {"hidden": [4]},
    "task_arguments": {"samples": 120},
    "augment": dict.fromkeys(
        ("rotate_deg", "shift_px", "scale", "stretch", "shear_deg", "elastic_px"), 0.0
    ),
}
GRID = {"learning_rate": [0.001, 0.02], "optimizer": ["sgd", "adam"]}


@pytest.fixture
def make_plan(tmp_path):
    """Return a function: a space, and changes of the plan -> a plan on 120 built-in digits."""
    pytest.importorskip("torch")
    pytest.importorskip("optuna")
    from nn_perception.tuning.check import resolve_space
    from nn_perception.tuning.plan import Plan
    from nn_perception.tuning.space import parse_space

    def make(values=None, fixed=None, **changes):
        values = {"fixed": {**FIXED, **(fixed or {})}, **(values or GRID)}
        base, space = resolve_space("digits", parse_space(values), {}, None)
        plan = Plan(
            task="digits", base=base, space=space, sampler="grid", pruner="none", trials=4,
            folds=2, metric="accuracy", maximise=True, seed=0, data=Path("builtin"),
            storage=str(tmp_path / "journal.log"), study="tune-digits",
        )  # fmt: skip
        return dataclasses.replace(plan, **changes)

    return make


@pytest.fixture
def stub(monkeypatch):
    """Return a function that replaces the training of a trial by a function of its configuration.

    It takes the configuration and the judge, and returns the metric.
    """
    worker = pytest.importorskip("nn_perception.tuning.worker")
    from nn_perception.tuning.trial import Scores

    def install(function):
        def cross_validate(task, config, data, folds, metric, judge, *, by_epochs):
            return Scores((function(config, judge),) * folds, (1,) * folds, 0.0)

        monkeypatch.setattr(worker, "cross_validate", cross_validate)

    return install
