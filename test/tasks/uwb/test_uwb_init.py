"""Adapting a bundle to a new site: the shape stays, the constants move."""

import dataclasses

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from nn_perception.bundle import load_bundle  # noqa: E402
from nn_perception.cli.main import main  # noqa: E402
from nn_perception.datasets.uwb_simulated import RangeErrors, simulate_uwb  # noqa: E402
from nn_perception.engine import create_engine  # noqa: E402
from nn_perception.engine_torch import network_from_bundle  # noqa: E402
from nn_perception.tasks.uwb.constants import new_constants  # noqa: E402
from nn_perception.tasks.uwb.data import gather_ranges  # noqa: E402
from nn_perception.tasks.uwb.learning import UwbLearning  # noqa: E402
from nn_perception.tasks.uwb.model import RangeModel  # noqa: E402
from nn_perception.training.run import resolve_config, train_task  # noqa: E402

SETTINGS = {
    "epochs": 2,
    "batch_size": 128,
    "task_arguments": {"rows": 200, "made_up": 500},
    "compile": "off",
    "device": "cpu",
}
ANCHORS = ("anchor0", "anchor1", "anchor2")
OFFSET_M = 0.3


def flight(seed=5, **errors):
    errors = RangeErrors(nlos_share=0.0, failure_share=0.0, **errors)
    return simulate_uwb(seed, duration_s=12.0, anchors=3, errors=errors)


def train(out, init=None, **changes):
    settings = {**SETTINGS, **changes}
    config = resolve_config("uwb", {}, settings)
    return train_task("uwb", config, data=None, out=out, init=init).bundle


def constants(bundle):
    return {tuple(names): c for *names, c, _ in bundle.config.calibration["pairs"]}


def answers(bundle, rows):
    return RangeModel(bundle, create_engine(bundle, "cpu")).predict(rows, np.zeros(len(rows)))


def weights(bundle):
    return network_from_bundle(bundle).state_dict()


@pytest.fixture(scope="module")
def old(tmp_path_factory):
    """A bundle of one flight."""
    from nn_perception.datasets import uwb_data

    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("NN_PERCEPTION_DATA", raising=False)
        patch.setattr(uwb_data, "simulated_uwb", lambda seeds: [flight()])
        out = tmp_path_factory.mktemp("old") / "old"
        return train(out, network_arguments={"hidden": [16]}, epochs=20)


def as_told(old, site, offset_m=0.0):
    """A flight whose errors are what the bundle says, and an offset."""
    exact = dataclasses.replace(site, range_m=site.range_true_m, outlier=None)
    rows = gather_ranges([exact], 1e-6, {}).rows
    assert len(rows) == len(site)
    order = np.lexsort([site.tag_position_m[:, 0]])
    rows = rows.take(np.lexsort([rows.tag_m[:, 0]]))
    inputs = np.column_stack([rows.features, np.eye(3)[rows.anchor]])
    table = constants(old)
    error = answers(old, inputs).bias_m + [table["tag0", ANCHORS[a]] for a in rows.anchor]
    range_m = np.empty(len(site))
    range_m[order] = site.range_true_m[order] + error + offset_m
    return dataclasses.replace(site, range_m=range_m, outlier=None)


def probe(n=300):
    """Inputs as of flights: features and which anchor."""
    rows = gather_ranges([flight(8)], 0.1, {}).rows
    return np.column_stack([rows.features, np.eye(3)[rows.anchor]])[:n]


def test_without_a_rate_the_network_is_the_old_one(old, recordings, tmp_path):
    recordings(flight(6))
    new = train(tmp_path / "new", init=old.path, learning_rate=0.0)
    assert new.config.network.arguments == old.config.network.arguments
    for name, value in weights(old).items():
        assert torch.equal(value, weights(new)[name])
    inside = probe()
    outputs = [create_engine(each, "cpu")(inside.astype(np.float32))[0] for each in (old, new)]
    assert np.ptp(outputs[0][:, 0]) > 0.01
    np.testing.assert_array_equal(*outputs)
    assert new.config.training["data"]["init"] == old.id
    assert "init" not in old.config.training["data"]


