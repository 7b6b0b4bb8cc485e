import dataclasses
import gzip
import json
import shutil

import numpy as np
import pytest

pytest.importorskip("torch")

from nn_perception.bundle import load_bundle
from nn_perception.config import from_mapping
from nn_perception.datasets.builtin import load_builtin_digits
from nn_perception.errors import ConfigError, DatasetError
from nn_perception.networks import build_network
from nn_perception.tasks import get_task
from nn_perception.tasks.loading import open_pipeline
from nn_perception.training.config import TrainingConfig
from nn_perception.training.run import resolve_config, train_task

COUNTS = {
    "mlp": 101_770,
    "lecture_cnn": 54_470,
    "digit_cnn": None,
    "elman_rnn": 21_514,
    "gru": 61_962,
}


@pytest.fixture(autouse=True)
def no_mnist_around(monkeypatch, tmp_path):
    """Without --data the built-in digits are meant, whatever this machine has."""
    monkeypatch.delenv("NN_PERCEPTION_DATA", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def idx(array):
    header = bytes([0, 0, 8, array.ndim]) + b"".join(n.to_bytes(4, "big") for n in array.shape)
    return gzip.compress(header + array.tobytes())


@pytest.fixture
def small_mnist(tmp_path):
    """The files of MNIST with few pictures: rows of the built-in digits."""
    root = tmp_path / "mnist"
    root.mkdir()
    for prefix, split, n in (("train", "train", 300), ("t10k", "test", 100)):
        data = load_builtin_digits(split)
        (root / f"{prefix}-images-idx3-ubyte.gz").write_bytes(idx(data.images[:n, :, :, 0]))
        labels = data.labels[:n].astype(np.uint8)
        (root / f"{prefix}-labels-idx1-ubyte.gz").write_bytes(idx(labels))
    return root


@pytest.mark.parametrize("network", COUNTS)
def test_every_recipe_is_a_whole_valid_configuration(network):
    config = get_task("digits").load_learning().recipe(network)
    assert config.network == network
    built = build_network(network, config.network_arguments)
    count = sum(parameter.numel() for parameter in built.parameters())
    assert COUNTS[network] in (None, count)


def test_network_without_recipe_needs_a_whole_configuration():
    with pytest.raises(ConfigError, match=r"mlp.*--config"):
        resolve_config("digits", {}, {"network": "mpl"})
    assert resolve_config("digits", {"network": "other"}, {}).network == "other"


def test_file_and_overrides_change_the_recipe_of_their_network():
    base = get_task("digits").load_learning().recipe("mlp")
    config = resolve_config("digits", {"network": "mlp", "epochs": 3}, {"seed": 9})
    assert config == dataclasses.replace(base, epochs=3, seed=9)


def test_training_never_opens_the_test_split(small_mnist, tmp_path):
    """With the test files replaced by rubbish, training does not notice."""
    config = dataclasses.replace(resolve_config("digits", {}, {"network": "mlp"}), epochs=1)
    whole = train_task("digits", config, data=small_mnist, out=tmp_path / "a").bundle
    for path in small_mnist.glob("t10k-*"):
        path.write_bytes(b"rubbish")
    again = train_task("digits", config, data=small_mnist, out=tmp_path / "b").bundle
    assert whole.id == again.id


def test_train_and_validation_share_no_picture():
    config = TrainingConfig(network="mlp", validation_fraction=0.3)
    learning = get_task("digits").load_learning()(config, None)
    train, validation = (part[0].numpy() for part in (learning._train, learning._validation))
    assert len(train) + len(validation) == len(load_builtin_digits("train"))
    seen = {image.tobytes() for image in train}
    doubles = sum(image.tobytes() in seen for image in validation)
    assert doubles == 0


def test_bundle_says_what_it_was_made_of(tmp_path, small_mnist):
    config = dataclasses.replace(resolve_config("digits", {}, {"network": "mlp"}), epochs=2)
    bundle = train_task(
        "digits", config, data=small_mnist, out=tmp_path / "m", command="the command"
    ).bundle
    training = bundle.config.training
    assert from_mapping(TrainingConfig, training["configuration"]) == config
    assert training["data"]["train"] + training["data"]["validation"] == 300
    assert set(bundle.config.metrics) == {"validation"}
    card = (tmp_path / "m" / "README.md").read_text()
    assert "the command" in card
    assert "101,770 parameters" in card
    lines = (tmp_path / "m" / "training" / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line)["epoch"] for line in lines] == [1, 2]
    assert not (tmp_path / "m.run" / "checkpoint").exists()
    for path in (tmp_path / "m").rglob("*"):
        if path.is_file():
            assert str(tmp_path).encode() not in path.read_bytes(), path


def test_interrupted_command_goes_on_and_gives_the_same_bundle(tmp_path, small_mnist):
    config = dataclasses.replace(resolve_config("digits", {}, {"network": "mlp"}), epochs=4)
    arguments = {"data": small_mnist, "out": tmp_path / "m"}

    class KilledError(Exception):
        pass

    def kill(record):
        if record["epoch"] == 2:
            raise KilledError

    with pytest.raises(KilledError):
        train_task("digits", config, on_epoch=kill, **arguments)
    assert not (tmp_path / "m").exists()
    resumed = train_task("digits", config, **arguments)
    whole = train_task("digits", config, data=small_mnist, out=tmp_path / "whole")
    assert [record["epoch"] for record in resumed.fit.history] == [1, 2, 3, 4]
    assert resumed.bundle.id == whole.bundle.id


def test_builtin_digits_train_to_a_working_bundle(tmp_path, caplog):
    overrides = {"network": "mlp", "epochs": 12, "batch_size": 32, "validation_fraction": 0.2}
    config = resolve_config("digits", {}, overrides)
    with caplog.at_level("WARNING"):
        train_task("digits", config, data=None, out=tmp_path / "m")
    assert "no MNIST found" in caplog.text
    test = load_builtin_digits("test")
    pipeline = open_pipeline(load_bundle(tmp_path / "m"), device="cpu")
    assert (pipeline.classify(test.images).argmax(1) == test.labels).mean() > 0.95


def test_data_that_is_not_there(tmp_path):
    config = resolve_config("digits", {}, {"network": "mlp"})
    with pytest.raises(DatasetError):
        train_task("digits", config, data=tmp_path, out=tmp_path / "m")
    shutil.rmtree(tmp_path)
    with pytest.raises(DatasetError):
        train_task("digits", config, data=tmp_path, out=tmp_path / "m")


def test_weights_are_stored_in_half_precision_without_a_further_loss(tmp_path, small_mnist):
    """What is stored is half as large, and torch and ONNX still compute the very same numbers."""
    overrides = {"network": "digit_cnn", "epochs": 1, "batch_size": 32}
    config = resolve_config("digits", {}, overrides)
    bundle = train_task("digits", config, data=small_mnist, out=tmp_path / "m").bundle
    float32_bytes = 4 * bundle.config.network.parameters
    assert len(bundle.tensors) < 0.6 * float32_bytes
    assert len(bundle.onnx) < 0.65 * float32_bytes
    assert bundle.config.parity < 1e-4
    assert sum(path.stat().st_size for path in (tmp_path / "m").rglob("*")) < 1_000_000
