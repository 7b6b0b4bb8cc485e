from dataclasses import dataclass, field
from typing import Any, Literal

import pytest
import yaml

from nn_perception.config import from_mapping, parse_overrides, read_yaml, to_mapping, to_yaml
from nn_perception.errors import ConfigError
from nn_perception.training.config import TrainingConfig


@dataclass(frozen=True)
class Inner:
    size: int = 3
    ratio: float = 0.5


@dataclass(frozen=True)
class Outer:
    name: str
    inner: Inner = field(default_factory=Inner)
    mode: Literal["slow", "fast"] = "slow"
    shape: tuple[int, ...] = (1, 2)
    arguments: dict[str, Any] = field(default_factory=dict)
    limit: int | None = None
    on: bool = False


def test_round_trip_through_yaml(tmp_path):
    config = Outer("a", Inner(7, 1e-3), "fast", (4, 5), {"k": [1, 2]}, 9, True)
    path = tmp_path / "config.yaml"
    path.write_text(to_yaml(config))
    assert from_mapping(Outer, read_yaml(path)) == config


def test_overrides_change_single_keys_of_a_group_and_merge_dicts():
    base = Outer("a", Inner(7, 0.25), arguments={"kept": 1, "changed": 2})
    changes = parse_overrides(["inner.size=8", "arguments.changed=3", "limit=null", "on=true"])
    assert from_mapping(Outer, changes, base=base) == Outer(
        "a", Inner(8, 0.25), arguments={"kept": 1, "changed": 3}, limit=None, on=True
    )


@pytest.mark.parametrize("text", ["1e-3", "0.001", "1.0e-3"])
def test_numbers_as_people_write_them(text):
    assert from_mapping(Inner, parse_overrides([f"ratio={text}"])).ratio == 1e-3


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"nmae": "a"}, ["nmae", "did you mean 'name'"]),
        ({"name": "a", "inner": {"szie": 1}}, ["inner.szie", "did you mean 'size'"]),
        ({"name": "a", "inner": 3}, ["inner", "group"]),
        ({"name": "a", "mode": "fats"}, ["mode", "did you mean 'fast'"]),
        ({"name": 3}, ["name", "str"]),
        ({"name": "a", "inner": {"size": 2.5}}, ["inner.size", "int"]),
        ({"name": "a", "inner": {"size": True}}, ["inner.size", "int"]),
        ({"name": "a", "inner": {"ratio": "much"}}, ["inner.ratio", "number"]),
        ({"name": "a", "shape": 3}, ["shape", "list"]),
        ({"name": "a", "on": 1}, ["on", "bool"]),
        ({}, ["incomplete"]),
    ],
)
def test_wrong_configuration_names_key_and_repair(values, words):
    with pytest.raises(ConfigError) as caught:
        from_mapping(Outer, values)
    for word in words:
        assert word in str(caught.value)


def test_keys_with_dots_in_a_mapping_are_not_split():
    assert from_mapping(Outer, {"name": "a", "arguments": {"model.onnx": 1}}).arguments == {
        "model.onnx": 1
    }


def test_override_without_value_is_refused():
    with pytest.raises(ConfigError, match="key=value"):
        parse_overrides(["epochs"])


@pytest.mark.parametrize("text", ["a: [", "- 1\n- 2", "\x00"])
def test_damaged_files_are_refused(tmp_path, text):
    path = tmp_path / "bad.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=r"bad\.yaml"):
        read_yaml(path)


def test_yaml_objects_are_not_executed(tmp_path):
    path = tmp_path / "evil.yaml"
    path.write_text("a: !!python/object/apply:os.system ['true']")
    with pytest.raises(ConfigError):
        read_yaml(path)


def test_mapping_is_plain():
    assert to_mapping(Outer("a"))["inner"] == {"size": 3, "ratio": 0.5}


@pytest.mark.parametrize(("word", "expected"), [("on", "on"), ("off", "off"), ('"off"', "off")])
def test_on_and_off_need_no_quotes_though_yaml_reads_truth_values(word: str, expected: str) -> None:
    values = yaml.safe_load(f"compile: {word}")
    assert from_mapping(TrainingConfig, {"network": "mlp", **values}).compile == expected
