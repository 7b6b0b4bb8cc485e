import pytest
import torch

from nn_perception.errors import ConfigError, DeviceError
from nn_perception.networks import build_network
from nn_perception.training.devices import (
    MAX_THREADS,
    choose_threads,
    deterministic,
    seed_device,
    select_device,
)

CPU = torch.device("cpu")


def batch(size):
    return (torch.zeros(size, 1, 28, 28, dtype=torch.uint8),)


def test_small_networks_take_one_thread_and_large_ones_all():
    assert choose_threads(build_network("mlp"), batch(512)) == 1
    assert choose_threads(build_network("digit_cnn"), batch(256)) == MAX_THREADS


def test_choosing_changes_nothing_in_the_network():
    network = build_network("digit_cnn")
    before = {name: value.clone() for name, value in network.state_dict().items()}
    choose_threads(network, batch(8))
    assert network.training
    for name, value in network.state_dict().items():
        assert torch.equal(value, before[name]), name


def test_the_seed_decides_what_dropout_draws():
    draws = []
    for seed in (5, 5, 6):
        seed_device(seed, CPU)
        draws.append(torch.nn.functional.dropout(torch.ones(64), 0.5))
    assert torch.equal(draws[0], draws[1])
    assert not torch.equal(draws[0], draws[2])


def test_devices_by_name():
    assert select_device("cpu") == CPU
    with pytest.raises(ConfigError, match="tpu"):
        select_device("tpu")
    with pytest.raises(DeviceError, match="cuda:97"):
        select_device("cuda:97")


def test_determinism_is_a_matter_of_the_run_only():
    before = torch.are_deterministic_algorithms_enabled()
    with deterministic(True):
        assert torch.are_deterministic_algorithms_enabled()
    assert torch.are_deterministic_algorithms_enabled() == before
