"""The registry, the sizes, and that an exported network answers as the torch one."""

import io
import subprocess
import sys

import numpy as np
import onnxruntime
import pytest
import torch

import nn_perception.networks as networks
from nn_perception.errors import ConfigError, TaskError
from nn_perception.networks import (
    build_network,
    network_names,
    register_network,
    resolve_arguments,
)

ALL = ("mlp", "lecture_cnn", "lenet", "digit_cnn")


def parameter_count(network):
    return sum(parameter.numel() for parameter in network.parameters())


@pytest.mark.parametrize(
    ("name", "count"), [("mlp", 101_770), ("lecture_cnn", 54_470), ("lenet", 61_706)]
)
def test_lecture_networks_have_the_lecture_parameter_counts(name, count):
    assert parameter_count(build_network(name)) == count


def test_digit_cnn_parameter_count_fits_one_megabyte():
    assert parameter_count(build_network("digit_cnn")) == 176_554


def test_names():
    assert set(ALL) <= set(network_names())


def test_register_refuses_a_taken_name():
    with pytest.raises(TaskError, match="'mlp' is registered already"):
        register_network("mlp", "elsewhere:Mlp")


def test_register_refuses_a_malformed_target(monkeypatch):
    monkeypatch.setattr(networks, "_TARGETS", {})
    with pytest.raises(TaskError, match="module:attribute"):
        register_network("new", "elsewhere")


def test_registered_network_is_imported_on_use(monkeypatch):
    monkeypatch.setattr(networks, "_TARGETS", {})
    register_network("linear", "torch.nn:Identity")
    assert isinstance(build_network("linear"), torch.nn.Identity)


def test_registry_does_not_import_torch():
    code = "import sys, nn_perception.networks; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_unknown_network_names_the_nearest():
    with pytest.raises(TaskError, match="did you mean 'digit_cnn'"):
        build_network("digit_cn")


def test_unknown_argument_names_the_nearest():
    with pytest.raises(ConfigError, match="did you mean 'dropout'"):
        build_network("mlp", {"droput": 0.1})


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        ("mlp", {"hidden": "128"}, "hidden"),
        ("mlp", {"hidden": [0]}, r"hidden\[0\]"),
        ("mlp", {"classes": 0}, "classes"),
        ("lecture_cnn", {"classes": 1}, "classes"),
        ("lenet", {"activation": "tahn"}, "did you mean 'tanh'"),
        ("lenet", {"pooling": "avarage"}, "did you mean 'average'"),
        ("lenet", {"input_shape": [1, 11, 28]}, "input_shape"),
        ("mlp", {"activation": "rellu"}, "did you mean 'relu'"),
        ("mlp", {"activation": []}, "activation"),
        ("mlp", {"input_shape": [28, 28]}, "input_shape"),
        ("mlp", {"dropout": 1.0}, "dropout"),
        ("mlp", {"mean": 0.5}, "mean"),
        ("mlp", {"std": [0.0]}, "std"),
        ("lecture_cnn", {"input_shape": [1, 3, 28]}, "input_shape"),
        ("lecture_cnn", {"filters": True}, "filters"),
        ("digit_cnn", {"channels": [8, 8]}, "channels"),
        ("digit_cnn", {"input_shape": [1, 28, 8]}, "input_shape"),
    ],
)
def test_wrong_argument(name, arguments, message):
    with pytest.raises(ConfigError, match=message):
        build_network(name, arguments)


def test_resolve_arguments_fills_defaults_and_makes_tuples():
    resolved = resolve_arguments("mlp", {"hidden": [64, 32]})
    assert resolved["hidden"] == (64, 32)
    assert resolved["classes"] == 10
    assert parameter_count(build_network("mlp", resolved)) == 785 * 64 + 65 * 32 + 33 * 10


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 32, 40)])
def test_other_input_shapes_and_classes(name, shape):
    channels = shape[0]
    network = build_network(
        name,
        {"input_shape": shape, "classes": 7, "mean": [1.0] * channels, "std": [2.0] * channels},
    ).eval()
    assert network(torch.zeros(5, *shape, dtype=torch.uint8)).shape == (5, 7)


