"""The recurrent correction from recordings to a node: windows, a trained bundle, swaps."""

import dataclasses

import numpy as np
import pytest

from nn_perception.datasets.imu_simulator import Motion, SensorErrors, simulate_imu
from nn_perception.errors import ConfigError
from nn_perception.inertial.readings import ImuReading

torch = pytest.importorskip("torch")

from nn_perception.bundle import load_bundle  # noqa: E402
from nn_perception.engine_torch import network_from_bundle  # noqa: E402
from nn_perception.networks import build_network  # noqa: E402
from nn_perception.tasks.gyro.learning import GyroLearning  # noqa: E402
from nn_perception.tasks.gyro.network import (  # noqa: E402
    GyroNetwork,
    Window,
    from_nothing,
    in_windows,
)
from nn_perception.tasks.loading import open_pipeline  # noqa: E402
from nn_perception.training.run import train_task  # noqa: E402

CELLS = ("elman", "gru")
TCN = {"channels": [4, 4], "dilations": [1, 4], "kernel": 3}  # sees 11 samples


def causal(name, **arguments):
    torch.manual_seed(0)
    network = build_network(name, arguments)
    torch.nn.init.normal_(network.correct.weight, std=2.0)
    return network.double().eval()


def samples(length, batch=2):
    generator = torch.Generator().manual_seed(1)
    rows = torch.randn(batch, length, 6, generator=generator, dtype=torch.float64)
    return rows + torch.tensor([0.0] * 5 + [9.81], dtype=torch.float64)


def config(cell="gru", task_arguments=None, **changes):
    small = {
        "epochs": 1,
        "network_arguments": {"cell": cell, "hidden": 8},
        "task_arguments": {"increments": [16, 64], "window_s": 1.0, "warm_up_s": 0.5}
        | (task_arguments or {}),
        "compile": "off",
        "device": "cpu",
    }
    return dataclasses.replace(GyroLearning.recipe("gyro_rnn"), **{**small, **changes})


@pytest.mark.parametrize("length", [1, 9, 10, 11, 29, 30, 31, 100])
def test_windows_that_warm_up_for_all_they_see_are_the_whole(length):
    """Convolutions of 11 samples need 10 before a piece; one fewer is not enough."""
    network, rows = causal("gyro_tcn", **TCN), samples(length)
    expected = from_nothing(network, rows)
    found = in_windows(network, rows, Window(20, 10))
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)
    short = in_windows(network, rows, Window(20, 9))
    assert short.shape == expected.shape
    assert torch.allclose(short, expected, rtol=0, atol=1e-9) is (length < 30)


@pytest.mark.parametrize("cell", CELLS)
def test_windows_of_a_recurrence_begin_with_nothing(cell):
    network, rows = causal("gyro_rnn", cell=cell, hidden=6), samples(100)
    whole, found = from_nothing(network, rows), in_windows(network, rows, Window(30, 10))
    torch.testing.assert_close(found[:, :40], whole[:, :40], rtol=0, atol=1e-12)
    for start in (30, 60):
        alone = from_nothing(network, rows[:, start : start + 40])[:, 10:]
        torch.testing.assert_close(
            found[:, start + 10 : start + 40], alone[:, : 90 - start], rtol=0, atol=1e-12
        )
    assert not torch.allclose(found[:, 40], whole[:, 40], rtol=0, atol=1e-9)


def test_no_gradient_comes_from_before_the_warm_up():
    network, rows = causal("gyro_rnn", hidden=6), samples(100, 1).requires_grad_()
    in_windows(network, rows, Window(30, 10))[0, 45:70].sum().backward()
    reached = rows.grad[0].abs().sum(1) > 0.0
    assert reached[30:70].all()
    assert not reached[:30].any()
    assert not reached[70:].any()


def test_windows_are_for_training_alone():
    """Validation runs a recording as a stream, whatever training does."""
    network = causal("gyro_rnn", hidden=6, dropout=0.0)
    pair = [GyroNetwork(network, (0.0,) * 3, 200.0, w).double() for w in (None, Window(30, 10))]
    rows, dt = samples(100), torch.full((2, 100, 1), 0.005, dtype=torch.float64)
    whole, same = (each.eval()(rows, dt) for each in pair)
    assert torch.equal(whole, same)
    whole, other = (each.train()(rows, dt) for each in pair)
    assert not torch.allclose(whole, other, rtol=0, atol=1e-9)


def test_seconds_become_samples(recordings, named):
    path = recordings(named("a", "b", duration_s=2.0))
    network = GyroLearning(config(), path).build_network()
    assert network.window == Window(200, 100)
    whole = GyroLearning(config(task_arguments={"window_s": 0.0}), path).build_network()
    assert whole.window is None
    recipe = GyroLearning(dataclasses.replace(GyroLearning.recipe(), device="cpu"), path)
    assert recipe.build_network().window is None


@pytest.mark.parametrize("name", ["window_s", "warm_up_s"])
def test_seconds_out_of_range(recordings, named, name):
    with pytest.raises(ConfigError, match=f"'{name}' is -1.0; expected 0 to 3600 seconds"):
        GyroLearning(config(task_arguments={name: -1.0}), recordings(named("a", duration_s=1.0)))


