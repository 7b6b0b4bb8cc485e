"""Arguments of the launch files: from the parameter tables, and back to parameters."""

import importlib

import pytest

from nn_perception.errors import ConfigError
from nn_perception.nodes.launch_arguments import (
    SHARED,
    TOPIC_ARGUMENTS,
    of_node,
    of_perception,
    of_replay,
    overrides,
    remappings,
)
from nn_perception.nodes.parameters import TABLES, index
from nn_perception.nodes.registry import PERCEPTION_NODES

FILES = {
    **{name: of_node(name) for name in TABLES},
    "all": of_perception(),
    "replay": of_replay(),
}


@pytest.mark.parametrize("file", FILES)
def test_each_argument_stands_once_and_says_what_it_does(file):
    names = [argument.name for argument in FILES[file]]
    assert len(set(names)) == len(names)
    for argument in FILES[file]:
        assert argument.name.isidentifier()
        assert len(argument.description) > 10
        assert argument.description.endswith(".") == (not argument.name.endswith("_topic"))
        if argument.choices is not None:
            assert argument.default in argument.choices
            assert all(isinstance(choice, str) for choice in argument.choices)


@pytest.mark.parametrize("file", FILES)
def test_what_overrides_a_parameter_is_empty_at_first(file):
    rows = {row.name for table in TABLES.values() for row in table} | {"use_sim_time"}
    rows |= {f"model_{name}" for name in PERCEPTION_NODES}
    for argument in FILES[file]:
        if argument.name in rows:
            assert argument.default == ""
            assert argument.choices is None or "" in argument.choices


@pytest.mark.parametrize("executable", TABLES)
def test_every_parameter_of_a_node_is_an_argument(executable):
    given = {argument.name: argument.default for argument in of_node(executable)}
    assert {row.name for row in TABLES[executable]} <= set(given)
    assert overrides(executable, given) == {}
    for row in TABLES[executable]:
        text = str(row.default)
        if text:
            found = overrides(executable, {**given, row.name: text})
            assert found == {row.name: row.default}
            assert type(found[row.name]) is type(row.default)


def test_every_argument_that_the_project_promises():
    names = {argument.name for argument in of_perception()}
    assert names >= {"params_file", "namespace", "device", "use_sim_time", "log_level"}
    assert names >= {"autostart", "single_process", "record", *PERCEPTION_NODES}
    assert names >= {f"model_{name}" for name in PERCEPTION_NODES}
    assert {argument.name for argument in of_replay()} >= names - {"use_sim_time"} | {"bag"}
    assert [argument.name for argument in of_replay() if argument.default is None] == ["bag"]


def test_overrides_of_all_nodes():
    given = {argument.name: argument.default for argument in of_perception()}
    assert all(overrides(name, given) == {} for name in PERCEPTION_NODES)
    given |= {"model_gyro_corrector": "mine", "device": "cpu", "autostart": "False"}
    given |= {"use_sim_time": "true"}
    shared = {"device": "cpu", "autostart": False, "use_sim_time": True}
    assert overrides("gyro_corrector", given) == {"model": "mine", **shared}
    assert overrides("image_classifier", given) == shared


@pytest.mark.parametrize("name", SHARED)
def test_what_all_nodes_get_is_the_same_parameter_in_each(name):
    assert len({index(TABLES[executable])[name] for executable in PERCEPTION_NODES}) == 1


def test_wrong_values_are_refused_by_name():
    for name, text in {"threads": "0", "device": "gpu", "keep_percent": "most"}.items():
        with pytest.raises(ConfigError, match=name):
            overrides("image_classifier", {name: text})


@pytest.mark.parametrize("executable", PERCEPTION_NODES)
def test_remaps_topics_that_the_node_subscribes(executable):
    pytest.importorskip("rclpy")
    pytest.importorskip("vision_msgs")
    module = importlib.import_module(f"nn_perception.nodes.{executable}")
    subscribed = {topic for way, topic, _ in module.EXECUTABLE.topics if way == "subscribes"}
    topics = {topic for topic, _ in TOPIC_ARGUMENTS[executable].values()}
    assert topics == subscribed - {"image_raw/compressed"}  # which follows image_raw


def test_topics_are_remapped_when_they_are_given():
    given = {argument.name: argument.default for argument in of_perception()}
    assert all(remappings(name, given) == {} for name in PERCEPTION_NODES)
    given["imu_topic"] = "/imu"
    assert remappings("gyro_corrector", given) == {"imu/data_raw": "/imu"}
    assert remappings("attitude_estimator", given) == {"imu/data_raw": "/imu"}
    assert remappings("uwb_corrector", given) == {}
