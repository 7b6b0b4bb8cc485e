from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import nn_perception
from nn_perception.datasets.bag_types import default_typestore, message_class
from nn_perception.datasets.bags import BagReader, BagWriter
from nn_perception.errors import BagError


@pytest.mark.parametrize(
    ("msgtype", "digest"),
    [  # as in the type descriptions that ROS 2 Kilted ships
        (
            "sensor_msgs/msg/Image",
            "RIHS01_d31d41a9a4c4bc8eae9be757b0beed306564f7526c88ea6a4588fb9582527d47",
        ),
        (
            "std_msgs/msg/Header",
            "RIHS01_f49fb3ae2cf070f793645ff749683ac6b06203e41c891e17701b1cb597ce6a01",
        ),
    ],
)
def test_type_hashes_are_those_of_the_distribution(msgtype, digest):
    assert default_typestore().hash_rihs01(msgtype) == digest


def test_vision_msgs_are_known():
    results = message_class("vision_msgs/msg/Classification").__dataclass_fields__
    assert list(results)[:2] == ["header", "results"]


def test_an_unknown_type_is_refused():
    with pytest.raises(BagError, match="'no_msgs/msg/Thing' is not known"):
        message_class("no_msgs/msg/Thing")


def test_rosbags_is_imported_on_first_use_only():
    code = "import sys, nn_perception.datasets.bags; sys.exit('rosbags' in sys.modules)"
    root = Path(nn_perception.__file__).parents[1]
    subprocess.run([sys.executable, "-c", code], cwd=root, check=True, timeout=60)


def test_without_rosbags_the_error_says_what_to_install(tmp_path, monkeypatch):
    (tmp_path / "a.mcap").write_bytes(b"")
    monkeypatch.setitem(sys.modules, "rosbags.rosbag2", None)
    with pytest.raises(BagError, match=r"pip install nn_perception\[eval\]"):
        BagReader(tmp_path / "a.mcap").__enter__()
    with pytest.raises(BagError, match=r"pip install nn_perception\[eval\]"):
        BagWriter(tmp_path / "b").__enter__()