@pytest.mark.parametrize("cell", CELLS)
def test_a_few_steps_lower_the_loss(recordings, named, cell):
    learning = GyroLearning(config(cell), recordings(named("a", "b", duration_s=4.0)))
    torch.manual_seed(0)
    network = learning.build_network()
    calibration = [p for key, p in network.named_parameters() if not key.startswith("causal")]
    for parameter in calibration:
        parameter.requires_grad_(False)  # what is left to learn is the recurrence's
    optimiser = torch.optim.Adam(network.causal.parameters(), lr=0.01)
    losses = []
    for step in range(20):
        torch.manual_seed(step)
        inputs, targets = learning.batch(
            torch.arange(2), torch.Generator().manual_seed(0), slice(None)
        )
        loss = learning.loss(network(*inputs), targets)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < 0.98 * losses[0]
    for key, parameter in network.causal.named_parameters():
        assert parameter.grad.abs().sum() > 0, key


@pytest.fixture(scope="module")
def bundle(tmp_path_factory, named):
    """A tiny network, trained for two epochs on simulated motion."""
    changed = config(epochs=2, learning_rate=0.02, task_arguments={"leave_out": ["c"]})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            "nn_perception.tasks.gyro.data.training_recordings",
            lambda path, folders: named("a", "b", "c", duration_s=4.0),
        )
        out = tmp_path_factory.mktemp("gyro_rnn") / "m"
        return train_task("gyro", changed, data=None, out=out).bundle


@pytest.fixture
def arrivals():
    motion = Motion(6.0, rest_s=(0.5, 1.0), move_s=(2.0, 3.0))
    sequence = simulate_imu(200.0, 7, motion, SensorErrors(gyro_bias_std_rad_s=2e-3))
    stamps = np.round(sequence.time_s * 1e9).astype(np.int64).tolist()
    rows = zip(stamps, sequence.gyro_rad_s, sequence.accel_m_s2, strict=True)
    return [("imu", ImuReading(t, "imu", w, a)) for t, w, a in rows]


def rates(answers):
    return np.array([answer.gyro_rad_s for answer in answers])


def test_the_bundle_says_what_it_is(bundle):
    again = load_bundle(bundle.path)
    assert again.config.calibration["recurrent"] is True
    assert again.config.inputs[1].shape == (None, 8)
    assert again.config.training["data"]["validation_names"] == ["c"]
    network = network_from_bundle(again)
    assert network.correct.weight.abs().max() > 1e-3


@pytest.mark.parametrize("sizes", [[1200], [1, 7, 300], [64]])
def test_in_groups_as_one_by_one(bundle, arrivals, sizes):
    """A replay answers groups, a node what has come: the state is carried from call to call."""
    alone = open_pipeline(bundle, device="cpu")
    expected = rates([alone.process_many([arrival])[0] for arrival in arrivals])
    pipeline, answers, turn = open_pipeline(bundle, device="cpu"), [], 0
    while len(answers) < len(arrivals):
        size = sizes[turn % len(sizes)]
        answers += pipeline.process_many(arrivals[len(answers) : len(answers) + size])
        turn += 1
    np.testing.assert_allclose(rates(answers), expected, rtol=0, atol=1e-7)


def test_the_correction_is_the_one_that_was_trained(bundle, arrivals):
    """The bundle's rates less those of a network that corrects nothing are the torch network's."""
    pipeline, silent = (open_pipeline(bundle, device="cpu") for _ in range(2))
    engine = silent.engine
    silent.engine = lambda rows, cache: (0.0 * engine(rows, cache)[0], cache)
    silent.reset()
    difference = []
    for each in (pipeline, silent):
        each._calibration = each._calibration._replace(left_bias_rad_s=0.0)
        each.reset()
        difference.append(rates(each.process_many(arrivals)))
    readings = [reading for _, reading in arrivals]
    rows = np.array([[*r.gyro_rad_s, *r.accel_m_s2] for r in readings], np.float32)
    with torch.no_grad():
        expected = from_nothing(network_from_bundle(bundle), torch.from_numpy(rows[None]))[0]
    assert expected.abs().max() > 1e-5
    np.testing.assert_allclose(difference[0] - difference[1], expected.numpy(), rtol=0, atol=1e-6)


def test_a_swap_keeps_the_state_of_the_same_network_alone(bundle, arrivals):
    """Another network would not understand it: it begins with nothing, and is no worse for it."""
    whole = rates(open_pipeline(bundle, device="cpu").process_many(arrivals))
    first, same = (open_pipeline(bundle, device="cpu") for _ in range(2))
    begun = rates(first.process_many(arrivals[:400]))
    assert same.adopt(first) is True
    rest = rates(same.process_many(arrivals[400:]))
    np.testing.assert_allclose(np.concatenate([begun, rest]), whole, rtol=0, atol=1e-7)

    caches = []

    def engine(rows, cache):
        caches.append(cache.copy())
        return 0.0 * rows[..., :3], cache

    first = open_pipeline(bundle, device="cpu")
    first.process_many(arrivals[:400])
    assert first._core._sensors[0].cache.any()
    other = open_pipeline(dataclasses.replace(bundle, id="0" * len(bundle.id)), device="cpu")
    other.engine = engine
    other.reset()
    assert other.adopt(first) is True
    answers = other.process_many(arrivals[400:410])
    assert answers[0].flags == ()
    assert not caches[0].any()