@pytest.mark.parametrize("rate", [0.0, 1e-3])
def test_an_offset_moves_the_constants_and_keeps_the_shape(old, recordings, tmp_path, rate):
    recordings(as_told(old, flight(6), OFFSET_M))
    new = train(tmp_path / "new", init=old.path, learning_rate=rate)
    before, after = constants(old), constants(new)
    for anchor in ANCHORS:
        moved = after["tag0", anchor] - before["tag0", anchor]
        # A bin has one pose for up to two ranges.
        assert moved == pytest.approx(OFFSET_M, abs=0.005)
    shape, kept = (answers(each, probe()).bias_m for each in (old, new))
    assert shape.std() > 0.02
    assert (kept - shape).std() < (0.2 * shape.std() if rate else 1e-6)


def test_starting_from_a_bundle_is_not_starting_anew(old, recordings, tmp_path):
    site = as_told(old, flight(6), OFFSET_M)
    recordings(site)
    new = train(tmp_path / "new", init=old.path, learning_rate=0.0)
    means = {names: pair.constant_m for names, pair in
             new_constants(gather_ranges([site], 0.1, {})).means.rows.items()}  # fmt: skip
    told = {tuple(names): mean for *names, mean in new.config.calibration["means"]}
    for anchor in ANCHORS:
        assert told["tag0", anchor] == pytest.approx(means["tag0", anchor], abs=1e-6)
    assert new.config.metrics["validation"]["range_rmse_m"] < 0.02
    assert new.config.metrics["validation"]["constant_rmse_m"] > 0.02


def test_what_the_bundle_says_is_expected_where_there_are_no_ranges(old, recordings):
    """Of a site as the bundle tells it there is nothing to learn, near or far."""
    recordings(as_told(old, flight(6), OFFSET_M))
    learning = UwbLearning(resolve_config("uwb", {}, SETTINGS), None)
    learning.start_from(old)
    learning.move_to(torch.device("cpu"))
    (inputs,), targets = learning.batch(torch.arange(learning.train_size), None, slice(None))
    shape = answers(old, inputs.numpy()).bias_m
    assert shape.std() > 0.02
    np.testing.assert_allclose(targets[:, 0].numpy(), shape, atol=0.005)


def test_anchors_that_the_bundle_does_not_know_are_learned(old, recordings, tmp_path):
    site = as_told(old, flight(6))
    names = {f"other{n}": anchor for n, anchor in enumerate(site.anchors.values())}
    recordings(dataclasses.replace(site, anchors=names))
    new = train(tmp_path / "new", init=old.path, learning_rate=0.0)
    assert set(constants(new)) == {*(("tag0", name) for name in names), ("*", "*")}
    assert all(pair[3] == [0.0, 0.0, 0.0] for pair in new.config.calibration["pairs"])
    assert new.config.preprocessing["anchors"].startswith("other0: ")


def test_init_through_the_command_line(old, recordings, tmp_path, capsys):
    recordings(flight(6))
    out = tmp_path / "adapted"
    words = ["train", "uwb", "--init", str(old.path), "--out", str(out), "--device", "cpu"]
    words += ["epochs=1", "learning_rate=0.0", "compile=off"]
    words += ["task_arguments={rows: 200, made_up: 500}"]
    assert main(words) == 0
    new = load_bundle(out, task="uwb")
    assert all(torch.equal(value, weights(new)[name]) for name, value in weights(old).items())
    card = (out / "README.md").read_text()
    assert f"--init {old.path.name}" in card
    assert str(old.path.parent) not in card
    capsys.readouterr()
    words[3] = str(tmp_path / "nothing")
    assert main(words) == 2
    assert "no bundle at" in capsys.readouterr().err