@pytest.mark.parametrize("name", ALL)
def test_uint8_and_float_of_any_memory_format_give_the_same_logits(name):
    torch.manual_seed(0)
    network = build_network(name).eval()
    images = torch.randint(0, 256, (4, 1, 28, 28), dtype=torch.uint8)
    expected = network(images)
    torch.testing.assert_close(network(images.float()), expected)
    channels_last = images.expand(4, 1, 28, 28).to(memory_format=torch.channels_last)
    torch.testing.assert_close(network(channels_last), expected)


@pytest.mark.parametrize("name", ALL)
def test_every_parameter_gets_a_gradient(name):
    torch.manual_seed(0)
    network = build_network(name)
    network(torch.randint(0, 256, (16, 1, 28, 28), dtype=torch.uint8)).square().sum().backward()
    for key, parameter in network.named_parameters():
        assert parameter.grad is not None, key
        assert parameter.grad.abs().sum() > 0, key


@pytest.mark.parametrize(
    ("arguments", "layer"),
    [({"dropout": 0.5}, torch.nn.Dropout), ({"batch_norm": True}, torch.nn.BatchNorm1d)],
)
def test_mlp_options_add_their_layer_after_every_hidden_one(arguments, layer):
    plain = build_network("mlp", {"hidden": [8, 8]})
    network = build_network("mlp", {"hidden": [8, 8], **arguments})
    assert not any(isinstance(module, layer) for module in plain.modules())
    assert sum(isinstance(module, layer) for module in network.modules()) == 2


def test_lenet_options_change_its_layers():
    """Average pooling of the paper or maximum; normalised maps need no bias before them."""
    kinds = [type(layer).__name__ for layer in build_network("lenet").layers]
    block = ["Conv2d", "Tanh", "AvgPool2d"]
    assert kinds == [*block, *block, "Flatten", *2 * ["Linear", "Tanh", "Dropout"], "Linear"]
    changed = build_network("lenet", {"activation": "relu", "pooling": "max", "batch_norm": True})
    kinds = [type(layer).__name__ for layer in changed.layers]
    assert kinds[:5] == ["Conv2d", "BatchNorm2d", "ReLU", "MaxPool2d", "Conv2d"]
    assert parameter_count(changed) == 61_706 + 6 + 16  # two values a map instead of a bias


@pytest.mark.parametrize("name", ["lecture_cnn", "lenet", "digit_cnn"])
def test_dropout_acts_in_training_only(name):
    torch.manual_seed(0)
    network = build_network(name, {"dropout": 0.5})
    images = torch.randint(0, 256, (8, 1, 28, 28), dtype=torch.uint8)
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = 0.0
    assert not torch.equal(network(images), network(images))
    network.eval()
    assert torch.equal(network(images), network(images))


@pytest.mark.parametrize("name", ALL)
@pytest.mark.filterwarnings("ignore")
def test_exported_network_answers_as_torch(name):
    torch.manual_seed(0)
    network = build_network(name)
    images = torch.randint(0, 256, (32, 1, 28, 28), dtype=torch.uint8)
    network(images)  # moves the running statistics away from their start
    network.eval()
    program = torch.onnx.export(
        network,
        (images[:2],),
        dynamo=True,
        input_names=["images"],
        output_names=["logits"],
        dynamic_shapes=({0: torch.export.Dim.DYNAMIC},),
        verbose=False,
    )
    file = io.BytesIO(program.model_proto.SerializeToString())
    assert len(file.getvalue()) < 1_000_000
    session = onnxruntime.InferenceSession(file.getvalue(), providers=["CPUExecutionProvider"])
    assert session.get_inputs()[0].type == "tensor(uint8)"
    with torch.no_grad():
        for count in (1, 2, 32):
            (logits,) = session.run(None, {"images": images[:count].numpy()})
            np.testing.assert_allclose(logits, network(images[:count]).numpy(), atol=1e-4)
