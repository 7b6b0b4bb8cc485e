"""Learning a background, class weights, and digits from generated frames."""

import dataclasses

import numpy as np
import pytest

pytest.importorskip("torch")

import torch

from nn_perception.bundle import load_bundle
from nn_perception.datasets.negatives import digit_negatives
from nn_perception.errors import ConfigError
from nn_perception.tasks.digits.learning import DigitLearning
from nn_perception.tasks.loading import open_pipeline
from nn_perception.training.augment import apply, draw
from nn_perception.training.run import resolve_config, train_task


@pytest.fixture(autouse=True)
def no_data_around(monkeypatch, tmp_path):
    monkeypatch.delenv("NN_PERCEPTION_DATA", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def make_config(**arguments):
    config = resolve_config("digits", {}, {"network": "mlp", "epochs": 2, "batch_size": 64})
    return dataclasses.replace(config, task_arguments=arguments)


def make_learning(**arguments):
    return DigitLearning(make_config(**arguments), None)


def batch_of(learning, share=slice(0, None, 1), seed=3):
    indices = torch.arange(64)
    (images,), targets = learning.batch(indices, torch.Generator().manual_seed(seed), share)
    return images, targets


def test_a_batch_without_background_is_what_it_was():
    learning = make_learning()
    images, targets = batch_of(learning)
    plain, labels = learning._train
    generator = torch.Generator().manual_seed(3)
    params = draw(64, learning.config.augment, generator, "cpu")
    assert torch.equal(images, apply(plain[:64], params))
    assert torch.equal(targets, labels[:64])


def test_negatives_come_behind_the_pictures_with_a_class_of_their_own():
    learning = make_learning(background=0.25, negatives=50)
    images, targets = batch_of(learning)
    assert len(images) == len(targets) == 64 + 16
    assert targets[:64].max() <= 9
    assert (targets[64:] == 10).all()
    assert learning.network_arguments()["classes"] == 11
    made = digit_negatives(50, 2 * learning.config.seed)
    assert torch.equal(learning._negatives[:, 0], torch.from_numpy(made))


def test_any_number_of_processes_sees_the_same_pictures():
    learning = make_learning(background=0.5, negatives=50)
    whole, all_targets = batch_of(learning)
    parts = [batch_of(learning, slice(rank, None, 2)) for rank in range(2)]
    seen = torch.cat([images for images, _ in parts]).flatten(1)
    # The same rows, in another order.
    order = [seen[:, :].sub(row).abs().amax(1).argmin() for row in whole.flatten(1)]
    assert torch.equal(seen[order], whole.flatten(1))
    assert torch.equal(torch.cat([t for _, t in parts])[order], all_targets)
    assert len(set(map(int, order))) == len(order)


def test_the_negatives_of_both_parts_differ():
    learning = make_learning(background=0.25, negatives=50)
    train = {row.tobytes() for row in learning._negatives.numpy()}
    validation = {row.tobytes() for row in learning._validation_negatives.numpy()}
    assert len(train & validation) <= 1  # flat grey may come twice


def test_balanced_classes_count_alike_in_the_loss():
    learning = make_learning(class_weights="balanced")
    labels = learning._train[1]
    counts = torch.bincount(labels, minlength=10).double()
    weights = learning._class_weights.double()
    torch.testing.assert_close(weights * counts, (weights * counts).mean().expand(10))
    assert float((weights * counts).sum()) == pytest.approx(len(labels), rel=1e-6)
    logits = torch.zeros(2, 10)
    logits[0, 3] = 2.0
    single = [-torch.log_softmax(row, 0)[4] for row in logits]
    expected = (weights[4] * single[0] + weights[4] * single[1]) / (2 * weights[4])
    assert float(learning.loss(logits, torch.tensor([4, 4]))) == pytest.approx(float(expected))
    mixed = learning.loss(logits, torch.tensor([3, 4]))
    top = weights[3] * -torch.log_softmax(logits[0], 0)[3] + weights[4] * single[1]
    assert float(mixed) == pytest.approx(float(top / (weights[3] + weights[4])), rel=1e-6)


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ({"background": -0.1}, "background' is -0.1"),
        ({"background": 11}, "background' is 11"),
        ({"negatives": 0}, "negatives' is 0"),
        ({"frames": -1}, "frames' is -1"),
        ({"class_weights": "balance"}, "did you mean 'balanced'"),
        ({"backgroud": 1}, "did you mean 'background'"),
    ],
)
def test_arguments_that_cannot_work_say_so(arguments, reason):
    with pytest.raises(ConfigError, match=reason):
        make_learning(**arguments)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A small network with a background, and one without."""
    patch = pytest.MonkeyPatch()
    root = tmp_path_factory.mktemp("background")
    patch.delenv("NN_PERCEPTION_DATA", raising=False)
    patch.setenv("XDG_CACHE_HOME", str(root / "cache"))
    for name, arguments in (("with", {"background": 0.5, "negatives": 2000}), ("without", {})):
        config = dataclasses.replace(make_config(**arguments), epochs=12)
        train_task("digits", config, data=None, out=root / name)
    patch.undo()
    return root


@pytest.mark.long
def test_a_bundle_with_background_knows_what_it_was_not_taught(trained):
    bundle = load_bundle(trained / "with")
    assert bundle.labels == tuple("0123456789")
    assert bundle.config.outputs[0].shape == (None, 11)
    assert bundle.config.calibration["rejection"]["score"] == "background"
    assert load_bundle(trained / "without").config.calibration["rejection"]["score"] == "energy"
    foreign = digit_negatives(500, 77)
    answered = {}
    for name in ("with", "without"):
        pipeline = open_pipeline(trained / name, device="cpu")
        answered[name] = (pipeline.known_scores(foreign) >= pipeline.threshold).mean()
        scores = pipeline.classify(foreign)
        assert scores.shape == (500, 10)
        np.testing.assert_allclose(scores.sum(axis=1), 1.0)
    assert answered["with"] < 0.15
    assert answered["with"] < answered["without"] / 2


def test_validation_figures_tell_about_negatives(trained):
    figures = load_bundle(trained / "with").config.metrics["validation"]
    assert 0.0 <= figures["false_positives"] < 0.2
    assert "false_positives" not in load_bundle(trained / "without").config.metrics["validation"]


def test_digits_out_of_frames_come_from_the_digits_of_their_own_part():
    plain = make_learning(background=0.1, negatives=20)
    learning = make_learning(background=0.1, negatives=20, frames=30)
    count, few = len(plain._train[0]), len(plain._validation[0])
    assert len(learning._train[0]) > count + 50
    assert len(learning._validation[0]) > few
    assert torch.equal(learning._train[0][:count], plain._train[0])
    assert len(learning._negatives) >= 20
    assert learning.train_size == len(learning._train[0])
    counts = torch.bincount(learning._train[1][count:], minlength=10)
    assert (counts > 0).all()
