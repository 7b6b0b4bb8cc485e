import multiprocessing
import os
import signal
import time
from functools import partial

import numpy as np
import pytest
import torch

from nn_perception.errors import ConfigError, TrainingError
from nn_perception.studies import load, sweep
from nn_perception.studies.batch_size import gradient_noise
from nn_perception.studies.sweep import Job, train_all
from nn_perception.training.array_learning import ArrayLearning, Examples
from nn_perception.training.config import TrainingConfig


class Bar:
    """A progress bar that counts, and runs something at each update."""

    def __init__(self, then=lambda: None):
        self.counts, self.then, self.total = [], then, None

    def __call__(self, total, what, unit):
        self.total = total
        return self

    def update(self, count):
        self.counts.append(count)
        self.then()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass


@pytest.fixture
def bar(monkeypatch):
    bar = Bar()
    monkeypatch.setattr(sweep, "progress_bar", bar)
    return bar


def line(rate, epochs, **config):
    """Return a regression of a line; with a large rate its squared error grows without bounds."""
    x = np.linspace(-1.0, 1.0, 40)[:, None]
    values = TrainingConfig(
        network="mlp", network_arguments={"hidden": []}, epochs=epochs, batch_size=10,
        optimizer="sgd", schedule="constant", learning_rate=rate, compile="off", device="cpu",
        **config,
    )  # fmt: skip
    data = Examples(x, 3.0 * x + 1.0)
    make = partial(ArrayLearning, values, data, data)
    return Job((("rate", rate), ("seed", values.seed)), make, epochs, gradient_noise)


def plain(outcomes):
    """Return all of the outcomes but times."""
    return [
        (
            outcome.key,
            [{k: v for k, v in record.items() if k != "seconds"} for record in outcome.history],
            outcome.diverged,
            outcome.found,
        )
        for outcome in outcomes
    ]


def test_figures_and_their_order_are_the_same_with_any_number_of_processes(bar):
    def interrupt():  # as Ctrl-C does, which goes to all processes of a terminal
        for child in multiprocessing.active_children():
            os.kill(child.pid, signal.SIGINT)

    bar.then = interrupt
    # The first is the longest, so that with two processes it is not the first to be finished.
    jobs = [line(0.05, 40), line(100.0, 30), line(0.1, 2, seed=1), line(0.2, 2)]
    runs = [train_all(jobs, workers, "test") for workers in (0, 1, 2)]
    assert plain(runs[0]) == plain(runs[1]) == plain(runs[2])
    outcomes = runs[0]
    assert [outcome["rate"] for outcome in outcomes] == [0.05, 100.0, 0.1, 0.2]
    assert [outcome["seed"] for outcome in outcomes] == [0, 0, 1, 0]
    assert bar.total == 74
    assert sum(bar.counts) == 3 * 74
    diverged = outcomes[1]
    assert "not finite" in diverged.diverged
    assert 0 < len(diverged.history) < 30
    assert diverged.history[-1]["train_loss"] > diverged.history[0]["train_loss"] > 1.0
    assert diverged.found == {}
    for outcome in (outcomes[0], *outcomes[2:]):
        assert not outcome.diverged
        assert outcome.found["batch"] == 10
        assert outcome.history[-1]["train_loss"] < outcome.history[0]["train_loss"]
    assert not multiprocessing.active_children()


def test_one_thread_is_used_and_then_as_many_as_before(bar):
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        job = line(0.1, 1)
        seen = []
        bar.then = lambda: seen.append(torch.get_num_threads())
        train_all([job], 0, "test")
        assert seen[0] == 1
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize("workers", [0, 1])
def test_errors_of_data_and_configuration_come_through(bar, workers):
    with pytest.raises(ConfigError, match="unknown study 'nothing'"):
        train_all([Job((), partial(load, "nothing"), 1)] * 2, workers, "test")
    assert not multiprocessing.active_children()


def test_any_other_error_tells_where_it_was(bar):
    with pytest.raises(ValueError, match="invalid literal") as caught:
        train_all([Job((), partial(int, "nothing"), 1)], 1, "test")
    assert "_train" in str(caught.value.__cause__)


def test_a_process_that_ends_by_itself_is_an_error(bar):
    jobs = [Job((), partial(time.sleep, 600), 1), Job((), partial(os._exit, 3), 1)]
    with pytest.raises(TrainingError, match="fewer --workers"):
        train_all(jobs, 2, "test")
    assert not multiprocessing.active_children()


def test_an_interruption_ends_the_processes(bar, monkeypatch):
    children = []

    def interrupted(connections):
        children.extend(multiprocessing.active_children())
        raise KeyboardInterrupt

    monkeypatch.setattr(sweep, "wait", interrupted)
    with pytest.raises(KeyboardInterrupt):
        train_all([Job((), partial(time.sleep, 600), 1)] * 3, 2, "test")
    assert len(children) == 2
    assert not multiprocessing.active_children()


def test_no_jobs_give_nothing(bar):
    assert train_all([], 2, "test") == []
