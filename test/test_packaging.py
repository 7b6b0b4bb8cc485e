"""package.xml, setup.py and the definitions of vision_msgs agree with each other and the world."""

from __future__ import annotations

import ast
import importlib
import re
import runpy
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import pytest

import nn_perception

ROOT = Path(__file__).resolve().parent.parent
DEFINITIONS = ROOT / "third_party_interfaces" / "vision_msgs"

# Computed from the definitions that the distributions ship, vision_msgs 4.1.1-3 of Jazzy and
# 4.2.0-1 of Kilted, which agree. The code generators put the same values into our own build.
# A subscriber of another hash receives nothing, without a word: they must not change.
TYPE_HASHES = {
    "BoundingBox2D": "008eacbb0cf8f26e83795547bed013eec3675485ef386ec056d80eaaf1c1ce2f",
    "Classification": "f74db28d0eaef3afb78f48bf2161cd709a1383a0309d3454383b25be11345143",
    "Detection2D": "0d12b69df5c593b3455b7346fac8205437a7d4bcb09b9e0e0b2dde787ded38ea",
    "Detection2DArray": "214274120007f4a683866481336b70310268cfa107aebe9d594a6acf75bda968",
    "LabelInfo": "3d37df4015cdf660cc851c51897f2acd957e1ca6205ba0a99aebffb9406b0783",
    "ObjectHypothesis": "51da43cec11c01957a64d1e05a24acd18aae7745ec30b74348ad5f6d634f7f90",
    "ObjectHypothesisWithPose": "41c12344c0396c48b81df12467c192d99b2a0eb1463c5c37194e4223251c80bc",
    "Point2D": "eab0e83f44ab4de92ceaf76dd7d0e7638f2bdd1d16ffbe16c7a136c48e407247",
    "Pose2D": "b0b5d1d7b4c20dd4fcde3ed1d4b289a919290572007d67a97043814db25d3648",
    "VisionClass": "1e4a11f0fed50b5623cb8ff26ca0e37952a48a9c074d16f804b44e9164c2037a",
}


@pytest.fixture(scope="module")
def package_xml() -> ET.Element:
    return ET.parse(ROOT / "package.xml").getroot()


@pytest.fixture(scope="module")
def setup_arguments() -> dict[str, Any]:
    """Return what setup.py hands to setuptools."""
    setuptools = pytest.importorskip("setuptools")
    seen: dict[str, Any] = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(ROOT)
        patch.setattr(setuptools, "setup", lambda **arguments: seen.update(arguments))
        runpy.run_path(str(ROOT / "setup.py"), run_name="__main__")
    return seen


def text(root: ET.Element, tag: str) -> str:
    found = root.findtext(tag)
    assert found, f"package.xml has no <{tag}>"
    return found.strip()


def test_package_xml_and_setup_py_agree(
    package_xml: ET.Element, setup_arguments: dict[str, Any]
) -> None:
    assert package_xml.get("format") == "3"
    assert text(package_xml, "name") == setup_arguments["name"] == "nn_perception"
    assert text(package_xml, "version") == setup_arguments["version"] == nn_perception.__version__
    assert text(package_xml, "license") == setup_arguments["license"] == "Apache-2.0"
    assert text(package_xml, "export/build_type") == "ament_python"
    maintainer = package_xml.find("maintainer")
    assert maintainer is not None
    assert maintainer.text == setup_arguments["maintainer"]
    assert maintainer.get("email") == setup_arguments["maintainer_email"]


def test_licence_file_is_the_full_text(package_xml: ET.Element) -> None:
    licence = package_xml.find("license")
    assert licence is not None
    content = (ROOT / licence.get("file", "")).read_text()
    assert "Version 2.0, January 2004" in content
    assert "END OF TERMS AND CONDITIONS" in content


def test_every_module_imported_from_ros_is_a_dependency(package_xml: ET.Element) -> None:
    declared = {element.text for element in package_xml.findall("exec_depend")}
    imported = set()
    for path in [*(ROOT / "nn_perception").rglob("*.py"), *(ROOT / "launch").glob("*.py")]:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and node.module and not node.level:
                imported.add(node.module.split(".")[0])
            elif isinstance(node, ast.Import):
                imported |= {alias.name.split(".")[0] for alias in node.names}
    ros = re.compile(r"rclpy|launch|launch_ros|ament_index_python|\w+_msgs|\w+_interfaces|std_srvs")
    assert {"rclpy", "sensor_msgs"} <= imported
    assert {name for name in imported if ros.fullmatch(name)} <= declared


