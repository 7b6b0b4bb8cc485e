"""Learning the gyroscope's correction: data, batches, loss, export, on short simulations."""

import dataclasses

import numpy as np
import pytest

import nn_perception.rotations as rot
from nn_perception.datasets.imu_files import EUROC_TEST, EUROC_TRAIN, TUMVI_TEST
from nn_perception.datasets.imu_simulator import SensorErrors
from nn_perception.errors import ConfigError, DatasetError

torch = pytest.importorskip("torch")

from nn_perception.tasks.gyro.data import constant_bias, load_recordings, pack  # noqa: E402
from nn_perception.tasks.gyro.learning import GyroLearning, open_loop_rms_deg  # noqa: E402
from nn_perception.training.loop import Trainer  # noqa: E402


def config(task_arguments=None, **changes):
    small = {
        "epochs": 1,
        "network_arguments": {"channels": [4, 4], "dilations": [1, 4], "kernel": 3},
        "task_arguments": {"increments": [16, 32, 256], **(task_arguments or {})},
        "compile": "off",
        "device": "cpu",
    }
    return dataclasses.replace(GyroLearning.recipe(), **{**small, **changes})


@pytest.fixture
def learning(recordings, named):
    return GyroLearning(config({"leave_out": ["c"]}), recordings(named("a", "b", "c")))


def test_test_sequences_are_never_in(recordings, named):
    path = recordings(named(*EUROC_TEST, *TUMVI_TEST, *EUROC_TRAIN, duration_s=1.0))
    found = load_recordings(path, "", ["euroc_MH_01_easy"])
    used = {s.name for s in (*found.train, *found.validation)}
    assert used == set(EUROC_TRAIN)
    assert [s.name for s in found.validation] == ["euroc_MH_01_easy"]
    assert "euroc_MH_01_easy" not in {s.name for s in found.train}
    with pytest.raises(DatasetError, match="leave_out names"):
        load_recordings(path, "", [EUROC_TEST[0]])


def test_only_recordings_of_the_prefix(recordings, named):
    path = recordings(named("a1", "b1", "a2", duration_s=1.0))
    assert [s.name for s in load_recordings(path, "a", []).train] == ["a1", "a2"]


def test_folds_are_whole_recordings_and_each_validates_once(recordings, named):
    names = ["a", "b", "c", "d", "e"]
    path, validated = recordings(named(*names, duration_s=1.0)), []
    for fold in range(3):
        learning = GyroLearning(config(folds=3, fold=fold), path)
        train, validation = ([s.name for s in part] for part in
                             (learning.data.train, learning.data.validation))  # fmt: skip
        assert sorted(train + validation) == names
        assert learning._validation["samples"].shape[0] == len(validation)
        assert learning.train_size == len(train)
        validated += validation
    assert sorted(validated) == names


def test_folds_keep_the_pieces_of_a_bag_together(recordings, named):
    pieces = named("walk.000", "walk.001", "walk.002", "run.000", "run.001", duration_s=1.0)
    parts = ["train", "validation", "train", "train", "validation"]
    found = [dataclasses.replace(s, part=part) for s, part in zip(pieces, parts, strict=True)]
    sides = []
    for fold in range(2):
        data = GyroLearning(config(folds=2, fold=fold), recordings(found)).data
        sides.append({s.name.split(".")[0] for s in data.validation})
        assert not sides[-1] & {s.name.split(".")[0] for s in data.train}
    assert sorted(map(list, sides)) == [["run"], ["walk"]]


def test_folds_that_cannot_be(recordings, named):
    path = recordings(named("a", "b", duration_s=1.0))
    with pytest.raises(ConfigError, match=r"'leave_out' names a and 'folds' is 2.*one of them"):
        GyroLearning(config({"leave_out": ["a"]}, folds=2), path)
    with pytest.raises(DatasetError, match="cannot make 3 folds"):
        GyroLearning(config(folds=3), path)


@pytest.mark.parametrize(
    ("changes", "leave_out", "message"),
    [
        ({"source": "another"}, [], "2 sources.*prefix=NAME"),
        ({"orientation_xyzw": None}, ["a"], "every recording is left out"),
        ({}, ["a", "b"], "every recording is left out"),
        ({}, ["aa"], "did you mean 'a'"),
    ],
)
def test_what_cannot_be_trained_on_is_said(recordings, changes, leave_out, message, named):
    one, other = named("a", "b", duration_s=1.0)
    path = recordings([one, dataclasses.replace(other, **changes)])
    with pytest.raises(DatasetError, match=message):
        load_recordings(path, "", leave_out)


def test_other_sample_rates_are_refused(recordings, recording, named):
    found = [*named("a", "b", duration_s=1.0), recording("slow", duration_s=1.0, hz=190.0)]
    with pytest.raises(DatasetError, match=r"slow has 190\.0 Hz, expected 200\.0 Hz"):
        load_recordings(recordings(found), "", [])


def test_the_constant_bias_is_found(recording):
    sequence = recording("a", 3, 20.0, errors=SensorErrors(scale_std=0.0, misalignment_std_rad=0.0))
    true = sequence.gyro_bias_rad_s.mean(0)
    assert np.linalg.norm(true) > 5e-3
    np.testing.assert_allclose(constant_bias(sequence), true, atol=1e-3)


