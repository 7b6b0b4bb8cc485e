"""The residual network: sizes, any input, and that an exported one answers as the torch one."""

import numpy as np
import onnxruntime
import pytest
import torch

from nn_perception.bundle import ArraySpec
from nn_perception.errors import ConfigError
from nn_perception.networks import build_network
from nn_perception.networks.residual import ResidualBlock
from nn_perception.training.export import to_onnx
from nn_perception.training.learning import Export


def pictures(count, *shape):
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (count, *shape), generator=generator, dtype=torch.uint8)


def test_default_has_at_most_half_a_million_parameters():
    network = build_network("residual_cnn", {"classes": 5})
    assert sum(parameter.numel() for parameter in network.parameters()) <= 500_000


@pytest.mark.parametrize("shape", [(3, 16, 16), (3, 32, 32), (3, 50, 50), (3, 47, 33), (3, 96, 96)])
def test_any_size_from_16_pixels(shape):
    network = build_network("residual_cnn", {"input_shape": shape, "classes": 7}).eval()
    assert network(pictures(2, *shape)).shape == (2, 7)


def test_grey_pictures_and_other_widths():
    arguments = {
        "input_shape": [1, 28, 28],
        "channels": [8, 12],
        "blocks": [1, 3],
        "mean": [33.0],
        "std": [78.0],
    }
    network = build_network("residual_cnn", arguments).eval()
    assert network(pictures(2, 1, 28, 28)).shape == (2, 4)
    assert sum(isinstance(module, ResidualBlock) for module in network.modules()) == 4


def test_stem_with_stride_halves_the_resolution():
    for stride in (1, 2):
        network = build_network("residual_cnn", {"stem_stride": stride})
        assert network.stem(torch.zeros(1, 3, 33, 32)).shape[2:] == (-(-33 // stride), 32 // stride)


def test_block_without_its_inner_part_is_the_identity():
    torch.manual_seed(0)
    block = ResidualBlock(6, 6, 1).eval()
    torch.nn.init.zeros_(block.conv2.weight)
    values = torch.randn(2, 6, 5, 5)
    assert torch.equal(block(values), values)


def test_every_parameter_gets_a_gradient():
    torch.manual_seed(0)
    network = build_network("residual_cnn")
    network(pictures(16, 3, 32, 32)).square().sum().backward()
    for key, parameter in network.named_parameters():
        assert parameter.grad is not None, key
        assert parameter.grad.abs().sum() > 0, key


def test_uint8_and_float_of_any_memory_format_give_the_same_logits():
    torch.manual_seed(0)
    network = build_network("residual_cnn").eval()
    images = pictures(4, 3, 32, 32)
    expected = network(images)
    torch.testing.assert_close(network(images.float()), expected)
    network.to(memory_format=torch.channels_last)
    last = images.to(memory_format=torch.channels_last)
    torch.testing.assert_close(network(last), expected, atol=1e-4, rtol=1e-4)


@pytest.mark.filterwarnings("ignore")
def test_exported_network_answers_as_torch():
    torch.manual_seed(0)
    network = build_network("residual_cnn")
    images = pictures(32, 3, 32, 32)
    network(images)  # moves the running statistics away from their start
    network.eval()
    export = Export(
        inputs=(ArraySpec("image", (None, 3, 32, 32), "uint8"),),
        outputs=(ArraySpec("logits", (None, 4), "float32"),),
        probe=(images,),
        preprocessing={},
        labels=(),
        calibration={},
        metrics={},
        data={},
    )
    session = onnxruntime.InferenceSession(to_onnx(network, export))
    assert session.get_inputs()[0].type == "tensor(uint8)"
    with torch.no_grad():
        for count in (1, 2, 32):
            (logits,) = session.run(None, {"image": images[:count].numpy()})
            np.testing.assert_allclose(logits, network(images[:count]).numpy(), atol=1e-4)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"input_shape": [3, 32, 15]}, "32x15 pixels, expected at least 16x16"),
        ({"input_shape": [32, 32]}, "input_shape"),
        ({"channels": []}, "channels"),
        ({"channels": [32, 64]}, "blocks: got .* of length 4"),
        ({"blocks": [1, 0, 1, 1]}, r"blocks\[1\]"),
        ({"stem_stride": 3}, "stem_stride: got 3, expected 1 or 2"),
        ({"classes": 1}, "classes"),
        ({"dropout": 1.0}, "dropout"),
        ({"mean": [1.0]}, "mean"),
    ],
)
def test_wrong_argument(arguments, message):
    with pytest.raises(ConfigError, match=message):
        build_network("residual_cnn", arguments)
