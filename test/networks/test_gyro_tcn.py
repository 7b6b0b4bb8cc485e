"""Causal convolutions: any pieces give the whole, nothing looks ahead, the export agrees."""

import io
from types import SimpleNamespace

import numpy as np
import onnxruntime
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from nn_perception.bundle import ArraySpec
from nn_perception.networks import build_network
from nn_perception.networks.gyro_tcn import SAMPLE, GyroTcn
from nn_perception.training.export import to_onnx


def network(dtype=torch.float64, **arguments):
    """With weights that make the correction depend on all of its past."""
    torch.manual_seed(0)
    tcn = GyroTcn(**arguments)
    with torch.no_grad():
        torch.nn.init.normal_(tcn.correct.weight, std=2.0)
    return tcn.to(dtype).eval()


def samples(count, batch=2, dtype=torch.float64, seed=1):
    generator = torch.Generator().manual_seed(seed)
    rows = torch.randn(batch, count, SAMPLE, generator=generator, dtype=torch.float64)
    return (rows + torch.tensor([0.0] * 5 + [9.81])).to(dtype)


def empty(tcn, rows):
    return rows.new_zeros(len(rows), tcn.cache_size)


@torch.no_grad()
def whole(tcn, rows):
    return tcn(rows, empty(tcn, rows))


@pytest.mark.parametrize(("dtype", "bound"), [(torch.float32, 1e-5), (torch.float64, 1e-10)])
def test_sample_by_sample_equals_the_whole(dtype, bound):
    tcn, rows = network(dtype), samples(700, dtype=dtype)
    expected, last = whole(tcn, rows)
    assert expected.std() > 0.1 * tcn.reach_rad_s
    cache = empty(tcn, rows)
    with torch.no_grad():
        for k in range(700):
            found, cache = tcn(rows[:, k : k + 1], cache)
            assert (found[:, 0] - expected[:, k]).abs().max() < bound
    assert (cache - last).abs().max() < 10 * bound


@settings(derandomize=True, deadline=None, max_examples=20, database=None)
@given(sizes=st.lists(st.integers(1, 500), min_size=1, max_size=6))
def test_any_pieces_equal_the_whole(sizes):
    tcn, rows = network(), samples(sum(sizes), 1)
    expected, last = whole(tcn, rows)
    cache, at = empty(tcn, rows), 0
    with torch.no_grad():
        for size in sizes:
            found, cache = tcn(rows[:, at : at + size], cache)
            assert (found - expected[:, at : at + size]).abs().max() < 1e-10
            at += size
    assert (cache - last).abs().max() < 1e-10


def test_a_later_sample_changes_no_earlier_output():
    tcn, rows = network(), samples(600)
    before, _ = whole(tcn, rows)
    rows[:, 300:] += 5.0
    after, _ = whole(tcn, rows)
    torch.testing.assert_close(after[:, :300], before[:, :300], rtol=0, atol=0)
    assert not torch.equal(after[:, 300], before[:, 300])


@pytest.mark.parametrize("arguments", [{}, {"channels": (4, 4), "dilations": (1, 3), "kernel": 3}])
def test_the_receptive_field_is_true(arguments):
    """The gradient of the last output reaches back so many samples and no further."""
    tcn = network(**arguments)
    rows = samples(tcn.receptive_field + 40, 1).requires_grad_()
    found, _ = tcn(rows, empty(tcn, rows))
    found[0, -1].sum().backward()
    reached = rows.grad[0].abs().sum(1) > 0.0
    assert reached[-tcn.receptive_field]
    assert not reached[: -tcn.receptive_field].any()


def test_the_shipped_receptive_field():
    """Brossard's: 1 + 6 x (1 + 4 + 16 + 64) = 511 samples."""
    assert GyroTcn().receptive_field == 511
    assert GyroTcn().cache_size == 6 * (6 * 1 + 8 * 4 + 16 * 16 + 16 * 64)


def test_rows_do_not_know_of_each_other():
    tcn, rows = network(), samples(100, 3)
    expected, cache = whole(tcn, rows)
    for i in range(3):
        alone, own = whole(tcn, rows[i : i + 1])
        torch.testing.assert_close(alone[0], expected[i], rtol=0, atol=1e-12)
        torch.testing.assert_close(own[0], cache[i], rtol=0, atol=1e-12)


def test_an_untrained_network_corrects_nothing():
    rows = samples(50, dtype=torch.float32)
    found, _ = whole(build_network("gyro_tcn").eval(), rows)
    assert not found.any()


def test_corrections_are_bounded():
    tcn = network()
    found, _ = whole(tcn, 1e6 * samples(100))
    assert found.abs().max() <= tcn.reach_rad_s
    assert torch.isfinite(found).all()


def test_mean_and_spread_are_taken_off_inside():
    mean, std = [0.1, -0.2, 0.3, 1.0, 2.0, 9.0], [0.5, 0.4, 0.3, 2.0, 1.0, 3.0]
    plain = network(input_mean=[0.0] * 6, input_std=[1.0] * 6)
    other = network(input_mean=mean, input_std=std)
    rows = samples(60)
    by_hand = (rows - torch.tensor(mean, dtype=rows.dtype)) / torch.tensor(std, dtype=rows.dtype)
    # The statistics are stored as float32, the bundle's type.
    torch.testing.assert_close(whole(other, rows)[0], whole(plain, by_hand)[0], rtol=0, atol=1e-7)


def test_dropout_is_for_training_alone():
    tcn, rows = network(), samples(50)
    one, other = whole(tcn, rows)[0], whole(tcn, rows)[0]
    assert torch.equal(one, other)
    tcn.train()
    assert not torch.equal(whole(tcn, rows)[0], whole(tcn, rows)[0])


def test_channels_and_dilations_must_match():
    with pytest.raises(ValueError, match="2 channels for 3 dilations"):
        GyroTcn(channels=(8, 8), dilations=(1, 2, 4))


@pytest.fixture(scope="module")
def exported():
    tcn = network(torch.float32)
    cache = tcn.cache_size
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
    raw = to_onnx(tcn, export)
    session = onnxruntime.InferenceSession(
        io.BytesIO(raw).getvalue(), providers=["CPUExecutionProvider"]
    )
    return tcn, session


@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize("count", [1, 2, 37, 600])
def test_the_export_takes_any_batch_and_time(exported, batch, count):
    tcn, session = exported
    rows = samples(count, batch, torch.float32, seed=count)
    cache = torch.randn(batch, tcn.cache_size, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        expected = tcn(rows, cache)
    found = session.run(None, {"samples": rows.numpy(), "cache": cache.numpy()})
    for array, tensor in zip(found, expected, strict=True):
        assert array.shape == tuple(tensor.shape)
        np.testing.assert_allclose(array, tensor.numpy(), atol=1e-5)


def test_the_export_as_a_stream(exported):
    tcn, session = exported
    rows = samples(120, 1, torch.float32)
    expected, _ = whole(tcn, rows)
    cache = np.zeros((1, tcn.cache_size), np.float32)
    for k in range(120):
        feed = {"samples": rows[:, k : k + 1].numpy(), "cache": cache}
        found, cache = session.run(None, feed)
        np.testing.assert_allclose(found[:, 0], expected[:, k].numpy(), atol=1e-5)
