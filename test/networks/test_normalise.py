"""Normalisation is per channel, in 0..255 units, and never silently broadcast."""

import pytest
import torch

from nn_perception.errors import ConfigError
from nn_perception.networks.normalise import Normalise


def test_normalises_each_channel():
    images = torch.tensor([10, 20, 30], dtype=torch.uint8).reshape(1, 3, 1, 1).expand(2, 3, 4, 5)
    result = Normalise([10.0, 10.0, 20.0], [1.0, 5.0, 20.0])(images)
    assert result.dtype == torch.float32
    assert result.shape == (2, 3, 4, 5)
    torch.testing.assert_close(result[1, :, 2, 3], torch.tensor([0.0, 2.0, 0.5]))


def test_uint8_does_not_wrap_below_the_mean():
    assert Normalise([100.0], [50.0])(torch.zeros(1, 1, 1, 1, dtype=torch.uint8)).item() == -2.0


def test_keeps_memory_format():
    images = torch.zeros(2, 3, 4, 5, dtype=torch.uint8).to(memory_format=torch.channels_last)
    result = Normalise([0.0] * 3, [1.0] * 3)(images)
    assert result.is_contiguous(memory_format=torch.channels_last)


def test_constants_are_saved_and_not_trained():
    layer = Normalise([1.0], [2.0])
    assert set(layer.state_dict()) == {"mean", "std"}
    assert list(layer.parameters()) == []


@pytest.mark.parametrize("shape", [(2, 3, 4, 4), (4, 4), (1, 4, 4)])
def test_wrong_shape(shape):
    with pytest.raises(ConfigError, match=r"expected \(N, 1, H, W\)"):
        Normalise([0.0], [1.0])(torch.zeros(shape))


@pytest.mark.parametrize(
    ("mean", "std"),
    [([0.0], [1.0, 1.0]), ([], []), ([0.0], [0.0]), ([0.0], [-1.0]), ([float("nan")], [1.0])],
)
def test_wrong_constants(mean, std):
    with pytest.raises(ConfigError, match="mean and std"):
        Normalise(mean, std)
