from __future__ import annotations

from pathlib import Path

import pytest

from nn_perception.datasets.vision_msgs import DEFINITIONS

SOURCE = Path(__file__).resolve().parents[2] / "third_party_interfaces" / "vision_msgs" / "msg"


def fields(text: str) -> list[str]:
    return [line.strip() for line in text.splitlines() if line.strip() and line[0] != "#"]


def test_definitions_are_those_built_for_rclpy():
    assert {path.stem for path in SOURCE.glob("*.msg")} == {
        name.rsplit("/", 1)[1] for name in DEFINITIONS
    }


@pytest.mark.parametrize("name", DEFINITIONS)
def test_fields_are_those_built_for_rclpy(name):
    path = SOURCE / f"{name.rsplit('/', 1)[1]}.msg"
    assert fields(DEFINITIONS[name]) == fields(path.read_text())
