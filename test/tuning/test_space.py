import pytest

from nn_perception.errors import ConfigError
from nn_perception.tuning.space import Choices, Range, parse_space, read_space, value_text


def test_lists_groups_and_ranges_are_read():
    space = parse_space(
        {
            "recipe": "mlp",
            "fixed": {"epochs": 2, "augment.rotate_deg": 3},
            "batch_size": [32, 64],
            "network_arguments": {"hidden": {"choices": [[8], [16, 8]]}},
            "learning_rate": {"low": "1e-3", "high": 0.1, "log": True},
            "augment.shift_px": {"low": 0, "high": 2, "step": 0.5},
        }
    )
    assert space.recipe == "mlp"
    assert space.fixed == {"epochs": 2, "augment": {"rotate_deg": 3}}
    assert space.parameters == {
        "batch_size": Choices((32, 64)),
        "network_arguments.hidden": Choices(([8], [16, 8])),
        "learning_rate": Range(0.001, 0.1, log=True),
        "augment.shift_px": Range(0, 2, step=0.5),
    }


def test_points_of_ranges_include_both_ends():
    assert Range(0.0, 0.3, step=0.1).points() == (0.0, 0.1, 0.2, 0.3)
    assert Range(1, 4).points() == (1, 2, 3, 4)
    assert Range(1, 6, step=2).points() == (1, 3, 5)
    assert Range(0.0, 1.0).points() == ()
    assert Range(1, 100, log=True).points() == ()


def test_a_grid_has_every_combination_once():
    space = parse_space({"batch_size": [32, 64], "step_epochs": {"low": 1, "high": 3}})
    grid = space.grid()
    assert len(grid) == 6
    assert {(p["batch_size"], p["step_epochs"]) for p in grid} == {
        (b, s) for b in (32, 64) for s in (1, 2, 3)
    }


REFUSED = {
    "no key": ({}, "names no key"),
    "only fixed": ({"fixed": {"epochs": 2}}, "names no key"),
    "a bare value": ({"epochs": 3}, "belongs into 'fixed'"),
    "an empty list": ({"epochs": []}, "expected a list of values"),
    "a choice twice": ({"epochs": [1, 2, 1]}, "choice 1 twice"),
    "an unknown word": ({"epochs": {"low": 1, "high": 3, "logg": True}}, "did you mean 'log'"),
    "a misspelt range": ({"epochs": {"loww": 1, "hihg": 3}}, "did you mean 'low'"),
    "half a range": ({"epochs": {"low": 1}}, "needs low and high"),
    "an empty range": ({"epochs": {"low": 3, "high": 3}}, "expected low below high"),
    "log from zero": ({"l1": {"low": 0, "high": 1, "log": True}}, "begins above 0"),
    "steps of a log": ({"l1": {"low": 1, "high": 8, "log": True, "step": 2}}, "logarithmic"),
    "a step too long": ({"l1": {"low": 1, "high": 2, "step": 5}}, "step 5"),
    "no number": ({"l1": {"low": "a", "high": 2}}, "'low' of 'l1' is 'a'"),
    "infinity": ({"l1": {"low": 1, "high": float("inf")}}, "'high' of 'l1' is inf"),
    "log that is no truth": ({"l1": {"low": 1, "high": 2, "log": 3}}, "true or false"),
    "both": ({"l1": {"choices": [1], "low": 1, "high": 2}}, "choices and a range"),
    "a key twice": ({"augment": {"mirror": [0, 1]}, "augment.mirror": [0, 1]}, "twice"),
    "fixed that is no group": ({"fixed": 3, "epochs": [1, 2]}, "'fixed' is 3"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_meant_is_refused(name):
    values, message = REFUSED[name]
    with pytest.raises(ConfigError, match=message):
        parse_space(values)


def test_a_range_without_steps_makes_no_grid():
    with pytest.raises(ConfigError, match="'l1' is a range without steps"):
        parse_space({"epochs": [1, 2], "l1": {"low": 0.0, "high": 1.0}}).grid()
    with pytest.raises(ConfigError, match="1,000,000 points"):
        parse_space({f"k{i}": list(range(10)) for i in range(6)}).grid()


def test_errors_name_the_file(tmp_path):
    file = tmp_path / "space.yaml"
    file.write_text("epochs: 3\n")
    with pytest.raises(ConfigError, match=r"space\.yaml: 'epochs' is 3"):
        read_space(file)
    with pytest.raises(ConfigError, match="gone"):
        read_space(tmp_path / "gone.yaml")


def test_values_are_written_for_people():
    assert [value_text(v) for v in (0.001, 1e-7, 32, True, None, "relu", [8, 4])] == [
        "0.001", "1e-07", "32", "true", "null", "relu", "[8, 4]",
    ]  # fmt: skip
