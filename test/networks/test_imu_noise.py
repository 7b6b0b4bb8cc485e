"""The noise network: a usable filter before training, bounded, with a memory, exported."""

from types import SimpleNamespace

import numpy as np
import onnxruntime
import pytest
import torch

from nn_perception.bundle import ArraySpec
from nn_perception.inertial.filter import FEATURES, NOISES
from nn_perception.networks import build_network
from nn_perception.training.export import to_onnx


def network(spread=1.0):
    torch.manual_seed(0)
    noise = build_network("imu_noise")
    with torch.no_grad():
        torch.nn.init.normal_(noise.write.weight, std=spread)
    return noise.eval()


def features(count, seed=0):
    return torch.randn(count, FEATURES, generator=torch.Generator().manual_seed(seed))


def test_before_training_it_is_a_filter_of_fixed_noise():
    noise = build_network("imu_noise")
    found, memory = noise(features(5), torch.zeros(5, noise.hidden))
    assert found.shape == (5, len(NOISES))
    assert memory.shape == (5, noise.hidden)
    assert (found == found[0]).all()
    # Of a usable filter with a MEMS sensor, within a factor of 10.
    usual = torch.tensor([2.0, 3e-3, 0.1, 1e-3, 5e-3, 1e-4])
    assert ((found / usual).log10().abs() < 1.0).all()


def test_noise_is_positive_and_bounded_whatever_comes():
    noise = network(1e3)
    found, memory = noise(1e6 * features(50), torch.zeros(50, noise.hidden))
    middle = build_network("imu_noise")(features(1), torch.zeros(1, noise.hidden))[0]
    assert torch.isfinite(found).all()
    assert (found / middle).log().abs().max() <= noise.reach + 1e-5
    assert memory.abs().max() <= 1.0


def test_the_memory_remembers():
    noise = network()
    _, memory = noise(features(1, 1), torch.zeros(1, noise.hidden))
    now = features(1, 2)
    assert not torch.allclose(noise(now, memory)[0], noise(now, torch.zeros(1, noise.hidden))[0])


def test_gradients_reach_every_parameter():
    noise = network()
    memory = torch.zeros(3, noise.hidden)
    for seed in range(3):
        found, memory = noise(features(3, seed), memory)
    found.log().sum().backward()
    for name, parameter in noise.named_parameters():
        assert parameter.grad.abs().max() > 0.0, name


@pytest.mark.parametrize("batch", [1, 7])
def test_the_export_agrees(batch):
    noise = network()
    export = SimpleNamespace(
        inputs=(
            ArraySpec("features", (None, FEATURES), "float32"),
            ArraySpec("memory", (None, noise.hidden), "float32"),
        ),
        outputs=(
            ArraySpec("noise", (None, len(NOISES)), "float32"),
            ArraySpec("next_memory", (None, noise.hidden), "float32"),
        ),
        probe=(features(4), torch.zeros(4, noise.hidden)),
    )
    session = onnxruntime.InferenceSession(
        to_onnx(noise, export), providers=["CPUExecutionProvider"]
    )
    given = features(batch, 5), 0.5 * torch.ones(batch, noise.hidden)
    found = session.run(None, {"features": given[0].numpy(), "memory": given[1].numpy()})
    with torch.no_grad():
        expected = noise(*given)
    for array, tensor in zip(found, expected, strict=True):
        np.testing.assert_allclose(array, tensor.numpy(), rtol=1e-4, atol=1e-6)
