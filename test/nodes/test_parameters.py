import math

import pytest
import yaml

from nn_perception.errors import ConfigError
from nn_perception.nodes.parameter import Parameter
from nn_perception.nodes.parameter_text import (
    help_text,
    markdown_table,
    perception_yaml_text,
    yaml_text,
)
from nn_perception.nodes.parameters import TABLES, check_changes, index
from nn_perception.nodes.registry import PERCEPTION_NODES
from nn_perception.share import share_path

TABLE = index(TABLES["image_classifier"])


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("threads", 64),
        ("device", "cuda:1"),
        ("warn_after_s", 0.05),
        ("model", "../x"),  # the parameter takes any name; the bundle loader refuses the path
        ("log_period_s", 0.0),
    ],
)
def test_good_changes_pass(name, value):
    check_changes(TABLE, {name: value})


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("threads", 0, "got 0, expected 1 to 64"),
        ("threads", 65, "got 65"),
        ("threads", True, "expected type int"),
        ("threads", 1.0, "expected type int"),
        ("threads", None, "expected type int"),
        ("warn_after_s", 2, "write 2.0"),
        ("warn_after_s", math.nan, "expected 0.05 to 3600"),
        ("warn_after_s", math.inf, "expected 0.05 to 3600"),
        ("device", "gpu", "auto|cpu|cuda"),
        ("device", "cuda:", "auto|cpu|cuda"),
        ("backend", "tflite", "'auto', 'onnxruntime', 'torch'"),
        ("model", 3, "expected type string"),
        ("autostart", False, "read-only"),
        ("model_root", "/", "read-only"),
        ("modle", "x", "did you mean 'model'"),
    ],
)
def test_bad_changes_say_what_is_expected(name, value, reason):
    with pytest.raises(ConfigError) as error:
        check_changes(TABLE, {"threads": 2, name: value})
    assert reason in str(error.value)
    assert name in str(error.value)


def test_a_row_that_contradicts_itself_is_refused():
    with pytest.raises(ConfigError, match="got 9"):
        Parameter("x", "int", 9, "", maximum=3)
    with pytest.raises(ConfigError, match="unknown type"):
        Parameter("x", "integer", 9, "")
    row = Parameter("x", "int", 1, "")
    with pytest.raises(ConfigError, match="twice"):
        index([row, row])


@pytest.mark.parametrize("executable", TABLES)
def test_config_file_is_made_from_the_table(executable):
    path = share_path("config") / f"{executable}.yaml"
    assert path.read_text() == yaml_text(executable, TABLES[executable]), (
        f"make it again: python -m nn_perception.nodes.parameter_text {executable} > {path}"
    )


@pytest.mark.parametrize("executable", TABLES)
def test_config_file_gives_the_defaults_with_their_types(executable):
    text = (share_path("config") / f"{executable}.yaml").read_text()
    check_defaults(executable, yaml.safe_load(text)["/**"]["ros__parameters"])


def test_config_file_of_all_nodes_has_a_section_for_each():
    text = (share_path("config") / "perception.yaml").read_text()
    assert text == perception_yaml_text(), (
        "make it again: python -m nn_perception.nodes.parameter_text perception "
        "> config/perception.yaml"
    )
    sections = yaml.safe_load(text)
    assert set(sections) == {f"/**/{name}" for name in PERCEPTION_NODES}
    for name in PERCEPTION_NODES:
        check_defaults(name, sections[f"/**/{name}"]["ros__parameters"])


def check_defaults(executable, values):
    expected = {row.name: row.default for row in TABLES[executable]}
    assert values == expected
    assert {k: type(v) for k, v in values.items()} == {k: type(v) for k, v in expected.items()}


def test_texts_name_every_parameter_with_its_meaning():
    rows = TABLES["image_classifier"]
    table, text = markdown_table(rows), help_text(rows)
    for row in rows:
        assert f"| `{row.name}` | {row.type} |" in table
        assert row.description in table
        assert f"  {row.name} ({row.type}, default" in text
    assert all(line.count(" | ") == 5 for line in table.splitlines()[2:])
