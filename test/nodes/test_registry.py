"""Which nodes there are, and what somebody asks for by words."""

import importlib
import subprocess
import sys

import pytest

from nn_perception.errors import ConfigError
from nn_perception.nodes.parameters import TABLES
from nn_perception.nodes.registry import (
    PERCEPTION_NODES,
    check_node_name,
    node_class,
    node_module,
    parse_instances,
)


def test_every_node_has_a_table_of_parameters():
    assert set(PERCEPTION_NODES) <= set(TABLES)
    assert not {"trainer", "perception"} & set(PERCEPTION_NODES)


@pytest.mark.parametrize("executable", PERCEPTION_NODES)
def test_names_the_class_of_each_node(executable):
    pytest.importorskip("rclpy")
    pytest.importorskip("vision_msgs")
    assert node_class(executable).executable == executable
    assert node_module(executable).EXECUTABLE.name == executable
    assert issubclass(
        node_class(executable),
        importlib.import_module("nn_perception.nodes.base").PerceptionNode,
    )


def test_imports_no_ros():
    code = "import sys, nn_perception.nodes.registry; sys.exit('rclpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_without_words_one_of_each():
    assert parse_instances([]) == {name: name for name in PERCEPTION_NODES}


def test_words_in_their_order_with_and_without_a_name():
    words = ["objects=image_classifier", "gyro_corrector", "digits=image_classifier"]
    assert list(parse_instances(words).items()) == [
        ("objects", "image_classifier"),
        ("gyro_corrector", "gyro_corrector"),
        ("digits", "image_classifier"),
    ]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["image_clasifier"], "did you mean 'image_classifier'"),
        (["eyes=image_clasifier"], "did you mean 'image_classifier'"),
        (["eyes="], "unknown node ''"),
        (["a=b=image_classifier"], "unknown node 'b=image_classifier'"),
        (["trainer"], "there are: image_classifier"),
        ([""], "unknown node ''"),
        (["gyro_corrector", "gyro_corrector"], "gyro_corrector_2=gyro_corrector"),
        (["x=gyro_corrector", "x=image_classifier"], "two nodes are named 'x'"),
        (["=gyro_corrector"], "'' is no name"),
        (["1x=gyro_corrector"], "'1x' is no name"),
        (["a/b=gyro_corrector"], "'a/b' is no name"),
        (["a b=gyro_corrector"], "'a b' is no name"),
        (["\u00e4=gyro_corrector"], "is no name"),
        (["a\n=gyro_corrector"], "is no name"),
        (["a" * 252 + "=gyro_corrector"], "251 characters"),
    ],
)
def test_says_what_is_wrong_with_a_word(words, said):
    with pytest.raises(ConfigError) as caught:
        parse_instances(words)
    assert said in str(caught.value)


@pytest.mark.parametrize("name", ["a", "_a", "a" * 251, "A1_", "1a", "a-b", "a.b", "", "é", "a/b"])
def test_takes_the_names_that_ros_takes(name):
    validate = pytest.importorskip("rclpy.validate_node_name")
    exceptions = pytest.importorskip("rclpy.exceptions")
    try:
        validate.validate_node_name(name)
        taken = True
    except exceptions.InvalidNodeNameException:
        taken = False
    if taken:
        check_node_name(name)
    else:
        with pytest.raises(ConfigError, match="no name"):
            check_node_name(name)
