"""config/sros2_policy.xml: made by its tool, of the schema of sros2, and nobody gets a wildcard."""

import importlib.util
import re
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from nn_perception.nodes.parameters import TABLES

pytest.importorskip("rclpy")  # the nodes' tables of topics stand beside the nodes
pytest.importorskip("vision_msgs.msg")

ROOT = Path(__file__).parent.parent
FILE = ROOT / "config" / "sros2_policy.xml"

# sros2's policy.xsd 0.2.0: element -> (children, required attributes, optional attributes).
SCHEMA = {
    "policy": ({"enclaves"}, {"version"}, set()),
    "enclaves": ({"enclave"}, set(), set()),
    "enclave": ({"profiles"}, {"path"}, set()),
    "profiles": ({"profile", "metadata"}, set(), {"type"}),
    "profile": ({"topics", "services", "actions"}, {"ns", "node"}, set()),
    "topics": ({"topic"}, set(), {"publish", "subscribe"}),
    "services": ({"service"}, set(), {"reply", "request"}),
    "topic": (set(), set(), set()),
    "service": (set(), set(), set()),
}
NAME = re.compile(r"(/|~/)?[A-Za-z_]\w*(/[A-Za-z_]\w*)*")


@pytest.fixture(scope="module")
def tree():
    return ET.parse(FILE).getroot()


def test_file_is_made_by_the_tool():
    spec = importlib.util.spec_from_file_location("tool", ROOT / "tools" / "sros2_policy.py")
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    assert FILE.read_text() == tool.policy(), "run: python tools/sros2_policy.py"


def test_elements_and_attributes_are_those_of_the_schema(tree):
    assert tree.tag == "policy"
    assert tree.get("version") == "0.2.0"
    for element in tree.iter():
        children, required, optional = SCHEMA[element.tag]
        assert {child.tag for child in element} <= children
        assert required <= set(element.attrib) <= required | optional
        if element.tag in ("topics", "services"):
            assert len(element)  # the schema wants one at least
            assert set(element.attrib.values()) == {"ALLOW"}
        elif not children:
            assert NAME.fullmatch(element.text), element.text


def test_each_executable_has_an_enclave_and_no_node_stands_in_it_twice(tree):
    paths = [enclave.get("path") for enclave in tree.iter("enclave")]
    assert sorted(paths) == sorted(f"/nn_perception/{name}" for name in [*TABLES, "perception"])
    for enclave in tree.iter("enclave"):
        nodes = [profile.get("node") for profile in enclave.iter("profile")]
        assert len(set(nodes)) == len(nodes)


def test_only_the_trainer_may_change_other_nodes(tree):
    asking = {
        (enclave.get("path"), service.text)
        for enclave in tree.iter("enclave")
        for services in enclave.iter("services")
        if services.get("request")
        for service in services
    }
    assert {path for path, _ in asking} == {"/nn_perception/trainer"}
    assert {name.split("/")[-1] for _, name in asking} == {"get_parameters", "set_parameters"}
