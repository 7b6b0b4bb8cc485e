"""The layout for Foxglove: topics that there are, fields that they have, panels of its own."""

import importlib
import json
import re
import runpy
from pathlib import Path

import pytest

from nn_perception.nodes import (
    attitude_estimator,
    gyro_corrector,
    image_classifier,
    uwb_corrector,
)
from nn_perception.share import share_path

ROOT = Path(__file__).parents[2]
FILE = share_path("config") / "foxglove_layout.json"
NODES = (image_classifier, attitude_estimator, gyro_corrector, uwb_corrector)
PANELS = {
    "3D",
    "DiagnosticStatusPanel",
    "DiagnosticSummary",
    "Image",
    "Parameters",
    "Plot",
}
TOPIC_KEYS = ("imageTopic", "topicToRender", "value")


@pytest.fixture(scope="module")
def layout():
    return json.loads(FILE.read_text(encoding="utf-8"))


def topics():
    """Resolved default name -> message class, of all rows of all executables."""
    found = {}
    for module in NODES:
        name = module.EXECUTABLE.name
        for _, topic, what in module.EXECUTABLE.topics:
            resolved = "/" + topic.replace("~", name).lstrip("/")
            package, kind = re.match(r"(\w+)/(\w+)", what).groups()
            found[resolved] = getattr(importlib.import_module(f"{package}.msg"), kind)
    return found


def panels_in(node):
    if isinstance(node, str):
        return [node]
    assert node.keys() == {"direction", "first", "second", "splitPercentage"}
    assert node["direction"] in ("row", "column")
    assert 0 < node["splitPercentage"] < 100
    return panels_in(node["first"]) + panels_in(node["second"])


def paths_in(node, keys=TOPIC_KEYS):
    """Every text that is a topic, or begins with one."""
    if isinstance(node, list):
        return [path for each in node for path in paths_in(each, keys)]
    if not isinstance(node, dict):
        return []
    own = [value for key, value in node.items() if key in keys]
    own += list(node.get("topics", ()))
    return own + [path for value in node.values() for path in paths_in(value, keys)]


def scripts(layout):
    """Output topic -> input topics of each script."""
    found = {}
    for script in layout["userNodes"].values():
        source = script["sourceCode"]
        (output,) = re.findall(r'export const output = "(.+?)"', source)
        (inputs,) = re.findall(r"export const inputs = (\[.+?\])", source)
        found[output] = json.loads(inputs)
        assert re.findall(r'Input<"(.+?)">', source) == json.loads(inputs)
    return found


def test_every_panel_has_its_place_and_its_configuration(layout):
    placed = panels_in(layout["layout"])
    assert sorted(placed) == sorted(layout["configById"])
    assert {name.partition("!")[0] for name in placed} == PANELS


def test_topics_are_those_of_the_nodes(layout):
    known, made = topics(), scripts(layout)
    named = [path.partition(".")[0] for path in paths_in(layout["configById"])]
    assert len(named) > 10
    assert set(named) - known.keys() - made.keys() == set()
    assert {topic for inputs in made.values() for topic in inputs} <= known.keys()
    assert made.keys() <= set(named)
    times = {f"/{module.EXECUTABLE.name}/debug/processing_time_ms" for module in NODES}
    assert times <= set(named)


def test_plotted_fields_are_numbers_of_the_messages(layout):
    known = topics()
    paths = paths_in(layout["configById"], keys=("value",))
    plotted = [path for path in paths if "." in path]
    assert len(plotted) >= 12
    for path in plotted:
        topic, *fields = path.split(".")
        kind = known[topic]
        for field in fields:
            kind = kind.get_fields_and_field_types()[field]
            if "/" in kind:
                package, name = kind.split("/")
                kind = getattr(importlib.import_module(f"{package}.msg"), name)
        assert kind in ("double", "float"), path


def test_it_is_installed(monkeypatch):
    seen = {}
    setuptools = pytest.importorskip("setuptools")
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr(setuptools, "setup", lambda **arguments: seen.update(arguments))
    runpy.run_path(str(ROOT / "setup.py"), run_name="__main__")
    installed = dict(seen["data_files"])["share/nn_perception/config"]
    assert "config/foxglove_layout.json" in installed
