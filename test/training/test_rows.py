"""Pictures read row by row: training, bundle and pipeline are those of other classifiers."""

import dataclasses

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from nn_perception.bundle import load_bundle  # noqa: E402
from nn_perception.datasets.builtin import load_builtin_digits  # noqa: E402
from nn_perception.engine_torch import network_from_bundle  # noqa: E402
from nn_perception.tasks.loading import open_pipeline  # noqa: E402
from nn_perception.training.augment import AugmentConfig  # noqa: E402
from nn_perception.training.run import resolve_config, train_task  # noqa: E402


@pytest.mark.parametrize("name", ["elman_rnn", "gru"])
def test_from_recipe_to_pipeline(name, tmp_path, monkeypatch):
    """A smaller network, few epochs: the bundle knows digits that it has not seen."""
    monkeypatch.delenv("NN_PERCEPTION_DATA", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    small = {"network": name, "epochs": 6, "network_arguments": {"hidden": 48}, "batch_size": 32}
    recipe = resolve_config("digits", {}, small)
    config = dataclasses.replace(recipe, augment=AugmentConfig(), device="cpu")
    train_task("digits", config, data=None, out=tmp_path / "m")
    bundle = load_bundle(tmp_path / "m")
    assert bundle.config.network.name == name
    test = load_builtin_digits("test")
    pipeline = open_pipeline(bundle, device="cpu")
    probabilities = pipeline.classify(test.images)
    assert (probabilities.argmax(1) == test.labels).mean() > 0.6
    pictures = torch.from_numpy(np.ascontiguousarray(test.images.transpose(0, 3, 1, 2)))
    with torch.no_grad():
        logits = network_from_bundle(bundle)(pictures)
    temperature = bundle.config.calibration.get("temperature", 1.0)
    expected = torch.softmax(logits / temperature, 1).numpy()
    np.testing.assert_allclose(probabilities, expected, atol=1e-4)
