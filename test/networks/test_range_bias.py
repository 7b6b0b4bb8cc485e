"""The network of ranges: its size, its normalisation, and what it begins with."""

import pytest

torch = pytest.importorskip("torch")

from nn_perception.errors import ConfigError  # noqa: E402
from nn_perception.networks.range_bias import RangeBias  # noqa: E402


def test_it_has_the_size_of_the_paper():
    """Three layers of 30 units: 14·30+30, twice 30·30+30, and two outputs of 30+1."""
    network = RangeBias(14, hidden=(30, 30, 30))
    assert sum(parameter.numel() for parameter in network.parameters()) == 2372


def test_untrained_it_says_nothing_and_is_unsure():
    outputs = RangeBias(5)(torch.randn(7, 5))
    assert torch.equal(outputs[:, 0], torch.zeros(7))
    assert torch.equal(outputs[:, 1], torch.full((7,), -3.0))


def test_inputs_are_normalised():
    mean, std = (1.0, -2.0, 3.0), (0.5, 2.0, 4.0)
    torch.manual_seed(0)
    network, plain = RangeBias(3, input_mean=mean, input_std=std), RangeBias(3)
    torch.nn.init.normal_(network.layers[-1].weight)
    plain.layers.load_state_dict(network.layers.state_dict())
    rows = torch.randn(50, 3)
    assert plain(rows).std() > 0.01
    scaled = rows * torch.tensor(std) + torch.tensor(mean)
    torch.testing.assert_close(network(scaled), plain(rows))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"inputs": 0}, "inputs"),
        ({"hidden": (30, 0)}, "hidden"),
        ({"activation": "relo"}, "did you mean 'relu'"),
        ({"inputs": 3, "input_mean": (0.0,) * 4}, "input_mean: got 4 numbers, expected 3"),
        ({"inputs": 3, "input_std": (1.0,)}, "input_std: got 1 numbers, expected 3"),
    ],
)
def test_impossible_arguments_are_refused(arguments, said):
    with pytest.raises(ConfigError, match=said):
        RangeBias(**arguments)