def test_packed_rows_are_the_recordings(recording):
    one, other = recording("a", 0, 2.0), recording("b", 1, 3.0)
    truth = one.orientation_xyzw.copy()
    truth[50:60] = np.nan
    packed = pack([dataclasses.replace(one, orientation_xyzw=truth), other])
    n = len(one)
    assert packed["there"].sum(1).tolist() == [len(one), len(other)]
    np.testing.assert_allclose(packed["samples"][0, :n, :3], one.gyro_rad_s, atol=1e-5)
    assert packed["dt"][0, 0] == 0.0
    np.testing.assert_allclose(packed["dt"][0, 1:n, 0], 0.005, atol=1e-6)
    known = packed["target"][0, :, 4] > 0
    assert known[:50].all()
    assert not known[50:60].any()
    assert known[60:n].all()
    assert not known[n:].any()
    assert torch.isfinite(torch.cat([packed["samples"], packed["target"]], -1)).all()


def test_batches_come_from_the_generator_alone(learning):
    def draw(seed, share=slice(None)):
        generator = torch.Generator().manual_seed(seed)
        inputs, targets = learning.batch(torch.tensor([1, 0]), generator, share)
        return [*inputs, targets]

    first, again, other = draw(1), draw(1), draw(2)
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert not torch.equal(first[0], other[0])
    second = draw(1, slice(1, 2))
    assert all(torch.equal(a[1:], b) for a, b in zip(first, second, strict=True))
    noise = first[0] - learning._train["samples"][[1, 0]]
    assert 0.0 < noise[..., :3].abs().mean() < 0.03


def test_the_loss_of_true_rates_is_next_to_nothing(recordings, recording):
    sequence = recording("a", errors=SensorErrors.none())
    learning = GyroLearning(config(), recordings([sequence, recording("b", 1)]))
    target = learning._train["target"][:1]
    rates = torch.from_numpy(sequence.gyro_rad_s[None]).float()
    none = learning.loss(rates, target)
    biased = [learning.loss(rates + bias, target) for bias in (1e-3, 1e-2)]
    assert none < 0.02 * biased[0]
    assert biased[1] / biased[0] > 5.0


def test_the_loss_counts_nothing_of_unknown_truth(learning):
    inputs, targets = learning.batch(
        torch.tensor([0]), torch.Generator().manual_seed(0), slice(None)
    )
    targets[:, 800:, 4] = 0.0
    loss = learning.loss(inputs[0][..., :3], targets)
    targets[:, 800:, :4] = torch.tensor([1.0, 0.0, 0.0, 0.0])
    assert learning.loss(inputs[0][..., :3], targets) == loss
    targets[..., 4] = 0.0
    assert learning.loss(inputs[0][..., :3], targets) == 0.0


def test_increments_longer_than_the_recordings(recordings, named):
    arguments = {"increments": [16, 4096]}
    learning = GyroLearning(config(arguments), recordings(named("a", "b", duration_s=2.0)))
    target = learning._train["target"]
    assert torch.isfinite(learning.loss(learning._train["samples"][..., :3], target))


def test_open_loop_error_is_that_of_integration(recording):
    sequence = recording("a", errors=SensorErrors.none())
    target = pack([sequence])["target"][0]
    rate = torch.from_numpy(sequence.gyro_rad_s)
    assert open_loop_rms_deg(rate, target) < 0.05
    bias = np.array([0.0, 0.0, 0.01])
    turned = rot.integrate_gyro(
        0.5 * (sequence.gyro_rad_s[1:] + sequence.gyro_rad_s[:-1]) + bias,
        np.diff(sequence.time_s),
        sequence.orientation_xyzw[0],
    )
    angle = np.degrees(rot.quat_distance(turned, sequence.orientation_xyzw))
    found = open_loop_rms_deg(rate + torch.from_numpy(bias), target)
    assert found == pytest.approx(np.sqrt((angle**2).mean()), rel=1e-3)


def test_a_few_steps_lower_the_loss(learning):
    torch.manual_seed(0)
    network = learning.build_network()
    optimiser = torch.optim.Adam(network.parameters(), lr=0.01)
    losses = []
    for step in range(15):
        generator = torch.Generator().manual_seed(0)
        torch.manual_seed(step)
        inputs, targets = learning.batch(torch.arange(2), generator, slice(None))
        loss = learning.loss(network(*inputs), targets)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < 0.9 * losses[0]
    assert all(torch.isfinite(parameter.grad).all() for parameter in network.parameters())


def test_same_seed_same_weights(recordings, named):
    path = recordings(named("a", "b", duration_s=4.0))

    def weights(seed):
        fit = Trainer(GyroLearning(config(seed=seed), path)).fit()
        return torch.cat([value.flatten() for value in fit.network.state_dict().values()])

    one, same, other = weights(0), weights(0), weights(1)
    assert torch.equal(one, same)
    assert not torch.equal(one, other)


@pytest.mark.parametrize("duration_s", [0.5, 4.0, 8.0])
def test_the_probe_of_the_export_is_there_in_short_recordings_too(recordings, duration_s, named):
    path = recordings(named("a", "b", duration_s=duration_s))
    learning = GyroLearning(config(), path)
    network = learning.build_network().eval()
    export = learning.export(lambda *inputs: network(*inputs).detach())
    assert export.probe[0].shape == (4, 50, 6)
    assert export.preprocessing == {"rate_hz": 200.0}


@pytest.mark.parametrize("increments", [[], [1], [24], [16, 0]])
def test_increments_must_be_powers_of_two(recordings, increments, named):
    with pytest.raises(ConfigError, match="powers of two"):
        GyroLearning(config({"increments": increments}), recordings(named("a", duration_s=1.0)))
