"""Launch files. `launch` is no wheel, so here they are read; where it is there, they are built."""

import ast
import importlib.util
import re
from pathlib import Path

import pytest

from nn_perception.nodes.parameters import TABLES
from nn_perception.share import share_path

ROOT = Path(__file__).parents[2]
FILES = sorted(share_path("launch").glob("*.launch.py"))
EXECUTABLES = set(re.findall(r'"(\w+) = nn_perception\.nodes', (ROOT / "setup.py").read_text()))
RCLPY_PARAMETERS = {"use_sim_time"}


def nodes_of(tree):
    """The keyword arguments of every Node(...) in a launch file."""
    for call in ast.walk(tree):
        if isinstance(call, ast.Call) and getattr(call.func, "id", "") in ("Node", "LifecycleNode"):
            yield {word.arg: word.value for word in call.keywords}


def overrides_of(tree):
    for statement in tree.body:
        if isinstance(statement, ast.Assign) and statement.targets[0].id == "OVERRIDES":
            return {key.value: value.elts[0].id for key, value in
                    zip(statement.value.keys, statement.value.values, strict=True)}  # fmt: skip
    return {}


def test_there_are_launch_files_and_executables():
    assert EXECUTABLES == set(TABLES) == {path.name.partition(".")[0] for path in FILES}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_names_only_what_exists(path):
    tree = ast.parse(path.read_text())
    nodes = list(nodes_of(tree))
    assert nodes
    for node in nodes:
        assert node["package"].value == "nn_perception"
        executable = node["executable"].value
        assert executable in EXECUTABLES
        rows = {row.name: row.type for row in TABLES[executable]}
        python_names = {"string": "str", "bool": "bool", "int": "int", "double": "float"}
        for name, kind in overrides_of(tree).items():
            assert name in rows or name in RCLPY_PARAMETERS
            assert name not in rows or python_names[rows[name]] == kind
    for name in re.findall(r'"(\w+\.(?:yaml|xml))"', path.read_text()):
        assert (share_path("config") / name).is_file()


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_remaps_topics_that_the_node_has(path):
    tree = ast.parse(path.read_text())
    for node in nodes_of(tree):
        source = (ROOT / "nn_perception/nodes" / f"{node['executable'].value}.py").read_text()
        for pair in node["remappings"].elts:
            assert f'"{pair.elts[0].value}"' in source


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_builds_its_description(path):
    pytest.importorskip("launch_ros", reason="launch_ros comes with a ROS distribution only")
    spec = importlib.util.spec_from_file_location("launch_file", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert module.generate_launch_description().entities


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_typed_overrides_are_substitutions(path):
    """`ParameterValue` takes a text for a parameter of another type only as a substitution."""
    calls = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)]
    typed = [call for call in calls if getattr(call.func, "id", "") == "ParameterValue"]
    assert typed
    for call in typed:
        assert call.args[0].func.id == "LaunchConfiguration"
