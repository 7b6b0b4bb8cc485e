import dataclasses

import numpy as np
import pytest
import torch
from torch import nn

from nn_perception.datasets.point_clouds import sample_pairs
from nn_perception.errors import ConfigError, DatasetError, TrainingError
from nn_perception.studies.alignment import AlignmentNetwork, batch, errors_deg, train
from nn_perception.studies.clouds import made_up_planes
from nn_perception.studies.protocol import HEADS, Protocol, checked_heads, checked_seeds

SMALL = Protocol(steps=5, batch_size=8, points=16, widths=(16, 32), hidden=32)
CLOUDS = made_up_planes(30, 64, seed=0)
PAIRS = sample_pairs(made_up_planes(30, 64, seed=1), 300, 16, 0)


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize("head", HEADS)
def test_an_untrained_network_is_as_bad_as_chance(head):
    torch.manual_seed(0)
    degrees = errors_deg(AlignmentNetwork(head, SMALL), PAIRS)
    assert degrees.shape == (300,)
    assert degrees.mean() == pytest.approx(126.5, abs=8)  # pi/2 + 2/pi


@pytest.mark.parametrize("head", HEADS)
def test_it_answers_with_rotations_whatever_the_order_of_the_points(head):
    network = AlignmentNetwork(head, SMALL)
    source, target = torch.from_numpy(PAIRS.source), torch.from_numpy(PAIRS.target)
    matrices = network(source, target)
    product = matrices @ matrices.mT
    assert torch.allclose(product, torch.eye(3).expand_as(product), atol=1e-5)
    assert torch.allclose(torch.linalg.det(matrices), torch.ones(300), atol=1e-5)
    assert torch.allclose(matrices, network(source.flip(1), target.roll(3, 1)), atol=1e-5)


def test_all_heads_start_with_the_same_layers():
    states = []
    for head in HEADS:
        torch.manual_seed(3)
        state = AlignmentNetwork(head, SMALL).state_dict()
        states.append({name: v for name, v in state.items() if not name.startswith("head")})
    for state in states[1:]:
        assert all(torch.equal(value, state[name]) for name, value in states[0].items())


def test_all_heads_see_the_same_batches(monkeypatch):
    seen = []

    def record(clouds, protocol, seed, step):
        pairs = batch(clouds, protocol, seed, step)
        seen.append((pairs.source.tobytes(), pairs.target.tobytes(), pairs.rotation.tobytes()))
        return pairs

    monkeypatch.setattr("nn_perception.studies.alignment.batch", record)
    for head in HEADS:
        train(head, SMALL, 0, CLOUDS, PAIRS)
    quaternion, six, svd = seen[:5], seen[5:10], seen[10:]
    assert quaternion == six == svd
    assert len(set(quaternion)) == 5
    train("svd", SMALL, 1, CLOUDS, PAIRS)
    assert not set(seen[15:]) & set(quaternion)


def test_the_same_seed_gives_the_same_figures():
    runs = [train("6d", SMALL, seed, CLOUDS, PAIRS) for seed in (0, 0, 1)]
    errors = [errors_deg(run.network, PAIRS) for run in runs]
    assert runs[0].curve == runs[1].curve != runs[2].curve
    assert np.array_equal(errors[0], errors[1])
    assert not np.array_equal(errors[0], errors[2])
    assert [step for step, _ in runs[0].curve] == [0, 1, 2, 3, 4, 5]
    assert runs[0].curve[-1][1] == pytest.approx(errors[0].mean())


@pytest.mark.parametrize(
    ("head", "loss"), [*((head, "frobenius") for head in HEADS), ("svd", "geodesic")]
)
def test_training_on_few_shapes_reduces_the_error(head, loss):
    protocol = Protocol(400, 32, 32, 3.0, (32, 128), 128, 2e-3, loss)
    few = made_up_planes(1, 32, seed=0)
    trained = train(head, protocol, 0, few, sample_pairs(few, 200, 32, 9))
    assert trained.curve[0][1] > 110
    assert trained.curve[-1][1] < 110


def test_a_loss_that_is_not_finite_stops_the_run(monkeypatch):
    monkeypatch.setattr(
        "nn_perception.studies.alignment.AlignmentNetwork.forward",
        lambda self, source, target: nn.functional.pad(source[:, :3] / 0.0, (0, 0)),
    )
    with pytest.raises(TrainingError, match="head 'svd' is not finite at step 0"):
        train("svd", SMALL, 0, CLOUDS, PAIRS)


def test_more_points_than_there_are_is_refused():
    with pytest.raises(DatasetError, match="1 to 64 points"):
        train("svd", dataclasses.replace(SMALL, points=65), 0, CLOUDS, PAIRS)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"steps": 0}, "steps: got 0"),
        ({"points": -1}, "points: got -1"),
        ({"widths": ()}, "widths: got none"),
        ({"widths": (8, 0)}, r"widths\[1\]: got 0"),
        ({"learning_rate": 0.0}, "learning_rate: got 0.0"),
        ({"scale": -1.0}, "scale: got -1.0"),
        ({"learning_rate": float("nan")}, "learning_rate: got nan"),
        ({"loss": "geodetic"}, "did you mean 'geodesic'"),
    ],
)
def test_a_protocol_out_of_range_is_refused(change, words):
    with pytest.raises(ConfigError, match=words):
        dataclasses.replace(SMALL, **change)


def test_heads_and_seeds_are_there_once():
    assert checked_heads(["svd", "6d"]) == ("svd", "6d")
    assert checked_seeds([3, 0]) == (3, 0)
    for names, words in (
        (["quaternoin"], "did you mean 'quaternion'"),
        (["svd", "svd"], "each once"),
        ([], "got none"),
    ):
        with pytest.raises(ConfigError, match=words):
            checked_heads(names)
    for seeds in ([-1], [2**31], [1, 1], []):
        with pytest.raises(ConfigError, match="seeds: got"):
            checked_seeds(seeds)
