"""Training that begins with a bundle, for any task."""

import dataclasses

import pytest

torch = pytest.importorskip("torch")

from nn_perception.bundle import load_bundle  # noqa: E402
from nn_perception.cli.main import main  # noqa: E402
from nn_perception.engine_torch import network_from_bundle  # noqa: E402
from nn_perception.errors import BundleError, TrainingError  # noqa: E402
from nn_perception.training.run import resolve_config, train_task  # noqa: E402


@pytest.fixture(autouse=True)
def no_mnist_around(monkeypatch, tmp_path):
    monkeypatch.delenv("NN_PERCEPTION_DATA", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


class Interrupted(Exception):  # noqa: N818
    pass


def interrupt(record):
    raise Interrupted


def train(out, init=None, on_epoch=None, **changes):
    config = resolve_config("digits", {}, {"network": "mlp", "epochs": 1, "device": "cpu"})
    config = dataclasses.replace(config, compile="off", **changes)
    return train_task("digits", config, data=None, out=out, init=init, on_epoch=on_epoch)


def weights(bundle):
    state = network_from_bundle(bundle).state_dict()
    return torch.cat([value.flatten().float() for value in state.values()])


@pytest.fixture(scope="module")
def old(make_bundle):
    return make_bundle(seed=3)


def test_without_a_rate_the_weights_are_the_bundles(old, tmp_path):
    new = train(tmp_path / "new", init=old.path, learning_rate=0.0).bundle
    # Digits are stored in half precision.
    torch.testing.assert_close(weights(new), weights(old), rtol=1e-3, atol=1e-6)
    fresh = train(tmp_path / "fresh", learning_rate=0.0).bundle
    assert (weights(fresh) - weights(old)).abs().max() > 0.01


def test_the_network_is_the_bundles_whatever_is_configured(old, tmp_path):
    arguments = {"hidden": [8]}
    new = train(tmp_path / "new", init=old.path, network_arguments=arguments, learning_rate=0.0)
    assert new.bundle.config.network == old.config.network


def test_training_goes_on_from_the_weights(tmp_path):
    first = train(tmp_path / "first").fit.history[-1]
    config = {"init": tmp_path / "first", "learning_rate": 1e-5}
    second = train(tmp_path / "second", **config).fit.history[-1]
    assert second["train_loss"] < first["train_loss"]


def test_a_bundle_of_another_task_is_refused(make_uwb_bundle, tmp_path):
    with pytest.raises(BundleError, match=r"task 'uwb', expected 'digits'.*train digits"):
        train(tmp_path / "new", init=make_uwb_bundle().path)
    assert list(tmp_path.glob("new*")) == []


def test_a_bundle_that_does_not_fit_the_data_is_refused(tmp_path):
    """The number of classes is the data's, not the bundle's."""
    from nn_perception.networks import build_network
    from nn_perception.tasks import get_task
    from nn_perception.training.loop import Trainer

    learning_class = get_task("digits").load_learning()
    config = resolve_config("digits", {}, {"network": "mlp", "epochs": 1, "device": "cpu"})

    class FewClasses(learning_class):
        def build_network(self):
            return build_network("mlp", {**self.network_arguments(), "classes": 7})

    old = train(tmp_path / "old", learning_rate=0.0).bundle
    with pytest.raises(TrainingError, match=r"old.*does not fit"):
        Trainer(FewClasses(config, None), init=old).fit()


@pytest.mark.parametrize("begun", [True, False])
def test_a_run_that_began_elsewhere_is_not_gone_on_with(old, make_bundle, tmp_path, begun):
    other = make_bundle(seed=4)
    with pytest.raises(Interrupted):
        train(tmp_path / "new", init=old.path if begun else None, on_epoch=interrupt, epochs=2)
    with pytest.raises(TrainingError, match=r"belongs to a run with another configuration"):
        train(tmp_path / "new", init=other.path, epochs=2)
    if begun:
        with pytest.raises(TrainingError, match=r"another configuration"):
            train(tmp_path / "new", epochs=2)


def test_an_interrupted_run_from_a_bundle_resumes_exactly(old, tmp_path):
    whole = train(tmp_path / "whole", init=old.path, epochs=2).bundle
    with pytest.raises(Interrupted):
        train(tmp_path / "new", init=old.path, on_epoch=interrupt, epochs=2)
    assert torch.equal(weights(whole), weights(train(tmp_path / "new", old.path, epochs=2).bundle))


def test_init_through_the_command_line(old, tmp_path, capsys):
    out = tmp_path / "new"
    words = ["train", "digits", "network=mlp", "epochs=1", "learning_rate=0", "--device", "cpu"]
    assert main([*words, "--init", str(old.path), "--out", str(out)]) == 0
    new = load_bundle(out, task="digits")
    torch.testing.assert_close(weights(new), weights(old), rtol=1e-3, atol=1e-6)
    assert f"--init {old.path.name}" in (out / "README.md").read_text()
    capsys.readouterr()
    assert main([*words, "--init", str(tmp_path / "no"), "--out", str(tmp_path / "x")]) == 2
    assert "no bundle at" in capsys.readouterr().err
