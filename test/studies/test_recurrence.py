"""Gradients through time by finite differences, what delays a digit, and the study as a whole."""

import argparse
import json

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from nn_perception.errors import ConfigError  # noqa: E402
from nn_perception.networks.recurrent import CELLS, Recurrence  # noqa: E402
from nn_perception.studies import recurrence  # noqa: E402
from nn_perception.studies.lab import digits  # noqa: E402
from nn_perception.studies.through_time import (  # noqa: E402
    DelayedDigits,
    before_training,
    gradient_norms,
)


@pytest.fixture(autouse=True)
def no_mnist_around(monkeypatch, tmp_path):
    monkeypatch.delenv("NN_PERCEPTION_DATA", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def random(*shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


@pytest.mark.parametrize("cell", CELLS)
def test_gradients_through_time_are_finite_differences(cell):
    torch.manual_seed(0)
    network, sequence = Recurrence(cell, 3, 4, 2).double(), random(2, 6, 3)
    found = gradient_norms(network, sequence)
    step, size = 1e-6, network.state_size
    for t in range(6):
        state = torch.zeros(2, size, dtype=torch.float64)
        with torch.no_grad():
            _, state = network(sequence[:, : t + 1], state)
            columns = []
            for unit in range(size):
                ends = []
                for sign in (step, -step):
                    moved = state.clone()
                    moved[:, unit] += sign
                    rest = sequence[:, t + 1 :]
                    ends.append(network(rest, moved)[1] if rest.shape[1] else moved)
                columns.append((ends[0] - ends[1]) / (2 * step))
        jacobian = torch.stack(columns, -1)
        expected = (jacobian.square().sum((1, 2)) / size).sqrt().mean()
        assert found[t].item() == pytest.approx(expected.item(), rel=1e-6)
    assert found[-1] == 1.0


def test_an_orthogonal_linear_recurrence_keeps_the_length_of_gradients():
    """Small states: tanh is the identity, and W_h alone is left."""
    torch.manual_seed(0)
    network = Recurrence("elman", 3, 8).double()
    still = 1e-6 * random(2, 40, 3)
    torch.testing.assert_close(
        gradient_norms(network, still), torch.ones(40, dtype=torch.float64), rtol=1e-5, atol=0
    )
    with torch.no_grad():
        network.cells.weight_hh_l0 *= 0.5
    expected = 0.5 ** torch.arange(39, -1, -1, dtype=torch.float64)
    torch.testing.assert_close(gradient_norms(network, still), expected, rtol=1e-5, atol=0)


def learning(blank_rows, network="elman_rnn"):
    config = recurrence._config(network, 1)
    return DelayedDigits(config, None, blank_rows)


def test_blank_rows_are_below_and_nothing_else_changes():
    plain, delayed = learning(0), learning(5)
    draw = [torch.Generator().manual_seed(0) for _ in range(2)]
    (((before,), labels), ((after,), same)) = (
        each.batch(torch.arange(4), generator, slice(None))
        for each, generator in zip((plain, delayed), draw, strict=True)
    )
    assert after.shape == (4, 1, 33, 28)
    assert torch.equal(after[:, :, :28], before)
    assert not after[:, :, 28:].any()
    assert torch.equal(labels, same)
    shapes = []

    def predict(images):
        shapes.append(images.shape[2])
        return torch.zeros(len(images), 10)

    delayed.validate(predict)
    assert set(shapes) == {33}


def test_smaller_weights_fade_sooner():
    norms = [before_training(learning(0), gain) for gain in (0.5, 1.0, 1.5)]
    firsts = [each[0] for each in norms]
    assert firsts == sorted(firsts)
    assert all(len(each) == 28 and each[-1] == 1.0 for each in norms)


def options(tmp_path, *words):
    parser = argparse.ArgumentParser()
    recurrence.configure(parser)
    small = ["--samples", "200", "--epochs", "1", "--seeds", "0", "--workers", "0"]
    return parser.parse_args([*small, "--out", str(tmp_path / "out"), *words])


def test_the_study_from_options_to_page(tmp_path):
    said = []
    result = recurrence.run(options(tmp_path, "--blank-rows", "3", "0"), said.append)
    assert [row[:2] for row in result.rows] == [("Elman", 0), ("Elman", 3), ("GRU", 0), ("GRU", 3)]
    assert digits(None).source in said[0]
    figures = json.loads(json.dumps(result.figures))
    assert len(figures["trainings"]) == 4
    for training in figures["trainings"]:
        norms = training["seeds"]["0"]["through_time"]
        assert len(norms) == 28 + training["blank_rows"]
        assert norms[-1] == pytest.approx(1.0)
    assert all(np.isfinite(norms).all() for norms in figures["before_training"].values())
    assert result.page.is_file()
    assert len(list(result.page.parent.glob("*.png"))) == 2


@pytest.mark.parametrize("rows", [["-1"], ["3", "3"], ["1001"]])
def test_blank_rows_out_of_range(tmp_path, rows):
    with pytest.raises(ConfigError, match="--blank-rows: got"):
        recurrence.run(options(tmp_path, "--blank-rows", *rows), print)
