"""From simulated recordings to a bundle."""

import dataclasses
import json

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from nn_perception.cli.main import main  # noqa: E402
from nn_perception.config import from_mapping  # noqa: E402
from nn_perception.datasets.uwb_simulated import RangeErrors, simulate_uwb  # noqa: E402
from nn_perception.engine import create_engine  # noqa: E402
from nn_perception.errors import BundleError, ConfigError  # noqa: E402
from nn_perception.tasks.loading import open_pipeline  # noqa: E402
from nn_perception.tasks.uwb.data import gather_ranges  # noqa: E402
from nn_perception.tasks.uwb.learning import UwbLearning, UwbTraining  # noqa: E402
from nn_perception.tasks.uwb.model import RangeModel  # noqa: E402
from nn_perception.training.run import resolve_config, train_task  # noqa: E402

SMALL = {"rows": 300, "made_up": 1000}
FOLD = 4


def config(epochs=3, seed=0, **task_arguments):
    return resolve_config(
        "uwb",
        {},
        {
            "epochs": epochs,
            "seed": seed,
            "batch_size": 128,
            "network_arguments": {"hidden": [30, 30, 30]},
            "task_arguments": {**SMALL, **task_arguments},
            "compile": "off",
            "device": "cpu",
        },
    )


@pytest.fixture
def flight(recordings):
    """One flight in one room, whose ranges all come straight."""
    found = simulate_uwb(5, duration_s=60.0, anchors=3, errors=RangeErrors(nlos_share=0.0))
    recordings(found)
    return found


def rms(values):
    return float(np.sqrt(np.mean(np.square(values))))


def predicted(model, data):
    rows = data.rows
    pairs = [
        model.pair(data.tags[tag], data.anchors[anchor])
        for tag, anchor in zip(rows.tag, rows.anchor, strict=True)
    ]
    inputs = np.column_stack([rows.features, np.array([pair.traits for pair in pairs])])
    return model.predict(inputs, [pair.constant_m for pair in pairs])


def test_a_time_that_was_not_trained_on_is_told_better_than_by_constants(flight, tmp_path):
    arguments = {"fold": FOLD, "until": {flight.name: 1.0}}
    trained = train_task("uwb", config(15, **arguments), data=None, out=tmp_path / "m")
    model = RangeModel(trained.bundle, create_engine(trained.bundle, "cpu"))
    data = gather_ranges([flight], 0.1, {})
    unseen = data.rows.take(data.rows.block == FOLD)
    data = dataclasses.replace(data, rows=unseen)
    means = {tuple(names): mean for *names, mean in trained.bundle.config.calibration["means"]}
    constant = [means["tag0", data.anchors[anchor]] for anchor in unseen.anchor]
    found = predicted(model, data)
    left = unseen.error_m - found.bias_m
    assert rms(unseen.error_m) > 0.15
    assert rms(left) < 0.85 * rms(unseen.error_m - constant)
    assert 0.6 < rms(left / found.sigma_m) < 1.6
    told = trained.bundle.config.training["data"]
    assert told["train_names"] == [flight.name]
    assert (told["fold"], told["until"]) == (FOLD, {flight.name: 1.0})
    assert told["train"] == len(gather_ranges([flight], 0.1, {}, fold=FOLD).rows)
    assert told["kernel"]["noise_m"] > 0.0


def test_the_bundle_is_what_a_robot_runs(flight, tmp_path):
    trained = train_task("uwb", config(), data=None, out=tmp_path / "m")
    pipeline = open_pipeline(trained.bundle, device="cpu")
    assert pipeline.bundle.id == trained.bundle.id
    settings = trained.bundle.config.preprocessing
    assert settings["site"] == "simulated"
    assert (settings["anchors"], settings["tags"]) == (flight.anchors_text, flight.tags_text)
    # Of 3 anchors each has an input; the only tag needs none.
    assert trained.bundle.config.inputs[0].shape == (None, 17)
    assert set(trained.bundle.config.metrics["validation"]) == {
        "loss",
        "range_rmse_m",
        "cross_validated_rmse_m",
        "constant_rmse_m",
    }


@pytest.mark.long
def test_the_seed_decides_the_bundle(flight, tmp_path):
    ids = [
        train_task("uwb", config(2, seed), data=None, out=tmp_path / name).bundle.id
        for name, seed in (("a", 0), ("b", 0), ("c", 1))
    ]
    assert ids[0] == ids[1] != ids[2]