def test_every_console_script_has_its_target(setup_arguments: dict[str, Any]) -> None:
    scripts = setup_arguments["entry_points"]["console_scripts"]
    assert {script.split(" = ")[0] for script in scripts} >= {
        "nn-perception",
        "image_classifier",
        "attitude_estimator",
        "gyro_corrector",
        "uwb_corrector",
    }
    for script in scripts:
        module, _, function = script.split(" = ")[1].partition(":")
        path = ROOT / Path(*module.split(".")).with_suffix(".py")
        tree = ast.parse(path.read_text())
        defined = {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
        assert function in defined, f"{path} defines no {function}()"


def test_data_files_hold_every_kind(setup_arguments: dict[str, Any]) -> None:
    share = "share/nn_perception"
    files = {folder: set(paths) for folder, paths in setup_arguments["data_files"]}
    assert files["share/ament_index/resource_index/packages"] == {"resource/nn_perception"}
    assert files[share] == {"package.xml"}
    assert any(path.endswith(".launch.py") for path in files[f"{share}/launch"])
    assert "config/fastdds.xml" in files[f"{share}/config"]
    assert "config/tune/digits_mlp.yaml" in files[f"{share}/config/tune"]
    bundle = {"config.json", "model.onnx", "model.safetensors"}
    assert {Path(path).name for path in files[f"{share}/models/digits"]} >= bundle
    for paths in files.values():
        assert all((ROOT / path).is_file() for path in paths)


def test_package_data_covers_every_file_that_is_not_python(setup_arguments: dict[str, Any]) -> None:
    package = ROOT / "nn_perception"
    covered = {
        path
        for pattern in setup_arguments["package_data"]["nn_perception"]
        for path in package.glob(pattern)
    }
    others = {
        path
        for path in package.rglob("*")
        if path.is_file() and path.suffix not in (".py", ".pyc") and "__pycache__" not in path.parts
    }
    assert package / "py.typed" in others
    assert others <= covered


def test_every_folder_with_python_is_packaged(setup_arguments: dict[str, Any]) -> None:
    folders = {
        ".".join(path.parent.relative_to(ROOT).parts)
        for path in (ROOT / "nn_perception").rglob("*.py")
    }
    assert folders <= set(setup_arguments["packages"])


def test_ros_is_an_extra_and_never_a_requirement(setup_arguments: dict[str, Any]) -> None:
    required = " ".join(setup_arguments["install_requires"])
    for name in ("ros-", "opencv", "torch"):
        assert name not in required
    assert any("ros-rclpy" in item for item in setup_arguments["extras_require"]["ros"])


@pytest.mark.parametrize(
    "name", ["constraints-base.txt", "constraints.txt", "constraints-jazzy.txt"]
)
@pytest.mark.parametrize("python_version", ["3.10", "3.11", "3.12", "3.13"])
def test_constraints_pin_one_version_for_each_python(name: str, python_version: str) -> None:
    requirements = pytest.importorskip("packaging.requirements")
    pinned: set[str] = set()
    for line in (ROOT / name).read_text().splitlines():
        if not line.strip() or line.startswith(("#", "-c ")):
            continue
        requirement = requirements.Requirement(line)
        if requirement.marker and not requirement.marker.evaluate(
            {"python_version": python_version}
        ):
            continue
        assert [s.operator for s in requirement.specifier] == ["=="], line
        assert requirement.name.lower() not in pinned, f"{line} is pinned twice"
        pinned.add(requirement.name.lower())
    expected = "torch" if name == "constraints-base.txt" else "ros-rclpy"
    assert expected in pinned


@pytest.mark.parametrize("store", ["ROS2_JAZZY", "ROS2_KILTED"])
def test_vision_msgs_type_hashes_are_the_published_ones(store: str) -> None:
    typesys = pytest.importorskip("rosbags.typesys")
    types: dict[str, Any] = {}
    for path in (DEFINITIONS / "msg").glob("*.msg"):
        types.update(typesys.get_types_from_msg(path.read_text(), f"vision_msgs/msg/{path.stem}"))
    typestore = typesys.get_typestore(typesys.Stores[store])
    typestore.register(types)
    hashes = {name.split("/")[-1]: typestore.hash_rihs01(name) for name in types}
    assert hashes == {name: f"RIHS01_{value}" for name, value in TYPE_HASHES.items()}


def test_colcon_ignores_our_vision_msgs() -> None:
    assert (DEFINITIONS.parent / "COLCON_IGNORE").is_file()


@pytest.mark.ros
@pytest.mark.parametrize("name", TYPE_HASHES)
def test_vision_msgs_in_use_announces_the_published_hash(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    rclpy = pytest.importorskip("rclpy")
    message = getattr(importlib.import_module("vision_msgs.msg"), name)
    monkeypatch.setenv("ROS_AUTOMATIC_DISCOVERY_RANGE", "OFF")
    context = rclpy.Context()
    rclpy.init(context=context)
    try:
        node = rclpy.create_node("hashes", context=context)
        publisher = node.create_publisher(message, "hashes", 1)
        (info,) = node.get_publishers_info_by_topic(publisher.topic_name)
        assert info.topic_type_hash.version == 1
        assert bytes(info.topic_type_hash.value).hex() == TYPE_HASHES[name]
        node.destroy_node()
    finally:
        rclpy.try_shutdown(context=context)
