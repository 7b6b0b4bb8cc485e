import pytest

pytest.importorskip("torch")

from pathlib import Path

from nn_perception.errors import ConfigError, NnPerceptionError
from nn_perception.tasks import all_tasks
from nn_perception.tuning.check import resolve_space, trial_config
from nn_perception.tuning.space import Choices, Range, parse_space, read_space

EXAMPLES = sorted((Path(__file__).parents[2] / "config" / "tune").glob("*.yaml"))


def resolve(values, task="digits", overrides=None, recipe=None):
    return resolve_space(task, parse_space(values), overrides or {}, recipe)


def test_values_become_those_that_the_configuration_holds():
    base, space = resolve(
        {
            "fixed": {"network": "mlp", "epochs": 2},
            "learning_rate": ["1e-3", 1],
            "l1": {"low": 0, "high": 1},
            "batch_size": {"low": 16, "high": 64},
            "network_arguments.dropout": [0, 0.5],
            "task_arguments.samples": [100, 200],
            "augment.rotate_deg": [0, 5],
        }
    )
    assert (base.network, base.epochs) == ("mlp", 2)
    assert space.parameters["learning_rate"] == Choices((0.001, 1.0))
    assert not space.parameters["l1"].is_whole
    assert space.parameters["batch_size"] == Range(16, 64)
    assert space.parameters["batch_size"].is_whole
    assert [type(v) for v in space.parameters["network_arguments.dropout"].values] == [float] * 2
    assert space.parameters["augment.rotate_deg"] == Choices((0.0, 5.0))
    config = trial_config(base, {"augment.rotate_deg": 5.0, "network_arguments.hidden": [8]})
    assert config.augment.rotate_deg == 5.0
    assert config.augment.shift_px == base.augment.shift_px
    assert config.network_arguments == {"hidden": [8]}


def test_what_the_command_line_says_wins_over_the_file():
    values = {"recipe": "mlp", "fixed": {"epochs": 2, "l1": 0.5}, "batch_size": [8, 16]}
    base, _ = resolve(values, overrides={"epochs": 7}, recipe="lecture_cnn")
    assert (base.network, base.epochs, base.l1) == ("lecture_cnn", 7, 0.5)


MLP = {"fixed": {"network": "mlp"}}
REFUSED = {
    "no such key": ({"learning_rat": [1, 2]}, "did you mean 'learning_rate'"),
    "misspelt fixed": ({"fixd": {"epochs": [1, 2]}}, "did you mean 'fixed'"),
    "no such argument": (MLP | {"network_arguments.hiden": [[8]]}, "did you mean 'hidden'"),
    "no such task argument": ({"task_arguments.sampels": [1, 2]}, "did you mean 'samples'"),
    "no such distortion": ({"augment.rotat_deg": [1, 2]}, "did you mean 'rotate_deg'"),
    "a group as a whole": ({"augment": [1, 2]}, "one below"),
    "below a key": ({"epochs.first": [1, 2]}, "one below"),
    "too large at the top": ({"learning_rate": {"low": 1, "high": 5000}}, "5000"),
    "one choice of many": ({"optimizer": ["adam", "adamx"]}, "did you mean 'adam'"),
    "wrong type": ({"epochs": [2, "many"]}, "'epochs' is 'many'"),
    "half an epoch": ({"epochs": {"low": 1, "high": 2.5}}, "2.5"),
    "no numbers": ({"optimizer": {"low": 1, "high": 2}}, "optimizer"),
    "refused by the network": (MLP | {"network_arguments.dropout": [0.1, 1.5]}, "1.5"),
    "refused by the task": ({"task_arguments.samples": [100, -1]}, "-1"),
    "an unknown network": ({"network": ["mlp", "mpl"]}, "mpl"),
    "the seed": ({"seed": [1, 2]}, "luck"),
    "the folds": ({"folds": [2, 3]}, "--folds"),
    "varied and fixed": ({"fixed": {"epochs": 3}, "epochs": [1, 2]}, "set by 'fixed'"),
    "below, varied and fixed": (
        {"fixed": {"augment": {"mirror": 0.5}}, "augment": {"mirror": [0, 0.5]}},
        "set by 'fixed'",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_mistakes_are_found_before_the_first_trial(name):
    values, message = REFUSED[name]
    with pytest.raises(NnPerceptionError, match=message):
        resolve(values)


def test_a_key_that_the_command_line_sets_cannot_vary():
    with pytest.raises(ConfigError, match="set by the command line"):
        resolve({"epochs": [1, 2]}, overrides={"epochs": 3})


@pytest.mark.parametrize(
    ("task", "known"), [("attitude", "chunk_s"), ("uwb", "made_up"), ("objects", "input_size")]
)
def test_task_arguments_of_every_task_are_known(task, known):
    near = known[:-1]
    with pytest.raises(ConfigError, match=f"did you mean '{known}'"):
        resolve({f"task_arguments.{near}": [1, 2]}, task)


@pytest.mark.parametrize("name", [path.name for path in EXAMPLES])
def test_shipped_spaces_fit_their_configurations(name):
    path = next(path for path in EXAMPLES if path.name == name)
    task = name.split("_")[0].removesuffix(".yaml")
    assert task in all_tasks()
    base, space = resolve_space(task, read_space(path), {}, None)
    assert len(space.parameters) >= 2
    trial_config(base, {key: values.ends()[0] for key, values in space.parameters.items()})