def test_several_rooms_give_a_model_for_any_room(recordings):
    recordings(*(simulate_uwb(seed, duration_s=4.0, anchors=4) for seed in (1, 2)))
    learning = UwbLearning(config(), None)
    learning.move_to("cpu")
    network = learning.build_network().eval()
    assert sum(parameter.numel() for parameter in network.parameters()) == 2372
    export = learning.export(lambda rows: network(rows).detach())
    assert export.inputs[0].shape == (None, 14)
    assert [row[:2] for row in export.calibration["pairs"]] == [["*", "*"]]
    assert set(export.preprocessing) == {"site"}  # no place: any room's anchors are another's
    assert export.data["rooms"] == 2


def test_every_lesson_is_in_an_epoch(recordings):
    """A body that stands gives fewer lessons than announced; indices then begin again."""
    flight = simulate_uwb(5, duration_s=4.0, anchors=3)
    pose = {name: getattr(flight, name).copy() for name in ("position_m", "orientation_xyzw")}
    for column in pose.values():
        column[:45] = column[0]  # within one piece of time
    still = dataclasses.replace(flight, **pose)
    recordings(dataclasses.replace(still, range_m=still.range_true_m + 0.1, outlier=None))
    learning = UwbLearning(config(bin_s=0.01), None)
    learning.move_to("cpu")
    (inputs,), targets = learning.batch(torch.arange(learning.train_size), None, slice(None))
    assert len(inputs) == len(targets) == learning.train_size
    assert torch.isfinite(inputs).all()
    assert torch.isfinite(targets).all()
    assert (targets[:, 1] > 0.0).all()
    different = len(torch.unique(inputs, dim=0))
    assert SMALL["made_up"] + 100 < different < learning.train_size - 30
    assert torch.equal(inputs[different:], inputs[: learning.train_size - different])


def test_the_loss_is_least_at_the_truth():
    """Over both outputs, with the error drawn from the spread that is told."""
    learning = UwbLearning.__new__(UwbLearning)
    learning.settings = UwbTraining()
    targets = torch.tensor([[0.1, 0.05]]).repeat(10, 1)
    best = learning.loss(torch.tensor([[0.1, np.log(0.05)]]).repeat(10, 1), targets)
    for bias, log_sigma in ((0.11, np.log(0.05)), (0.1, np.log(0.04)), (0.1, np.log(0.06))):
        other = torch.tensor([[bias, log_sigma]]).repeat(10, 1)
        assert learning.loss(other, targets) > best


def test_the_card_and_the_configuration_say_what_was_left_out(flight, tmp_path, capsys):
    out = tmp_path / "m"
    words = [f"task_arguments.{key}={value}" for key, value in SMALL.items()]
    words += ["task_arguments.fold=2", f"task_arguments.until={{{flight.name}: 0.5}}"]
    words += ["epochs=1", "compile=off", "--device", "cpu", "--out", str(out)]
    assert main(["train", "uwb", *words]) == 0
    card = (out / "README.md").read_text()
    assert "task_arguments.fold=2" in card
    assert f"{flight.name}: 0.5" in card
    assert str(tmp_path) not in card
    found = json.loads((out / "config.json").read_text())["training"]
    assert found["data"]["fold"] == 2
    assert found["data"]["until"] == {flight.name: 0.5}
    assert found["data"]["train_names"] == [flight.name]
    assert found["configuration"]["task_arguments"]["fold"] == 2


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"bin_s": 0.0}, "bin_s 0.0"),
        ({"bin_s": 11.0}, "bin_s 11"),
        ({"rows": 9}, "rows 9"),
        ({"made_up": -1}, "made_up -1"),
        ({"fold": 5}, "fold 5"),
        ({"folds": 3}, "did you mean 'fold'"),
        ({"until": 0.5}, "until"),
        ({"leave_out": "simulated_5"}, "leave_out"),
    ],
)
def test_impossible_settings_are_refused(arguments, said):
    with pytest.raises(ConfigError, match=said):
        from_mapping(UwbTraining, arguments)


def test_a_bundle_of_another_kind_is_no_start(flight, make_bundle, tmp_path):
    digits = make_bundle()
    with pytest.raises(BundleError, match="task 'digits', expected 'uwb'"):
        train_task("uwb", config(), data=None, out=tmp_path / "m", init=digits.path)
    assert not (tmp_path / "m").exists()
