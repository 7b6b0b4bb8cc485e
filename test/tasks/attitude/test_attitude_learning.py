"""Learning the attitude filter: splits, batches, loss, calibration, on short simulations."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import nn_perception.rotations as rot
from nn_perception.datasets.imu_files import BROAD_FOLDS, EUROC_TEST, EUROC_TRAIN, TUMVI_TEST
from nn_perception.datasets.imu_simulator import Motion, simulate_imu
from nn_perception.errors import ConfigError, DatasetError

torch = pytest.importorskip("torch")

from nn_perception.datasets import imu_data  # noqa: E402
from nn_perception.tasks.attitude import data as attitude_data  # noqa: E402
from nn_perception.tasks.attitude.data import load_tracks  # noqa: E402
from nn_perception.tasks.attitude.learning import (  # noqa: E402
    AttitudeLearning,
    add_bias,
    drift,
    normalised_errors,
    world_errors,
)
from nn_perception.training.loop import Trainer  # noqa: E402

BROAD = [f"{number:02d}_trial" for number in range(1, 40)]


def recording(name, seed=0, duration_s=6.0, hz=100.0):
    motion = Motion(duration_s, rest_s=(0.5, 1.0), move_s=(2.0, 4.0))
    return dataclasses.replace(simulate_imu(hz, seed, motion), name=name)


@pytest.fixture
def recordings(monkeypatch, tmp_path):
    """Return a function: names -> a path from which recordings of these names are loaded."""

    def install(names, **changes):
        found = [recording(name, seed, **changes) for seed, name in enumerate(names)]
        monkeypatch.setattr(imu_data, "read_recordings", lambda path: found)
        return tmp_path

    return install


def config(**changes):
    arguments = {"chunk_s": 2.0, "warm_up_s": 0.5, **changes.pop("task_arguments", {})}
    small = {"epochs": 1, "batch_size": 4, "compile": "off", "device": "cpu"}
    recipe = AttitudeLearning.recipe()
    return dataclasses.replace(recipe, task_arguments=arguments, **{**small, **changes})


@pytest.fixture
def learning(recordings):
    return AttitudeLearning(config(), recordings(["a", "b", "c", "d", "e"]))


def quaternions(seed, count=40):
    draw = np.random.RandomState(seed)
    return rot.quat_random((count,), draw), rot.quat_random((count,), draw)


@settings(derandomize=True, deadline=None, max_examples=30, database=None)
@given(st.integers(0, 2**32 - 1))
def test_world_errors_are_those_of_the_metrics(seed):
    """Heading as it is; of the inclination twice the tangent of its half, to first order it."""
    estimate, truth = quaternions(seed)
    errors = rot.attitude_errors(estimate, truth)
    tilt, heading = world_errors(torch.from_numpy(estimate), torch.from_numpy(truth))
    np.testing.assert_allclose(np.abs(heading.numpy()), errors.heading_rad, atol=1e-6)
    small = errors.inclination_rad < 2.8  # beyond, the gradient is bounded
    expected = 2.0 * np.tan(0.5 * errors.inclination_rad)
    found = np.linalg.norm(tilt.numpy(), axis=1)
    np.testing.assert_allclose(found[small], expected[small], rtol=1e-6)


def test_world_errors_have_the_sign_of_the_rotation():
    truth = quaternions(1, 1)[1]
    for sign in (1.0, -1.0):
        turn = rot.quat_exp(np.array([[1e-3, -2e-3, 3e-3]]))
        estimate = sign * rot.quat_multiply(turn, truth)
        tilt, heading = world_errors(torch.from_numpy(estimate), torch.from_numpy(truth))
        np.testing.assert_allclose(abs(tilt[0].numpy()), [1e-3, 2e-3], atol=1e-5)
        np.testing.assert_allclose(heading.numpy(), [3e-3], atol=1e-5)


def test_gradients_of_world_errors_are_finite_everywhere():
    truth = torch.tensor([[0.0, 0.0, 0.0, 1.0]] * 5)
    estimate = torch.tensor(
        [[0.0, 0, 0, 1], [1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0.6, 0, 0.8, 0]],
        requires_grad=True,
    )
    tilt, heading = world_errors(estimate, truth)
    (tilt.square().sum() + heading.square().sum()).backward()
    assert torch.isfinite(estimate.grad).all()


def test_drift_counts_from_the_first_known_heading():
    heading = torch.tensor([[9.0, 3.0, -3.0, 1.0], [1.0, 1.5, 0.5, 1.0]])
    known = torch.tensor([[False, True, True, True], [True, True, True, True]])
    found = drift(heading, known)
    np.testing.assert_allclose(found[0, 1:], [0.0, 2 * np.pi - 6.0, -2.0], atol=1e-6)
    np.testing.assert_allclose(found[1], [0.0, 0.5, -0.5, 0.0], atol=1e-6)


def test_an_added_bias_is_one_that_the_filter_takes_off():
    from nn_perception.inertial.filter import Block, State, predict

    draw = np.random.RandomState(0)
    rate, bias = draw.standard_normal((2, 6, 3)) * [[[1.0]], [[0.01]]]
    turn, dt = rot.quat_exp(0.04 * rate), np.full((6, 1), 0.04)
    parts = map(torch.from_numpy, (turn, rate, dt, bias))
    turned, shown = add_bias(*parts)
    np.testing.assert_allclose(shown.numpy(), rate + bias)
    zero = np.zeros((6, 3))
    start = State(rot.quat_random((6,), draw), zero, bias, zero, np.zeros((6, 9, 9)))
    block = Block(turned.numpy(), zero, shown.numpy(), dt, 0.0 * dt)
    expected = rot.quat_multiply(start.orientation_xyzw, turn)
    assert rot.quat_distance(predict(start, block).orientation_xyzw, expected).max() < 1e-9


@pytest.mark.parametrize("fold", range(6))
def test_left_out_trials_are_in_neither_set(recordings, fold):
    tracks = load_tracks(recordings(BROAD, duration_s=1.0), fold)
    numbers = {kind: {int(name[:2]) for name in names} for kind, names in (
        ("left", tracks.left_out),
        ("train", {t.name for t in tracks.train}),
        ("validation", {t.name for t in tracks.validation}),
    )}  # fmt: skip
    assert numbers["left"] == set(BROAD_FOLDS[fold])
    assert numbers["validation"] == set(BROAD_FOLDS[(fold + 1) % 6])
    assert numbers["train"] == set(range(1, 40)) - numbers["left"] - numbers["validation"]


def test_without_a_fold_nothing_is_left_out(recordings):
    tracks = load_tracks(recordings(BROAD, duration_s=1.0), -1)
    assert tracks.left_out == ()
    assert {t.name for t in (*tracks.train, *tracks.validation)} == set(BROAD)


def test_two_recordings_of_a_trial_are_left_out_together(recordings):
    """One under another name must not be trained on."""
    tracks = load_tracks(recordings([*BROAD, "01_again", "09_again"], duration_s=1.0), 0)
    names = {t.name for t in tracks.train}
    assert not names & {"01_trial", "01_again", "09_trial", "09_again"}
    assert {"01_trial", "01_again"} <= set(tracks.left_out)


@pytest.mark.parametrize("fold", [-1, 2])
def test_test_sequences_are_never_in(recordings, fold):
    names = [*EUROC_TEST, *TUMVI_TEST, *EUROC_TRAIN]
    for given_names in (names, [*names, *BROAD]):
        tracks = load_tracks(recordings(given_names, duration_s=1.0), fold)
        used = {track.name for track in (*tracks.train, *tracks.validation)}
        assert not used & {*EUROC_TEST, *TUMVI_TEST}
        assert {*EUROC_TEST, *TUMVI_TEST} <= set(tracks.left_out)
        assert {t.name for t in tracks.train}.isdisjoint(t.name for t in tracks.validation)
        assert used & set(EUROC_TRAIN)


def test_a_test_sequence_alone_is_nothing_to_train_on(recordings):
    with pytest.raises(DatasetError, match="0 recordings to train on"):
        load_tracks(recordings(EUROC_TEST[:2], duration_s=1.0), -1)


def test_recordings_without_truth_are_named(recordings, monkeypatch):
    path = recordings(["a", "b"], duration_s=1.0)
    blind = [dataclasses.replace(recording("a", duration_s=1.0), orientation_xyzw=None)]
    monkeypatch.setattr(imu_data, "read_recordings", lambda path: blind)
    with pytest.raises(DatasetError, match="none of its 1 recordings has a true orientation"):
        load_tracks(path, -1)


def test_a_recording_of_rest_alone_has_figures(monkeypatch, tmp_path):
    found = [recording("a", duration_s=3.0), recording("b", duration_s=3.0)]
    found[1] = dataclasses.replace(found[1], movement=np.zeros(len(found[1]), bool))
    monkeypatch.setattr(imu_data, "read_recordings", lambda path: found)
    learning = AttitudeLearning(config(), tmp_path)
    network = learning.build_network()
    figures = learning.validate(lambda *inputs: network(*inputs).detach())
    assert np.isfinite(list(figures.values())).all()


def test_every_recording_is_also_a_slow_one(recordings):
    tracks = load_tracks(recordings(["a", "b"]), -1)
    rates = [(t.name, t.own_rate, t.arrays["duration"][0, 0]) for t in tracks.train]
    assert [rate[:2] for rate in rates] == [("a", True), ("a", False)]
    assert [track.own_rate for track in tracks.validation] == [True]


def test_batches_come_from_the_generator_alone(learning):
    indices = torch.arange(4)

    def draw(seed, share=slice(None)):
        inputs, targets = learning.batch(indices, torch.Generator().manual_seed(seed), share)
        return [*inputs, targets]

    first, again, other = draw(1), draw(1), draw(2)
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert not torch.equal(first[0], other[0])
    half = draw(1, slice(2, 4))  # of two processes the second
    assert all(torch.equal(a[2:], b) for a, b in zip(first, half, strict=True))
    assert [tuple(part.shape) for part in first] == [
        *((4, 50, n) for n in (4, 3, 3, 1)),
        (4, 4),
        (4, 50, 5),
    ]


def test_a_batch_is_a_piece_of_a_recording(learning):
    inputs, targets = learning.batch(torch.arange(4), torch.Generator().manual_seed(0), slice(None))
    starts = {
        tuple(row.tolist()): (i, k)
        for i, rows in enumerate(learning._train["velocity"])
        for k, row in enumerate(rows)
    }
    for row in range(4):
        i, k = starts[tuple(inputs[1][row, 0].tolist())]
        piece = slice(k, k + 50)
        assert torch.equal(targets[row, :, :4], learning._train["truth"][i, piece])
        assert torch.equal(inputs[3][row], learning._train["duration"][i, piece])
        bias = inputs[2][row] - learning._train["rate"][i, piece]
        assert (bias - bias[0]).abs().max() < 1e-6
        assert bias[0].abs().max() < 0.05
        before = learning._train["truth"][i, k - 1] if k else torch.zeros(4)
        assert torch.equal(inputs[4][row], before)


def test_the_loss_counts_nothing_of_unknown_truth(learning):
    inputs, targets = learning.batch(torch.arange(4), torch.Generator().manual_seed(0), slice(None))
    outputs = learning.build_network()(*inputs).detach()
    targets[:, 30:, 4] = 0.0
    loss = learning.loss(outputs, targets)
    targets[:, 30:, :4] = torch.tensor([1.0, 0.0, 0.0, 0.0])
    assert learning.loss(outputs, targets) == loss
    worse = targets.clone()
    worse[:, 10:20, :4] = torch.tensor([1.0, 0.0, 0.0, 0.0])
    assert learning.loss(outputs, worse) > loss + 1.0


def test_a_few_steps_lower_the_loss(learning):
    torch.manual_seed(0)
    network = learning.build_network()
    optimiser = torch.optim.Adam(network.parameters(), lr=0.01)
    inputs, targets = learning.batch(torch.arange(4), torch.Generator().manual_seed(0), slice(None))
    losses = []
    for _ in range(7):
        loss = learning.loss(network(*inputs), targets)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0] - 0.01
    assert all(torch.isfinite(parameter.grad).all() for parameter in network.parameters())


def test_validation_and_calibration(learning):
    """The exported scales make the mean normalised error of whole recordings one."""
    torch.manual_seed(0)
    network = learning.build_network()

    @torch.no_grad()
    def predict(*inputs):
        return network(*inputs)

    figures = learning.validate(predict)
    assert 0.0 < figures["inclination_rms_deg"] <= figures["worst_inclination_rms_deg"] < 10.0
    scales = learning.export(predict).calibration["variance_scales"]
    ratios = []
    for track in (*learning.data.train, *learning.data.validation):
        if not track.own_rate:
            continue
        data = attitude_data.gather([track])
        parts = [data[key] for key in ("turn", "velocity", "rate", "duration")]
        outputs = predict(*parts, torch.zeros(1, 4))
        outputs[..., 4] *= scales[0]
        outputs[..., 5] *= scales[1]
        ratios.append(torch.stack(normalised_errors(outputs, data["truth"], data["moving"])))
    np.testing.assert_allclose(torch.stack(ratios).mean(0), [1.0, 1.0], rtol=1e-3)


def test_same_seed_same_weights(recordings):
    path = recordings(["a", "b"], duration_s=2.0)

    def weights(seed):
        fit = Trainer(AttitudeLearning(config(seed=seed), path)).fit()
        return torch.cat([value.flatten() for value in fit.network.state_dict().values()])

    one, same, other = weights(0), weights(0), weights(1)
    assert torch.equal(one, same)
    assert not torch.equal(one, other)


@pytest.mark.parametrize(
    "arguments",
    [{"fold": 6}, {"fold": -2}, {"chunk_s": 0.5}, {"fould": 1}, {"bias_rad_s": [0.0, 0.0]}],
)
def test_settings_out_of_range(recordings, arguments):
    with pytest.raises(ConfigError, match=r"fold|chunk_s|bias_rad_s"):
        AttitudeLearning(config(task_arguments=arguments), recordings(["a", "b"], duration_s=1.0))
