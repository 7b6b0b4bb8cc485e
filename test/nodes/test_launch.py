"""Launch files, read: `launch` comes with a ROS distribution only (see test_launch_real)."""

import ast
import re
import shlex
from pathlib import Path

import pytest

from nn_perception.nodes.launch_arguments import of_node, of_perception, of_replay, overrides
from nn_perception.nodes.parameters import TABLES
from nn_perception.nodes.registry import PERCEPTION_NODES
from nn_perception.nodes.starting import TOGETHER
from nn_perception.share import share_path

ROOT = Path(__file__).parents[2]
FILES = sorted(share_path("launch").glob("*.launch.py"))
NAMES = {path.name.partition(".")[0] for path in FILES}
SETUP = (ROOT / "setup.py").read_text()
SCRIPTS = dict(re.findall(r'"(\w+) = (nn_perception\.nodes[\w.]*):main"', SETUP))
LAUNCHING = ast.parse((ROOT / "nn_perception/nodes/launching.py").read_text())
# A launch file whose name is not that of its executable.
OTHER_NAMES = {"train": "trainer"}


def calls(tree, name):
    found = (node for node in ast.walk(tree) if isinstance(node, ast.Call))
    return [call for call in found if getattr(call.func, "id", "") == name]


def test_there_is_a_launch_file_for_every_node_and_for_all():
    assert {OTHER_NAMES.get(name, name) for name in NAMES} == {*TABLES, "perception", "replay"}


def test_every_executable_has_a_module_of_its_name():
    assert {*TABLES, TOGETHER} <= set(SCRIPTS)
    for name, module in SCRIPTS.items():
        assert module == f"nn_perception.nodes.{name}"
        assert (ROOT / "nn_perception/nodes" / f"{name}.py").is_file()


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_is_thin_and_names_only_what_exists(path):
    tree = ast.parse(path.read_text())
    assert ast.get_docstring(tree)
    functions = [node for node in tree.body if isinstance(node, ast.FunctionDef)]
    assert [function.name for function in functions] == ["generate_launch_description"]
    assert len(tree.body) <= 5
    (imported,) = (
        alias.name
        for node in tree.body
        if isinstance(node, ast.ImportFrom) and node.module == "nn_perception.nodes.launching"
        for alias in node.names
    )
    assert imported in {node.name for node in LAUNCHING.body if isinstance(node, ast.FunctionDef)}
    (call,) = calls(tree, imported)
    name = path.name.partition(".")[0]
    if imported == "node_description":
        assert [argument.value for argument in call.args] == [OTHER_NAMES.get(name, name)]
    else:
        assert imported == f"{name}_description"
        assert not call.args


@pytest.mark.parametrize("name", [*TABLES, TOGETHER])
def test_every_parameter_file_that_is_named_exists(name):
    assert (share_path("config") / f"{name}.yaml").is_file()


def test_modules_that_are_started_exist():
    text = (ROOT / "nn_perception/nodes/launching.py").read_text()
    modules = re.findall(r'"nn_perception\.nodes\.(\w+)"', text)
    assert "ready" in modules
    for module in modules:
        source = (ROOT / "nn_perception/nodes" / f"{module}.py").read_text()
        assert '__name__ == "__main__"' in source


def test_nodes_are_found_by_the_name_of_the_package():
    (node,) = calls(LAUNCHING, "Node")
    words = {word.arg: word.value for word in node.keywords}
    assert ast.unparse(words["package"]) == "PACKAGE"
    (value,) = (
        statement.value.value
        for statement in LAUNCHING.body
        if isinstance(statement, ast.Assign) and statement.targets[0].id == "PACKAGE"
    )
    assert value == (ROOT / "resource").iterdir().__next__().name == "nn_perception"


def test_all_that_can_be_switched_can_run_in_one_process():
    assert set(PERCEPTION_NODES) <= set(TABLES)


README = (ROOT / "README.md").read_text(encoding="utf-8")
COMMANDS = re.findall(
    r"^    ros2 launch nn_perception (\w+)\.launch\.py(.*)$", README, re.MULTILINE
)


def arguments_of(name):
    special = {"perception": of_perception, "replay": of_replay}
    found = special[name]() if name in special else of_node(OTHER_NAMES.get(name, name))
    return {argument.name: argument for argument in found}


@pytest.mark.parametrize(("name", "words"), COMMANDS)
def test_commands_in_readme_name_what_there_is(name, words):
    arguments = arguments_of(name)
    given = dict(word.split(":=", 1) for word in shlex.split(words) if ":=" in word)
    assert set(given) <= set(arguments)
    for word, value in given.items():
        assert arguments[word].choices is None or value in arguments[word].choices
    if name not in ("perception", "replay"):
        overrides(OTHER_NAMES.get(name, name), given)


def test_readme_names_every_argument_and_launch_file():
    section = README.split("\n## Launch\n")[1].split("\n## ")[0]
    table = section.split("| argument |")[1].split("\n\n")[0]
    named = {
        name for row in table.splitlines() for name in re.findall(r"`(\w+)`", row.split("|")[1])
    }
    assert named - {"argument"} == set(arguments_of("replay")) | {"use_sim_time"}
    assert set(re.findall(r"`(\w+)\.launch\.py`", section)) == NAMES
