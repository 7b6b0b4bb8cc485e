"""Networks of timm, where it is installed and can be imported.

Beside a CPU build of torch it cannot, for want of a torchvision of that build: there the tests ran
once, with the two operators declared that torchvision misses before it gives up.
"""

import importlib
import sys

import numpy as np
import pytest
import safetensors.torch
import torch

from nn_perception.bundle import load_bundle
from nn_perception.errors import ConfigError, TrainingError
from nn_perception.networks import build_network
from nn_perception.tasks.loading import open_pipeline
from nn_perception.training.run import resolve_config, train_task

SMALL = {"model": "resnet10t", "input_shape": (3, 64, 64), "classes": 3}


def has_timm():
    """It needs a torchvision that fits torch, which the CPU build of torch does not have."""
    try:
        importlib.import_module("timm")
    except (ImportError, RuntimeError):
        return False
    return True


needs_timm = pytest.mark.skipif(not has_timm(), reason="timm cannot be imported here")


@pytest.fixture
def weights(tmp_path):
    """The file of a whole timm model, classifier included, with random weights."""
    timm = importlib.import_module("timm")
    torch.manual_seed(3)
    model = timm.create_model(SMALL["model"], num_classes=1000)
    path = tmp_path / "model.safetensors"
    safetensors.torch.save_file(model.state_dict(), path)
    return path, model


def test_without_timm_the_error_says_how_to_get_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(ConfigError, match="pip install timm torchvision"):
        build_network("timm_backbone")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"freeze": 1}, "freeze"),
        ({"dropout": 1.0}, "dropout"),
        ({"input_shape": [3, 64]}, "input_shape"),
        ({"mean": [1.0]}, "mean"),
    ],
)
def test_wrong_argument(arguments, message):
    with pytest.raises(ConfigError, match=message):
        build_network("timm_backbone", arguments)


@needs_timm
def test_unknown_model_names_the_nearest():
    with pytest.raises(ConfigError, match="did you mean 'resnet18'"):
        build_network("timm_backbone", {"model": "resnet_18"})


@needs_timm
def test_loaded_weights_give_the_features_of_the_model(weights):
    path, model = weights
    network = build_network("timm_backbone", SMALL).eval()
    images = torch.randint(0, 256, (2, 3, 64, 64), dtype=torch.uint8)
    normal = network.normalise(images)
    expected = model.eval().forward_head(model.forward_features(normal), pre_logits=True)
    assert not torch.allclose(network.backbone(normal), expected, atol=1e-3)
    network.load_weights(path)
    torch.testing.assert_close(network.backbone(normal), expected)
    assert network(images).shape == (2, 3)


@needs_timm
def test_weights_of_another_model_are_refused(weights, tmp_path):
    path, _ = weights
    other = build_network("timm_backbone", {**SMALL, "model": "resnet18"})
    with pytest.raises(TrainingError, match="lacks"):
        other.load_weights(path)
    grey = {"input_shape": (1, 64, 64), "mean": [100.0], "std": [50.0]}
    with pytest.raises(TrainingError, match="1 channels"):
        build_network("timm_backbone", {**SMALL, **grey}).load_weights(path)
    (tmp_path / "broken").write_bytes(b"rubbish")
    for missing in ("broken", "nowhere"):
        with pytest.raises(TrainingError, match="safetensors"):
            other.load_weights(tmp_path / missing)


@needs_timm
def test_frozen_backbone_stays_as_it_is():
    network = build_network("timm_backbone", {**SMALL, "freeze": True}).train()
    before = {name: value.clone() for name, value in network.backbone.state_dict().items()}
    images = torch.randint(0, 256, (4, 3, 64, 64), dtype=torch.uint8)
    network(images).square().sum().backward()
    trained = [name for name, value in network.named_parameters() if value.grad is not None]
    assert trained == ["head.1.weight", "head.1.bias"]
    for name, value in network.backbone.state_dict().items():
        assert torch.equal(value, before[name]), name


@needs_timm
def test_trains_to_a_bundle_that_states_its_beginning(weights, tmp_path):
    path, _ = weights
    images = torch.randint(0, 256, (24, 64, 64, 3), dtype=torch.uint8).numpy()
    labels = torch.arange(24).remainder(3).numpy()
    data = tmp_path / "set.npz"
    np.savez(data, images=images, labels=labels)
    values = {
        "network": "timm_backbone",
        "epochs": 1,
        "batch_size": 8,
        "validation_fraction": 0.25,
        "network_arguments": {"model": SMALL["model"]},
        "task_arguments": {"input_size": 64, "backbone_weights": str(path)},
    }
    config = resolve_config("objects", {}, values)
    train_task("objects", config, data=data, out=tmp_path / "m")
    bundle = load_bundle(tmp_path / "m")
    assert len(bundle.config.training["data"]["backbone_weights_sha256"]) == 64
    scores = open_pipeline(bundle, device="cpu").classify(images)
    assert scores.shape == (24, 3)
