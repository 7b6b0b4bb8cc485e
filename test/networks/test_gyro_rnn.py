"""The recurrent correction of a gyroscope: the contract of `GyroTcn`, and the export."""

from types import SimpleNamespace

import numpy as np
import onnxruntime
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from nn_perception.bundle import ArraySpec
from nn_perception.errors import ConfigError
from nn_perception.networks import build_network
from nn_perception.networks.gyro_rnn import GyroRnn
from nn_perception.networks.gyro_tcn import SAMPLE
from nn_perception.networks.recurrent import CELLS
from nn_perception.training.export import to_onnx


def network(dtype=torch.float64, **arguments):
    """With weights that make the correction depend on its past."""
    torch.manual_seed(0)
    rnn = GyroRnn(**{"hidden": 12, "layers": 2, **arguments})
    with torch.no_grad():
        torch.nn.init.normal_(rnn.correct.weight, std=1.0)
    return rnn.to(dtype).eval()


def samples(count, batch=2, dtype=torch.float64, seed=1):
    generator = torch.Generator().manual_seed(seed)
    rows = torch.randn(batch, count, SAMPLE, generator=generator, dtype=torch.float64)
    return (rows + torch.tensor([0.0] * 5 + [9.81])).to(dtype)


@torch.no_grad()
def whole(rnn, rows):
    return rnn(rows, rows.new_zeros(len(rows), rnn.cache_size))


@settings(derandomize=True, deadline=None, max_examples=20, database=None)
@given(
    cell=st.sampled_from(sorted(CELLS)), sizes=st.lists(st.integers(1, 60), min_size=1, max_size=6)
)
def test_any_pieces_equal_the_whole(cell, sizes):
    rnn, rows = network(cell=cell), samples(sum(sizes), 1)
    expected, last = whole(rnn, rows)
    assert sum(sizes) < 20 or expected.std() > 0.1 * rnn.reach_rad_s
    cache, pieces = rows.new_zeros(1, rnn.cache_size), []
    with torch.no_grad():
        for part in rows.split(sizes, 1):
            found, cache = rnn(part, cache)
            pieces.append(found)
    torch.testing.assert_close(torch.cat(pieces, 1), expected, rtol=0, atol=1e-12)
    torch.testing.assert_close(cache, last, rtol=0, atol=1e-12)


@pytest.mark.parametrize("cell", CELLS)
def test_a_later_sample_changes_no_earlier_output(cell):
    rnn, rows = network(cell=cell), samples(80)
    before, _ = whole(rnn, rows)
    rows[:, 40:] += 5.0
    after, _ = whole(rnn, rows)
    torch.testing.assert_close(after[:, :40], before[:, :40], rtol=0, atol=0)
    assert not torch.equal(after[:, 40], before[:, 40])


@pytest.mark.parametrize("cell", CELLS)
def test_rows_do_not_know_of_each_other(cell):
    rnn, rows = network(cell=cell), samples(30, 3)
    expected, cache = whole(rnn, rows)
    for i in range(3):
        alone, own = whole(rnn, rows[i : i + 1])
        torch.testing.assert_close(alone[0], expected[i], rtol=0, atol=1e-12)
        torch.testing.assert_close(own[0], cache[i], rtol=0, atol=1e-12)


@pytest.mark.parametrize("cell", CELLS)
def test_corrections_and_cache_are_bounded(cell):
    rnn = network(cell=cell)
    found, cache = whole(rnn, 1e6 * samples(50))
    assert found.abs().max() <= rnn.reach_rad_s
    assert cache.abs().max() <= 1.0


def test_an_untrained_network_corrects_nothing():
    rows = samples(50, dtype=torch.float32)
    assert not whole(build_network("gyro_rnn").eval(), rows)[0].any()


def test_mean_and_spread_are_taken_off_inside():
    mean, std = [0.1, -0.2, 0.3, 1.0, 2.0, 9.0], [0.5, 0.4, 0.3, 2.0, 1.0, 3.0]
    plain = network(input_mean=[0.0] * 6, input_std=[1.0] * 6)
    other = network(input_mean=mean, input_std=std)
    rows = samples(30)
    by_hand = (rows - torch.tensor(mean, dtype=rows.dtype)) / torch.tensor(std, dtype=rows.dtype)
    # The statistics are stored as float32, the bundle's type.
    torch.testing.assert_close(whole(other, rows)[0], whole(plain, by_hand)[0], rtol=0, atol=1e-7)


def test_dropout_is_for_training_alone():
    rnn, rows = network(dropout=0.5), samples(20)
    assert torch.equal(whole(rnn, rows)[0], whole(rnn, rows)[0])
    rnn.train()
    assert not torch.equal(whole(rnn, rows)[0], whole(rnn, rows)[0])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"cell": "lstm"}, "cell: got 'lstm'.*elman, gru"),
        ({"cell": "elmen"}, "did you mean 'elman'"),
        ({"hidden": 0}, "hidden"),
        ({"layers": 1.5}, "layers"),
        ({"dropout": 1.0}, "dropout"),
    ],
)
def test_wrong_argument(arguments, message):
    with pytest.raises(ConfigError, match=message):
        build_network("gyro_rnn", arguments)


@pytest.fixture(scope="module", params=sorted(CELLS))
def exported(request):
    rnn = network(torch.float32, cell=request.param)
    cache = rnn.cache_size
    export = SimpleNamespace(
        inputs=(
            ArraySpec("samples", (None, None, SAMPLE), "float32"),
            ArraySpec("cache", (None, cache), "float32"),
        ),
        outputs=(
            ArraySpec("correction", (None, None, 3), "float32"),
            ArraySpec("next_cache", (None, cache), "float32"),
        ),
        probe=(samples(50, 4, torch.float32), torch.zeros(4, cache)),
    )
    raw = to_onnx(rnn, export)
    return rnn, onnxruntime.InferenceSession(raw, providers=["CPUExecutionProvider"])


@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize("count", [1, 2, 37, 600])
def test_the_export_takes_any_batch_and_time(exported, batch, count):
    rnn, session = exported
    rows = samples(count, batch, torch.float32, seed=count)
    cache = torch.rand(batch, rnn.cache_size, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        expected = rnn(rows, cache)
    found = session.run(None, {"samples": rows.numpy(), "cache": cache.numpy()})
    for array, tensor in zip(found, expected, strict=True):
        assert array.shape == tuple(tensor.shape)
        np.testing.assert_allclose(array, tensor.numpy(), atol=1e-5)


def test_the_export_as_a_stream(exported):
    rnn, session = exported
    rows = samples(120, 1, torch.float32)
    expected, _ = whole(rnn, rows)
    cache = np.zeros((1, rnn.cache_size), np.float32)
    for k in range(120):
        found, cache = session.run(None, {"samples": rows[:, k : k + 1].numpy(), "cache": cache})
        np.testing.assert_allclose(found[:, 0], expected[:, k].numpy(), atol=1e-6)
